package cluster

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// plain is whether clients do without frames.
var plain bool

// bothWays runs every test with frames and without.
type bothWays struct{ m *testing.M }

func (b bothWays) Run() int {
	framed := b.m.Run()
	plain = true
	return framed | b.m.Run()
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(bothWays{m},
		// They see that their server or client has ended when they next wake.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), // its clock, one a process
	)
}

const (
	soon    = 10 * time.Second // more than anything here takes
	instant = 5 * time.Second  // more than what does not wait takes on a busy machine, less than soon
)

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func eventually(t testing.TB, what func() bool, why string) {
	t.Helper()
	require.Eventually(t, what, soon, time.Millisecond, why)
}

func local(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

type handler = func(from, path string, body []byte) (int, []byte)

func echo(_, _ string, body []byte) (int, []byte) { return 200, body }

// served is a server with its address.
type served struct {
	*HopServer
	addr string
}

func (h *served) counted(reason string) float64 {
	return testutil.ToFloat64(h.refused.WithLabelValues(reason))
}

func serve(t testing.TB, s Secret, node string, h handler, change ...func(*HopServerConfig)) *served {
	t.Helper()
	cfg := HopServerConfig{Secret: s, Node: node, Handler: h, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	if cfg.Listener == nil {
		cfg.Listener = local(t)
	}
	server := OpenHopServer(cfg)
	t.Cleanup(func() { _ = server.Close() })
	return &served{server, cfg.Listener.Addr().String()}
}

func client(t testing.TB, s Secret, node string, change ...func(*HopConfig)) *Hop {
	t.Helper()
	cfg := HopConfig{Secret: s, Node: node, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Plain: plain}
	for _, c := range change {
		c(&cfg)
	}
	h := NewHop(cfg)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// play is a server that is let in and greets; then it does with each connection what the test says, and closes it.
func play(t testing.TB, s Secret, node string, do func(c net.Conn, r *bufio.Reader)) (addr string) {
	t.Helper()
	ln := tls.NewListener(local(t), s.ServerTLS(node))
	var inHand sync.WaitGroup
	inHand.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			inHand.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				do(c, r)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); inHand.Wait() })
	return ln.Addr().String()
}

func TestCallIsAnsweredAndSaysWhoCalls(t *testing.T) {
	s := NewSecret()
	b := serve(t, s, "b", func(from, path string, body []byte) (int, []byte) {
		if path != "/command" {
			return 404, nil
		}
		return 409, fmt.Appendf(nil, "%s says %s", from, body)
	})
	for _, node := range []string{"a", "node_C-3"} {
		h := client(t, s, node)
		answer, err := h.Call("b", b.addr, "/command", []byte("hello"), in(soon))
		require.NoError(t, err)
		require.Equal(t, Answer{409, []byte(node + " says hello")}, answer)
		answer, err = h.Call("b", b.addr, "/other", nil, in(soon))
		require.NoError(t, err)
		require.Equal(t, 404, answer.Status)
		require.EqualValues(t, 2, testutil.ToFloat64(h.metrics.answered))
	}
}

func TestAnswersAreTheCallersOwn(t *testing.T) {
	s := NewSecret()
	b := serve(t, s, "b", echo)
	h := client(t, s, "a")
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			var kept []Answer
			for j := range 20 {
				body := bytes.Repeat(fmt.Appendf(nil, "%d.%d ", i, j), 1+j*97)
				a, err := h.Call("b", b.addr, "/echo", body, in(soon))
				if err != nil || !bytes.Equal(a.Body, body) {
					t.Errorf("%d.%d: %v", i, j, err)
				}
				kept = append(kept, a)
			}
			for j, a := range kept {
				if want := fmt.Sprintf("%d.%d ", i, j); !strings.HasPrefix(string(a.Body), want) {
					t.Errorf("the answer to %s became %.20s", want, a.Body)
				}
			}
		})
	}
	callers.Wait()
}

