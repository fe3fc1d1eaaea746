package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// handshakeTimeout is longer than the other end's dialTimeout, and short: before it, anybody may hold a connection.
const handshakeTimeout = 2 * time.Second

// HopServerConfig is what a HopServer needs. Zero values of the tunables mean the default named beside them.
type HopServerConfig struct {
	Listener net.Listener // plain: the server does TLS
	Secret   Secret
	Node     string // this one
	// Handler answers. from is who the other end has proved to be; a path that is not known is the handler's to refuse. body is the
	// server's again when it returns. It may be called on every connection at once.
	Handler  func(from, path string, body []byte) (status int, answer []byte)
	Registry prometheus.Registerer

	MaxConns     int              // and requests at once by frames, by all connections together; without frames a connection has one; 2,048
	CloseTimeout time.Duration    // for requests in hand at Close; 5 s
	Now          func() time.Time // for certificates; time.Now
	Log          *slog.Logger     // slog.Default()
}

// HopServer is the internal listener of a node. It lets in nodes of this cluster and nobody else, wherever they come from:
// loopback is no exception.
type HopServer struct {
	cfg        HopServerConfig
	credential *credential
	refused    *prometheus.CounterVec
	panics     prometheus.Counter
	seldom     seldom
	conns      atomic.Int64

	ln     net.Listener
	http   *fasthttp.Server
	frames *framedServer
	served chan error
	once   sync.Once
	closed error
}

// OpenHopServer serves until Close.
func OpenHopServer(cfg HopServerConfig) *HopServer {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = maxServedConns
	}
	if cfg.CloseTimeout == 0 {
		cfg.CloseTimeout = closeTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &HopServer{
		cfg: cfg, credential: newCredential(cfg.Secret, cfg.Node, cfg.Now), served: make(chan error, 1),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maitred_cluster_hop_refused_total", Help: "Connections to the internal listener that were refused.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maitred_cluster_hop_panics_total", Help: "Handlers of the internal listener that panicked and answered 500.",
		}),
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(s.refused, s.panics)
	}
	if err := s.credential.fault; err != nil {
		cfg.Log.Error("the internal listener lets nobody in", "error", err)
	}
	s.frames = newFramedServer(cfg.MaxConns)
	s.ln = &hopListener{Listener: cfg.Listener, s: s, tls: s.credential.server()}
	s.http = &fasthttp.Server{
		Handler: s.serve, ErrorHandler: refuseRequest, Logger: silent{},
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: serverIdle, MaxRequestBodySize: maxHopBody,
		// A worker is free only a moment after its connection is, and connections are bounded by the listener.
		Concurrency:           2*cfg.MaxConns + 64,
		NoDefaultServerHeader: true, NoDefaultContentType: true, NoDefaultDate: true,
		DisablePreParseMultipartForm: true, SecureErrorLogMessage: true, CloseOnShutdown: true,
	}
	go func() {
		err := s.http.Serve(s.ln)
		if err != nil {
			cfg.Log.Error("the internal listener failed", "address", cfg.Listener.Addr().String(), "error", err)
		}
		s.served <- err
	}()
	return s
}

// Close stops accepting and waits until the requests in hand are answered, at most CloseTimeout. Idempotent.
func (s *HopServer) Close() error {
	s.once.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *HopServer) close() error {
	// Serve ends before Shutdown begins: a Shutdown that comes first does not know the listener, and Serve would run for ever.
	_ = s.ln.Close()
	err := <-s.served
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.CloseTimeout)
	defer cancel()
	framed := s.frames.close(ctx)
	if late := s.http.ShutdownWithContext(ctx); framed != nil || late != nil && !errors.Is(late, net.ErrClosed) {
		late = errors.Join(framed, late)
		return fmt.Errorf("cluster: requests of other nodes still in hand at the deadline: %w", late)
	}
	return err
}

