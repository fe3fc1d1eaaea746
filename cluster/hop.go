package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// How a call can end without an answer. Every error of Call is one of them.
var (
	ErrNotSent  = errors.New("cluster: surely not delivered")
	ErrNoAnswer = errors.New("cluster: perhaps delivered, no answer")
)

// Bounds of the hop, both ends.
const (
	maxHopBody   = 4 << 20  // bytes of a request: the state of a restaurant that moves with its partition
	maxHopAnswer = 16 << 20 // bytes

	maxHopConns    = 512 // to a peer
	maxHopDials    = 64  // to a peer, at a time
	maxServedConns = 2048

	dialTimeout  = time.Second // connection, handshake and greeting together
	dialRest     = 100 * time.Millisecond
	writeTimeout = 5 * time.Second
	readTimeout  = 5 * time.Second  // of a whole request
	clientIdle   = 15 * time.Second // then the client closes a connection
	serverIdle   = 30 * time.Second // longer, or calls would meet connections that the server is closing
	closeTimeout = 5 * time.Second
)

// greeting is asked first on every connection. In TLS 1.3 a client has done with the handshake before the server has looked at its
// certificate: only an answer tells that it was let in, and that what is sent now is not thrown away.
const (
	greeting     = "/"
	greetingText = "POST " + greeting + " HTTP/1.1\r\nHost: hop\r\nContent-Length: 0\r\n\r\n"
)

// HopConfig is what a Hop needs. Zero values of the tunables mean the default named beside them.
type HopConfig struct {
	Secret   Secret
	Node     string // this one
	Registry prometheus.Registerer
	MaxConns int              // to a peer, and calls at once by frames; 512
	Plain    bool             // no frames: a connection for each call at once
	Now      func() time.Time // for certificates; time.Now
	Log      *slog.Logger     // slog.Default()
}

// Answer is what a peer said.
type Answer struct {
	Status int
	Body   []byte
}

// Hop carries requests to other nodes' internal listeners, with a pool of connections per peer: a dead peer harms nobody else.
// It sends a request once: who is told ErrNoAnswer may ask again under the same request key.
type Hop struct {
	cfg        HopConfig
	credential *credential
	metrics    *hopMetrics
	inHand     sync.WaitGroup

	mu     sync.RWMutex
	peers  map[string]*peer
	closed bool
}

// NewHop makes a client of every peer; it dials when it is called.
func NewHop(cfg HopConfig) *Hop {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = maxHopConns
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Hop{
		cfg: cfg, credential: newCredential(cfg.Secret, cfg.Node, cfg.Now), metrics: newHopMetrics(cfg.Registry), peers: map[string]*peer{},
	}
}

// Call sends body to the peer and returns its answer. addr may change (a restarted node); the pool of an old address is closed.
// Callers that believe in two addresses close each other's. body is not kept. Errors are ErrNotSent or ErrNoAnswer, with the cause.
func (h *Hop) Call(peer, addr, path string, body []byte, deadline time.Time) (Answer, error) {
	start := time.Now()
	a, err := h.call(peer, addr, path, body, deadline)
	h.metrics.count(err, time.Since(start))
	return a, err
}

func (h *Hop) call(name, addr, path string, body []byte, deadline time.Time) (Answer, error) {
	switch {
	case addr == "":
		return Answer{}, fmt.Errorf("%w: %s has no address", ErrNotSent, name)
	case len(body) > maxHopBody:
		return Answer{}, fmt.Errorf("%w: %d bytes are more than a peer takes", ErrNotSent, len(body))
	case time.Until(deadline) <= 0:
		return Answer{}, fmt.Errorf("%w: the deadline is past", ErrNotSent)
	}
	p, err := h.enter(name, addr)
	if err != nil {
		return Answer{}, err
	}
	defer h.inHand.Done()
	return p.call(path, body, deadline)
}