func TestBodiesAreBounded(t *testing.T) {
	s := NewSecret()
	var size atomic.Int64
	b := serve(t, s, "b", func(_, path string, body []byte) (int, []byte) {
		if path == "/echo" {
			return 200, body
		}
		return 200, make([]byte, size.Load())
	})
	h := client(t, s, "a")
	a, err := h.Call("b", b.addr, "/echo", make([]byte, maxHopBody), in(soon))
	require.NoError(t, err)
	require.Len(t, a.Body, maxHopBody)
	_, err = h.Call("b", b.addr, "/echo", make([]byte, maxHopBody+1), in(soon))
	require.ErrorIs(t, err, ErrNotSent)

	size.Store(maxHopAnswer)
	a, err = h.Call("b", b.addr, "/size", nil, in(soon))
	require.NoError(t, err)
	require.Len(t, a.Body, maxHopAnswer)
	size.Store(maxHopAnswer + 1)
	a, err = h.Call("b", b.addr, "/size", nil, in(soon))
	if plain {
		require.ErrorIs(t, err, ErrNoAnswer)
	} else { // others share the connection
		require.NoError(t, err)
		require.Equal(t, 500, a.Status)
	}
}

func TestWhatCannotBeSentIsNotSent(t *testing.T) {
	s := NewSecret()
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) { t.Error("delivered"); return 200, nil })
	h := client(t, s, "a")
	gone := local(t)
	require.NoError(t, gone.Close())
	for name, call := range map[string]func() (Answer, error){
		"no address":    func() (Answer, error) { return h.Call("b", "", "/", nil, in(soon)) },
		"nonsense":      func() (Answer, error) { return h.Call("c", "x:y:z", "/x", nil, in(soon)) },
		"nobody there":  func() (Answer, error) { return h.Call("d", gone.Addr().String(), "/x", nil, in(soon)) },
		"too late":      func() (Answer, error) { return h.Call("b", b.addr, "/x", nil, in(-time.Second)) },
		"no deadline":   func() (Answer, error) { return h.Call("b", b.addr, "/x", nil, time.Time{}) },
		"another node":  func() (Answer, error) { return h.Call("e", b.addr, "/x", nil, in(soon)) },
		"nobody's name": func() (Answer, error) { return h.Call("", b.addr, "/x", nil, in(soon)) },
	} {
		_, err := call()
		require.ErrorIs(t, err, ErrNotSent, name)
		require.NotErrorIs(t, err, ErrNoAnswer, name)
	}
	require.EqualValues(t, 7, testutil.ToFloat64(h.metrics.notSent))
}

// A dead peer is one that takes connections and says nothing, as a machine does that hangs.
func TestDeadPeerHarmsNobodyElse(t *testing.T) {
	s := NewSecret()
	ln := local(t)
	var dialled atomic.Int64
	var held sync.Map
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			held.Store(c, true)
		}
	}()
	defer held.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil })
	b := serve(t, s, "b", echo)
	h := client(t, s, "a")
	const callers = 300
	errs := make(chan error, callers)
	start := time.Now()
	for range callers {
		go func() {
			_, err := h.Call("dead", ln.Addr().String(), "/x", nil, in(soon))
			errs <- err
		}()
	}
	most := int64(1) // with frames all wait for one
	if plain {
		most = maxHopDials
	}
	eventually(t, func() bool { return dialled.Load() >= most }, "all may dial at a time that may")
	slowest, calls := time.Duration(0), 0
	for len(errs) == 0 {
		at := time.Now()
		_, err := h.Call("b", b.addr, "/echo", []byte("x"), in(soon))
		require.NoError(t, err)
		slowest, calls = max(slowest, time.Since(at)), calls+1
	}
	for range callers {
		require.ErrorIs(t, <-errs, ErrNotSent)
	}
	took := time.Since(start)
	t.Logf("%d calls of a dead peer ended after %v; %d of a live one meanwhile, the slowest after %v; %d dials", callers, took, calls, slowest, dialled.Load())
	require.Less(t, took, instant)
	require.Less(t, slowest, dialTimeout*3/4)
	require.Less(t, dialled.Load(), int64(2*maxHopDials))
}

