package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Frames carry small calls, many on one connection, so that those of the same moment share a record of TLS and a system call at either end.
// A call is
//
//	length (4 bytes, of what follows) | number (8) | length of the path (2) | path | body
//
// and its answer
//
//	length (4) | number (8) | status (2) | body
//
// Answers come in any order. All numbers are big-endian.
const (
	framesPath    = "/frames"
	framesRequest = "POST " + framesPath + " HTTP/1.1\r\nHost: hop\r\nContent-Length: 0\r\n\r\n"

	maxFrameBody = 64 << 10 // of a call: what is larger would hold up the others, and goes by a connection of its own
	maxFramePath = 255
	frameHead    = 10 // number and length of the path, or status
	frameBuffer  = 64 << 10
	framesQueue  = 256
	framesMute   = 500 * time.Millisecond // without an answer to anything: the next call has another connection
	plainFor     = 10 * time.Second       // after which a peer that does not know frames is asked again: it may have been replaced
)

// envelope is a frame on its way out.
type envelope struct {
	data []byte
	call *framedCall // nil = an answer
}

var envelopes = sync.Pool{New: func() any { return &envelope{data: make([]byte, 0, 1024)} }}

func newEnvelope(size int) *envelope {
	e := envelopes.Get().(*envelope)
	e.data, e.call = binary.BigEndian.AppendUint32(e.data[:0], uint32(size)), nil
	return e
}

func (e *envelope) free() {
	if cap(e.data) <= frameBuffer {
		envelopes.Put(e)
	}
}

// writeFrames writes what comes, as much at once as there is, until frames or done is closed or the connection fails.
func writeFrames(c net.Conn, frames <-chan *envelope, done <-chan struct{}) error {
	w := bufio.NewWriterSize(bounded{c}, frameBuffer)
	for {
		select {
		case e, more := <-frames:
			if !more {
				return nil
			}
			if err := writeBatch(w, e, frames); err != nil {
				return err
			}
		case <-done:
			return net.ErrClosed
		}
	}
}

// bounded gives each write writeTimeout.
type bounded struct{ net.Conn }

func (b bounded) Write(p []byte) (int, error) {
	if err := b.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}

// writeBatch writes a frame and those that come until nobody who is ready to run has another one.
func writeBatch(w *bufio.Writer, e *envelope, frames <-chan *envelope) error {
	for more, yielded := true, false; ; {
		if more && (e.call == nil || e.call.take()) {
			if _, err := w.Write(e.data); err != nil {
				return err
			}
		}
		if more {
			e.free()
		}
		select {
		case e, more = <-frames:
			if more {
				continue
			}
			return w.Flush()
		default:
		}
		if yielded {
			return w.Flush()
		}
		yielded, more = true, false
		runtime.Gosched()
	}
}

// readFrame reads a frame with at most most bytes after its head: its number, the two bytes after that, and the rest.
func readFrame(r *bufio.Reader, most int) (number uint64, small uint16, rest []byte, err error) {
	var head [4 + frameHead]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:]))
	if size < frameHead || size-frameHead > most {
		return 0, 0, nil, fmt.Errorf("cluster: a frame of %d bytes", size)
	}
	rest = make([]byte, size-frameHead)
	_, err = io.ReadFull(r, rest)
	return binary.BigEndian.Uint64(head[4:]), binary.BigEndian.Uint16(head[12:]), rest, err
}

// framedCall is a call that waits for its answer.
type framedCall struct {
	state atomic.Int32 // waiting, taken or given up
	done  chan Answer  // closed without one when the connection ends
	begun time.Duration
}

const (
	callWaits int32 = iota
	callTaken
	callGivenUp
)

// take is the writer's; false when the caller has given up before a byte was written.
func (c *framedCall) take() bool { return c.state.CompareAndSwap(callWaits, callTaken) }

// unsent gives up, and tells whether nothing was written.
func (c *framedCall) unsent() bool {
	return c.state.CompareAndSwap(callWaits, callGivenUp) || c.state.Load() == callGivenUp
}

// framed is a connection with calls in hand.
type framed struct {
	conn   net.Conn
	frames chan *envelope
	ended  chan struct{} // closed when it is of no use any more

	heard atomic.Int64 // uptime at the last answer

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]*framedCall
	leaving bool // no more calls; it ends with the last one in hand
	over    bool
}

func newFramed(c net.Conn, r *bufio.Reader) *framed {
	f := &framed{conn: c, frames: make(chan *envelope, framesQueue), ended: make(chan struct{}), waiting: map[uint64]*framedCall{}}
	go func() {
		_ = writeFrames(c, f.frames, f.ended)
		f.end()
	}()
	go func() {
		f.read(r)
		f.end()
	}()
	return f
}

func (f *framed) read(r *bufio.Reader) {
	for {
		number, status, body, err := readFrame(r, maxHopAnswer)
		if err != nil {
			return
		}
		f.heard.Store(int64(uptime()))
		if c := f.take(number); c != nil {
			c.done <- Answer{int(status), body}
		}
	}
}

// take takes a call out of those in hand; nil when nobody waits for it any more.
func (f *framed) take(number uint64) *framedCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.waiting[number]
	delete(f.waiting, number)
	if f.leaving && len(f.waiting) == 0 {
		f.stop()
	}
	return c
}

// end fails what is in hand.
func (f *framed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop()
	for number, c := range f.waiting {
		close(c.done)
		delete(f.waiting, number)
	}
}

// stop closes the connection. The caller holds mu.
func (f *framed) stop() {
	if !f.over {
		f.over = true
		close(f.ended)
		closeAtOnce(f.conn)
	}
}

// leave takes no more calls.
func (f *framed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving = true
	if len(f.waiting) == 0 {
		f.stop()
	}
}

func (f *framed) usable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.over && !f.leaving
}

var errEnded = errors.New("the connection ended")

// call sends a call and waits for its answer.
func (f *framed) call(path string, body []byte, deadline time.Time) (Answer, error) {
	c := &framedCall{done: make(chan Answer, 1), begun: uptime()}
	f.mu.Lock()
	if f.over || f.leaving {
		f.mu.Unlock()
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, errEnded)
	}
	f.next++
	number := f.next
	f.waiting[number] = c
	f.mu.Unlock()

	e := newEnvelope(frameHead + len(path) + len(body))
	e.call = c
	e.data = binary.BigEndian.AppendUint64(e.data, number)
	e.data = binary.BigEndian.AppendUint16(e.data, uint16(len(path)))
	e.data = append(append(e.data, path...), body...)

	patience := time.NewTimer(time.Until(deadline))
	defer patience.Stop()
	select {
	case f.frames <- e:
	case <-f.ended: // and so is done
	case <-patience.C:
		patience.Reset(0)
	}
	select {
	case a, answered := <-c.done:
		if answered {
			return a, nil
		}
		return Answer{}, c.fault(errEnded)
	case <-patience.C:
	}
	f.take(number)
	if last := max(c.begun, time.Duration(f.heard.Load())); uptime()-last >= framesMute {
		f.leave() // those in hand have deadlines of their own: perhaps all of them wait for the same
	}
	return Answer{}, c.fault(fasthttp.ErrTimeout)
}

// fault is how a call ends without an answer.
func (c *framedCall) fault(cause error) error {
	if c.unsent() {
		return fmt.Errorf("%w: %w", ErrNotSent, cause)
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, cause)
}
