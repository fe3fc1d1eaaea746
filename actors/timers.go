package actors

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Bounds of the timers' work.
const (
	maxSweeps    = 16               // at the same time
	maxDue       = 4096             // fired in one look
	maxLooks     = 256              // aggregates opened only to learn their timers, in a row
	sweepTimeout = 10 * time.Second // of one
	sweepAgain   = 30 * time.Second // after one failed, or could not say what is due next
)

// timers wakes aggregates, cold ones too, when their next timer is due. It is a heap over all of them.
type timers struct {
	house *House

	mu    sync.Mutex
	heap  dueHeap
	index map[engine.AggregateID]*due
	looks map[engine.AggregateID]struct{} // with events that no base's header knows
	slots chan struct{}
	fresh atomic.Bool // partitions came: what is due in them is to be learnt

	learning atomic.Bool // one is at it
}

// due is an aggregate's place in the heap.
type due struct {
	id engine.AggregateID
	at engine.Instant
	i  int
}

type dueHeap []*due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].i, h[j].i = i, j }
func (h *dueHeap) Push(x any)        { d := x.(*due); d.i = len(*h); *h = append(*h, d) }
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}

func newTimers(h *House) *timers {
	return &timers{
		house: h, index: map[engine.AggregateID]*due{}, looks: map[engine.AggregateID]struct{}{},
		slots: make(chan struct{}, maxSweeps),
	}
}

// gained says that partitions came.
func (t *timers) gained() { t.fresh.Store(true) }

// adopt learns what is due in the partitions that are held now: from the bases' headers, and of those with events that no base has by
// opening them.
func (t *timers) adopt() {
	h := t.house
	ctx, cancel := context.WithTimeout(h.ctx, readTimeout+foldTimeout)
	defer cancel()
	_, err := h.cfg.Bases.Scan(ctx, func(b persistence.BaseHeader) error {
		// Who is loaded knows better. One that is open and could not be loaded yet knows nothing.
		if hd, open := h.handles.Load(b.ID); open && hd.view.Load() != nil || !h.holds(b.ID) {
			return nil
		}
		h.fold.based(b)
		t.atLatest(b.ID, b.NextDue)
		return nil
	})
	if err != nil {
		slog.Warn("what is due in new partitions is not known yet", "err", err)
		t.gained()
		return
	}
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	h.fold.tail.Oldest(h.fold.custody.Seq(), func(id engine.AggregateID, _ persistence.Seq) bool {
		if h.holds(id) {
			t.look(id)
		}
		return true
	})
}

// set replaces the aggregate's timer; 0 takes it out. It fires at the next multiple of the grid.
func (t *timers) set(id engine.AggregateID, at engine.Instant) { t.put(id, t.onGrid(at)) }

func (t *timers) onGrid(at engine.Instant) engine.Instant {
	if grid := engine.Instant(t.house.cfg.SweepGrid.Milliseconds()); at != 0 && grid > 0 {
		at = (at + grid - 1) / grid * grid
	}
	return at
}

// atLatest is set for a word that may be older than what is known: it takes nothing out and puts nothing off. A timer that fires for
// nothing sets the right one.
func (t *timers) atLatest(id engine.AggregateID, at engine.Instant) {
	at = t.onGrid(at)
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.index[id]; at != 0 && (d == nil || d.at > at) {
		t.putLocked(id, at)
	}
}

func (t *timers) put(id engine.AggregateID, at engine.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putLocked(id, at)
}

// putLocked is put. The caller holds mu.
func (t *timers) putLocked(id engine.AggregateID, at engine.Instant) {
	delete(t.looks, id)
	d := t.index[id]
	switch {
	case at == 0 && d != nil:
		heap.Remove(&t.heap, d.i)
		delete(t.index, id)
	case at == 0:
	case d == nil:
		d = &due{id: id, at: at}
		t.index[id] = d
		heap.Push(&t.heap, d)
	default:
		d.at = at
		heap.Fix(&t.heap, d.i)
	}
}

// look asks for an aggregate to be opened soon: its next timer is not known.
func (t *timers) look(id engine.AggregateID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.looks[id] = struct{}{}
}

// listen asks whether every node understands reminders.
func (h *House) listen() {
	h.silent.Store(h.cfg.Protocol != nil && h.cfg.Protocol() < engine.ReminderProtocol)
}

// run looks at the heap every SweepEvery.
func (t *timers) run() {
	tick := time.NewTicker(t.house.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.house.ctx.Done():
			return
		}
		t.house.listen()
		if timely := t.house.timely(); !timely || !t.house.admits() {
			continue
		}
		if t.fresh.Swap(false) {
			t.adopt()
		}
		for _, id := range t.due() {
			if !t.start(func() { t.sweep(id) }) {
				return
			}
		}
		if !t.learning.Swap(true) {
			t.house.work.Go(t.learnSome)
		}
	}
}

// start runs fn when one of maxSweeps places is free; false when the house closes.
func (t *timers) start(fn func()) bool {
	select {
	case t.slots <- struct{}{}:
	case <-t.house.ctx.Done():
		return false
	}
	t.house.work.Go(func() {
		defer func() { <-t.slots }()
		fn()
	})
	return true
}

// due takes what is due out of the heap. What comes back at once waits for the next look.
func (t *timers) due() []engine.AggregateID {
	now := t.house.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []engine.AggregateID
	for len(t.heap) > 0 && t.heap[0].at <= now && len(ids) < maxDue {
		d := heap.Pop(&t.heap).(*due)
		delete(t.index, d.id)
		ids = append(ids, d.id)
	}
	return ids
}

func (t *timers) unknown() []engine.AggregateID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []engine.AggregateID
	for id := range t.looks {
		if len(ids) == maxLooks {
			break
		}
		ids = append(ids, id)
		delete(t.looks, id)
	}
	return ids
}

// sweep lets the aggregate fire its timers, as the system. Its answer is a command's like any other; what is due next is set
// by the aggregate itself.
func (t *timers) sweep(id engine.AggregateID) {
	h := t.house
	_, err := h.Do(id, &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Sweep{}},
		time.Now().Add(sweepTimeout))
	h.cfg.Metrics.sweeps.Inc()
	if foreign := new(NotOwnerError); errors.As(err, &foreign) {
		return // its owner's timers know it
	}
	if err != nil {
		t.again(id)
		return
	}
	if h.silent.Load() { // what is due may stay due
		t.again(id)
		return
	}
	t.renew(id)
}

// again fires the aggregate's timer after sweepAgain, whatever its state says.
func (t *timers) again(id engine.AggregateID) {
	t.put(id, t.house.now()+engine.Instant(sweepAgain.Milliseconds()))
}

// renew asks the aggregate for its next timer, which it reports only when it changes.
func (t *timers) renew(id engine.AggregateID) {
	if hd, ok := t.house.handles.Load(id); ok {
		hd.rearm()
	}
}

// learnSome learns what is due next in some of those of which it is not known, and rests as long as each took: a node that has just got
// the restaurants of another one has guests of theirs to serve.
func (t *timers) learnSome() {
	defer t.learning.Store(false)
	for _, id := range t.unknown() {
		began := time.Now()
		t.learn(id)
		pause(t.house.ctx, time.Since(began))
		if t.house.ctx.Err() != nil {
			return
		}
	}
}

// learn opens an aggregate: loading sets its timer.
func (t *timers) learn(id engine.AggregateID) {
	_, err := t.house.openView(id, time.Now().Add(sweepTimeout))
	if foreign := new(NotOwnerError); err != nil && !errors.As(err, &foreign) {
		t.look(id)
	}
}