func TestAfterAFailedDialNobodyDialsForAWhile(t *testing.T) {
	ln := local(t)
	var dialled atomic.Int64
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			_ = c.Close()
		}
	}()
	h := client(t, NewSecret(), "a")
	call := func() error {
		_, err := h.Call("b", ln.Addr().String(), "/x", nil, in(soon))
		return err
	}
	require.ErrorIs(t, call(), ErrNotSent)
	start := time.Now()
	for range 1000 {
		require.ErrorIs(t, call(), ErrNotSent)
	}
	require.LessOrEqual(t, dialled.Load(), 2+int64(time.Since(start)/dialRest))
	was := dialled.Load()
	eventually(t, func() bool { _ = call(); return dialled.Load() > was }, "then it is tried again")
}

func TestNoAnswerAtTheDeadline(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	b := serve(t, s, "b", func(_, path string, _ []byte) (int, []byte) {
		if path == "/x" {
			entered <- struct{}{}
			<-release
		}
		return 200, nil
	})
	defer close(release)
	h := client(t, s, "a")
	_, err := h.Call("b", b.addr, "/connect", nil, in(soon))
	require.NoError(t, err)
	start := time.Now()
	_, err = h.Call("b", b.addr, "/x", nil, in(500*time.Millisecond))
	require.ErrorIs(t, err, ErrNoAnswer)
	require.NotErrorIs(t, err, ErrNotSent)
	require.GreaterOrEqual(t, time.Since(start), 500*time.Millisecond)
	require.Less(t, time.Since(start), instant)
	<-entered
	require.EqualValues(t, 1, testutil.ToFloat64(h.metrics.noAnswer))
}

func withoutFrames(c *HopConfig) { c.Plain = true }

// What was perhaps delivered is never sent again, and never called not sent.
func TestPeerThatClosesAfterReadingGaveNoAnswer(t *testing.T) {
	s := NewSecret()
	var requests atomic.Int64
	addr := play(t, s, "b", func(_ net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			requests.Add(1)
		}
	})
	h := client(t, s, "a", withoutFrames)
	for i := range int64(3) {
		_, err := h.Call("b", addr, "/x", []byte("reserve"), in(soon))
		require.ErrorIs(t, err, ErrNoAnswer)
		require.NotErrorIs(t, err, ErrNotSent)
		require.Equal(t, i+1, requests.Load())
	}
}

func TestPeerThatStopsInTheMiddleGaveNoAnswer(t *testing.T) {
	s := NewSecret()
	addr := play(t, s, "b", func(c net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	})
	_, err := client(t, s, "a", withoutFrames).Call("b", addr, "/x", nil, in(soon))
	require.ErrorIs(t, err, ErrNoAnswer)
}

func TestPeerThatMovesIsFound(t *testing.T) {
	s := NewSecret()
	first, second := serve(t, s, "b", echo), serve(t, s, "b", echo)
	h := client(t, s, "a")
	for _, b := range []*served{first, second} {
		_, err := h.Call("b", b.addr, "/x", nil, in(soon))
		require.NoError(t, err)
		require.EqualValues(t, 1, b.conns.Load())
	}
	eventually(t, func() bool { return first.conns.Load() == 0 }, "the pool of the old address is closed")
}

// Connections that a restart closed do not fail one call each.
func TestPeerThatRestartsIsLearntOnce(t *testing.T) {
	s := NewSecret()
	const conns = 8
	var gate sync.WaitGroup
	gate.Add(conns)
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) { gate.Done(); gate.Wait(); return 200, nil })
	h := client(t, s, "a")
	var callers sync.WaitGroup
	for range conns {
		callers.Go(func() {
			if _, err := h.Call("b", b.addr, "/x", nil, in(soon)); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.NoError(t, b.Close())
	ln, err := net.Listen("tcp", b.addr)
	require.NoError(t, err)
	serve(t, s, "b", echo, func(c *HopServerConfig) { c.Listener = ln })
	failed := 0
	for range 2 * conns {
		if _, err := h.Call("b", b.addr, "/x", nil, in(soon)); err != nil {
			require.ErrorIs(t, err, ErrNoAnswer)
			failed++
		}
	}
	require.LessOrEqual(t, failed, 1)
}

func TestConnectionsToAPeerAreBounded(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}), make(chan struct{})
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) { entered <- struct{}{}; <-release; return 200, nil })
	c := serve(t, s, "c", echo)
	h := client(t, s, "a", func(c *HopConfig) { c.MaxConns = 1 })
	first := make(chan error)
	go func() { _, err := h.Call("b", b.addr, "/x", nil, in(soon)); first <- err }()
	<-entered
	start := time.Now()
	_, err := h.Call("b", b.addr, "/x", nil, in(soon))
	require.ErrorIs(t, err, ErrNotSent)
	require.Less(t, time.Since(start), instant)
	_, err = h.Call("c", c.addr, "/x", nil, in(soon))
	require.NoError(t, err)
	close(release)
	require.NoError(t, <-first)
}

