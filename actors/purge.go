package actors

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"time"

	"maitred/persistence"
)

// purgeTimeout bounds one look at what may go.
const purgeTimeout = 30 * time.Second

// purge removes the records that nothing needs any more (persistence.PurgeBelow says which).
func (h *House) purge(now time.Time) {
	if !h.Leads() {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, purgeTimeout)
	defer cancel()
	below, first, err := h.purgeable(ctx, now)
	if err != nil {
		slog.Warn("the journal is not purged", "err", err)
		return
	}
	if below <= first {
		return
	}
	if err := h.cfg.Journal.Purge(ctx, below); err != nil {
		slog.Warn("the journal is not purged", "below", below, "err", err)
		return
	}
	slog.Info("journal purged", "below", below, "records", below-first)
}

func (h *House) purgeable(ctx context.Context, now time.Time) (below, first persistence.Seq, err error) {
	b, err := h.cfg.Journal.Bounds(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of the journal: %w", err)
	}
	keep, err := firstSince(ctx, h.cfg.Journal, b, now.Add(-h.cfg.Keep))
	if err != nil {
		return 0, 0, err
	}
	limits := persistence.PurgeLimits{Keep: keep, Bounds: b, Store: b.Last, Anew: h.cfg.Bases.Anew()}
	if h.cfg.StoreCursor != nil {
		limits.Store = h.cfg.StoreCursor()
	}
	h.fold.mu.Lock()
	defer h.fold.mu.Unlock()
	return persistence.PurgeBelow(h.fold.custody, limits), b.First, nil
}

// firstSince finds the first record that the journal stored at or after at, by halving.
func firstSince(ctx context.Context, j persistence.Journal, b persistence.Bounds, at time.Time) (persistence.Seq, error) {
	var failed error
	n := sort.Search(int(b.Last+1-b.First), func(i int) bool {
		if failed != nil {
			return true
		}
		e, err := j.Get(ctx, b.First+persistence.Seq(i))
		if err != nil {
			failed = fmt.Errorf("time of record %d: %w", b.First+persistence.Seq(i), err)
			return true
		}
		return !e.Time.Before(at)
	})
	return b.First + persistence.Seq(n), failed
}
