package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func framedClient(t testing.TB, s Secret, node string) *Hop {
	return client(t, s, node, func(c *HopConfig) { c.Plain = false })
}

// playFrames is a server that agrees to frames; then it does with each connection what the test says.
func playFrames(t testing.TB, s Secret, node string, do func(c net.Conn, r *bufio.Reader)) (addr string) {
	return play(t, s, node, func(c net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err != nil || req.URL.Path != framesPath {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		do(c, r)
	})
}

func frameOf(number uint64, small uint16, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(frameHead+len(rest)))
	b = binary.BigEndian.AppendUint64(b, number)
	return append(binary.BigEndian.AppendUint16(b, small), rest...)
}

// Many calls at once share a connection, and each gets its own answer, in whatever order they come.
func TestFramesShareAConnection(t *testing.T) {
	s := NewSecret()
	const calls = 200
	var entered sync.WaitGroup
	entered.Add(calls)
	b := serve(t, s, "b", func(_, path string, body []byte) (int, []byte) {
		if path == "/wait" {
			entered.Done()
			entered.Wait()
		}
		return 207, append([]byte(path), body...)
	})
	h := framedClient(t, s, "a")
	var callers sync.WaitGroup
	for i := range calls {
		callers.Go(func() {
			a, err := h.Call("b", b.addr, "/wait", fmt.Append(nil, i), in(soon))
			if err != nil || a.Status != 207 || string(a.Body) != fmt.Sprint("/wait", i) {
				t.Errorf("%d: %v %v", i, a, err)
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 1, b.conns.Load())
	_, err := h.Call("b", b.addr, "/large", make([]byte, maxFrameBody+1), in(soon))
	require.NoError(t, err)
	require.EqualValues(t, 2, b.conns.Load(), "what is large has one of its own")
}

// A peer of an earlier build says 404 to frames; it is called without, and with them when it was replaced.
func TestPeerWithoutFrames(t *testing.T) {
	s := NewSecret()
	ln := local(t)
	addr := ln.Addr().String()
	asked := make(chan string, 16)
	old := play(t, s, "b", func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			asked <- req.URL.Path
			status := "200 OK"
			if req.URL.Path == framesPath {
				status = "404 Not Found"
			}
			_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		}
	})
	h := framedClient(t, s, "a")
	for range 3 {
		a, err := h.Call("b", old, "/x", nil, in(soon))
		require.NoError(t, err)
		require.Equal(t, 200, a.Status)
	}
	require.Equal(t, []string{framesPath, "/x", "/x", "/x"}, []string{<-asked, <-asked, <-asked, <-asked})
	serve(t, s, "b", echo, func(c *HopServerConfig) { c.Listener = ln })
	_, err := h.Call("b", addr, "/x", nil, in(soon))
	require.NoError(t, err)
	require.True(t, h.peers["b"].frames.f.usable())
}

// What was written is perhaps delivered, whatever the other end says then; the next call has another connection.
func TestFramesThatMakeNoSense(t *testing.T) {
	s := NewSecret()
	for name, answer := range map[string][]byte{
		"nothing":           nil,
		"half":              frameOf(1, 200, []byte("half"))[:12],
		"shorter than one":  {0, 0, 0, 2, 0, 0},
		"larger than taken": binary.BigEndian.AppendUint32(nil, frameHead+maxHopAnswer+1),
		"HTTP":              []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			addr := playFrames(t, s, "b", func(c net.Conn, r *bufio.Reader) {
				_, _, _, _ = readFrame(r, maxFrameBody)
				_, _ = c.Write(answer)
			})
			h := framedClient(t, s, "a")
			for range 2 {
				_, err := h.Call("b", addr, "/x", nil, in(soon))
				require.ErrorIs(t, err, ErrNoAnswer)
				require.NotErrorIs(t, err, ErrNotSent)
			}
		})
	}
}

// An answer to nothing that was asked, or a second one, is nobody's.
func TestFramesThatNobodyAskedFor(t *testing.T) {
	s := NewSecret()
	addr := playFrames(t, s, "b", func(c net.Conn, r *bufio.Reader) {
		for {
			number, _, _, err := readFrame(r, maxFrameBody)
			if err != nil {
				return
			}
			for _, n := range []uint64{number + 1000, number, number} {
				_, _ = c.Write(frameOf(n, 200, fmt.Append(nil, n)))
			}
		}
	})
	h := framedClient(t, s, "a")
	for i := range 3 {
		a, err := h.Call("b", addr, "/x", nil, in(soon))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i+1), string(a.Body))
	}
}

// Who takes calls and says nothing is not asked on that connection again.
func TestFramesThatAreNotAnswered(t *testing.T) {
	s := NewSecret()
	connected := make(chan net.Conn, 4)
	addr := playFrames(t, s, "b", func(c net.Conn, r *bufio.Reader) {
		connected <- c
		_, _ = io.Copy(io.Discard, r)
	})
	h := framedClient(t, s, "a")
	for range 2 {
		_, err := h.Call("b", addr, "/x", nil, in(framesMute+100*time.Millisecond))
		require.ErrorIs(t, err, ErrNoAnswer)
		<-connected
	}
}

