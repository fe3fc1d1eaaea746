package enginetest

import (
	"slices"
	"sort"

	"maitred/engine"
)

// Do answers cmd and, when it is accepted, does it.
func (b *Book) Do(now engine.Instant, cmd *engine.Command) engine.Outcome {
	out := b.do(now, cmd)
	if r := out.Reservation; r != nil {
		out.Waits = r.Status == engine.StatusHeld && r.Guest != "" && b.waits(r.GuestsCount)
	}
	return out
}

// over are the holds that are, in the order in which they ended.
func (b *Book) over(now engine.Instant) (late []*engine.Reservation) {
	for _, r := range b.List {
		if r.Status == engine.StatusHeld && r.HoldUntil <= now {
			late = append(late, r)
		}
	}
	sort.Slice(late, func(i, j int) bool {
		if late[i].HoldUntil != late[j].HoldUntil {
			return late[i].HoldUntil < late[j].HoldUntil
		}
		return late[i].ID < late[j].ID
	})
	return late
}

// expire ends holds that are over, at most so many, and counts them.
func (b *Book) expire(now engine.Instant, most int) int {
	late := b.over(now)
	late = late[:min(len(late), most)]
	for _, r := range late {
		next := *r
		next.Status, next.Updated = engine.StatusExpired, max(now, b.Last)
		next.Version++
		b.put(&next)
	}
	return len(late)
}

// without looks at the book as if the timer had ended every hold that is over.
func (b *Book) without(now engine.Instant, look func()) {
	before := slices.Clone(b.List)
	owing := b.owing
	if b.expire(now, 16) > 0 || owing {
		b.promote(max(now, b.Last), 40)
	}
	look()
	b.List, b.owing = before, owing
}

// meets says whether holds matter to a command.
func meets(body engine.Body) bool {
	switch body.(type) {
	case *engine.CreateReservation, *engine.Reschedule, *engine.Transition, *engine.SeatWalkIn, *engine.Hold, *engine.ConfirmHold, *engine.RemoveTable,
		*engine.JoinWaitlist, *engine.OfferTable, *engine.AssignTables, *engine.Annotate:
		return true
	}
	return false
}

// actBeside acts without the holds that are over; a refusal leaves them.
func (b *Book) actBeside(now engine.Instant, cmd *engine.Command) (out engine.Outcome, subject string, events int) {
	if !meets(cmd.Body) || b.Info == nil {
		return b.actAndOffer(now, cmd, 0)
	}
	list, last, owing := slices.Clone(b.List), b.Last, b.owing
	over := b.expire(now, 16)
	if over > 0 || owing {
		over += b.promote(now, 40)
	}
	if over > 0 {
		b.Last = now
		b.forget()
	}
	out, subject, events = b.actAndOffer(now, cmd, over)
	if out.Code > engine.CodeCreated || events == 0 {
		b.List, b.Last, b.owing = list, last, owing
		return out, subject, events
	}
	return out, subject, events + over
}

func (b *Book) hold(now engine.Instant, cmd *engine.Command, c *engine.Hold) (engine.Outcome, string, int) {
	staff := b.staff(cmd.Caller)
	if !staff && cmd.Caller.Account == "" {
		return refused(engine.CodeForbidden, "")
	}
	if b.find(c.ID) != nil {
		return refused(engine.CodeExists, "")
	}
	var old *engine.Reservation
	if c.Replaces != "" {
		if old = b.subject(cmd, c.Replaces); old == nil {
			return refused(engine.CodeNotFound, "")
		}
	}
	if cmd.IfMatch != 0 {
		return refused(engine.CodeStale, "")
	}
	if old != nil && old.Status != engine.StatusHeld {
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	}
	minutes := engine.Instant(b.rules().HoldMin)
	if minutes == 0 {
		minutes = 5
	}
	r := &engine.Reservation{ID: c.ID, GuestsCount: c.GuestsCount, Contact: c.Contact, Area: c.Area, Status: engine.StatusHeld, Version: 1,
		Created: now, Updated: now, HoldUntil: now + minutes*60_000, Policy: b.rules().Cancellation}
	if !staff {
		r.Guest = cmd.Caller.Account
	}
	if cmd.Key != (engine.Hash{}) {
		r.Key, r.Payload = cmd.Key, cmd.Payload
	}
	if f := nonsense(r); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if !b.somewhere(c.Area) {
		return refused(engine.CodeInvalid, "area")
	}
	except := engine.ReservationID("")
	if old != nil {
		except = old.ID
	}
	if out := b.placeBeside(now, r, old, &c.Want, c.Table, staff, except, true, ""); out.Code != engine.CodeOK {
		return out, "", 0
	}
	mine := 0
	for _, h := range b.List {
		if h.Status == engine.StatusHeld && h.ID != except && r.Guest != "" && h.Guest == r.Guest {
			mine++
		}
	}
	if mine >= 4 {
		return refused(engine.CodeLimit, "holds")
	}
	events := 1
	if old != nil {
		gone := *old
		gone.Status, gone.Updated = engine.StatusCancelled, now
		gone.Version++
		b.put(&gone)
		events++
	}
	b.put(r)
	return engine.Outcome{Code: engine.CodeCreated, Reservation: r}, string(r.ID), events
}

func (b *Book) confirmHold(now engine.Instant, cmd *engine.Command, c *engine.ConfirmHold) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case old.Status != engine.StatusHeld:
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	}
	r, events := *old, 1
	if c.SpecialRequests != nil {
		r.SpecialRequests = *c.SpecialRequests
	}
	if f := nonsense(&r); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if r.SpecialRequests != old.SpecialRequests {
		events++
	}
	r.Status, r.Updated = engine.StatusConfirmed, now
	if !b.staff(cmd.Caller) && b.waits(r.GuestsCount) {
		r.Status = engine.StatusPending
	}
	r.Version += engine.Version(events)
	b.put(&r)
	return engine.Outcome{Code: engine.CodeOK, Reservation: &r}, string(r.ID), events
}