func (s *HopServer) serve(ctx *fasthttp.RequestCtx) {
	c, _ := ctx.Conn().(*hopConn)
	switch {
	case c == nil || c.from == "": // cannot be: fasthttp does the handshake first
		ctx.SetStatusCode(fasthttp.StatusForbidden)
		ctx.SetConnectionClose()
	case !ctx.IsPost():
		ctx.SetStatusCode(fasthttp.StatusMethodNotAllowed)
	case string(ctx.Path()) == greeting:
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	case string(ctx.Path()) == framesPath:
		s.upgrade(ctx, c)
	default:
		status, answer := s.handle(c.from, string(ctx.Path()), ctx.PostBody())
		ctx.SetStatusCode(status)
		ctx.SetBody(answer)
	}
}

// handle survives a handler that panics.
func (s *HopServer) handle(from, path string, body []byte) (status int, answer []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			s.panics.Inc()
			s.cfg.Log.Error("handler panicked", "path", path, "peer", from, "panic", fault, "stack", string(debug.Stack()))
			status, answer = fasthttp.StatusInternalServerError, nil
		}
	}()
	if status, answer = s.cfg.Handler(from, path, body); status < fasthttp.StatusOK {
		panic(fmt.Sprintf("the handler answered %d", status)) // 0 would go out as 200
	}
	return status, answer
}

// refuseRequest answers what cannot be read; fasthttp closes the connection.
func refuseRequest(ctx *fasthttp.RequestCtx, err error) {
	status := fasthttp.StatusBadRequest
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		status = fasthttp.StatusRequestEntityTooLarge
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
}

// refuse counts a connection that is not let in. Anybody can cause one: few are logged, and nothing that the other end has said.
func (s *HopServer) refuse(c net.Conn, reason string) {
	s.refused.WithLabelValues(reason).Inc()
	if s.seldom.now() {
		s.cfg.Log.Warn("a connection to the internal listener was refused", "reason", reason, "address", c.RemoteAddr().String())
	}
}

// hopListener bounds the connections, before one too many costs a goroutine, a buffer or a handshake.
type hopListener struct {
	net.Listener
	s   *HopServer
	tls *tls.Config
}

// Accept implements net.Listener.
func (l *hopListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.s.conns.Add(1) <= int64(l.s.cfg.MaxConns) {
			return &hopConn{Conn: tls.Server(raw, l.tls), raw: raw, s: l.s}, nil
		}
		l.s.conns.Add(-1)
		l.s.refuse(raw, refusedTooMany)
		_ = raw.Close()
	}
}

// hopConn is a connection that knows from whom it comes.
type hopConn struct {
	*tls.Conn
	raw  net.Conn
	s    *HopServer
	once sync.Once
	from string // empty until the handshake is through
}

// Handshake is where fasthttp begins. It takes no notice of one that fails, so the connection ends here.
func (c *hopConn) Handshake() error {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if err := c.Conn.Handshake(); err != nil {
		c.s.refuse(c.raw, reasonOf(err, c.ConnectionState()))
		_ = c.Close()
		return err
	}
	c.from, _ = c.s.credential.authority.nodeOf(c.ConnectionState().PeerCertificates[0]) // VerifyConnection has seen it
	return c.SetDeadline(time.Time{})
}

// Close implements net.Conn. It gives the connection's place back, once.
func (c *hopConn) Close() error {
	c.once.Do(func() { c.s.conns.Add(-1) })
	return c.Conn.Close()
}

func reasonOf(err error, state tls.ConnectionState) string {
	var (
		own    *refusal
		record tls.RecordHeaderError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &own):
		return own.reason
	case errors.As(err, &record):
		return refusedPlain
	case errors.As(err, &op) && op.Op == "remote error":
		return refusedByPeer
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refusedBroken
	case state.Version == 0:
		return refusedVersion
	case len(state.PeerCertificates) == 0:
		return refusedNone
	}
	return refusedBroken
}

// silent drops fasthttp's own lines: causes of broken connections, with what the other end sent.
type silent struct{}

// Printf implements fasthttp.Logger.
func (silent) Printf(string, ...any) {}
