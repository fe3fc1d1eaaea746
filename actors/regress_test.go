package actors

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// A timer fires for an aggregate that somebody has put into the directory and nobody has made an actor of yet.
func TestRearmBeforeTheActorIsMade(t *testing.T) {
	w := newWorld(t, stays)
	id := engine.AggregateID(engine.MakeRestaurantID(9))
	_, err := w.house.handle(id)
	require.NoError(t, err)
	w.house.timers.renew(id)
}

// An aggregate that is too busy to say when its next timer is due is asked again: nobody else may set it.
func TestRearmOfABusyAggregateIsNotLost(t *testing.T) {
	w := newWorld(t, stays)
	id := w.restaurant(1, 2)
	_, err := w.reserve(id, 1, 20*60)
	require.NoError(t, err)
	hd := w.opened(id)
	w.house.timers.put(id, 0) // as if it had fired
	hd.inflight.Store(int64(w.house.cfg.MaxInFlight))
	w.house.timers.renew(id)
	hd.inflight.Store(0)
	w.house.timers.mu.Lock()
	defer w.house.timers.mu.Unlock()
	require.Contains(t, w.house.timers.index, id)
}

// The answer to the put of a base was lost. The base is there: its aggregate must not hold the floor, and with it the purge.
func TestBaseOfALostAnswerDoesNotHoldTheFloor(t *testing.T) {
	outside := func(w *world) (n int) {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		w.house.fold.tail.Oldest(w.house.fold.custody.Seq(), func(engine.AggregateID, persistence.Seq) bool { n++; return true })
		return n
	}
	w := newWorld(t, stays)
	id := w.restaurant(1, 2)
	require.Positive(t, outside(w))
	w.basesFault.Store(&memory.Fault{Kind: memory.LostAck})
	require.Error(t, w.house.putBase(w.opened(id)))
	w.basesFault.Store(nil)
	require.Zero(t, outside(w))

	id = w.restaurant(2, 2)
	hd := w.opened(id)
	state, err := hd.actor.res.Clone()
	require.NoError(t, err)
	_, err = w.bases.Put(t.Context(), state.base()) // stored, and this process never heard of it
	require.NoError(t, err)
	require.Positive(t, outside(w))
	require.ErrorIs(t, w.house.putBase(hd), persistence.ErrConflict)
	require.Zero(t, outside(w))
}

// After the end nobody answers: no entry is taken.
func TestNothingIsSubmittedAfterTheEnd(t *testing.T) {
	w := newWorld(t, stays)
	gen, open := w.house.writer.generation()
	require.True(t, open)
	require.NoError(t, w.house.Close())
	require.False(t, w.house.writer.submit(gen, entry{}))
}

// deaf is a journal that cannot be read for a while.
type deaf struct {
	*memory.Journal
	away  atomic.Bool
	asked chan struct{} // capacity 1
}

func (d *deaf) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	if d.away.Load() {
		select {
		case d.asked <- struct{}{}:
		default:
		}
		return persistence.ErrUnknown
	}
	return d.Journal.Read(ctx, from, to, fn)
}

// Somebody else's record stands before the own frame, and the journal does not give it at once: the writer asks again, and
// meanwhile says how it stands.
func TestGapBeforeTheOwnFrame(t *testing.T) {
	w := newWorld(t, stays)
	require.NoError(t, w.house.Close())
	j := &deaf{Journal: w.journal.Reopen(memory.Options{OnAppend: w.onAppend}), asked: make(chan struct{}, 1)}
	w.cfg.Journal = j
	w.open()
	id := w.restaurant(1, 2)
	f := w.house.fold
	w.house.writer.mu.Lock() // no frame of ours in between
	f.mu.Lock()
	cp, expect := *f.custody.Checkpoint(), f.custody.Control()
	f.mu.Unlock()
	_, err := j.Append(t.Context(), persistence.Control, persistence.Encode(nil, &cp), expect)
	j.away.Store(true)
	w.house.writer.mu.Unlock()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := w.reserve(id, 1, 20*60)
		done <- err
	}()
	<-j.asked
	require.True(t, w.house.Status().Serving)
	j.away.Store(false)
	require.NoError(t, <-done)
	require.Len(t, w.view(id).DaySheet(day, nil), 1)
}

// crowded queues a thousand messages more when the first one comes.
type crowded struct {
	more func()
	n    int
	all  chan struct{}
}

func (c *crowded) receive(any) {
	if c.n++; c.n == 1 {
		c.more()
	}
	if c.n == 1001 {
		close(c.all)
	}
}

// A sender works off a few messages and goes back to his own answer; the crew handles the rest.
func TestASenderWorksOffAFew(t *testing.T) {
	s, err := newStage()
	require.NoError(t, err)
	defer s.close()
	p := &crowded{all: make(chan struct{})}
	r := s.spawn("x", p)
	p.more = func() {
		for range 1000 {
			s.send(r, 2)
		}
	}
	r.box.mu.Lock()
	r.box.queue, r.box.running = append(r.box.queue, 1), true
	r.box.mu.Unlock()
	require.False(t, r.box.drain(maxInline))
	require.Equal(t, maxInline, p.n)
	s.crew.run(r.box)
	<-p.all
}

// Many events of a few aggregates want a base before they are old.
func TestManyEventsWantABase(t *testing.T) {
	w := newWorld(t, stays, func(c *Config) { c.BaseEvents, c.BaseAge = 10, time.Hour })
	id := w.restaurant(1, 30)
	require.Greater(t, func() int {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		return w.house.fold.tail.Len()
	}(), 10)
	require.NotEmpty(t, id)
	require.Eventually(t, func() bool {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		return w.house.fold.tail.Len() <= 10
	}, 20*time.Second, 20*time.Millisecond)
}
