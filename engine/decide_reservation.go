package engine

import (
	"slices"
	"unicode/utf8"

	"maitred/engine/enginepb"
)

func (d *decision) createReservation(c *CreateReservation) Outcome {
	staff := d.staff()
	switch {
	case !staff && d.cmd.Caller.Account == "":
		return refuse(CodeForbidden)
	case !staff && c.Override != "":
		return refuse(CodeForbidden)
	case d.find(c.ID) != nil:
		return refuse(CodeExists)
	case d.stale(0):
		return refuse(CodeStale)
	case !d.inside(string(c.ID), isReservation):
		return invalid("id")
	}
	r := &Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Policy: d.rules.Cancellation, Status: StatusConfirmed, Version: 1, Created: d.now, Updated: d.now, Override: overriding(c.Override)}
	if !staff {
		r.Guest = d.cmd.Caller.Account
		if d.rules.waits(c.GuestsCount) {
			r.Status = StatusPending
		}
	}
	if out := d.prepare(r); out.Code != CodeOK {
		return out
	}
	if !text(c.Override, MaxOverride) {
		return invalid("override")
	}
	if out := d.place(r, &c.Want, c.Table, nil, true, r.Override); out.Code != CodeOK {
		return out
	}
	if out := d.room(); out.Code != CodeOK {
		return out
	}
	return d.begin(r)
}

// prepare gives a reservation that is being made its receipt, and checks what it says of itself.
func (d *decision) prepare(r *Reservation) Outcome {
	if hasReceipt(d.cmd) {
		r.Key, r.Payload = d.cmd.Key, d.cmd.Payload
	}
	if out := r.fault(); out.Code != CodeOK {
		return out
	}
	if !d.floor.hasArea(r.Area) {
		return invalid("area")
	}
	return Outcome{}
}

// fault looks for nonsense that has nothing to do with the book.
func (r *Reservation) fault() Outcome {
	switch {
	case r.GuestsCount < 1:
		return invalid("guests_count")
	case !text(r.SpecialRequests, MaxSpecialRequests):
		return invalid("special_requests")
	case !text(r.Contact.Name, MaxName):
		return invalid("contact.name")
	case !text(r.Contact.Phone, MaxPhone):
		return invalid("contact.phone")
	case !text(r.Contact.Email, MaxEmail):
		return invalid("contact.email")
	}
	return Outcome{}
}

// place gives r a time and a table, or says why not. want nil = the time that r has; old is r as it was, whose tables do not
// stand in its way; moved = the time is new and must be one that is offered and can still be taken; lift is what staff set aside, nil = nothing.
func (d *decision) place(r *Reservation, want *When, table TableID, old *Reservation, moved bool, lift *Override) Outcome {
	p := place{day: r.Day, local: r.LocalMin, at: r.StartsAt, shift: d.shiftOf(r)}
	if want != nil {
		var code Code
		var field string
		if p, code, field = d.locate(*want); code != CodeOK {
			return Outcome{Code: code, Field: field}
		}
		moved = moved || p.at != r.StartsAt
	} else if moved {
		p = d.placeAt(r.Day, r.LocalMin)
		p.offered, p.at = p.offered && p.at == r.StartsAt, r.StartsAt
	}
	q := search{now: d.now, guests: r.GuestsCount, staff: d.staff(), area: r.Area, lift: lift}
	w := wish{table: -1}
	if table != "" {
		if w.table = d.floor.slot(table); w.table < 0 {
			return invalid("table_id")
		}
		w.binding = q.staff
	}
	if old != nil {
		w.keep = old.Tables
		if blocks(old.Status) {
			h := d.holdOf(old)
			q.skip = &h
		}
	}
	if moved {
		if code := d.judge(&q, p); code != CodeOK {
			return Outcome{Code: code, Alternatives: d.alternatives(q, p)}
		}
	}
	if !d.fits(&q, &w) {
		return refuse(CodePartyTooLarge)
	}
	if (moved || r.GuestsCount > old.GuestsCount) && !d.paced(&q, p) && !lift.lifts(CodePacingLimit) {
		return Outcome{Code: CodePacingLimit, Alternatives: d.alternatives(q, p)}
	}
	r.Day, r.LocalMin, r.StartsAt, r.BufferMin = p.day, p.local, p.at, d.rules.BufferMin
	r.EndsAt, w.span = d.stay(p, r.GuestsCount)
	if r.Tables = d.seat(&q, w); r.Tables == nil {
		return Outcome{Code: CodeSlotUnavailable, Alternatives: d.alternatives(q, p), Conflicts: d.inTheWay(&q, &w, p.day)}
	}
	return Outcome{}
}

