package persistence

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"maitred/engine"
)

// EventsIn makes the committed events of the record at seq: none unless it is a frame. The events keep no reference to the
// record's bytes.
func EventsIn(seq Seq, r Record) ([]Committed, error) { return (*Seal)(nil).EventsIn(seq, r) }

// ReadRecords calls fn for each decoded record with from ≤ seq ≤ to, in order and without gaps.
func ReadRecords(ctx context.Context, j Journal, from, to Seq, fn func(Entry, Record) error) error {
	return j.Read(ctx, from, to, func(e Entry) error {
		r, err := Decode(e.Data)
		if err != nil {
			return fmt.Errorf("record %d on %s: %w", e.Seq, e.Subject, err)
		}
		return fn(e, r)
	})
}

// ReadCommitted calls fn for each record with from ≤ seq ≤ to, in order and without gaps, with its events (none for a
// heartbeat or a claim).
func ReadCommitted(ctx context.Context, j Journal, from, to Seq, fn func(Seq, []Committed) error) error {
	return (*Seal)(nil).ReadCommitted(ctx, j, from, to, fn)
}

// HoleError says that an aggregate cannot be opened from the journal: an event that must be there is not.
type HoleError struct {
	Aggregate engine.AggregateID
	Seq       Seq            // where it was looked for
	Want      engine.Version // the version that should be next
	Got       engine.Version // the one found; 0 = none
}

func (e *HoleError) Error() string {
	return fmt.Sprintf("persistence: hole in %s at record %d: want version %d, found %d", e.Aggregate, e.Seq, e.Want, e.Got)
}

// EventsOf reads the events of id with versions after the given one from exactly the frames at positions (ascending, as
// Tail.Positions gives them). Every position must hold an event of id, and the versions must follow each other from
// after+1: else it is a *HoleError. A position that was purged gives ErrNotFound.
func EventsOf(ctx context.Context, j Journal, positions []Seq, id engine.AggregateID, after engine.Version) ([]*engine.Event, error) {
	return (*Seal)(nil).EventsOf(ctx, j, positions, id, after)
}

// EventsOf is EventsOf of a sealed journal.
func (s *Seal) EventsOf(ctx context.Context, j Journal, positions []Seq, id engine.AggregateID, after engine.Version) ([]*engine.Event, error) {
	o := opening{seal: s, id: id, next: after + 1}
	for len(positions) > 0 {
		read, n := o.read, closeBy(positions)
		if n < positionRun {
			read, n = o.ask, farApart(positions)
		}
		if err := read(ctx, j, positions[:n]); err != nil {
			return nil, fmt.Errorf("open %s: %w", id, err)
		}
		positions = positions[n:]
	}
	return o.events, nil
}

// closeBy is how many of the first positions lie so close that what is between them may be read in passing.
func closeBy(positions []Seq) int {
	n := 1
	for n < len(positions) && positions[n]-positions[n-1] <= positionGap {
		n++
	}
	return n
}

// farApart is how many of the first positions are asked for together: those before the next that are worth a Read.
func farApart(positions []Seq) int {
	n := 1
	for n < min(len(positions), positionsAsked) && closeBy(positions[n:]) < positionRun {
		n++
	}
	return n
}

// opening collects the events of one aggregate.
type opening struct {
	seal   *Seal
	id     engine.AggregateID
	next   engine.Version
	events []*engine.Event
}

// ask gets the records at positions at the same time: most of what one takes is the way to the journal's leader and back.
func (o *opening) ask(ctx context.Context, j Journal, positions []Seq) error {
	entries, errs := make([]Entry, len(positions)), make([]error, len(positions))
	var wg sync.WaitGroup
	for i := range positions[1:] {
		wg.Go(func() { entries[i+1], errs[i+1] = j.Get(ctx, positions[i+1]) })
	}
	entries[0], errs[0] = j.Get(ctx, positions[0])
	wg.Wait()
	for i, e := range entries {
		if errs[i] != nil {
			return fmt.Errorf("record %d: %w", positions[i], errs[i])
		}
		if err := o.take(e); err != nil {
			return err
		}
	}
	return nil
}

func (o *opening) read(ctx context.Context, j Journal, positions []Seq) error {
	return j.Read(ctx, positions[0], positions[len(positions)-1], func(e Entry) error {
		if e.Seq < positions[0] {
			return nil
		}
		if e.Seq > positions[0] {
			return &HoleError{Aggregate: o.id, Seq: positions[0], Want: o.next}
		}
		positions = positions[1:]
		return o.take(e)
	})
}

func (o *opening) take(e Entry) error {
	r, err := Decode(e.Data)
	if err != nil {
		return fmt.Errorf("record %d on %s: %w", e.Seq, e.Subject, err)
	}
	f, ok := r.(*Frame)
	if !ok {
		return &HoleError{Aggregate: o.id, Seq: e.Seq, Want: o.next}
	}
	found := false
	for i := range f.Index {
		x := &f.Index[i]
		if x.Aggregate != o.id {
			continue
		}
		found = true
		if x.Version < o.next && len(o.events) == 0 {
			continue
		}
		if x.Version != o.next {
			return &HoleError{Aggregate: o.id, Seq: e.Seq, Want: o.next, Got: x.Version}
		}
		ev, err := o.seal.DecodeEvent(f.Events[i], x.Aggregate, x.Version)
		if err != nil {
			return fmt.Errorf("version %d in record %d: %w", x.Version, e.Seq, err)
		}
		o.events = append(o.events, ev)
		o.next++
	}
	if !found {
		return &HoleError{Aggregate: o.id, Seq: e.Seq, Want: o.next}
	}
	return nil
}

// errEnough ends a Read that has what it wanted.
var errEnough = errors.New("enough")
