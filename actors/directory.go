package actors

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// closedBit in a credit counter: the handle takes nobody any more.
const closedBit = 1 << 40

// callKind tells the messages of an actor apart.
type callKind uint8

const (
	callCommand callKind = iota // decide cmd
	callOpen                    // make sure that the aggregate is in memory, and show its view
	callRearm                   // tell the timers when the next one is due
	callBase                    // make a base; errNotDurable with one whose newest events are not durable yet. Needs no credit
	callStands                  // is the state still of the load that the call names? Needs no credit
)

// call is one message with its own channel for the answer. It is pooled by its caller once the answer has come; a late one
// is left to the garbage collector, because the writer still holds it.
type call struct {
	kind     callKind
	late     bool // answered before the outcome was known
	cmd      *engine.Command
	deadline time.Time
	handle   *handle
	load     uint64 // of the state that decided, as actorState.loads counts them

	outcome engine.Outcome
	err     error
	events  []*engine.Event
	view    *View
	base    persistence.Base
	done    chan struct{} // capacity 1, one answer
}

// newCall takes a call from the house's pool.
func (h *House) newCall() *call {
	if c, ok := h.calls.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan struct{}, 1)}
}

// finish answers. The caller may reuse the call at once.
func (c *call) finish(err error) {
	c.err = err
	c.done <- struct{}{}
}

// release puts a call back that nobody else holds any more.
func (h *House) release(c *call) {
	*c = call{done: c.done}
	h.calls.Put(c)
}

// handle is the only way to an aggregate's actor. Its credits bound the mailbox and make closing lossless.
type handle struct {
	id        engine.AggregateID
	partition persistence.Partition
	house     *House
	start     sync.Once
	ref       ref

	inflight    atomic.Int64 // credits in use; closedBit while closing
	used        atomic.Int64 // Unix seconds of the last use
	durable     atomic.Uint64
	view        atomic.Pointer[View] // read by current
	fresh       durableFacts
	suspect     atomic.Bool // state or view is not to be trusted: load anew
	refusal     atomic.Pointer[refusal]
	quarantined atomic.Bool
	cache       answerCache
	baseBytes   atomic.Int64 // of the last base that was put

	mu      sync.Mutex
	gone    chan struct{}        // closed when the handle is open again, or not in the directory any more
	baseRev persistence.Revision // of the base in SNAP; 0 = none
	baseVer engine.Version       // of its state

	maintain sync.Mutex // one base or passivation at a time

	actor actorState // the actor's own
}

// refusal says that the writer refused an entry that was decided on a certain load of the state. It accepted nothing after
// accepted from that load, and never will: versions are contiguous.
type refusal struct {
	load     uint64
	accepted engine.Version
}

// enter takes a credit: ErrBusy when there is none, errGone when the handle is closing.
func (hd *handle) enter(limit int) error {
	switch n := hd.inflight.Add(1); {
	case n >= closedBit:
		hd.inflight.Add(-1)
		return errGone
	case n > int64(limit):
		hd.inflight.Add(-1)
		return ErrBusy
	}
	return nil
}

func (hd *handle) leave() { hd.inflight.Add(-1) }

// use marks the handle as used, for the sweeper.
func (hd *handle) use() {
	if now := time.Now().Unix(); hd.used.Load() != now {
		hd.used.Store(now)
	}
}

// tryClose closes a handle on which nothing is in flight but the caller's credit, which it takes: nothing can be lost.
func (hd *handle) tryClose() bool { return hd.inflight.CompareAndSwap(1, closedBit) }

func (hd *handle) setBase(rev persistence.Revision, v engine.Version) {
	hd.mu.Lock()
	defer hd.mu.Unlock()
	hd.baseRev, hd.baseVer = rev, v
}

func (hd *handle) lastBase() (persistence.Revision, engine.Version) {
	hd.mu.Lock()
	defer hd.mu.Unlock()
	return hd.baseRev, hd.baseVer
}

