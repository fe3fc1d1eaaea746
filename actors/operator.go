package actors

import (
	"context"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// What an operator asks.

// Lease is for how much longer strong reads are allowed unless another append is acknowledged; LeaseTime minus it is the age of the last one's
// send. Not positive = it is over.
func (h *House) Lease() time.Duration {
	return time.Duration(h.writer.leaseUntil.Load()) - h.cfg.Boottime()
}

// Behind is how many records of the journal this node has not folded yet.
func (h *House) Behind(ctx context.Context) (uint64, error) {
	folded := h.fold.seq()
	b, err := h.cfg.Journal.Bounds(ctx)
	if err != nil {
		return 0, err
	}
	return uint64(max(b.Last, folded) - folded), nil
}

// Content is how much a partition has, as far as this node knows.
type Content struct {
	Restaurants int
	Tail        int    // events outside a base: what its next owner reads from the journal
	Written     uint64 // events since this house was opened, whoever wrote them: how busy it is
}

// Contents are those of all partitions. It looks at every aggregate while the writer waits: for operators, not for each second.
func (h *House) Contents() []Content {
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	all := make([]Content, h.fold.custody.Partitions())
	for p, n := range h.fold.written {
		all[p].Written = n
	}
	h.fold.tail.Each(func(id engine.AggregateID, p persistence.Partition, events int) {
		if engine.IsRestaurantID(string(id)) {
			all[p].Restaurants++
		}
		all[p].Tail += events
	})
	return all
}
