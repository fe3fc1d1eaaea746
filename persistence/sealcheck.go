package persistence

import (
	"context"
	"errors"
	"fmt"

	"maitred/engine"
)

// How far Check looks: enough to meet something sealed in any directory but one that was in clear until recently, in some 50 ms. An
// account that nobody uses is in a base ten minutes after its last event, so what the newest records do not show the bases do.
const (
	checkedRecords = 2_000
	checkedBases   = 1_000 // of which checkedSealed must be sealed for the rest to be believed
	checkedSealed  = 32
)

// Check looks whether sealed things of a journal and its bases open with the ring: ErrSealed if one does not.
func (s *Seal) Check(ctx context.Context, journal Journal, bases Bases) error {
	b, err := journal.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("check the seal: %w", err)
	}
	if b.Last >= b.First {
		from := max(b.First, b.Last-min(b.Last, checkedRecords))
		err := ReadRecords(ctx, journal, from, b.Last, func(e Entry, r Record) error {
			_, err := s.EventsIn(e.Seq, r)
			return keepSealed(err)
		})
		if err := keepSealed(err); err != nil {
			return err
		}
	}
	var ids []engine.AggregateID
	_, err = bases.Scan(ctx, func(h BaseHeader) error {
		if ids = append(ids, h.ID); len(ids) == checkedBases {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, errEnough) {
		return fmt.Errorf("check the seal: %w", err)
	}
	return s.checkBases(ctx, bases, ids)
}

func (s *Seal) checkBases(ctx context.Context, bases Bases, ids []engine.AggregateID) error {
	sealed := 0
	for _, id := range ids {
		b, err := bases.Get(ctx, id)
		if err != nil || !sealedState(b.State) {
			continue // who opens it for good says what is wrong with it
		}
		if _, err := (&sealedBases{bases, s}).opened(b); err != nil {
			return err
		}
		if sealed++; sealed == checkedSealed {
			break
		}
	}
	return nil
}

// keepSealed is err if it is about sealing: who opens the journal for good finds and names everything else.
func keepSealed(err error) error {
	if errors.Is(err, ErrSealed) {
		return err
	}
	return nil
}
