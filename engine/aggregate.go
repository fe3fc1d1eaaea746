package engine

import "maitred/engine/enginepb"

// Event is one fact, as it is journaled.
type Event = enginepb.Event

// Role is a caller's role.
type Role = enginepb.Role

// Status is where a reservation stands in its life.
type Status = enginepb.Status

// Aggregate is what one actor owns. It is a pure value: no clock, no I/O, one goroutine at a time.
type Aggregate interface {
	// Decide answers cmd at now without changing anything. now is raised to the time of the aggregate's last event. The
	// events, in order, carry At, By and receipt; they are to be applied, all or none.
	Decide(now Instant, cmd *Command) (Outcome, []*Event)
	// Apply changes the state by one event of the next version. It cannot fail: an impossible event panics, which
	// quarantines the aggregate.
	Apply(*Event)
	// Version is the number of events applied.
	Version() Version
	// NextDue is the earliest time at which Sweep has something to do; 0 = never.
	NextDue() Instant
	// View makes an immutable picture for readers.
	View() View
	// AppendBase appends the whole state, receipts and timers included.
	AppendBase([]byte) []byte
	// Digest is equal for equal states.
	Digest() uint64
}

// Fact is an event with the reservation as it is after it, if the aggregate's Decide has made it: immutable, so the views
// share it instead of making their own.
type Fact struct {
	Event *Event
	Made  *Reservation // nil = not known, or not about a reservation
}

// AppendFacts appends the events of a decision as facts. The last one about the reservation of its outcome made that.
func AppendFacts(dst []Fact, events []*Event, out *Outcome) []Fact {
	first := len(dst)
	for _, e := range events {
		dst = append(dst, Fact{Event: e})
	}
	if out.Reservation == nil {
		return dst
	}
	for i := len(dst) - 1; i >= first; i-- { // offers of freed tables may follow
		if reservationOf(dst[i].Event) == out.Reservation.ID {
			dst[i].Made = out.Reservation
			break
		}
	}
	return dst
}

// View is an immutable picture of an aggregate for readers.
type View interface {
	// Version is the version the view shows.
	Version() Version
	// Next is the view after events, the versions that follow. The receiver stays as it is; each touched day is copied
	// once.
	Next(events []*Event) View
	// NextFacts is Next for events whose results somebody has made already.
	NextFacts(facts []Fact) View
}
