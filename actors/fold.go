package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"maitred/engine"
	"maitred/persistence"
)

// fold is what the journal says: custody, and where the events are that no base has.
type fold struct {
	mu       sync.Mutex
	custody  *persistence.Custody
	tail     *persistence.Tail
	revision persistence.Revision // of SNAP, up to which its bases are known
	anew     persistence.Revision // of SNAP: floors that rely on lower ones are not believed
	written  []uint64             // events by partition, since the house was opened
}

func (f *fold) partitions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.custody.Partitions()
}

// knows tells whether id has an event or a base.
func (f *fold) knows(id engine.AggregateID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail.Last(id) != 0 || f.tail.Base(id) != 0
}

// apply folds one record. A failed assertion is a *persistence.CustodyError.
func (f *fold) apply(e persistence.Entry, r persistence.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applyLocked(e, r)
}

func (f *fold) applyLocked(e persistence.Entry, r persistence.Record) error {
	if err := f.custody.Apply(e, r); err != nil {
		return err
	}
	if fr, ok := r.(*persistence.Frame); ok {
		f.count(fr)
		return f.index(e.Seq, fr)
	}
	return nil
}

func (f *fold) count(fr *persistence.Frame) {
	if f.written == nil {
		f.written = make([]uint64, f.custody.Partitions())
	}
	for i := range fr.Index {
		f.written[fr.Index[i].Partition]++
	}
}

// index tells the tail of a frame, without floors that rely on bases that are lost.
func (f *fold) index(seq persistence.Seq, fr *persistence.Frame) error {
	if f.anew == 0 || len(fr.Floors) == 0 {
		return f.tail.Add(seq, fr)
	}
	believed := *fr
	believed.Floors = nil
	for _, fl := range fr.Floors {
		if fl.Revision >= f.anew {
			believed.Floors = append(believed.Floors, fl)
		}
	}
	return f.tail.Add(seq, &believed)
}

// floor is the floor of p, if the bases that it relies on are there; else 0.
func (f *fold) floor(p int) persistence.Seq {
	if part := f.custody.Part(persistence.Partition(p)); part.Base >= f.anew {
		return part.Floor
	}
	return 0
}

// seq is the last sequence folded.
func (f *fold) seq() persistence.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.custody.Seq()
}

// slot is what the fold knows of a node's slot.
func (f *fold) slot(node string) persistence.SlotState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.custody.Slot(node)
}

// admits tells whether a record may name node.
func (f *fold) admits(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.custody.Admits(node)
}

// owned is the custody of node by partition; 0 = not its own.
func (f *fold) owned(node string) []persistence.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := make([]persistence.Seq, f.custody.Partitions())
	for p := range since {
		if part := f.custody.Part(persistence.Partition(p)); part.Owner == node {
			since[p] = part.Since
		}
	}
	return since
}

// based says that a base was put.
func (f *fold) based(h persistence.BaseHeader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail.Based(h.ID, h.Version)
	f.revision = max(f.revision, h.Revision)
}

// opened is an aggregate as base and journal have it.
type opened struct {
	agg      engine.Aggregate
	revision persistence.Revision // of its base; 0 = none
	based    engine.Version       // of its base
	sent     bool                 // from a state that another node sent
}

// maxOpenTries bounds how often a base that moves on under the reader is read again.
const maxOpenTries = 3

// open reads an aggregate: its base, then every event after it by position. The versions must be contiguous and the last one
// the one that the fold knows: a stale base or a hole is an error, never a shorter history. sent is a state from another node that
// will do if it is of that version; nil = none.
func (f *fold) open(ctx context.Context, cfg *Config, id engine.AggregateID, sent *persistence.Base) (opened, error) {
	for try := 1; ; try++ {
		o, err := f.openOnce(ctx, cfg, id, sent)
		again := err != nil && sent != nil || errors.Is(err, persistence.ErrNotFound) || errors.Is(err, errStaleBase) || errors.Is(err, errFoldBehind)
		if !again || try == maxOpenTries {
			return o, err
		}
		sent = nil
	}
}

// errStaleBase: the base that was read is older than the one that is known.
var errStaleBase = errors.New("actors: stale base")

// errFoldBehind: the base is newer than what this node has folded. Another node has written it, so the partition is that node's
// by now, and the fold will say so: no reason to distrust the aggregate.
var errFoldBehind = fmt.Errorf("actors: the fold has not reached the base: %w", persistence.ErrUnknown)

func (f *fold) openOnce(ctx context.Context, cfg *Config, id engine.AggregateID, sent *persistence.Base) (o opened, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open %s: the engine panicked: %v", id, p)
		}
	}()
	f.mu.Lock()
	last, based := f.tail.Last(id), f.tail.Base(id)
	positions := f.tail.Positions(id, nil)
	f.mu.Unlock()
	if sent != nil && sent.Version == max(last, based) {
		err = o.fromState(*sent)
		o.based, o.sent = 0, true // the state is no base; its revision is that of the last one
		return o, err
	}
	if err := o.begin(ctx, cfg, id, based, len(positions)); err != nil {
		return o, err
	}
	if o.based > based && o.based <= last { // another node's, of which this one was not told
		f.mu.Lock()
		f.tail.Based(id, o.based)
		positions = f.tail.Positions(id, nil)
		f.mu.Unlock()
	}
	events, err := cfg.Seal.EventsOf(ctx, cfg.Journal, positions, id, o.agg.Version())
	if err != nil {
		return o, err
	}
	for _, e := range events {
		o.agg.Apply(e)
	}
	if o.based > max(last, based) {
		return o, fmt.Errorf("open %s at version %d: %w", id, o.based, errFoldBehind)
	}
	if want := max(last, based); o.agg.Version() != want {
		return o, &persistence.HoleError{Aggregate: id, Want: want, Got: o.agg.Version()}
	}
	return o, nil
}

// manyEvents in the tail may be less than they look: their owner may have written a base, which it tells nobody.
const manyEvents = 16

// begin takes the base that there must be, the one that another node may have written, or nothing.
func (o *opened) begin(ctx context.Context, cfg *Config, id engine.AggregateID, based engine.Version, events int) error {
	if based == 0 && (!cfg.Shared || events < manyEvents) {
		o.agg = engine.NewAggregate(id)
		return nil
	}
	err := o.fromBase(ctx, cfg.Bases, id, based)
	if based == 0 && errors.Is(err, persistence.ErrNotFound) {
		o.agg = engine.NewAggregate(id)
		return nil
	}
	return err
}

func (o *opened) fromBase(ctx context.Context, bases persistence.Bases, id engine.AggregateID, want engine.Version) error {
	b, err := bases.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("base of %s at version %d: %w", id, want, err)
	}
	if b.Version < want {
		return fmt.Errorf("%w of %s: version %d, known is %d", errStaleBase, id, b.Version, want)
	}
	return o.fromState(b)
}

func (o *opened) fromState(b persistence.Base) error {
	agg, err := engine.OpenBase(b.ID, b.State)
	if err != nil {
		return fmt.Errorf("base of %s: %w", b.ID, err)
	}
	if agg.Version() != b.Version {
		return fmt.Errorf("base of %s: header says version %d, state %d", b.ID, b.Version, agg.Version())
	}
	o.agg, o.revision, o.based = agg, b.Revision, b.Version
	return nil
}