// fits reports whether a party can be seated at all: at the table that staff name, which may be overridden, else somewhere.
func (d *decision) fits(q *search, w *wish) bool {
	if !w.binding {
		return d.everFits(q.guests)
	}
	return d.floor.slots[w.table].fits(q.guests) || q.guests <= maxParty && q.lift.lifts(CodePartyTooLarge)
}

// inTheWay names to staff what has the table that they named.
func (d *decision) inTheWay(q *search, w *wish, day Day) []Obstacle {
	if !w.binding {
		return nil
	}
	return d.obstacles([]int{w.table}, day, w.span, q.skip.of())
}

// subject finds the reservation that a command is about, if the caller may see it.
func (d *decision) subject(id ReservationID) *Reservation {
	if r := d.find(id); r != nil && d.sees(r) {
		return r
	}
	return nil
}

// sees reports whether a reservation is the caller's to see: staff and its guest.
func (d *decision) sees(r *Reservation) bool {
	return d.staff() || d.cmd.Caller.Account != "" && r.Guest == d.cmd.Caller.Account
}

func (d *decision) reschedule(c *Reschedule) Outcome {
	old := d.subject(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case !d.staff() && c.Override != "":
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Reservation: old}
	case old.Status != StatusConfirmed && old.Status != StatusPending:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	}
	r := *old
	set(&r.GuestsCount, c.GuestsCount)
	set(&r.SpecialRequests, c.SpecialRequests)
	set(&r.Area, c.Area)
	if out := r.fault(); out.Code != CodeOK {
		return out
	}
	if c.Area != nil && !d.floor.hasArea(r.Area) {
		return invalid("area")
	}
	if !text(c.Override, MaxOverride) {
		return invalid("override")
	}
	var table TableID
	set(&table, c.Table)
	given := overriding(c.Override)
	if c.Want != nil || table != "" || r.GuestsCount != old.GuestsCount || r.Area != old.Area {
		if out := d.place(&r, c.Want, table, old, false, given); out.Code != CodeOK {
			return out
		}
	}
	was := old
	if r.StartsAt == old.StartsAt {
		was = d.remindFirst(old)
	}
	next := evolve(was, d.move(&r, given))
	if old.Status == StatusConfirmed && d.asksAnew(old, &r) {
		next = evolve(next, d.change(old.ID, StatusPending, ""))
	}
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}

// asksAnew reports whether a guest has made of what the house confirmed something that it has not.
func (d *decision) asksAnew(old, r *Reservation) bool {
	return !d.staff() && d.rules.waits(r.GuestsCount) && (r.StartsAt != old.StartsAt || r.GuestsCount > old.GuestsCount)
}

// move journals where r is now; given is the override for it, nil = none.
func (d *decision) move(r *Reservation, given *Override) *Event {
	return d.emit(&enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{
		Id: string(r.ID), TableIds: tableStrings(r.Tables), ServiceDay: int32(r.Day), LocalMin: int32(r.LocalMin),
		StartsAt: r.StartsAt, EndsAt: r.EndsAt, GuestsCount: int32(r.GuestsCount), SpecialRequests: r.SpecialRequests,
		BufferMin: int32(r.BufferMin), Area: r.Area, Override: given.proto()}})
}

// arc is one permitted transition.
type arc struct {
	action   Action
	from, to Status
}

