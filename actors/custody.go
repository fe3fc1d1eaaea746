package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// What this node holds, and how partitions come and go. The fold of the journal says it; the writer repeats it to those who ask
// often, each time a record changed it.

// NotOwnerError: this node may not serve the aggregate, which surely was not changed. It is an ErrUnavailable.
type NotOwnerError struct {
	Partition persistence.Partition
	Owner     string          // as this node's fold has it; itself while the partition is on its way to another one
	Since     persistence.Seq // custody of the owner: who has not folded so far asks again when it has
}

func (e *NotOwnerError) Error() string {
	return fmt.Sprintf("actors: partition %d is with %s since %d", e.Partition, e.Owner, e.Since)
}

// Unwrap makes it an ErrUnavailable.
func (e *NotOwnerError) Unwrap() error { return ErrUnavailable }

// Why a partition is not given away, or a slot not claimed.
var (
	// ErrNotHeld: the partition is another node's, or on its way already.
	ErrNotHeld = errors.New("actors: the partition is not this node's to give")
	// ErrNotGiven: an append failed meanwhile; the node holds the partition as before.
	ErrNotGiven = errors.New("actors: the release is not in the journal")
	// ErrTooManyNodes: the journal has no slot left for a new name. Names that it knows go on.
	ErrTooManyNodes = errors.New("actors: the journal has had too many nodes for another name: take the name of one that is gone")
	// ErrNotSilent: the node may be alive, or this one cannot tell.
	ErrNotSilent = errors.New("actors: the node may be alive")
)

// holding is what this node holds, by partition. Immutable.
type holding struct {
	since []persistence.Seq // custody under which events are written; 0 = not ours
	held  []persistence.Seq // ours without a break since then; 0 = not ours. What was loaded under another one is of no use.
	shut  []bool            // nobody is let in: it is on its way to another node
}

var nothing = &holding{}

func (h *holding) has(p persistence.Partition) bool { return int(p) < len(h.held) && h.held[p] != 0 }

// admits tells whether commands and reads of p may enter.
func (h *holding) admits(p persistence.Partition) bool { return h.has(p) && !h.shut[p] }

// epoch is since when p is ours without a break; 0 = it is not.
func (h *holding) epoch(p persistence.Partition) persistence.Seq {
	if !h.has(p) {
		return 0
	}
	return h.held[p]
}

// under is the custody under which events of p are written; 0 = it is not ours.
func (h *holding) under(p persistence.Partition) persistence.Seq {
	if !h.has(p) {
		return 0
	}
	return h.since[p]
}

// next is the holding after a record of the fold, and what it lost and gained. An own Claim changes since, and breaks nothing.
func (h *holding) next(since []persistence.Seq) (n *holding, lost, gained []persistence.Partition) {
	n = &holding{since: since, held: make([]persistence.Seq, len(since)), shut: make([]bool, len(since))}
	for i := range since {
		p := persistence.Partition(i)
		switch had := h.has(p); {
		case since[i] != 0 && had:
			n.held[i], n.shut[i] = h.held[i], h.shut[i]
		case since[i] != 0:
			n.held[i] = since[i]
			gained = append(gained, p)
		case had:
			lost = append(lost, p)
		}
	}
	return n, lost, gained
}

// shutting is the holding with p shut, or open again.
func (h *holding) shutting(p persistence.Partition, shut bool) *holding {
	n := *h
	n.shut = slices.Clone(h.shut)
	n.shut[p] = shut
	return &n
}

// opened is the holding with nothing shut.
func (h *holding) opened() *holding {
	n := *h
	n.shut = make([]bool, len(h.held))
	return &n
}

// holding is what is held now.
func (w *writer) holding() *holding { return w.held.Load() }

// hold repeats what the fold says after a record. The caller holds w.mu.
func (w *writer) hold() {
	since := w.house.fold.owned(w.house.cfg.Node)
	next, lost, gained := w.holding().next(since)
	w.held.Store(next)
	w.core.hold(since)
	w.announce()
	if len(lost) > 0 {
		w.house.dropAll(lost)
	}
	if len(gained) > 0 && w.house.cfg.Shared { // else a start has told the timers already
		w.house.timers.gained()
	}
}

// changed is closed when what is held changes.
func (w *writer) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}

// shut closes the admission of p; false when it is not held or shut already.
func (w *writer) shut(p persistence.Partition) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holding()
	if !h.admits(p) || !w.core.serving() {
		return false
	}
	w.held.Store(h.shutting(p, true))
	return true
}

// reopen takes shut back, if p is still held.
func (w *writer) reopen(p persistence.Partition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.holding(); h.has(p) {
		w.held.Store(h.shutting(p, false))
		w.announce()
	}
}

// announce tells those who wait that what is held has changed. The caller holds mu.
func (w *writer) announce() {
	close(w.moved)
	w.moved = make(chan struct{})
}

// release gives p to another node with the next frame; false when the writer cannot promise it now.
func (w *writer) release(p persistence.Partition, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.holding(); !h.has(p) || !h.shut[p] || !w.core.release(persistence.Give{Partition: p, To: to}) {
		return false
	}
	w.rouse()
	return true
}

