package edge

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// Server is the HTTP face of a node.
type Server struct {
	cfg       Config
	house     House   // of all nodes
	routed    *routed // the same; nil = this node is alone
	log       *slog.Logger
	now       func() time.Time // nil: fasthttp's own reading of the clock
	mint      mint
	tokens    *Tokens
	passwords *passwords
	throttle  *throttle
	searches  chan struct{} // bounds those in flight
	notes     chan struct{} // bounds what goes on in the background for an audit
	limiter   *limiter
	keyCaller func(authorization []byte, now time.Time) *bearer // looks among the machine keys verified lately; nil = there are none
	cors      cors
	inHand    atomic.Int64
	metrics   *metrics
	exchanges sync.Pool

	router                      *router.Router
	reads                       map[string]*endpoint // the GETs, by pattern
	createReservation, calendar *endpoint            // hot: dispatched before the router
	other, broken               endpoint

	http    *fasthttp.Server
	mu      sync.Mutex
	ln      net.Listener
	served  chan error // the end of Serve; nil before Open
	closing bool

	stop       chan struct{} // closed by Close
	background background    // notes, and the look at the keys
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
	if cfg.KeysEvery == 0 {
		cfg.KeysEvery = keysEvery
	}
	if cfg.MaxInHand == 0 {
		cfg.MaxInHand = maxInHand
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
		tokens: newTokens(cfg.Keys, cmp.Or(cfg.Revocations, NewRevocations())), limiter: newLimiter(cfg.RateLimit, cfg.SharedLimits != nil),
		throttle: newThrottle(), notes: make(chan struct{}, maxNotes), searches: make(chan struct{}, maxSearches), stop: make(chan struct{}),
		reads: map[string]*endpoint{},
	}
	s.reach(cfg.Cell)
	if s.passwords, err = newPasswords(cfg.PasswordMemory); err != nil {
		return nil, err
	}
	if s.cors, err = newCORS(cfg.CORSOrigins); err != nil {
		return nil, err
	}
	s.keyCaller = func(authorization []byte, now time.Time) *bearer {
		b, _ := s.tokens.known(authorization[len(bearerPrefix):], now)
		return b
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
		MaxRequestsPerConn: maxPerConn,
		Concurrency:        cfg.MaxConns + workerSlack,

		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	return s, nil
}

// reach lets the server ask other nodes, if there are any.
func (s *Server) reach(cell *Cell) {
	if cell != nil {
		s.routed = &routed{House: s.cfg.House, cell: *cell, rand: s.cfg.Random}
		s.house = s.routed
	}
}

// House is the house of all nodes: it asks the owner for what is elsewhere.
func (s *Server) House() House { return s.house }

// Open serves ln until Close. It returns at once; a listener that fails is logged and shows in Done.
func (s *Server) Open(ln net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.served != nil {
		return errors.New("edge: opened already")
	}
	ln = &connections{
		Listener: ln, most: s.cfg.MaxConns, mostEach: s.cfg.MaxConnsPerIP, exempt: s.trusts, plain: s.cfg.TLS == nil, each: map[[16]byte]int{},
	}
	if s.cfg.TLS != nil {
		ln = tls.NewListener(ln, s.cfg.TLS)
	}
	s.ln, s.served = ln, make(chan error, 1)
	s.background.run(func() { s.watchKeys(s.cfg.KeysEvery, s.stop) })
	if s.limiter != nil && s.cfg.SharedLimits != nil {
		s.background.run(func() { s.settle(s.stop) })
	}
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
	close(s.stop)
	defer s.background.end()
	if s.served == nil {
		return nil
	}
	// Serve ends before Shutdown begins: a Shutdown that comes first does not know the listener, and Serve would run for ever.
	_ = s.ln.Close()
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
	if !x.admit() {
		return
	}
	if s.dispatch(x) {
		return
	}
	ctx.SetUserValue(exchangeKey{}, x)
	s.router.Handler(ctx)
}

// admit lets a request in, or has answered it: probes always, others while there is room, in the name of a page that may call,
// and within the client's limit.
func (x *exchange) admit() bool {
	s := x.s
	if uri := x.ctx.Request.Header.RequestURI(); string(uri) == "/healthz" || string(uri) == "/readyz" {
		return true
	}
	x.inHand = true
	if s.inHand.Add(1) > int64(s.cfg.MaxInHand) {
		x.fail(kindBusy)
		return false
	}
	known := s.cors != nil && s.cors.admit(x)
	if s.limiter != nil && !x.pay() {
		return false
	}
	return !known || !x.preflight()
}

// finish counts the answer; a handler that panicked answers 500 and its exchange is not used again.
func (s *Server) finish(x *exchange) {
	ctx := x.ctx
	fault := recover()
	if fault != nil {
		s.metrics.panics.Inc()
		s.log.Error("handler panicked", "endpoint", x.endpoint.pattern, "request_id", string(x.requestID()), "panic", fault, "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.secure(ctx)
		ctx.Response.Header.SetContentType("application/problem+json")
		ctx.Response.SetStatusCode(kindInternal.status)
		ctx.Response.SetBody(appendProblem(nil, &trouble{kind: kindInternal}))
		ctx.SetConnectionClose()
	}
	took := time.Since(ctx.Time())
	x.endpoint.count(ctx.Response.StatusCode(), took.Seconds())
	s.account(x, took)
	if x.span != nil {
		x.span.end(x)
	}
	if x.inHand {
		s.inHand.Add(-1)
	}
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

var (
	headerHSTS = []byte("Strict-Transport-Security")
	valueHSTS  = []byte("max-age=31536000")
)

var contentTypeJSON = []byte("application/json")

func fixedHeaders(h *fasthttp.ResponseHeader) {
	for i := range securityHeaders {
		h.SetCanonical(securityHeaders[i][0], securityHeaders[i][1])
	}
}

// secure sets what is the same in every answer.
func (s *Server) secure(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.SetContentTypeBytes(contentTypeJSON)
	fixedHeaders(h)
	if s.cfg.TLS != nil {
		h.SetCanonical(headerHSTS, valueHSTS)
	}
}
