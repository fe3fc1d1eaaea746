package actors

import (
	"context"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"

	"google.golang.org/protobuf/proto"
)

// disk is journal and bases of the explorer: a value whose copies share what never changes.
type disk struct {
	start   persistence.Seq     // of entries[0]
	first   persistence.Seq     // purge point: everything below is gone
	entries []persistence.Entry // append only, also what was purged (for the checks)
	rev     persistence.Revision
	now     [2]*persistence.Base // newest base of each restaurant
	before  [2]*persistence.Base // and the revision before it

	stale    bool // bases are read one revision late (H29)
	noHeader bool // control: headers of bases are one revision late as well, and nobody compares
}

func (d *disk) last() persistence.Seq { return d.start + persistence.Seq(len(d.entries)) - 1 }

func (d *disk) lastOf(s persistence.Subject) persistence.Seq {
	for i := len(d.entries) - 1; i >= 0 && d.entries[i].Seq >= d.first; i-- {
		if d.entries[i].Subject == s {
			return d.entries[i].Seq
		}
	}
	return 0
}

func (d *disk) append(s persistence.Subject, data []byte) persistence.Seq {
	seq := d.last() + 1
	d.entries = append(d.entries[:len(d.entries):len(d.entries)], persistence.Entry{Seq: seq, Subject: s, Data: data})
	return seq
}

// put stores a base as the bucket does; cas off is a control.
func (d *disk) put(r int, b persistence.Base, cas bool) (persistence.Revision, error) {
	if old := d.now[r]; cas && old != nil && (old.Revision != b.Revision || b.Version < old.Version) {
		return 0, persistence.ErrConflict
	}
	d.rev++
	b.Revision = d.rev
	d.before[r], d.now[r] = d.now[r], &b
	return d.rev, nil
}

// diskJournal and diskBases are the contracts over a disk. Writes go through the explorer's network instead.
type (
	diskJournal struct{ *disk }
	diskBases   struct{ *disk }
)

var (
	_ persistence.Journal = diskJournal{}
	_ persistence.Bases   = diskBases{}
)

func (d diskBases) Anew() persistence.Revision { return 0 }

func (d diskJournal) Append(context.Context, persistence.Subject, []byte, persistence.Seq) (persistence.Seq, error) {
	panic("explore: append beside the network")
}

func (d diskJournal) Last(_ context.Context, s persistence.Subject) (persistence.Entry, error) {
	if seq := d.lastOf(s); seq != 0 {
		return d.entries[seq-d.start], nil
	}
	return persistence.Entry{}, persistence.ErrNotFound
}

func (d diskJournal) Get(_ context.Context, seq persistence.Seq) (persistence.Entry, error) {
	if seq < d.first || seq > d.last() {
		return persistence.Entry{}, fmt.Errorf("get %d: %w", seq, persistence.ErrNotFound)
	}
	return d.entries[seq-d.start], nil
}

func (d diskJournal) Read(_ context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	if to < from {
		return nil
	}
	if from < d.first || to > d.last() {
		return fmt.Errorf("read %d to %d of %d to %d: %w", from, to, d.first, d.last(), persistence.ErrNotFound)
	}
	for seq := from; seq <= to; seq++ {
		if err := fn(d.entries[seq-d.start]); err != nil {
			return err
		}
	}
	return nil
}

func (d diskJournal) Bounds(context.Context) (persistence.Bounds, error) {
	return persistence.Bounds{First: d.first, Last: d.last()}, nil
}

func (d diskJournal) Purge(context.Context, persistence.Seq) error {
	panic("explore: purge beside its action")
}
func (d diskJournal) Close() error { return nil }

func (d diskBases) Put(context.Context, persistence.Base) (persistence.Revision, error) {
	panic("explore: put beside the network")
}

func (d diskBases) Get(_ context.Context, id engine.AggregateID) (persistence.Base, error) {
	r := restaurantOf(id)
	b := d.now[r]
	if d.stale && d.before[r] != nil {
		b = d.before[r]
		if d.noHeader { // the control leaves out the comparison with what is known
			forged := *b
			forged.Version, forged.Revision = d.now[r].Version, d.now[r].Revision
			agg, err := engine.OpenBase(id, forged.State)
			if err != nil {
				return forged, err
			}
			forged.State = relabel(agg.AppendBase(nil), forged.Version)
			return forged, nil
		}
	}
	if b == nil {
		return persistence.Base{}, persistence.ErrNotFound
	}
	return *b, nil
}

func (d diskBases) Scan(_ context.Context, fn func(persistence.BaseHeader) error) (persistence.Revision, error) {
	for _, b := range d.now {
		if b != nil {
			if err := fn(b.BaseHeader); err != nil {
				return 0, err
			}
		}
	}
	return d.rev, nil
}

// relabel makes a base say that it is of another version.
func relabel(state []byte, v engine.Version) []byte {
	var b enginepb.RestaurantBase
	if err := proto.Unmarshal(state, &b); err != nil {
		panic(err)
	}
	b.Version = uint64(v)
	return must(proto.Marshal(&b))
}

// forgetful takes receipts and keys out of a base (control of H9).
func forgetful(state []byte) []byte {
	var b enginepb.RestaurantBase
	if err := proto.Unmarshal(state, &b); err != nil {
		panic(err)
	}
	b.Receipts = nil
	for _, r := range b.Reservations {
		r.Key, r.Body = nil, nil
	}
	return must(proto.Marshal(&b))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
