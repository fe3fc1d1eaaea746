package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"maitred/engine"
	"maitred/persistence"
)

var _ persistence.Bases = (*Bases)(nil)

// BasesOptions of a Bases. The zero value is usable.
type BasesOptions struct {
	// Stale tells, for each Get, whether to answer with the revision before the newest one, as
	// a deposed leader does (holes H29). nil = never.
	Stale func(engine.AggregateID) bool
	// OnPut is asked before each Put. It may give Lost, LostAck, Conflict, StoredConflict, Full, Hold and HoldAck. nil = no
	// faults.
	OnPut func(persistence.Base) Fault
}

// Bases is a bucket in memory.
type Bases struct {
	opts BasesOptions

	mu       sync.Mutex
	revision persistence.Revision
	anew     persistence.Revision
	now      map[engine.AggregateID]persistence.Base
	before   map[engine.AggregateID]persistence.Base // the revision before the newest
	taken    map[FaultKind]int
	stale    int
}

// NewBases makes an empty bucket.
func NewBases(o BasesOptions) *Bases {
	return &Bases{
		opts: o, now: map[engine.AggregateID]persistence.Base{}, before: map[engine.AggregateID]persistence.Base{},
		taken: map[FaultKind]int{},
	}
}

// Put implements persistence.Bases.
func (b *Bases) Put(ctx context.Context, base persistence.Base) (persistence.Revision, error) {
	var f Fault
	if b.opts.OnPut != nil {
		f = b.opts.OnPut(base)
	}
	if err := hold(ctx, f.Hold); err != nil {
		return 0, err
	}
	rev, err := b.perform(f, base)
	if err != nil {
		return 0, fmt.Errorf("put base of %s version %d over revision %d: %w", base.ID, base.Version, base.Revision, err)
	}
	return rev, hold(ctx, f.HoldAck)
}

func hold(ctx context.Context, c <-chan struct{}) error {
	if c != nil {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return unknown(ctx)
	}
	return nil
}

func (b *Bases) perform(f Fault, base persistence.Base) (persistence.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Kind != None {
		b.taken[f.Kind]++
	}
	switch f.Kind {
	case Lost:
		return 0, persistence.ErrUnknown
	case Conflict:
		return 0, persistence.ErrConflict
	case Full:
		return 0, persistence.ErrFull
	}
	rev, err := b.store(base)
	switch f.Kind {
	case LostAck:
		return 0, persistence.ErrUnknown
	case StoredConflict:
		return 0, persistence.ErrConflict
	}
	return rev, err
}

func (b *Bases) store(base persistence.Base) (persistence.Revision, error) {
	if len(base.State) > persistence.MaxBaseBytes {
		return 0, fmt.Errorf("%w: %w", persistence.ErrFull, persistence.ErrTooLarge)
	}
	old, ok := b.now[base.ID]
	if old.Revision != base.Revision {
		return 0, fmt.Errorf("%w: revision is %d", persistence.ErrConflict, old.Revision)
	}
	if ok && base.Version < old.Version {
		return 0, fmt.Errorf("%w: version is %d", persistence.ErrConflict, old.Version)
	}
	b.revision++
	base.Revision = b.revision
	base.State = slices.Clone(base.State)
	if ok {
		b.before[base.ID] = old
	}
	b.now[base.ID] = base
	return base.Revision, nil
}

// Get implements persistence.Bases.
func (b *Bases) Get(ctx context.Context, id engine.AggregateID) (persistence.Base, error) {
	if err := ctx.Err(); err != nil {
		return persistence.Base{}, err
	}
	stale := b.opts.Stale != nil && b.opts.Stale(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	base, ok := b.now[id]
	if stale && ok {
		b.stale++
		base, ok = b.before[id]
	}
	if !ok {
		return persistence.Base{}, fmt.Errorf("base of %s: %w", id, persistence.ErrNotFound)
	}
	base.State = slices.Clone(base.State)
	return base, nil
}

// Scan implements persistence.Bases. fn is called without the lock: it may use the bucket.
func (b *Bases) Scan(ctx context.Context, fn func(persistence.BaseHeader) error) (persistence.Revision, error) {
	b.mu.Lock()
	headers := make([]persistence.BaseHeader, 0, len(b.now))
	for _, base := range b.now {
		headers = append(headers, base.BaseHeader)
	}
	covered := b.revision
	b.mu.Unlock()
	for _, h := range headers {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := fn(h); err != nil {
			return 0, err
		}
	}
	return covered, nil
}

// Anew implements persistence.Bases.
func (b *Bases) Anew() persistence.Revision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.anew
}

// Forget loses every base, as a server that begins its bucket anew does.
func (b *Bases) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revision++
	b.anew = b.revision
	clear(b.now)
	clear(b.before)
}

// Taken is how often a fault of kind was applied.
func (b *Bases) Taken(kind FaultKind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[kind]
}

// TakenStale is how often an answer was one revision late.
func (b *Bases) TakenStale() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stale
}

// Snapshot copies what is durable now, as a disk image does. The receiver goes on.
func (b *Bases) Snapshot(o BasesOptions) *Bases {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := NewBases(o)
	n.revision, n.anew = b.revision, b.anew
	for id, base := range b.now {
		n.now[id] = base
	}
	for id, base := range b.before {
		n.before[id] = base
	}
	return n
}
