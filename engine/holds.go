package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// A hold keeps tables for a guest who is still writing. It ends by itself at HoldUntil: what is decided or shown at that time or later is
// decided or shown without it, whether the timer has fired or not.

// keepHolds follows book.replace. The list is never changed in place: views share it.
func (b *book) keepHolds(old, next *Reservation) {
	had, has := old != nil && old.Status == StatusHeld, next != nil && next.Status == StatusHeld
	if !had && !has {
		return
	}
	list := slices.Clone(b.holds)
	if had {
		i, found := slices.BinarySearchFunc(list, old, byExpiry)
		assert(found, "I7: a hold is not on the list of holds")
		list = slices.Delete(list, i, i+1)
	}
	if has {
		i, _ := slices.BinarySearchFunc(list, next, byExpiry)
		list = slices.Insert(list, i, next)
	}
	assert(len(list) <= MaxHolds, "I9: too many holds")
	b.holds = list
}

func byExpiry(a, b *Reservation) int {
	return cmp.Or(cmp.Compare(a.HoldUntil, b.HoldUntil), cmp.Compare(a.ID, b.ID))
}

// expired are the holds that are over, at most so many.
func (b *book) expired(now Instant, most int) []*Reservation {
	n := 0
	for n < min(len(b.holds), most) && b.holds[n].HoldUntil <= now {
		n++
	}
	return b.holds[:n]
}

// at is the book without the holds that are over, and the events that make it so. It is b itself when there is none.
func (b *book) at(now Instant, most int) (*book, []*Event) {
	over := b.expired(now, most)
	if len(over) == 0 {
		return b, nil
	}
	next := b.freeze()
	next.own = new(edit)
	var events []*Event
	for _, r := range over {
		e := &Event{AtMs: int64(max(now, b.last)), ByRole: RoleSystem, Body: holdExpired(r)}
		next.apply(e, nil)
		events = append(events, e)
	}
	return &next, events
}

func holdExpired(r *Reservation) enginepb.EventBody {
	return &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{
		Id: string(r.ID), Status: StatusExpired, Reason: reasonHoldExpired}}
}

const reasonHoldExpired = "hold_expired"

// meetsHolds reports whether the command's answer depends on which tables are free, or on a hold.
func meetsHolds(b Body) bool {
	switch b.(type) {
	case *CreateReservation, *Reschedule, *Transition, *SeatWalkIn, *Hold, *ConfirmHold, *RemoveTable, *AssignTables, *Annotate:
		return true
	}
	return false
}

// maxExpired is how many holds one command lets go before it decides; the timer does the rest.
const maxExpired = MaxEvents / 2

func (d *decision) hold(c *Hold) Outcome {
	staff := d.staff()
	switch {
	case !staff && d.cmd.Caller.Account == "":
		return refuse(CodeForbidden)
	case d.find(c.ID) != nil:
		return refuse(CodeExists)
	}
	var old *Reservation
	if c.Replaces != "" {
		if old = d.subject(c.Replaces); old == nil {
			return refuse(CodeNotFound)
		}
	}
	switch {
	case d.stale(0):
		return refuse(CodeStale)
	case old != nil && old.Status != StatusHeld:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	case !d.inside(string(c.ID), isReservation):
		return invalid("id")
	}
	r := &Reservation{ID: c.ID, GuestsCount: c.GuestsCount, Contact: c.Contact, Area: c.Area, Status: StatusHeld, Version: 1,
		Created: d.now, Updated: d.now, HoldUntil: d.now + Instant(d.rules.holdMs()), Policy: d.rules.Cancellation}
	if !staff {
		r.Guest = d.cmd.Caller.Account
	}
	if out := d.prepare(r); out.Code != CodeOK {
		return out
	}
	if out := d.place(r, &c.Want, c.Table, old, true, nil); out.Code != CodeOK {
		return out
	}
	if out := d.roomForHold(r.Guest, old); out.Code != CodeOK {
		return out
	}
	if old != nil {
		d.change(old.ID, StatusCancelled, "")
	}
	d.emit(&enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r.proto()}})
	return Outcome{Code: CodeCreated, Reservation: r}
}

// roomForHold bounds the holds of a guest, and of the house, beside the one that is replaced.
func (d *decision) roomForHold(guest AccountID, old *Reservation) Outcome {
	mine, all := 0, 0
	for _, h := range d.holds {
		if old != nil && h.ID == old.ID {
			continue
		}
		all++
		if guest != "" && h.Guest == guest {
			mine++
		}
	}
	if mine >= MaxHoldsPerGuest || all >= MaxHolds {
		return Outcome{Code: CodeLimit, Field: "holds"}
	}
	return d.room()
}

// confirmHold makes a booking of a hold, which may still wait for the house.
func (d *decision) confirmHold(c *ConfirmHold) Outcome {
	old := d.subject(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Reservation: old}
	case old.Status != StatusHeld:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	}
	r := *old
	set(&r.SpecialRequests, c.SpecialRequests)
	if out := r.fault(); out.Code != CodeOK {
		return out
	}
	next := old
	if r.SpecialRequests != old.SpecialRequests {
		next = evolve(next, d.move(&r, nil))
	}
	to := StatusConfirmed
	if !d.staff() && d.rules.waits(r.GuestsCount) {
		to = StatusPending
	}
	next = evolve(next, d.change(old.ID, to, ""))
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}
