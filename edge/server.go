package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// Server is the HTTP face of a node.
type Server struct {
	cfg       Config
	house     House
	log       *slog.Logger
	now       func() time.Time // nil: fasthttp's own reading of the clock
	mint      mint
	tokens    *Tokens
	passwords *passwords
	limiter   *limiter
	metrics   *metrics
	exchanges sync.Pool

	router                      *router.Router
	createReservation, calendar *endpoint // hot: dispatched before the router
	other, broken               endpoint

	http    *fasthttp.Server
	mu      sync.Mutex
	ln      net.Listener
	served  chan error // the end of Serve; nil before Open
	closing bool
}

// New makes a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	if cfg.House == nil || cfg.Keys == nil || cfg.Registry == nil {
		return nil, errors.New("edge: House, Keys and Registry are needed")
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16_384
	}
	if cfg.CloseTimeout == 0 {
		cfg.CloseTimeout = closeTimeout
	}
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, fmt.Errorf("edge: register metrics: %w", err)
	}
	s := &Server{
		cfg: cfg, house: cfg.House, log: cfg.Log, now: cfg.Now, mint: mint{cfg.Random}, metrics: m,
		tokens: NewTokens(cfg.Keys), limiter: newLimiter(cfg.RateLimit),
	}
	if s.passwords, err = newPasswords(cfg.PasswordMemory); err != nil {
		return nil, err
	}
	s.exchanges.New = func() any { return new(exchange) }
	s.routes()
	if err := s.documentation(); err != nil {
		return nil, err
	}
	s.http = &fasthttp.Server{
		Handler:      s.serve,
		ErrorHandler: s.refuseConnection,
		Logger:       connectionLog{s.log},

		ReadTimeout:        readTimeout,
		WriteTimeout:       writeTimeout,
		IdleTimeout:        idleTimeout,
		MaxRequestBodySize: maxBody,
		ReadBufferSize:     readBuffer,
		WriteBufferSize:    writeBuffer,
		MaxConnsPerIP:      cfg.MaxConnsPerIP,
		Concurrency:        cfg.MaxConns,

		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

// Open serves ln until Close. It returns at once; a listener that fails is logged and shows in Done.
func (s *Server) Open(ln net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.served != nil {
		return errors.New("edge: opened already")
	}
	s.ln, s.served = ln, make(chan error, 1)
	go func() {
		err := s.http.Serve(ln)
		if err != nil {
			s.log.Error("the HTTP listener failed", "address", ln.Addr().String(), "error", err)
		}
		s.served <- err
	}()
	return nil
}

// Close stops accepting and waits until the requests in flight are answered, at most Config.CloseTimeout. Idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil
	}
	s.closing = true
	if s.served == nil {
		return nil
	}
	// Serve ends before Shutdown begins: a Shutdown that comes first does not know the listener, and Serve would run for ever.
	s.ln.Close()
	err := <-s.served
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.CloseTimeout)
	defer cancel()
	if late := s.http.ShutdownWithContext(ctx); late != nil && !errors.Is(late, net.ErrClosed) {
		return fmt.Errorf("edge: requests still in flight at the deadline: %w", late)
	}
	return err
}

// serve is the way of every request.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	x := s.acquire(ctx)
	defer s.finish(x)
	s.secure(ctx)
	if k := x.guard(); k.status != 0 {
		ctx.SetConnectionClose()
		x.fail(k)
		return
	}
	if s.limiter != nil && !s.limiter.allow(ctx.RemoteIP(), x.now) {
		x.fail(kindTooMany)
		return
	}
	if s.dispatch(x) {
		return
	}
	ctx.SetUserValue(exchangeKey{}, x)
	s.router.Handler(ctx)
}

// finish counts the answer; a handler that panicked answers 500 and its exchange is not used again.
func (s *Server) finish(x *exchange) {
	ctx := x.ctx
	fault := recover()
	if fault != nil {
		s.metrics.panics.Inc()
		s.log.Error("handler panicked", "endpoint", x.endpoint.pattern, "panic", fault, "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.secure(ctx)
		ctx.Response.Header.SetContentType("application/problem+json")
		ctx.Response.SetStatusCode(kindInternal.status)
		ctx.Response.SetBody(appendProblem(nil, &trouble{kind: kindInternal}))
		ctx.SetConnectionClose()
	}
	x.endpoint.count(ctx.Response.StatusCode(), time.Since(ctx.Time()).Seconds())
	if fault == nil {
		s.release(x)
	}
}

var securityHeaders = [...][2][]byte{
	{[]byte("X-Content-Type-Options"), []byte("nosniff")},
	{[]byte("Cache-Control"), []byte("no-store")},
	{[]byte("Content-Security-Policy"), []byte("default-src 'none'; frame-ancestors 'none'")},
	{[]byte("Referrer-Policy"), []byte("no-referrer")},
}

var contentTypeJSON = []byte("application/json")

// secure sets what is the same in every answer.
func (s *Server) secure(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.SetContentTypeBytes(contentTypeJSON)
	for i := range securityHeaders {
		h.SetCanonical(securityHeaders[i][0], securityHeaders[i][1])
	}
}

// connectionLog takes fasthttp's own lines. They name addresses and causes of broken connections, which is the ordinary
// life of a public port: debug.
type connectionLog struct{ log *slog.Logger }

func (l connectionLog) Printf(format string, args ...any) {
	l.log.Debug("connection", "event", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
