package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Bounds of the keeper's work.
const (
	keepEvery     = time.Second
	baseRound     = 10 * time.Second // between looks for events that want a base
	floorEvery    = time.Minute      // between floors in frames
	maxMaintained = 8                // bases and passivations at the same time
	maxRound      = 512              // aggregates of one round
	baseTimeout   = 5 * time.Second
	minSweep      = time.Second
	bytesPerEvent = 512 // twice what a reservation takes in a frame: bases are at most about twice what frames are
)

// keep is the goroutine of everything that can wait: passivation, bases, floors, checkpoints, purge, gauges.
func (h *House) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	k := keeper{house: h, seqAt: []seqTime{{h.fold.seq(), time.Now()}}, lastPurge: time.Now()}
	for {
		select {
		case <-tick.C:
			k.round(time.Now())
		case <-h.ctx.Done():
			return
		}
	}
}

// seqTime says which sequence the fold had reached when.
type seqTime struct {
	seq persistence.Seq
	at  time.Time
}

type keeper struct {
	house                      *House
	seqAt                      []seqTime // one a round of bases, as far back as BaseAge
	lastSweep, lastBase, floor time.Time
	lastPurge                  time.Time
	checkpoint                 persistence.Seq // of the last one that was appended
}

func (k *keeper) round(now time.Time) {
	h := k.house
	h.cfg.Metrics.resident.Set(float64(h.handles.Size()))
	h.cfg.Metrics.credits.Set(float64(h.queued.Load()))
	h.handed.expire(now)
	h.watchJournal()
	if !h.writer.open.Load() {
		return
	}
	k.putCheckpoint(now)
	h.shorten()
	if now.Sub(k.lastSweep) >= max(h.cfg.IdleAfter/4, minSweep) {
		k.lastSweep = now
		h.sweepIdle(now)
	}
	h.sweepFull()
	if now.Sub(k.lastBase) >= min(baseRound, h.cfg.BaseAge) {
		k.lastBase = now
		if h.putBases(k.horizon(now)) {
			k.lastBase = time.Time{} // more wait: the next look goes on
		}
	}
	if now.Sub(k.floor) >= min(floorEvery, h.cfg.BaseAge) {
		k.floor = now
		h.offerFloors()
	}
	if now.Sub(k.lastPurge) >= h.cfg.PurgeEvery {
		k.lastPurge = now
		h.purge(now)
	}
}

// watchJournal stops admission when the journal is nearly full, so that claims, releases and heartbeats still fit.
func (h *House) watchJournal() {
	ctx, cancel := context.WithTimeout(h.ctx, readTimeout)
	defer cancel()
	b, err := h.cfg.Journal.Bounds(ctx)
	if err != nil || b.MaxBytes == 0 {
		return
	}
	full := float64(b.Bytes) >= maxJournal*float64(b.MaxBytes)
	if full != h.full.Swap(full) {
		slog.Warn("journal pressure", "admits", !full, "bytes", b.Bytes, "max", b.MaxBytes)
	}
}

// putCheckpoint appends the checkpoint that is due. Another node may be faster.
func (k *keeper) putCheckpoint(now time.Time) {
	h := k.house
	h.fold.mu.Lock()
	due, expect := h.fold.custody.Due(h.cfg.Node), h.fold.custody.Control()
	var cp persistence.Checkpoint
	if due != nil {
		cp = *due
	}
	h.cfg.Metrics.tailEvents.Set(float64(h.fold.tail.Len()))
	h.fold.mu.Unlock()
	if due == nil || cp.Seq <= k.checkpoint {
		return
	}
	cp.WallMs = now.UnixMilli()
	ctx, cancel := context.WithTimeout(h.ctx, appendTimeout)
	defer cancel()
	_, err := h.cfg.Journal.Append(ctx, persistence.Control, persistence.Encode(nil, &cp), expect)
	switch {
	case err == nil:
		k.checkpoint = cp.Seq
	case errors.Is(err, persistence.ErrConflict): // the fold will show whose it was
	default:
		slog.Warn("checkpoint not written", "of", cp.Seq, "err", err)
	}
}

