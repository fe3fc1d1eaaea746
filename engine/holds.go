package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// A hold keeps tables for a guest who is still writing. It ends by itself at HoldUntil: what is decided or shown at that time or later is
// decided or shown without it, whether the timer has fired or not.

// keepLists follows book.replace. The lists are never changed in place: views share them.
func (b *book) keepLists(old, next *Reservation) {
	b.holds = follow(b.holds, old, next, StatusHeld, byExpiry)
	b.waits = follow(b.waits, old, next, StatusWaiting, byJoining)
	assert(len(b.holds) <= MaxHolds && len(b.waits) <= MaxWaiting, "I9: too many holds, or too many who wait")
}

// follow is the list of those of one status after next came in the place of old; nil = there is none.
func follow(list []*Reservation, old, next *Reservation, of Status, order func(a, b *Reservation) int) []*Reservation {
	had, has := old != nil && old.Status == of, next != nil && next.Status == of
	if !had && !has {
		return list
	}
	list = slices.Clone(list)
	if had {
		i, found := slices.BinarySearchFunc(list, old, order)
		assert(found, "I7: a reservation is not on the list of its status")
		list = slices.Delete(list, i, i+1)
	}
	if has {
		i, _ := slices.BinarySearchFunc(list, next, order)
		list = slices.Insert(list, i, next)
	}
	return list
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

// at is the book without the holds that are over and with what that frees offered to who waits, and the events that make it so. It is b
// itself when there is none.
func (b *book) at(now Instant) (*book, []*Event) {
	over := b.expired(now, maxExpired)
	if len(over) == 0 && !(b.owing && len(b.waits) > 0) {
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
	offers, cut := next.promote(max(now, b.last), maxOffers)
	if events = append(events, offers...); cut {
		next.owing = true
	}
	if len(events) == 0 {
		return b, nil
	}
	return &next, events // the command's own events follow, and say what is owing then
}

func holdExpired(r *Reservation) enginepb.EventBody {
	return &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{
		Id: string(r.ID), Status: StatusExpired, Reason: reasonHoldExpired}}
}

const reasonHoldExpired = "hold_expired"

// meetsHolds reports whether the command's answer depends on which tables are free, or on a hold.
func meetsHolds(b Body) bool {
	switch b.(type) {
	case *CreateReservation, *Reschedule, *Transition, *SeatWalkIn, *Hold, *ConfirmHold, *RemoveTable, *JoinWaitlist, *OfferTable, *AssignTables, *Annotate:
		return true
	}
	return false
}

// maxExpired is how many holds one command lets go before it decides, maxOffers to how many parties it offers what is free then; the timer does
// the rest. Who looks sees the same.
const (
	maxExpired = MaxEvents / 4
	maxOffers  = MaxEvents - maxExpired - 8 // what a command makes itself is less than 8
)

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
	return d.begin(r)
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
