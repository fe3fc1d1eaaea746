package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// framedServer is the connections with frames that a HopServer has.
type framedServer struct {
	mu      sync.Mutex
	conns   map[*framedConn]bool
	closing bool
	inHand  sync.WaitGroup // connections
	room    chan struct{}  // for requests in hand, of all of them
}

func newFramedServer(requests int) *framedServer {
	return &framedServer{conns: map[*framedConn]bool{}, room: make(chan struct{}, requests)}
}

// framedConn is one of them.
type framedConn struct {
	net.Conn
	answers chan *envelope
	ended   chan struct{}
	once    sync.Once
	inHand  sync.WaitGroup
}

func (c *framedConn) end() {
	c.once.Do(func() {
		close(c.ended)
		closeAtOnce(c.Conn)
	})
}

// part says goodbye and takes what is on its way here: a close with something unread would throw away answers that are on theirs.
func (c *framedConn) part() {
	select {
	case <-c.ended:
		return
	default:
	}
	if tls, ok := c.Conn.(*hopConn); ok && tls.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(partTimeout)) == nil {
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	c.end()
}

// partTimeout is for the other end to see that the connection is over.
const partTimeout = 200 * time.Millisecond

func (f *framedServer) closes() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closing
}

// upgrade answers a request for frames, and serves them when the answer is out.
func (s *HopServer) upgrade(ctx *fasthttp.RequestCtx, c *hopConn) {
	if s.frames.closes() {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	ctx.Hijack(func(net.Conn) { // whose Close does nothing
		if c.SetDeadline(time.Time{}) == nil {
			s.frames.serve(c, func(path string, body []byte) (int, []byte) { return s.handle(c.from, path, body) })
		}
	})
}

// serve answers what comes until the connection ends, or the server closes and everything in hand is answered.
func (f *framedServer) serve(conn net.Conn, handle func(path string, body []byte) (int, []byte)) {
	c := &framedConn{Conn: conn, answers: make(chan *envelope, framesQueue), ended: make(chan struct{})}
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		return
	}
	f.conns[c] = true
	f.inHand.Add(1)
	f.mu.Unlock()
	defer f.inHand.Done()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = writeFrames(c, c.answers, c.ended)
		c.end()
	}()
	f.read(c, handle)
	c.inHand.Wait()
	close(c.answers) // what was answered last is still written
	<-written
	c.part()
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
}

func (f *framedServer) read(c *framedConn, handle func(path string, body []byte) (int, []byte)) {
	r := bufio.NewReaderSize(c, frameBuffer)
	for {
		number, path, rest, err := readFrame(r, maxFramePath+maxFrameBody)
		if err != nil || int(path) > len(rest) {
			return
		}
		f.room <- struct{}{} // beyond it nothing is read: the caller's deadline bounds the wait
		c.inHand.Go(func() {
			defer func() { <-f.room }()
			status, answer := handle(string(rest[:path]), rest[path:])
			c.answer(number, status, answer)
		})
	}
}

// close stops reading, and returns when all in hand is answered or ctx ends.
func (f *framedServer) close(ctx context.Context) error {
	f.mu.Lock()
	f.closing = true
	for c := range f.conns {
		_ = c.SetReadDeadline(time.Now()) // fails only when it is closed
	}
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		f.inHand.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.end()
	}
	return ctx.Err()
}

func (c *framedConn) answer(number uint64, status int, body []byte) {
	if len(body) > maxHopAnswer {
		status, body = fasthttp.StatusInternalServerError, nil
	}
	e := newEnvelope(frameHead + len(body))
	e.data = binary.BigEndian.AppendUint64(e.data, number)
	e.data = binary.BigEndian.AppendUint16(e.data, uint16(status))
	e.data = append(e.data, body...)
	select {
	case c.answers <- e:
	case <-c.ended:
	}
}