// horizon is the sequence at or below which every event should be in a base by now.
func (k *keeper) horizon(now time.Time) persistence.Seq {
	cfg := &k.house.cfg
	seq := k.house.fold.seq()
	k.seqAt = append(k.seqAt, seqTime{seq, now})
	var old persistence.Seq
	for len(k.seqAt) > 1 && now.Sub(k.seqAt[1].at) >= cfg.BaseAge {
		k.seqAt = k.seqAt[1:]
	}
	if now.Sub(k.seqAt[0].at) >= cfg.BaseAge {
		old = k.seqAt[0].seq
	}
	k.house.fold.mu.Lock()
	defer k.house.fold.mu.Unlock()
	if k.house.fold.tail.Len() > cfg.BaseEvents {
		return seq
	}
	return old
}

// shorten writes bases of aggregates with so many events outside one that they would take long to open: as many as fill a base of
// their size, so that bases are a fixed share of what is written.
func (h *House) shorten() {
	var ids []engine.AggregateID
	h.fold.mu.Lock()
	h.fold.tail.Long(func(id engine.AggregateID, events int) {
		if !h.fold.custody.Owns(h.cfg.Node, persistence.PartitionOf(id, h.fold.custody.Partitions())) {
			return // its owner does
		}
		if hd, open := h.handles.Load(id); !open || events >= int(hd.baseBytes.Load())/bytesPerEvent {
			ids = append(ids, id)
		}
	})
	h.fold.mu.Unlock()
	h.putBasesOf(ids[:min(len(ids), maxRound)])
}

// putBases writes bases for aggregates with an event outside a base at or below horizon; true when there may be more than
// one round of them.
func (h *House) putBases(horizon persistence.Seq) (more bool) {
	var ids []engine.AggregateID
	h.fold.mu.Lock()
	h.fold.tail.Oldest(horizon, func(id engine.AggregateID, _ persistence.Seq) bool {
		if h.fold.custody.Owns(h.cfg.Node, persistence.PartitionOf(id, h.fold.custody.Partitions())) {
			ids = append(ids, id)
		}
		return len(ids) < maxRound
	})
	h.fold.mu.Unlock()
	h.putBasesOf(ids)
	return len(ids) == maxRound
}

func (h *House) putBasesOf(ids []engine.AggregateID) {
	h.each(len(ids), func(i int) {
		hd, err := h.enter(ids[i], time.Now().Add(baseTimeout))
		if err != nil {
			return
		}
		defer hd.leave()
		c := &call{kind: callOpen, handle: hd, done: make(chan struct{}, 1)}
		h.stage.send(hd.ref, c)
		if <-c.done; c.err == nil {
			_ = h.putBase(hd) // logged there; the next round tries again
		}
	})
}

// each runs fn for 0…n-1 with bounded concurrency.
func (h *House) each(n int, fn func(int)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, maxMaintained)
	for i := range n {
		if h.ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			fn(i)
		})
	}
	wg.Wait()
}

// putBase writes a base of the present durable version, unless there is one. The actor must be alive: the caller holds a
// credit or has closed the handle.
func (h *House) putBase(hd *handle) error {
	hd.maintain.Lock()
	defer hd.maintain.Unlock()
	return h.putBaseLocked(hd)
}

func (h *House) putBaseLocked(hd *handle) error {
	rev, ver := hd.lastBase()
	if uint64(ver) == hd.durable.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(h.ctx, baseTimeout)
	defer cancel()
	b, err := h.durableBase(ctx, hd)
	if err != nil || b.Version == 0 {
		return err
	}
	b.Revision, b.Position = rev, h.fold.seq()
	stored, err := h.cfg.Bases.Put(ctx, b)
	if err != nil {
		slog.Warn("base not written", "aggregate", hd.id, "version", b.Version, "err", err)
		if errors.Is(err, persistence.ErrConflict) || errors.Is(err, persistence.ErrUnknown) {
			h.rereadBase(hd)
		}
		return err
	}
	b.Revision = stored
	hd.setBase(stored, b.Version)
	hd.baseBytes.Store(int64(len(b.State)))
	h.fold.based(b.BaseHeader)
	h.cfg.Metrics.bases.Inc()
	return nil
}

