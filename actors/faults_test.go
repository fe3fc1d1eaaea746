package actors

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// set installs a fault for appends of frames with events; fn gets the count of such appends from 1.
func (w *world) set(fn func(n int, f *persistence.Frame) memory.Fault) {
	var n atomic.Int64
	hook := func(a memory.Append) memory.Fault {
		r, err := persistence.Decode(a.Data)
		if f, ok := r.(*persistence.Frame); err == nil && ok && len(f.Events) > 0 {
			return fn(int(n.Add(1)), f)
		}
		return memory.Fault{}
	}
	w.fault.Store(&hook)
}

// waiting counts what the writer has not taken yet.
func (w *world) waiting() int {
	w.house.writer.mu.Lock()
	defer w.house.writer.mu.Unlock()
	w.house.writer.inbox.Lock()
	defer w.house.writer.inbox.Unlock()
	return len(w.house.writer.inbox.entries) + len(w.house.writer.core.queue)
}

func (w *world) clear() { w.fault.Store(nil) }

type result struct {
	out engine.Outcome
	err error
}

// async runs fn and gives its result on a channel.
func async(fn func() (engine.Outcome, error)) <-chan result {
	ch := make(chan result, 1)
	go func() {
		out, err := fn()
		ch <- result{out, err}
	}()
	return ch
}

// An answer without events waits for what it stands on: a retry of the key, and a refusal because of the undurable
// reservation (H1). The control is the immediate answer in handle.command: without its condition this fails.
func TestRefusalAndReplayWaitForDurability(t *testing.T) {
	w := newWorld(t)
	id := w.restaurant(1, 1)
	held, release := make(chan struct{}), make(chan struct{})
	w.set(func(n int, _ *persistence.Frame) memory.Fault {
		if n == 1 {
			close(held)
			return memory.Fault{Hold: release}
		}
		return memory.Fault{}
	})
	first := async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })
	<-held
	replay := async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })
	refusal := async(func() (engine.Outcome, error) { return w.reserve(id, 2, 12*60) })
	require.Never(t, func() bool { return len(first)+len(replay)+len(refusal) > 0 }, 200*time.Millisecond, 10*time.Millisecond)
	require.Nil(t, w.view(id).Reservation(reservationOf(id, 1)), "the view shows what is not durable (H12)")
	close(release)
	r := <-first
	require.NoError(t, r.err)
	require.Equal(t, engine.CodeCreated, r.out.Code)
	r = <-replay
	require.NoError(t, r.err)
	require.True(t, r.out.Replayed)
	r = <-refusal
	require.NoError(t, r.err)
	require.Equal(t, engine.CodeSlotUnavailable, r.out.Code)
}

// An append that is not acknowledged: the journal before the Claim says which calls are answered how (H5), the retry of a
// refused one is done once, and everything decided on top of what was lost is gone.
func TestAppendNotAcknowledged(t *testing.T) {
	for name, c := range map[string]struct {
		kind   memory.FaultKind
		always bool // also the retries
		stored bool
	}{
		"lost once":          {memory.Lost, false, true},
		"lost for good":      {memory.Lost, true, false},
		"stored, ack lost":   {memory.LostAck, true, true},
		"stored, conflict":   {memory.StoredConflict, true, true},
		"conflict for good":  {memory.Conflict, true, false},
		"full":               {memory.Full, true, false},
		"late, never stored": {memory.Late, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id, other := w.restaurant(1, 1), w.restaurant(2, 1)
			incarnation := w.house.Status().Incarnation
			var doomed []byte
			var mu sync.Mutex
			taken := 0
			w.set(func(n int, f *persistence.Frame) memory.Fault {
				mu.Lock()
				defer mu.Unlock()
				if doomed == nil {
					doomed = f.Events[0]
				}
				if bytes.Equal(doomed, f.Events[0]) && (c.always || taken == 0) {
					taken++
					return memory.Fault{Kind: c.kind}
				}
				return memory.Fault{}
			})
			first := async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })
			require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return taken > 0 }, 5*time.Second, time.Millisecond)
			r := <-first
			if c.stored {
				require.NoError(t, r.err)
				require.Equal(t, engine.CodeCreated, r.out.Code)
			} else {
				require.ErrorIs(t, r.err, ErrUnavailable)
			}
			require.Eventually(t, func() bool { return w.house.Status().Serving }, 10*time.Second, time.Millisecond)
			if c.always {
				require.Greater(t, w.house.Status().Incarnation, incarnation, "the incarnation is over")
			}
			w.clear()
			require.Equal(t, c.stored, w.view(id).Reservation(reservationOf(id, 1)) != nil)
			out, err := w.reserve(id, 1, 12*60)
			require.NoError(t, err)
			require.Equal(t, c.stored, out.Replayed)
			out, err = w.reserve(other, 1, 12*60)
			require.NoError(t, err)
			require.Equal(t, engine.CodeCreated, out.Code)
			w.restart()
			require.Len(t, w.view(id).DaySheet(day, nil), 1)
		})
	}
}