var arcs = [...]arc{
	{ActionConfirm, StatusPending, StatusConfirmed},
	{ActionDecline, StatusPending, StatusDeclined},
	{ActionCancel, StatusHeld, StatusCancelled},
	{ActionRelease, StatusHeld, StatusCancelled},
	{ActionCancel, StatusWaiting, StatusCancelled},
	{ActionRelease, StatusWaiting, StatusCancelled},
	{ActionCancel, StatusPending, StatusCancelled},
	{ActionCancel, StatusConfirmed, StatusCancelled},
	{ActionSeat, StatusConfirmed, StatusSeated},
	{ActionComplete, StatusSeated, StatusCompleted},
	{ActionNoShow, StatusConfirmed, StatusNoShow},
	{ActionReinstate, StatusCancelled, StatusConfirmed},
	{ActionReinstate, StatusNoShow, StatusConfirmed},
	{ActionReinstate, StatusDeclined, StatusConfirmed},
	{ActionReinstate, StatusExpired, StatusConfirmed},
}

func (d *decision) transition(c *Transition) Outcome {
	old := d.subject(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case c.Action != ActionCancel && c.Action != ActionRelease && !d.staff():
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Reservation: old}
	}
	var to Status
	for _, a := range arcs {
		if a.action == c.Action && a.from == old.Status {
			to = a.to
		}
	}
	switch {
	case to == 0:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	case !text(c.Reason, MaxTransitionReason):
		return invalid("reason")
	}
	next := old
	if c.Action == ActionReinstate {
		r := *old
		if out := d.place(&r, nil, "", old, true, nil); out.Code != CodeOK {
			return out
		}
		if d.live >= MaxLive {
			return Outcome{Code: CodeLimit, Field: "live_reservations"}
		}
		if !slices.Equal(r.Tables, old.Tables) || r.held() != old.held() || r.EndsAt != old.EndsAt || r.LocalMin != old.LocalMin {
			next = evolve(old, d.move(&r, nil))
		}
	}
	next = evolve(next, d.charge(old.ID, to, c.Reason, d.fee(old, to), old.Policy.Currency))
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}

func (d *decision) change(id ReservationID, to Status, reason string) *Event {
	return d.charge(id, to, reason, 0, "")
}

// charge is change with what the guest owes.
func (d *decision) charge(id ReservationID, to Status, reason string, fee int, currency string) *Event {
	body := &enginepb.ReservationStatusChanged{Id: string(id), Status: to, Reason: reason}
	if fee > 0 {
		body.FeeDue, body.FeeCurrency = int64(fee), currency
	}
	return d.emit(&enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: body})
}

// sweep does what is due: reminders, who has not come, who was not confirmed in time, who waited for nothing.
func (d *decision) sweep() Outcome {
	if role := d.cmd.Caller.Role; role != RoleSystem && role != RoleAdmin {
		return refuse(CodeForbidden)
	}
	most := MaxEvents
	if d.cmd.Silent { // what is passed over is in the way of the others
		most = d.live + len(d.waits)
	}
	for _, e := range d.led.due.until(&d.book, d.now, most) {
		if len(d.events) == MaxEvents {
			break
		}
		switch r, _ := d.resv.get(e.key); r.Status {
		case StatusConfirmed:
			if d.now < d.noShowAt(r) { // a reminder, then
				if !d.cmd.Silent {
					d.remind(r)
				}
				continue
			}
			d.charge(r.ID, StatusNoShow, "no_show", d.fee(r, StatusNoShow), r.Policy.Currency)
		case StatusWaiting:
			d.change(r.ID, StatusExpired, "not_offered")
		case StatusPending:
			d.change(r.ID, StatusExpired, "not_confirmed")
		case StatusHeld:
			d.emit(holdExpired(r))
		}
	}
	return Outcome{Code: CodeOK}
}

// text reports whether s is well-formed and short enough, in bytes.
func text(s string, most int) bool { return len(s) <= most && utf8.ValidString(s) }

// inside reports whether an id of that kind belongs to this restaurant.
func (d *decision) inside(id string, kind func(string) bool) bool {
	r, ok := RestaurantOf(id)
	return ok && kind(id) && r == d.id
}