// durableBase is a base of a durable version. In a busy restaurant something is always on its way to the journal: the base that its actor
// makes is kept until that has arrived.
func (h *House) durableBase(ctx context.Context, hd *handle) (persistence.Base, error) {
	c := &call{kind: callBase, handle: hd, done: make(chan struct{}, 1)}
	h.stage.send(hd.ref, c)
	if <-c.done; !errors.Is(c.err, errNotDurable) {
		return c.base, c.err
	}
	for hd.durable.Load() < uint64(c.base.Version) {
		if pause(ctx, evictEvery); ctx.Err() != nil {
			return persistence.Base{}, errNotDurable
		}
	}
	again := &call{kind: callStands, handle: hd, load: c.load, done: make(chan struct{}, 1)}
	h.stage.send(hd.ref, again)
	<-again.done
	return c.base, again.err
}

// rereadBase learns the revision after a put whose answer was lost.
func (h *House) rereadBase(hd *handle) {
	ctx, cancel := context.WithTimeout(h.ctx, baseTimeout) // its own: the put may have used up the other one
	defer cancel()
	b, err := h.cfg.Bases.Get(ctx, hd.id)
	if err != nil {
		return
	}
	if uint64(b.Version) <= hd.durable.Load() {
		hd.setBase(b.Revision, b.Version)
		h.fold.based(b.BaseHeader)
	}
}

// sweepIdle passivates what nobody has used for IdleAfter.
func (h *House) sweepIdle(now time.Time) {
	before := now.Add(-h.cfg.IdleAfter).Unix()
	var idle []*handle
	h.handles.Range(func(_ engine.AggregateID, hd *handle) bool {
		if hd.inflight.Load() == 0 && hd.used.Load() <= before {
			idle = append(idle, hd)
		}
		return true
	})
	h.each(len(idle), func(i int) { h.passivate(idle[i]) })
}

// passivate takes an aggregate out of memory, if nothing is in flight and a base of its present version can be written. It
// tells whether it did.
func (h *House) passivate(hd *handle) bool {
	if !hd.maintain.TryLock() {
		return false
	}
	defer hd.maintain.Unlock()
	// With a credit: whoever loses the partition meanwhile ends no actor that is being asked for its base.
	if h.closing.Load() || !hd.inflight.CompareAndSwap(0, 1) {
		return false
	}
	hd.start.Do(hd.spawn) // it may be in the directory, and not yet an actor
	// The base is written while the aggregate still serves, so that callers wait only for the rest.
	if h.putBaseLocked(hd) != nil || !hd.tryClose() {
		hd.leave()
		return false
	}
	if h.putBaseLocked(hd) != nil || !h.settled(hd) {
		hd.reopen()
		return false
	}
	h.writer.forget(hd.id)
	h.cfg.Metrics.passivations.Inc()
	h.retire(hd)
	return true
}

// settled tells whether everything that the actor decided is durable and in a base.
func (h *House) settled(hd *handle) bool {
	c := &call{kind: callBase, handle: hd, done: make(chan struct{}, 1)}
	h.stage.send(hd.ref, c)
	<-c.done
	_, ver := hd.lastBase()
	if errors.Is(c.err, errNotLoaded) {
		return true
	}
	return c.err == nil && c.base.Version == ver
}

// offerFloors gives the floors that have risen to the next frame, with the revision of SNAP that they rely on.
func (h *House) offerFloors() {
	f := h.fold
	f.mu.Lock()
	var floors []persistence.Floor
	end := f.custody.Seq()
	for p := range f.custody.Partitions() {
		part := f.custody.Part(persistence.Partition(p))
		floor := f.tail.Floor(persistence.Partition(p), end)
		if part.Owner == h.cfg.Node && floor > part.Floor {
			floors = append(floors, persistence.Floor{
				Partition: persistence.Partition(p), Seq: floor, Revision: max(f.revision, part.Base),
			})
		}
	}
	f.mu.Unlock()
	h.writer.offer(floors)
}
