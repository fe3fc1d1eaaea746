package persistence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// How far Check looks: enough to meet something sealed wherever there is any, in some 10 ms. An account that nobody uses is in a
// base ten minutes after its last event, so what the newest records do not show the newest bases do.
const (
	checkedRecords = 2_000
	checkedBases   = 32
)

// Check looks whether the newest sealed things of a journal and its bases open with the ring: ErrSealed if not.
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
	var newest []BaseHeader
	_, err = bases.Scan(ctx, func(h BaseHeader) error {
		newest = append(newest, h)
		if len(newest) >= 2*checkedBases {
			newest = newestBases(newest)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("check the seal: %w", err)
	}
	for _, h := range newestBases(newest) {
		if _, err := (&sealedBases{bases, s}).Get(ctx, h.ID); keepSealed(err) != nil {
			return err
		}
	}
	return nil
}

func newestBases(list []BaseHeader) []BaseHeader {
	slices.SortFunc(list, func(a, b BaseHeader) int { return cmp.Compare(b.Revision, a.Revision) })
	return list[:min(len(list), checkedBases)]
}

// keepSealed is err if it is about sealing: who opens the journal for good finds and names everything else.
func keepSealed(err error) error {
	if errors.Is(err, ErrSealed) {
		return err
	}
	return nil
}