// Decisions that stand on a frame that is refused for certain are not stored, and their callers are told so (H5).
func TestDecisionsBehindARefusedFrame(t *testing.T) {
	w := newWorld(t)
	id := w.restaurant(1, 20)
	held, release := make(chan struct{}), make(chan struct{})
	w.set(func(n int, _ *persistence.Frame) memory.Fault {
		if n == 1 {
			close(held)
			return memory.Fault{Kind: memory.Full, Hold: release}
		}
		return memory.Fault{}
	})
	results := []<-chan result{async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })}
	<-held
	for i := range 10 {
		results = append(results, async(func() (engine.Outcome, error) { return w.reserve(id, uint64(i+2), 12*60) }))
	}
	require.Eventually(t, func() bool { return w.waiting() == 10 }, 5*time.Second, time.Millisecond)
	close(release)
	for _, ch := range results {
		r := <-ch
		require.ErrorIs(t, r.err, ErrUnavailable)
	}
	require.Eventually(t, func() bool { return w.house.Status().Serving }, 10*time.Second, time.Millisecond)
	require.Empty(t, w.view(id).DaySheet(day, nil))
	out, err := w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.False(t, out.Replayed)
}

// A call whose deadline passes while its frame is in doubt is told that the outcome is unknown; its key then shows the
// outcome, and its credit comes back.
func TestDeadlineInDoubt(t *testing.T) {
	w := newWorld(t)
	id := w.restaurant(1, 1)
	release := make(chan struct{})
	w.set(func(n int, _ *persistence.Frame) memory.Fault { return memory.Fault{HoldAck: release} })
	cmd := &engine.Command{Caller: guest, Key: engine.Hash{9}, Body: reservation(id, 1, 12*60)}
	begun := time.Now()
	_, err := w.house.Do(id, cmd, time.Now().Add(300*time.Millisecond))
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.Less(t, time.Since(begun), 5*time.Second, "the caller's deadline, not the frame's")
	w.clear()
	close(release)
	hd, _ := w.house.handles.Load(id)
	require.Eventually(t, func() bool { return hd.inflight.Load() == 0 }, 5*time.Second, time.Millisecond)
	out, err := w.house.Do(id, cmd, soon())
	require.NoError(t, err)
	require.True(t, out.Replayed)
	_, err = w.house.Do(id, cmd, time.Now().Add(-time.Second))
	require.ErrorIs(t, err, ErrExpired)
}

// Credits bound an aggregate's mailbox, MaxQueue the node.
func TestOverload(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxInFlight, c.MaxQueue = 4, 6 })
	id, other := w.restaurant(1, 50), w.restaurant(2, 50)
	hd := w.opened(id)
	release := make(chan struct{})
	w.set(func(int, *persistence.Frame) memory.Fault { return memory.Fault{Hold: release} })
	var calls []<-chan result
	for i := range 4 {
		calls = append(calls, async(func() (engine.Outcome, error) { return w.reserve(id, uint64(i+1), 12*60) }))
	}
	require.Eventually(t, func() bool { return hd.inflight.Load() == 4 }, 5*time.Second, time.Millisecond)
	_, err := w.reserve(id, 5, 12*60)
	require.ErrorIs(t, err, ErrBusy)
	for i := range 2 {
		calls = append(calls, async(func() (engine.Outcome, error) { return w.reserve(other, uint64(i+1), 12*60) }))
	}
	require.Eventually(t, func() bool { return w.house.queued.Load() == 6 }, 5*time.Second, time.Millisecond)
	_, err = w.reserve(other, 9, 12*60)
	require.ErrorIs(t, err, ErrBusy)
	w.clear()
	close(release)
	for _, c := range calls {
		require.NoError(t, (<-c).err)
	}
	require.Zero(t, w.house.queued.Load())
	require.Zero(t, hd.inflight.Load()&^closedBit)
}

// Another process under the same name: one of the two stops and says why (H25); nothing acknowledged is lost.
func TestAnotherProcess(t *testing.T) {
	var told atomic.Pointer[error]
	w := newWorld(t, func(c *Config) { c.OnHalt = func(err error) { told.Store(&err) } })
	id := w.restaurant(1, 4)
	cfg := w.cfg
	cfg.OnHalt = nil
	cfg.Feed = persistence.NewFeed(w.journal, 1<<20)
	second, err := Open(context.Background(), cfg)
	require.NoError(t, err)
	defer second.Close()
	require.Eventually(t, func() bool { return told.Load() != nil }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, *told.Load(), ErrAnotherProcess)
	require.Contains(t, w.house.Status().Reason, "another process")
	_, err = w.reserve(id, 1, 12*60)
	require.ErrorIs(t, err, ErrUnavailable)
	first := w.house
	w.house = second
	out, err := w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.NoError(t, first.Close())
}

// Strong reads end with the lease, counted from the send of the first try.
func TestLease(t *testing.T) {
	var boot atomic.Int64
	w := newWorld(t, func(c *Config) { c.Boottime = func() time.Duration { return time.Duration(boot.Load()) } })
	id := w.restaurant(1, 1)
	_, err := w.house.View(id, soon())
	require.NoError(t, err)
	hook := func(memory.Append) memory.Fault { return memory.Fault{Kind: memory.Lost} }
	w.fault.Store(&hook)
	boot.Add(int64(LeaseTime))
	_, err = w.house.View(id, soon())
	require.ErrorIs(t, err, ErrUnavailable)
	require.True(t, errors.Is(err, ErrUnavailable))
	w.clear()
	boot.Add(int64(10 * time.Second))
	require.Eventually(t, func() bool { _, err := w.house.View(id, soon()); return err == nil }, 10*time.Second, time.Millisecond)
}
