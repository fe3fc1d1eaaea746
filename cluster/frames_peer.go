package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// frames is the connection with frames to a peer.
type frames struct {
	most   int64 // calls at once
	never  bool
	inHand atomic.Int64
	dials  sync.WaitGroup
	plain  atomic.Int64 // uptime until which the peer is taken not to know frames

	mu  sync.Mutex
	f   *framed
	try *try // the dial under way
}

// try is a dial that several calls wait for.
type try struct {
	done chan struct{}
	f    *framed
	err  error
}

var errPlain = errors.New("cluster: the peer knows no frames")

func (fs *frames) fit(path string, body []byte) bool {
	return !fs.never && len(body) <= maxFrameBody && len(path) <= maxFramePath && int64(uptime()) >= fs.plain.Load()
}

// get finds the connection, or makes one; nil without an error when the peer knows no frames. Errors are ErrNotSent.
func (fs *frames) get(p *peer, deadline time.Time) (*framed, error) {
	fs.mu.Lock()
	if f := fs.f; f != nil && f.usable() {
		fs.mu.Unlock()
		return f, nil
	}
	t := fs.try
	if t == nil {
		t = &try{done: make(chan struct{})}
		fs.try = t
		fs.dials.Go(func() { fs.dial(p, t) })
	}
	fs.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	select {
	case <-t.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s is being dialled", ErrNotSent, p.name)
	}
	if errors.Is(t.err, errPlain) {
		return nil, nil
	}
	return t.f, t.err
}

// dial is nobody's own: whoever came first may have less time than those who come meanwhile.
func (fs *frames) dial(p *peer, t *try) {
	t.f, t.err = p.dialFrames()
	if errors.Is(t.err, errPlain) {
		fs.plain.Store(int64(uptime() + plainFor))
	}
	fs.mu.Lock()
	fs.f, fs.try = t.f, nil
	fs.mu.Unlock()
	if t.f != nil && p.retired.Load() { // meanwhile
		t.f.leave()
	}
	close(t.done)
}

func (p *peer) dialFrames() (*framed, error) {
	c, err := p.dial("", dialTimeout)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, frameBuffer)
	err = c.SetDeadline(time.Now().Add(dialTimeout))
	status := 0
	if err == nil {
		status, err = roundTrip(c, r, framesRequest)
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w: ask %s for frames: %w", ErrNotSent, p.name, err)
	case status == fasthttp.StatusSwitchingProtocols:
		return newFramed(c, r), nil
	case status == fasthttp.StatusServiceUnavailable:
		err = fmt.Errorf("%w: %s is closing", ErrNotSent, p.name)
	default:
		err = errPlain
	}
	_ = c.Close()
	return nil, err
}

// callFramed bounds the calls in hand.
func (p *peer) callFramed(f *framed, path string, body []byte, deadline time.Time) (a Answer, err error) {
	defer p.frames.inHand.Add(-1)
	if n := p.frames.most; p.frames.inHand.Add(1) > n {
		return a, fmt.Errorf("%w: %d calls of %s are in hand", ErrNotSent, n, p.name)
	}
	if a, err = f.call(path, body, deadline); err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return a, err
}

// leave closes the connection when what is in hand on it is answered.
func (fs *frames) leave() {
	fs.mu.Lock()
	f := fs.f
	fs.mu.Unlock()
	if f != nil {
		f.leave()
	}
}
