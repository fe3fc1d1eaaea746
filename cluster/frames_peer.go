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
	plain  atomic.Int64 // Unix ns until when the peer is taken not to know frames

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
	return !fs.never && len(body) <= maxFrameBody && len(path) <= maxFramePath && time.Now().UnixNano() >= fs.plain.Load()
}

// get finds the connection, or makes one; nil without an error when the peer knows no frames. Errors are ErrNotSent.
func (fs *frames) get(p *peer, deadline time.Time) (*framed, error) {
	fs.mu.Lock()
	if f := fs.f; f != nil && f.usable() {
		fs.mu.Unlock()
		return f, nil
	}
	t, first := fs.try, fs.try == nil
	if first {
		t = &try{done: make(chan struct{})}
		fs.try = t
	}
	fs.mu.Unlock()
	if first {
		fs.dial(p, t, deadline)
	}
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

// dial is of the call that came first.
func (fs *frames) dial(p *peer, t *try, deadline time.Time) {
	t.f, t.err = p.dialFrames(deadline)
	if errors.Is(t.err, errPlain) {
		fs.plain.Store(time.Now().Add(plainFor).UnixNano())
	}
	fs.mu.Lock()
	fs.f, fs.try = t.f, nil
	fs.mu.Unlock()
	close(t.done)
}

func (p *peer) dialFrames(deadline time.Time) (*framed, error) {
	c, err := p.dial("", time.Until(deadline))
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
	if p.retired.Load() { // perhaps while this one dialled
		f.leave()
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