func TestCloseWaitsForCallsInHand(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}), make(chan struct{})
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) { entered <- struct{}{}; <-release; return 200, nil })
	h := client(t, s, "a")
	called, closed := make(chan error), make(chan error, 1)
	go func() { _, err := h.Call("b", b.addr, "/x", nil, in(soon)); called <- err }()
	<-entered
	go func() { closed <- h.Close() }()
	eventually(t, func() bool {
		_, err := h.Call("c", "127.0.0.1:1", "/x", nil, in(soon))
		return err != nil && errors.Is(err, ErrNotSent) && strings.Contains(err.Error(), "closing")
	}, "no more calls")
	require.Empty(t, closed)
	close(release)
	require.NoError(t, <-called)
	require.NoError(t, <-closed)
	eventually(t, func() bool { return b.conns.Load() == 0 }, "its connections are closed")
}

func TestCallsGoOnWhenCertificatesEnd(t *testing.T) {
	s := NewSecret()
	var at clock
	b := serve(t, s, "b", echo, func(c *HopServerConfig) { c.Now = at.now })
	h := client(t, s, "a", func(c *HopConfig) { c.Now = at.now })
	for range 4 {
		_, err := h.Call("b", b.addr, "/x", nil, in(soon))
		require.NoError(t, err)
		at.move(25 * 24 * time.Hour)
		h.peers["b"].client.CloseIdleConnections()
		h.peers["b"].frames.leave() // the next one is made with certificates of today
	}
}

// 64 callers over the hop and back, both ends in this process: the allocations are of both.
func BenchmarkHop(b *testing.B) {
	for name, plain := range map[string]bool{"frames": false, "plain": true} {
		b.Run(name, func(b *testing.B) { benchmarkHop(b, plain) })
	}
}

func benchmarkHop(b *testing.B, plain bool) {
	s := NewSecret()
	server := serve(b, s, "b", echo)
	h := client(b, s, "a", func(c *HopConfig) { c.Plain = plain })
	body := bytes.Repeat([]byte("x"), 300)
	var left atomic.Int64
	var callers sync.WaitGroup
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for range 64 {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := h.Call("b", server.addr, "/echo", body, in(soon)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	callers.Wait()
}

// Calls of a peer that is cut off end at once, as perhaps delivered; the next call finds it again.
func TestCutEndsCallsInHand(t *testing.T) {
	s := NewSecret()
	asked, answer := make(chan struct{}, 8), make(chan struct{})
	srv := serve(t, s, "n2", func(_, path string, _ []byte) (int, []byte) {
		if path == "/hang" {
			asked <- struct{}{}
			<-answer
		}
		return 200, nil
	})
	defer close(answer)
	h := client(t, s, "n1")
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := h.Call("n2", srv.addr, "/hang", nil, in(soon))
			ended <- err
		}()
		<-asked
	}
	begun := time.Now()
	h.Cut("n2")
	for range 2 {
		require.ErrorIs(t, <-ended, ErrNoAnswer)
	}
	require.Less(t, time.Since(begun), instant)
	_, err := h.Call("n2", srv.addr, "/again", nil, in(soon))
	require.NoError(t, err)
	h.Cut("nobody")
}
