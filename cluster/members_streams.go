package cluster

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxStreams     = 64      // connections of others at a time
	maxStreamBytes = 1 << 20 // of one connection: the whole state of more than 1,500 members
)

var errStreamBytes = errors.New("cluster: stream is too long")

// streams is memberlist's transport with limits. memberlist itself takes any number of connections, and reads up to 20 MiB of
// each before it looks whether they were encrypted with the key. And it leaves connections behind when it is shut down.
type streams struct {
	*memberlist.NetTransport
	taken chan net.Conn
	full  func() // a connection was one too many

	ctx  context.Context // ends dials
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	open    map[*stream]struct{}
	inbound int
}

func newStreams(t *memberlist.NetTransport, full func()) *streams {
	s := &streams{NetTransport: t, taken: make(chan net.Conn), full: full, open: map[*stream]struct{}{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.wg.Go(s.take)
	return s
}

func (s *streams) take() {
	for {
		select {
		case c := <-s.NetTransport.StreamCh():
			if in := s.track(c, true); in == nil {
				s.full()
				c.Close()
			} else {
				s.taken <- in
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// StreamCh implements memberlist.Transport.
func (s *streams) StreamCh() <-chan net.Conn { return s.taken }

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (s *streams) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(s.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	if out := s.track(c, false); out != nil {
		return out, nil
	}
	c.Close()
	return nil, net.ErrClosed
}

// track is the stream over c; nil = no more of them.
func (s *streams) track(c net.Conn, inbound bool) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if inbound && s.inbound == maxStreams || s.ctx.Err() != nil {
		return nil
	}
	if inbound {
		s.inbound++
	}
	st := &stream{Conn: c, of: s, inbound: inbound, left: maxStreamBytes}
	s.open[st] = struct{}{}
	return st
}

// Shutdown implements memberlist.Transport: first nobody comes any more, then those who are here go.
func (s *streams) Shutdown() error {
	err := s.NetTransport.Shutdown()
	s.mu.Lock()
	s.stop()
	open := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, st := range open {
		st.Close()
	}
	s.wg.Wait()
	return err
}

// stream is a connection with a limit on what is read of it. One goroutine reads it.
type stream struct {
	net.Conn
	of      *streams
	inbound bool
	left    int
}

func (st *stream) Read(b []byte) (int, error) {
	if st.left == 0 {
		return 0, errStreamBytes
	}
	n, err := st.Conn.Read(b[:min(len(b), st.left)])
	st.left -= n
	return n, err
}

func (st *stream) Close() error {
	s := st.of
	s.mu.Lock()
	if _, open := s.open[st]; open {
		delete(s.open, st)
		if st.inbound {
			s.inbound--
		}
	}
	s.mu.Unlock()
	return st.Conn.Close()
}