// reopen takes tryClose back.
func (hd *handle) reopen() {
	hd.mu.Lock()
	old := hd.gone
	hd.gone = make(chan struct{})
	hd.inflight.Add(-closedBit)
	hd.mu.Unlock()
	close(old)
}

// waiting is the channel to wait on while the handle is closed; nil when it is not.
func (hd *handle) waiting() <-chan struct{} {
	hd.mu.Lock()
	defer hd.mu.Unlock()
	if hd.inflight.Load() < closedBit {
		return nil
	}
	return hd.gone
}

// enter finds or makes the handle of id and takes a credit.
func (h *House) enter(id engine.AggregateID, deadline time.Time) (*handle, error) {
	for {
		hd, err := h.handle(id)
		if err != nil {
			return nil, err
		}
		hd.start.Do(hd.spawn)
		switch err := hd.enter(h.cfg.MaxInFlight); err {
		case nil:
			if !h.writer.holding().admits(hd.partition) { // after the credit: who closes a partition waits for those
				hd.leave()
				return nil, h.foreign(hd.partition)
			}
			hd.use()
			return hd, nil
		case errGone:
			if err := h.awaitGone(hd, deadline); err != nil {
				return nil, err
			}
		default:
			h.cfg.Metrics.refused.WithLabelValues("credits").Inc()
			return nil, err
		}
	}
}

func (h *House) awaitGone(hd *handle, deadline time.Time) error {
	gone := hd.waiting()
	if gone == nil {
		return nil
	}
	var end <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		end = t.C
	}
	select {
	case <-gone:
		return nil
	case <-end:
		return ErrExpired
	case <-h.ctx.Done():
		return ErrUnavailable
	}
}

func (h *House) newHandle(id engine.AggregateID) *handle {
	return &handle{
		id: id, house: h, gone: make(chan struct{}),
		partition: persistence.PartitionOf(id, h.fold.partitions()),
	}
}

func (hd *handle) spawn() { hd.ref = hd.house.stage.spawn(string(hd.id), hd) }

// retire ends the actor of a closed handle, or of one whose house is closed, and takes it out of the directory.
func (h *House) retire(hd *handle) {
	hd.start.Do(hd.spawn)
	if err := h.stage.remove(hd.ref); err != nil {
		slog.Error("an actor does not stop", "aggregate", hd.id, "err", err)
		return // its id stays taken: a second actor beside it would be a second writer
	}
	hd.quarantine(false)
	h.handles.Delete(hd.id)
	hd.show(nil)
	h.taken.Add(-1)
	hd.mu.Lock()
	close(hd.gone)
	hd.mu.Unlock()
}

// quarantine counts the aggregate among those that are not trusted, or not any more.
func (hd *handle) quarantine(on bool) {
	switch h := hd.house; {
	case hd.quarantined.Swap(on) == on:
	case on:
		h.untrusted.Add(1)
		h.cfg.Metrics.quarantined.Inc()
	default:
		h.untrusted.Add(-1)
		h.cfg.Metrics.quarantined.Dec()
	}
}

// denyList remembers commands that made the engine panic. The oldest goes when it is full.
type denyList struct {
	some atomic.Bool
	mu   sync.Mutex
	set  map[denial]struct{}
	ring [maxDenied]denial
	next int
}

const maxDenied = 1024

type denial struct {
	id  engine.AggregateID
	key engine.Hash
}

func (d *denyList) add(id engine.AggregateID, key engine.Hash) {
	if key == (engine.Hash{}) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		d.set = make(map[denial]struct{})
	}
	x := denial{id, key}
	if _, ok := d.set[x]; ok {
		return
	}
	delete(d.set, d.ring[d.next])
	d.ring[d.next], d.set[x] = x, struct{}{}
	d.next = (d.next + 1) % maxDenied
	d.some.Store(true)
}

func (d *denyList) has(id engine.AggregateID, key engine.Hash) bool {
	if !d.some.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.set[denial{id, key}]
	return ok
}