// Release gives a partition to another node: it lets nobody in, waits until everything in flight is durable, stops the reads, and writes
// the release. When it returns nil the journal has it. On an error the node holds the partition as before, or will know soon
// whether it does: ctx ended while the journal was silent.
func (h *House) Release(ctx context.Context, p persistence.Partition, to string) error {
	if to == h.cfg.Node || !persistence.ValidName(to) {
		return fmt.Errorf("release partition %d to %q: %w", p, to, ErrNotHeld)
	}
	if !h.fold.admits(to) {
		return fmt.Errorf("release partition %d to %q: %w", p, to, ErrTooManyNodes)
	}
	if !h.writer.shut(p) {
		return fmt.Errorf("release partition %d: %w", p, ErrNotHeld)
	}
	if err := h.handOver(ctx, p, to); err != nil {
		h.writer.reopen(p)
		return fmt.Errorf("release partition %d: %w", p, err)
	}
	if !h.writer.release(p, to) {
		h.writer.reopen(p)
		return fmt.Errorf("release partition %d: %w", p, ErrNotGiven)
	}
	for {
		changed := h.writer.changed()
		switch now := h.writer.holding(); {
		case !now.has(p):
			return nil
		case !now.shut[p]: // a new incarnation began without it
			return fmt.Errorf("release partition %d: %w", p, ErrNotGiven)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("release partition %d: %w: %w", p, ErrUnknownOutcome, ctx.Err())
		}
	}
}

// dropAll takes out of memory what belongs to partitions that are lost. What they still wait for is answered by the writer.
func (h *House) dropAll(lost []persistence.Partition) {
	h.work.Go(func() {
		for _, p := range lost {
			_ = h.drop(h.ctx, p) // only the end of the house ends it
		}
	})
}

// drop waits until nothing of p is in flight, and takes it out of memory; its events are in the journal, so it needs no base.
func (h *House) drop(ctx context.Context, p persistence.Partition) error {
	for _, hd := range h.within(p) {
		if err := h.evict(ctx, hd, func(*handle) {}); err != nil {
			return err
		}
	}
	return nil
}

// within are the aggregates of p in memory.
func (h *House) within(p persistence.Partition) (all []*handle) {
	h.handles.Range(func(_ engine.AggregateID, hd *handle) bool {
		if hd.partition == p {
			all = append(all, hd)
		}
		return true
	})
	return all
}

// evictEvery is how often an aggregate with something in flight is looked at.
const evictEvery = time.Millisecond

// evict calls last between the end of what is in flight and the end of the actor.
func (h *House) evict(ctx context.Context, hd *handle, last func(*handle)) error {
	for !hd.shut() {
		gone := hd.waiting()
		if gone == nil {
			continue
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
		if now, there := h.handles.Load(hd.id); !there || now != hd {
			return nil
		}
	}
	for hd.inflight.Load() != closedBit {
		if pause(ctx, evictEvery); ctx.Err() != nil {
			hd.reopen()
			return ctx.Err()
		}
	}
	last(hd)
	h.writer.forget(hd.id)
	h.retire(hd)
	return nil
}

// shut closes the handle for newcomers, whatever is in flight; false when it is closed already.
func (hd *handle) shut() bool {
	for {
		n := hd.inflight.Load()
		if n >= closedBit {
			return false
		}
		if hd.inflight.CompareAndSwap(n, n+closedBit) {
			return true
		}
	}
}

// foreign is the error for what this node may not serve.
func (h *House) foreign(p persistence.Partition) error {
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	part := h.fold.custody.Part(p)
	return &NotOwnerError{Partition: p, Owner: part.Owner, Since: part.Since}
}

// holds tells whether id is in a partition that is held.
func (h *House) holds(id engine.AggregateID) bool {
	held := h.writer.holding()
	return held.has(persistence.PartitionOf(id, len(held.held)))
}

// Owners names the owner of each partition, as this node's fold has it.
func (h *House) Owners() []string {
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	owners := make([]string, h.fold.custody.Partitions())
	for p := range owners {
		owners[p] = h.fold.custody.Part(persistence.Partition(p)).Owner
	}
	return owners
}

// Leads tells whether this node is the one of all that does what one has to do for all: purge the journal, follow it for a sink. It is
// for liveness only: two that believe it do no harm.
func (h *House) Leads() bool { return h.writer.holding().has(0) }

// Written counts the events of each partition, whoever wrote them, since this house was opened: how busy each is.
func (h *House) Written() []uint64 {
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	if h.fold.written == nil {
		return make([]uint64, h.fold.custody.Partitions())
	}
	return slices.Clone(h.fold.written)
}

// Await returns once p is no longer on its way from this node to another one: it is known then who has it.
func (h *House) Await(ctx context.Context, p persistence.Partition) error {
	for {
		changed := h.writer.changed()
		if now := h.writer.holding(); !now.has(p) || !now.shut[p] {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.ctx.Done():
			return ErrUnavailable
		}
	}
}
