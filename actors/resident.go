package actors

import (
	"fmt"
	"runtime/debug"

	"maitred/engine"
	"maitred/persistence"
)

// resident is one aggregate in memory: a synchronous value without goroutine, channel, clock or I/O. It decides against its
// speculative state, which may be ahead of the journal.
type resident struct {
	id       engine.AggregateID
	agg      engine.Aggregate
	seal     *persistence.Seal // nil = events are encoded in clear
	maxBytes int               // of the events of one command in a frame
	suspect  bool              // a panic left the state half changed: it must be loaded anew
}

// answer is what a resident says to one command.
type answer struct {
	outcome engine.Outcome
	err     error           // a fault; nothing was decided
	panic   any             // what the engine panicked with
	stack   []byte          // where
	events  []*engine.Event // applied already
	encoded [][]byte        // of events
	bytes   int             // upper bound of what they add to a frame
	first   engine.Version  // of events[0]
	stands  engine.Version  // version that the answer stands on: all of it must be durable before it leaves
	due     engine.Instant  // the aggregate's next timer
}

func newResident(id engine.AggregateID, agg engine.Aggregate, frameBytes int) *resident {
	return &resident{id: id, agg: agg, maxBytes: persistence.MaxFrameBytes - frameBytes}
}

// version is that of the speculative state.
func (r *resident) version() engine.Version { return r.agg.Version() }

// decide answers cmd and applies its events. A panic of the engine does not leave: in Decide it costs the command, in Apply
// the state as well. Events that no frame can hold are refused before they are applied.
func (r *resident) decide(now engine.Instant, cmd *engine.Command) (a answer) {
	applying := false
	defer func() {
		if p := recover(); p != nil {
			r.suspect = r.suspect || applying
			a = answer{err: ErrPanicked, panic: p, stack: debug.Stack()}
		}
	}()
	a.first = r.agg.Version() + 1
	a.outcome, a.events = r.agg.Decide(now, cmd)
	for i, e := range a.events {
		b := r.seal.AppendEvent(nil, r.id, a.first+engine.Version(i), e)
		if len(b) > persistence.MaxEventBytes {
			panic(fmt.Sprintf("actors: event of %d bytes", len(b)))
		}
		a.encoded = append(a.encoded, b)
		a.bytes += persistence.EventBytes(r.id, b)
	}
	if a.bytes > r.maxBytes || len(a.events) > engine.MaxEvents {
		panic(fmt.Sprintf("actors: %d events of %d bytes in one command", len(a.events), a.bytes))
	}
	applying = true
	for _, e := range a.events {
		r.agg.Apply(e)
	}
	a.stands = r.agg.Version()
	if a.stands != a.first+engine.Version(len(a.events))-1 {
		panic(fmt.Sprintf("actors: version %d after %d events on %d", a.stands, len(a.events), a.first-1))
	}
	a.due = r.agg.NextDue()
	return a
}

// base makes the base of the present state.
func (r *resident) base() persistence.Base {
	return persistence.Base{
		BaseHeader: persistence.BaseHeader{ID: r.id, Version: r.agg.Version(), NextDue: r.agg.NextDue()},
		State:      r.agg.AppendBase(nil),
	}
}

// Clone makes an independent copy by way of a base.
func (r *resident) Clone() (*resident, error) {
	d := *r
	if r.agg.Version() == 0 {
		d.agg = engine.NewAggregate(r.id)
		return &d, nil
	}
	agg, err := engine.OpenBase(r.id, r.agg.AppendBase(nil))
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", r.id, err)
	}
	d.agg = agg
	return &d, nil
}