// enter finds the peer at the address, for a call that Close waits for.
func (h *Hop) enter(name, addr string) (*peer, error) {
	h.mu.RLock()
	p := h.peers[name]
	if p != nil && p.addr == addr && !h.closed {
		h.inHand.Add(1)
		h.mu.RUnlock()
		return p, nil
	}
	h.mu.RUnlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, fmt.Errorf("%w: the node is closing", ErrNotSent)
	}
	if p = h.peers[name]; p == nil || p.addr != addr {
		if p != nil {
			p.retire()
		}
		p = h.meet(name, addr)
		h.peers[name] = p
	}
	h.inHand.Add(1)
	return p, nil
}

// Close takes no more calls and waits for those in hand, which end by their deadlines.
func (h *Hop) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, p := range h.peers {
		p.retire()
	}
	h.mu.Unlock()
	h.inHand.Wait()
	for _, p := range h.peers { // nobody adds one any more
		p.frames.dials.Wait()
	}
	return nil
}

// peer is a node at an address.
type peer struct {
	name, addr string
	tls        *tls.Config
	client     *fasthttp.HostClient
	log        *slog.Logger
	seldom     seldom
	dials      chan struct{} // bounds those at a time
	failed     atomic.Int64  // uptime at the last dial that failed; 0 = the last one did not
	retired    atomic.Bool   // nobody will call any more

	mu    sync.Mutex
	conns map[net.Conn]bool // all of them, idle or not

	frames frames
}

func (h *Hop) meet(name, addr string) *peer {
	p := &peer{name: name, addr: addr, tls: h.credential.client(name), log: h.cfg.Log, dials: make(chan struct{}, maxHopDials), conns: map[net.Conn]bool{}}
	p.frames.most, p.frames.never = int64(h.cfg.MaxConns), h.cfg.Plain
	p.client = &fasthttp.HostClient{
		Addr: name, DialTimeout: p.dial, // which does TLS, so that fasthttp sees none
		MaxConns: h.cfg.MaxConns, MaxIdleConnDuration: clientIdle, WriteTimeout: writeTimeout, MaxResponseBodySize: maxHopAnswer,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, DisablePathNormalizing: true, SecureErrorLogMessage: true,
	}
	return p
}

// Cut closes every connection to a peer, so that calls in hand end with ErrNoAnswer: for one that is known to have lost what it is
// asked for, and may never answer.
func (h *Hop) Cut(name string) {
	h.mu.RLock()
	p := h.peers[name]
	h.mu.RUnlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // a close of TLS would wait for a peer that does not read
	}
}

// held is a connection that its peer can be cut off from.
type held struct {
	*tls.Conn
	raw net.Conn
	p   *peer
}

func (p *peer) hold(c *tls.Conn, raw net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[raw] = true
	return &held{c, raw, p}
}

// closeAtOnce does not say goodbye: TLS would wait for an end that does not read.
func closeAtOnce(c net.Conn) {
	switch c := c.(type) {
	case *held:
		_ = c.raw.Close()
	case *hopConn:
		_ = c.raw.Close()
	}
	_ = c.Close()
}

func (h *held) Close() error {
	h.p.mu.Lock()
	delete(h.p.conns, h.raw)
	h.p.mu.Unlock()
	return h.Conn.Close()
}

// retire closes what lies idle; calls in hand close theirs when they are through.
func (p *peer) retire() {
	p.retired.Store(true)
	p.client.CloseIdleConnections()
	p.frames.leave()
}

func (p *peer) call(path string, body []byte, deadline time.Time) (Answer, error) {
	if p.frames.fit(path, body) {
		f, err := p.frames.get(p, deadline)
		if err != nil {
			return Answer{}, err
		}
		if f != nil {
			return p.callFramed(f, path, body, deadline)
		}
	}
	return p.callPlain(path, body, deadline)
}

