package persistence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// Bounds of one transaction of Rebuild.
const (
	rebuildEvents  = 4_000
	rebuildRecords = 100_000
	rebuildRows    = 4_000
)

var errRebuildBase = errors.New("persistence: a base does not say what its header says")

// Rebuild makes store anew: the state of every base, then every event that the journal still has. Events that a base has
// already change nothing but the audit, so bases may be newer than what was read of the journal before. It reads up to what
// is in the journal at the start. seal opens both; nil = they are in clear. What neither bases nor journal have any more is gone from the store: the audit of purged
// frames, and final reservations that the engine has forgotten (about a month after their service day). When it fails, the cursor is zero or true, and a later try begins with emptying.
func Rebuild(ctx context.Context, store Rebuildable, journal Journal, bases Bases, seal *Seal) error {
	// The bounds are read before the bases: whatever was purged by then is in a base by then, and if anything is purged
	// later, reading from First fails.
	b, err := journal.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("rebuild: read the journal's bounds: %w", err)
	}
	ids, err := baseIDs(ctx, bases)
	if err != nil {
		return err
	}
	if b.Last < b.First {
		return fmt.Errorf("rebuild: the journal is empty, and there are %d bases: %w", len(ids), ErrNotFound)
	}
	if err := store.Reset(ctx); err != nil {
		return fmt.Errorf("rebuild: empty the store: %w", err)
	}
	if err := loadBases(ctx, store, SealBases(bases, seal), ids); err != nil {
		return err
	}
	return replay(ctx, store, journal, b, seal)
}

func baseIDs(ctx context.Context, bases Bases) (ids []engine.AggregateID, err error) {
	_, err = bases.Scan(ctx, func(h BaseHeader) error {
		ids = append(ids, h.ID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild: scan the bases: %w", err)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func loadBases(ctx context.Context, store Rebuildable, bases Bases, ids []engine.AggregateID) error {
	var states []AggregateState
	rows := 0
	flush := func() error {
		if err := store.Load(ctx, states); err != nil {
			return fmt.Errorf("rebuild: load %d bases: %w", len(states), err)
		}
		states, rows = nil, 0
		return nil
	}
	for _, id := range ids {
		b, err := bases.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("rebuild: read the base of %s: %w", id, err)
		}
		s, err := StateOf(b)
		if err != nil {
			return err
		}
		states = append(states, s)
		if rows += 1 + len(s.Tables) + len(s.Reservations); rows >= rebuildRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// StateOf reads a base as the read model takes it. Reservations come in the order in which they were made.
func StateOf(b Base) (AggregateState, error) {
	s := AggregateState{ID: b.ID, Version: b.Version}
	if engine.IsAccountID(string(b.ID)) {
		var pb enginepb.AccountBase
		if err := pb.UnmarshalVT(b.State); err != nil {
			return s, fmt.Errorf("rebuild: decode the base of %s: %w", b.ID, err)
		}
		if pb.Version != uint64(b.Version) {
			return s, fmt.Errorf("rebuild: %s: version %d, header %d: %w", b.ID, pb.Version, b.Version, errRebuildBase)
		}
		s.Account, s.Erased, s.ErasureCompleted = pb.Account, pb.Erased, pb.ErasureCompleted
		return s, nil
	}
	var pb enginepb.RestaurantBase
	if err := pb.UnmarshalVT(b.State); err != nil {
		return s, fmt.Errorf("rebuild: decode the base of %s: %w", b.ID, err)
	}
	if pb.Version != uint64(b.Version) {
		return s, fmt.Errorf("rebuild: %s: version %d, header %d: %w", b.ID, pb.Version, b.Version, errRebuildBase)
	}
	s.Restaurant, s.RestaurantVersion = pb.Restaurant, engine.Version(pb.RestaurantVersion)
	s.Tables, s.Reservations = pb.Tables, pb.Reservations
	s.Rules = pb.Rules
	s.Staff, s.Ratings = pb.Staff, engine.Ratings{Sum: pb.RatingSum, Count: pb.RatingCount}
	slices.SortStableFunc(s.Reservations, func(a, b *enginepb.Reservation) int {
		return cmp.Or(cmp.Compare(a.CreatedMs, b.CreatedMs), cmp.Compare(a.Id, b.Id))
	})
	return s, nil
}

// replay writes what the journal has within b.
func replay(ctx context.Context, store Store, journal Journal, b Bounds, seal *Seal) error {
	id, err := JournalOf(ctx, journal, b.First)
	if err != nil {
		return err
	}
	at := Position{}
	var events []Committed
	write := func(to Seq) error {
		next := Position{Journal: id, Seq: to}
		if err := store.Write(ctx, at, next, events); err != nil {
			return fmt.Errorf("rebuild: write up to %d: %w", to, err)
		}
		at, events = next, events[:0]
		return nil
	}
	err = seal.ReadCommitted(ctx, journal, b.First, b.Last, func(seq Seq, more []Committed) error {
		events = append(events, more...)
		if len(events) >= rebuildEvents || seq%rebuildRecords == 0 || seq == b.Last {
			return write(seq)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rebuild: read the journal: %w", err)
	}
	return nil
}

// journalOf is the id that the record at seq names.
// JournalOf is the id of a journal, by its record at seq.
func JournalOf(ctx context.Context, journal Journal, seq Seq) (string, error) {
	e, err := journal.Get(ctx, seq)
	if err != nil {
		return "", fmt.Errorf("persistence: read record %d: %w", seq, err)
	}
	r, err := Decode(e.Data)
	if err != nil {
		return "", fmt.Errorf("persistence: record %d: %w", seq, err)
	}
	switch r := r.(type) {
	case *Frame:
		return r.Journal, nil
	case *Claim:
		return r.Journal, nil
	case *Genesis:
		return r.Journal, nil
	case *Checkpoint:
		return r.Journal, nil
	}
	return "", fmt.Errorf("persistence: record %d is of no known kind: %w", seq, ErrNotFound)
}
