package actors

import (
	"cmp"
	"slices"

	"maitred/engine"
	"maitred/persistence"
)

// What keeps the number of aggregates in memory within MaxResident.
const (
	roomSample   = 32   // idle aggregates among which the least recently used makes room
	maxFullSweep = 4096 // passivated in one round because the house is nearly full
	keepFree     = 10   // one place in so many stays free
)

// handle finds or makes the handle of id. ErrBusy: every place is taken, and nothing can leave memory.
func (h *House) handle(id engine.AggregateID) (*handle, error) {
	if hd, ok := h.handles.Load(id); ok {
		return hd, nil
	}
	if p := persistence.PartitionOf(id, h.fold.partitions()); !h.writer.holding().admits(p) {
		return nil, h.foreign(p)
	}
	if h.taken.Add(1) > int64(h.cfg.MaxResident) && !h.makeRoom() {
		h.taken.Add(-1)
		h.cfg.Metrics.refused.WithLabelValues("residents").Inc()
		return nil, ErrBusy
	}
	fresh := h.newHandle(id)
	fresh.use() // the next one to make room must not take it before it has served
	hd, there := h.handles.LoadOrStore(id, fresh)
	if there {
		h.taken.Add(-1)
	}
	return hd, nil
}

// makeRoom passivates the least recently used of a few idle aggregates.
func (h *House) makeRoom() bool {
	return slices.ContainsFunc(h.idle(roomSample), h.passivate)
}

// sweepFull passivates the least recently used aggregates when few places are free, so that callers need not.
func (h *House) sweepFull() {
	over := int(h.taken.Load()) - (h.cfg.MaxResident - h.cfg.MaxResident/keepFree)
	if over <= 0 {
		return
	}
	idle := h.idle(h.cfg.MaxResident)
	idle = idle[:min(len(idle), over, maxFullSweep)]
	h.each(len(idle), func(i int) { h.passivate(idle[i]) })
}

// idle lists at most n aggregates with nothing in flight, the least recently used first.
func (h *House) idle(n int) []*handle {
	var idle []*handle
	h.handles.Range(func(_ engine.AggregateID, hd *handle) bool {
		if hd.inflight.Load() == 0 {
			idle = append(idle, hd)
		}
		return len(idle) < n
	})
	slices.SortFunc(idle, func(a, b *handle) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	return idle
}
