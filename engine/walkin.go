package engine

import "maitred/engine/enginepb"

// seatWalkIn gives a party that stands at the door a table that stays free for its turn time. It asks nothing of hours, notice and pace: who
// lets guests in knows whether the kitchen cooks.
func (d *decision) seatWalkIn(c *SeatWalkIn) Outcome {
	switch {
	case !d.staff():
		return refuse(CodeForbidden)
	case d.find(c.ID) != nil:
		return refuse(CodeExists)
	case d.stale(0):
		return refuse(CodeStale)
	case !d.inside(string(c.ID), isReservation):
		return invalid("id")
	}
	r := &Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Status: StatusSeated, Version: 1, Created: d.now, Updated: d.now}
	if out := d.prepare(r); out.Code != CodeOK {
		return out
	}
	if out := d.placeWalkIn(r, c.Table); out.Code != CodeOK {
		return out
	}
	if out := d.room(); out.Code != CodeOK {
		return out
	}
	return d.begin(r)
}

// begin is the first event of a reservation.
func (d *decision) begin(r *Reservation) Outcome {
	d.emit(&enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r.proto()}})
	return Outcome{Code: CodeCreated, Reservation: r}
}

// room says whether one more reservation may live.
func (d *decision) room() Outcome {
	switch {
	case d.live >= MaxLive:
		return Outcome{Code: CodeLimit, Field: "live_reservations"}
	case d.resv.len() >= MaxReservations:
		return Outcome{Code: CodeLimit, Field: "reservations"}
	}
	return Outcome{}
}

// placeWalkIn begins at the tick that runs: what ends within it is still somebody's.
func (d *decision) placeWalkIn(r *Reservation, table TableID) Outcome {
	p := d.locateInstant(int64(d.now) / msPerSec / tickSec * tickSec)
	q := search{now: d.now, guests: r.GuestsCount, staff: true, walkIn: true, area: r.Area}
	w := wish{table: -1}
	if table != "" {
		if w.table = d.floor.slot(table); w.table < 0 {
			return invalid("table_id")
		}
		w.binding = true
	}
	if !d.fits(&q, &w) {
		return refuse(CodePartyTooLarge)
	}
	r.Day, r.LocalMin, r.StartsAt, r.BufferMin = p.day, p.local, p.at, d.rules.BufferMin
	r.EndsAt, w.span = d.stay(p, r.GuestsCount)
	if r.Tables = d.seat(&q, w); r.Tables == nil {
		return Outcome{Code: CodeSlotUnavailable, Conflicts: d.inTheWay(&q, &w, p.day)}
	}
	return Outcome{}
}