// Nonsense from a node ends its connection, and nobody else's; nothing is handled.
func TestNonsenseInFrames(t *testing.T) {
	s := NewSecret()
	b := serve(t, s, "b", func(_, path string, _ []byte) (int, []byte) {
		if path != "/x" {
			t.Errorf("handled %q", path)
		}
		return 200, nil
	})
	own := showing(certificate(t, s, "a", time.Now()))
	h := framedClient(t, s, "c")
	for _, nonsense := range [][]byte{
		make([]byte, 4+frameHead), bytes.Repeat([]byte{0xff}, 64), frameOf(1, 300, []byte("short")), frameOf(1, 5, make([]byte, maxFramePath+maxFrameBody+1)), []byte(someRequest),
	} {
		c := raw(t, b.addr, own)
		r := bufio.NewReader(c)
		status, err := roundTrip(c, r, framesRequest)
		require.NoError(t, err)
		require.Equal(t, 101, status)
		_, _ = c.Write(nonsense)
		_, err = r.ReadByte()
		require.Error(t, err, "it is closed")
		_, err = h.Call("b", b.addr, "/x", nil, in(soon))
		require.NoError(t, err)
	}
	eventually(t, func() bool { return b.conns.Load() == 1 }, "their places came back")
}

// A server that closes answers what it has in hand, and waits no longer than it may.
func TestClosingServerAnswersFrames(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}), make(chan struct{})
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) {
		entered <- struct{}{}
		<-release
		return 200, []byte("late")
	})
	h := framedClient(t, s, "a")
	type ending struct {
		a   Answer
		err error
	}
	called, closed := make(chan ending), make(chan error, 1)
	go func() { a, err := h.Call("b", b.addr, "/x", nil, in(soon)); called <- ending{a, err} }()
	<-entered
	go func() { closed <- b.Close() }()
	eventually(t, func() bool {
		b.frames.mu.Lock()
		defer b.frames.mu.Unlock()
		return b.frames.closing
	}, "it closes")
	require.Empty(t, closed)
	close(release)
	e := <-called
	require.NoError(t, e.err)
	require.Equal(t, "late", string(e.a.Body))
	require.NoError(t, <-closed)
}

func TestClosingServerDoesNotWaitForEver(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}), make(chan struct{})
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) { entered <- struct{}{}; <-release; return 200, nil },
		func(c *HopServerConfig) { c.CloseTimeout = 100 * time.Millisecond })
	defer close(release)
	h := framedClient(t, s, "a")
	called := make(chan error, 1)
	go func() { _, err := h.Call("b", b.addr, "/x", nil, in(soon)); called <- err }()
	<-entered
	require.Error(t, b.Close())
	require.ErrorIs(t, <-called, ErrNoAnswer)
}

// Requests in hand are bounded: those beyond wait unread, and are answered when there is room.
func TestRequestsByFramesAreBounded(t *testing.T) {
	s := NewSecret()
	const most = 2
	var inHand atomic.Int64
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) {
		if n := inHand.Add(1); n > most {
			t.Errorf("%d are in hand", n)
		}
		defer inHand.Add(-1)
		<-time.After(5 * time.Millisecond) // the others of the batch would come meanwhile
		return 200, nil
	}, func(c *HopServerConfig) { c.MaxConns = most })
	h := framedClient(t, s, "a")
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			if _, err := h.Call("b", b.addr, "/x", nil, in(soon)); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frameOf(7, 200, []byte("body")))
	f.Add([]byte{0, 0, 0, 10})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		number, small, rest, err := readFrame(bufio.NewReader(bytes.NewReader(data)), maxFrameBody)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(rest), maxFrameBody)
		require.Equal(t, data[:4+frameHead+len(rest)], frameOf(number, small, rest))
	})
}

// Whoever has less patience than the others in hand leaves them their connection; who comes next has another one.
func TestAnImpatientCallCutsNobody(t *testing.T) {
	s := NewSecret()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	b := serve(t, s, "b", func(_, path string, _ []byte) (int, []byte) {
		if path == "/slow" {
			entered <- struct{}{}
			<-release
		}
		return 200, nil
	})
	h := framedClient(t, s, "a")
	patient := make(chan error, 1)
	go func() { _, err := h.Call("b", b.addr, "/slow", nil, in(soon)); patient <- err }()
	<-entered
	_, err := h.Call("b", b.addr, "/slow", nil, in(framesMute+50*time.Millisecond))
	require.ErrorIs(t, err, ErrNoAnswer)
	_, err = h.Call("b", b.addr, "/x", nil, in(soon))
	require.NoError(t, err)
	require.EqualValues(t, 2, b.conns.Load())
	close(release)
	require.NoError(t, <-patient)
	eventually(t, func() bool { return b.conns.Load() == 1 }, "the one that was left is closed with its last call")
}
