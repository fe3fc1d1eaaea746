package edge

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// connections bounds the connections of a listener, in all and by address. One too many is told so and closed, before it costs a
// goroutine, a buffer or a handshake.
type connections struct {
	net.Listener
	most, mostEach int // 0 = no limit by address
	exempt         func(netip.Addr) bool
	plain          bool // no TLS on top: the refusal can be read

	mu   sync.Mutex
	all  int
	each map[[16]byte]int
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		shrink(c)
		key, counted := l.key(c)
		k := l.enter(key, counted)
		if k.status == 0 {
			return &countedConn{Conn: c, leave: func() { l.leave(key, counted) }}, nil
		}
		if l.plain {
			_ = c.SetWriteDeadline(time.Now().Add(refusalTimeout)) // its buffer is empty: this does not wait
			_, _ = c.Write(refusalOf(k))
		}
		_ = c.Close()
	}
}

// shrink bounds what the kernel keeps for a connection. Left to itself it would keep megabytes for each client that asks and never
// reads; the largest answers fit into this.
func shrink(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer)
		_ = tcp.SetReadBuffer(socketBuffer)
	}
}

// key is what a connection counts for, and whether it does.
func (l *connections) key(c net.Conn) (key [16]byte, counted bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || l.mostEach == 0 {
		return key, false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	return networkOf(addr), !l.exempt(addr)
}

func (l *connections) enter(key [16]byte, counted bool) kind {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.most {
		return kindBusy
	}
	if counted {
		if l.each[key] >= l.mostEach {
			return kindTooMany
		}
		l.each[key]++
	}
	l.all++
	return kind{}
}

func (l *connections) leave(key [16]byte, counted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if !counted {
		return
	}
	if l.each[key]--; l.each[key] <= 0 {
		delete(l.each, key)
	}
}

// countedConn gives its place back when it is closed, once.
type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}

// refusalOf is a whole answer.
func refusalOf(k kind) []byte {
	body := appendProblem(nil, &trouble{kind: k})
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s", k.status, fasthttp.StatusMessage(k.status))
	b = append(b, "\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"...)
	for i := range securityHeaders {
		b = append(append(append(append(b, securityHeaders[i][0]...), ": "...), securityHeaders[i][1]...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Retry-After: "...), int64(k.retry), 10)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}
