package actors

import (
	"context"

	"maitred/engine"
	"maitred/persistence"
)

// Events of accounts are told to those who keep what must be known on every node, at once and without asking: which access tokens are void.

// tellOwn tells of what the writer made durable.
func (c *Config) tellOwn(id engine.AggregateID, first engine.Version, events []*engine.Event) {
	if c.OnAccount == nil || !engine.IsAccountID(string(id)) {
		return
	}
	for i, e := range events {
		c.OnAccount(engine.AccountID(id), first+engine.Version(i), e)
	}
}

// tell tells of a record of the journal. An event that this build does not know says nothing to it.
func (c *Config) tell(r persistence.Record) {
	f, ok := r.(*persistence.Frame)
	if c.OnAccount == nil || !ok {
		return
	}
	for i := range f.Index {
		x := &f.Index[i]
		if !engine.IsAccountID(string(x.Aggregate)) {
			continue
		}
		if e, err := engine.DecodeEvent(f.Events[i]); err == nil {
			c.OnAccount(engine.AccountID(x.Aggregate), x.Version, e)
		}
	}
}

const (
	recallSample = 16   // records that say together from when they are: the clock of one node may be wrong
	recallStep   = 4096 // records back at first, then twice as many each time
)

// recallFrom is a record at or before the first one of the last Recall, by the wall times of the nodes that wrote.
func (c *Config) recallFrom(ctx context.Context, b persistence.Bounds) (persistence.Seq, error) {
	if c.OnAccount == nil || c.Recall == 0 {
		return b.Last + 1, nil
	}
	horizon := c.Now().Add(-c.Recall).UnixMilli()
	for back := persistence.Seq(recallStep); back < b.Last-b.First; back *= 2 {
		at := b.Last - back
		newest := int64(0)
		err := persistence.ReadRecords(ctx, c.Journal, at, at+recallSample-1, func(_ persistence.Entry, r persistence.Record) error {
			newest = max(newest, wallOf(r))
			return nil
		})
		if err != nil {
			return 0, err
		}
		if newest != 0 && newest < horizon {
			return at, nil
		}
	}
	return b.First, nil
}

func wallOf(r persistence.Record) int64 {
	switch r := r.(type) {
	case *persistence.Frame:
		return r.WallMs
	case *persistence.Claim:
		return r.WallMs
	}
	return 0
}