// callPlain has a connection for itself.
func (p *peer) callPlain(path string, body []byte, deadline time.Time) (Answer, error) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetHost(p.name)
	req.Header.SetNoDefaultContentType(true)
	req.SetRequestURI(path)
	req.SetBodyRaw(body)
	err := p.client.DoDeadline(req, res, deadline)
	// A peer that closes a connection has often closed them all, as when it restarts: one call learns it, not one per connection.
	if errors.Is(err, fasthttp.ErrNoFreeConns) {
		err = fmt.Errorf("%w: every connection to %s is busy", ErrNotSent, p.name)
	}
	sent := !errors.Is(err, ErrNotSent)
	if p.retired.Load() || (err != nil && sent && !timedOut(err)) {
		p.client.CloseIdleConnections()
	}
	if err != nil && sent {
		err = fmt.Errorf("%w of %s: %w", ErrNoAnswer, p.name, err)
	}
	if err != nil {
		return Answer{}, err
	}
	return Answer{res.StatusCode(), slices.Clone(res.Body())}, nil
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// dial makes a connection on which the peer has greeted back. After one that failed it fails at once for a while, so that thousands
// of calls do not each wait for a dead peer; calls that find a connection are not concerned.
func (p *peer) dial(_ string, left time.Duration) (net.Conn, error) {
	within := min(left, dialTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if p.resting() {
		return nil, fmt.Errorf("%w: %s could not be reached a moment ago", ErrNotSent, p.name)
	}
	select {
	case p.dials <- struct{}{}:
		defer func() { <-p.dials }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many are dialling %s", ErrNotSent, p.name)
	}
	if p.resting() { // meanwhile
		return nil, fmt.Errorf("%w: %s could not be reached a moment ago", ErrNotSent, p.name)
	}
	c, err := p.connect(ctx)
	if err == nil {
		p.failed.Store(0)
		return c, nil
	}
	// A call that had no time left says nothing about the peer.
	if within >= dialRest || !timedOut(err) {
		p.failed.Store(int64(uptime()))
	}
	if p.seldom.now() {
		p.log.Warn("a node cannot be reached", "peer", p.name, "address", p.addr, "error", err)
	}
	return nil, fmt.Errorf("%w: dial %s at %s: %w", ErrNotSent, p.name, p.addr, err)
}

func (p *peer) resting() bool {
	failed := time.Duration(p.failed.Load())
	return failed != 0 && uptime()-failed < dialRest
}

var started = time.Now()

// uptime is monotonic: the time of day may be set back by an hour.
func uptime() time.Duration { return time.Since(started) }

func (p *peer) connect(ctx context.Context) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, p.tls)
	deadline, _ := ctx.Deadline()
	if err := errors.Join(c.SetDeadline(deadline), greet(c), c.SetDeadline(time.Time{})); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return p.hold(c, raw), nil
}

func greet(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	status, err := roundTrip(c, bufio.NewReader(c), greetingText)
	if err == nil && status != fasthttp.StatusNoContent {
		err = fmt.Errorf("greeted with status %d", status)
	}
	return err
}

// roundTrip sends a request that has nothing to do with calls.
func roundTrip(c net.Conn, r *bufio.Reader, request string) (status int, err error) {
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err
	}
	var answer fasthttp.Response
	if err := answer.ReadLimitBody(r, maxHopBody); err != nil {
		return 0, err
	}
	if answer.ConnectionClose() {
		return 0, errors.New("it is closing")
	}
	return answer.StatusCode(), nil
}

// seldom lets something through once a second.
type seldom struct{ last atomic.Int64 }

func (s *seldom) now() bool {
	last, now := s.last.Load(), time.Now().UnixNano()
	return now-last >= int64(time.Second) && s.last.CompareAndSwap(last, now)
}

type hopMetrics struct {
	answered, notSent, noAnswer prometheus.Counter
	seconds                     prometheus.Histogram
}

func newHopMetrics(r prometheus.Registerer) *hopMetrics {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maitred_cluster_hop_calls_total", Help: "Calls of other nodes, by how they ended.",
	}, []string{"result"})
	m := &hopMetrics{
		answered: calls.WithLabelValues("answered"), notSent: calls.WithLabelValues("not_sent"), noAnswer: calls.WithLabelValues("no_answer"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maitred_cluster_hop_call_seconds", Help: "Time of a call of another node, however it ended.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
	}
	if r != nil {
		r.MustRegister(calls, m.seconds)
	}
	return m
}

func (m *hopMetrics) count(err error, took time.Duration) {
	switch {
	case err == nil:
		m.answered.Inc()
	case errors.Is(err, ErrNotSent):
		m.notSent.Inc()
	default:
		m.noAnswer.Inc()
	}
	m.seconds.Observe(took.Seconds())
}
