package edge

import (
	"strconv"
	"strings"

	"maitred/engine"
)

// postReservation creates a reservation. Hot.
func (s *Server) postReservation(x *exchange) {
	w := &x.wire
	if !decodeFast(x.body(), w) {
		*w = reservationRequest{}
		if t := decode(x.body(), w); t != nil {
			x.trouble(t)
			return
		}
	}
	restaurant, t := x.reservationCommand(w)
	if t != nil {
		x.trouble(t)
		return
	}
	out, err := x.decide(engine.AggregateID(restaurant), &x.cmd)
	*w = reservationRequest{}
	if err != nil {
		x.lent = true // the command may still be somebody's
		x.fault(err)
		return
	}
	x.cmd, x.create = engine.Command{}, engine.CreateReservation{}
	if !done(out.Code) {
		x.refuse(&out)
		return
	}
	if out.Replayed {
		x.replayed()
	} else {
		s.metrics.created.Inc()
	}
	x.location(reservationsPath+"/", string(out.Reservation.ID))
	x.answerReservation(201, out.Reservation)
}

// reservationCommand checks the request and makes x.cmd of it.
func (x *exchange) reservationCommand(w *reservationRequest) (engine.RestaurantID, *trouble) {
	if !engine.IsRestaurantID(w.RestaurantID) {
		if !fitsID(w.RestaurantID) {
			return "", wrong("restaurant_id", "an id is needed")
		}
		return "", refusal(kindNotFound)
	}
	want, t := when(w.Date, w.TimeSlot, w.StartsAt)
	if t != nil {
		return "", t
	}
	if t := checkParty("guests_count", w.GuestsCount); t != nil {
		return "", t
	}
	if t := checkText("special_requests", w.SpecialRequests, maxText, true); t != nil {
		return "", t
	}
	if w.TableID != "" && !fitsID(w.TableID) {
		return "", wrong("table_id", "not an id")
	}
	if t := checkContact(&w.Contact); t != nil {
		return "", t
	}
	if t := checkText("area", w.Area, maxName, false); t != nil {
		return "", t
	}
	if t := checkOverride(w.Override); t != nil {
		return "", t
	}
	key, t := x.scope(w.RestaurantID)
	if t != nil {
		return "", t
	}
	payload := engine.Hash{}
	if key != (engine.Hash{}) {
		payload = x.reservationPayload(w, want)
	}
	restaurant := engine.RestaurantID(strings.Clone(w.RestaurantID))
	x.create = engine.CreateReservation{
		ID:              engine.MakeReservationID(restaurant, x.s.mint.uint64()),
		Want:            want,
		GuestsCount:     w.GuestsCount,
		SpecialRequests: strings.Clone(w.SpecialRequests),
		Table:           engine.TableID(strings.Clone(w.TableID)),
		Area:            strings.Clone(w.Area),
		Override:        strings.Clone(w.Override),
		Contact:         engine.Contact{Name: strings.Clone(w.Contact.Name), Phone: strings.Clone(w.Contact.Phone), Email: strings.Clone(w.Contact.Email)},
	}
	x.cmd = engine.Command{Caller: x.who(), Key: key, Payload: payload, Body: &x.create}
	return restaurant, nil
}

// reservationPayload hashes what the request says, not how it is written.
func (x *exchange) reservationPayload(w *reservationRequest, want engine.When) engine.Hash {
	b := canonicalWhen(x.canon[:0], want)
	b = canonicalInt(b, int64(w.GuestsCount))
	b = canonical(b, w.SpecialRequests)
	b = canonical(b, w.TableID)
	b = canonical(b, w.Contact.Name)
	b = canonical(b, w.Contact.Phone)
	b = canonical(b, w.Contact.Email)
	if w.Area != "" || w.Override != "" { // without them the request is the same to older builds
		b = canonical(b, w.Area)
	}
	if w.Override != "" {
		b = canonical(b, w.Override)
	}
	x.canon = b
	return hash16(b)
}

func canonicalWhen(b []byte, w engine.When) []byte {
	local := int64(0)
	if w.HasLocal {
		local = 1
	}
	b = canonicalInt(b, local)
	b = canonicalInt(b, int64(w.Day))
	b = canonicalInt(b, int64(w.LocalMin))
	return canonicalInt(b, w.StartsAt)
}

func checkParty(field string, n int) *trouble {
	if n < 1 || n > maxGuests {
		return wrong(field, "1 to "+strconv.Itoa(maxGuests))
	}
	return nil
}

func checkContact(c *contactJSON) *trouble {
	if *c == (contactJSON{}) {
		return nil
	}
	if t := checkText("contact.name", c.Name, maxName, false); t != nil {
		return t
	}
	if t := checkText("contact.phone", c.Phone, maxPhone, false); t != nil {
		return t
	}
	if c.Email == "" {
		return nil
	}
	if _, ok := normalEmail(c.Email); !ok {
		return wrong("contact.email", "not an e-mail address")
	}
	return nil
}

// answerReservation sends a reservation with its ETag.
func (x *exchange) answerReservation(status int, r *engine.Reservation) {
	x.etag(r.Version)
	x.buf = x.appendFor(x.buf[:0], r)
	x.reply(status)
}

// subject is the reservation that the path names, if the caller may see it; else it has answered.
func (x *exchange) subject() (*engine.RestaurantView, *engine.Reservation) {
	id, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return nil, nil
	}
	v := x.restaurant(id)
	if v == nil {
		return nil, nil
	}
	r := v.Reservation(engine.ReservationID(x.param))
	if r == nil || !x.maySee(v, r) {
		x.fail(kindNotFound)
		return nil, nil
	}
	return v, r
}

// maySee says whether the caller may read a reservation: its guest, the restaurant's staff, an admin.
func (x *exchange) maySee(v *engine.RestaurantView, r *engine.Reservation) bool {
	return r.Guest == x.caller.account || engine.IsStaff(v.RankOf(x.who()))
}

func (s *Server) getReservation(x *exchange) {
	if v, r := x.subject(); r != nil {
		x.answerHold(200, r, v.WaitsFor(r))
	}
}

// patchReservation reschedules.
func (s *Server) patchReservation(x *exchange) {
	var w rescheduleRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	body, payload, t := x.rescheduleCommand(&w)
	if t != nil {
		x.trouble(t)
		return
	}
	x.amend(restaurant, body, payload, true)
}

func (x *exchange) rescheduleCommand(w *rescheduleRequest) (*engine.Reschedule, []byte, *trouble) {
	body := &engine.Reschedule{ID: engine.ReservationID(strings.Clone(x.param)), GuestsCount: w.GuestsCount, SpecialRequests: w.SpecialRequests}
	p := canonical(nil, x.param)
	if w.Date != nil || w.TimeSlot != nil || w.StartsAt != nil {
		want, t := when(text(w.Date), text(w.TimeSlot), text(w.StartsAt))
		if t != nil {
			return nil, nil, t
		}
		body.Want = &want
		p = canonicalWhen(append(p, 1), want)
	}
	if w.GuestsCount != nil {
		if t := checkParty("guests_count", *w.GuestsCount); t != nil {
			return nil, nil, t
		}
		p = canonicalInt(append(p, 2), int64(*w.GuestsCount))
	}
	if w.SpecialRequests != nil {
		if t := checkText("special_requests", *w.SpecialRequests, maxText, true); t != nil {
			return nil, nil, t
		}
	}
	if w.TableID != nil {
		if *w.TableID != "" && !fitsID(*w.TableID) {
			return nil, nil, wrong("table_id", "not an id")
		}
		table := engine.TableID(*w.TableID)
		body.Table = &table
	}
	p = canonicalText(canonicalText(p, w.SpecialRequests), w.TableID)
	if w.Area != nil {
		if t := checkText("area", *w.Area, maxName, false); t != nil {
			return nil, nil, t
		}
		body.Area = w.Area
		p = canonicalText(p, w.Area)
	}
	if t := checkOverride(w.Override); t != nil {
		return nil, nil, t
	}
	if body.Override = w.Override; w.Override != "" {
		p = canonicalText(canonicalText(p, w.Area), &w.Override)
	}
	return body, p, nil
}

// amend sends a command about an existing reservation and answers with it.
func (x *exchange) amend(r engine.RestaurantID, body engine.Body, payload []byte, needsMatch bool) *engine.Outcome {
	match, t := x.ifMatch(needsMatch)
	if t == nil {
		var key engine.Hash
		if key, t = x.scope(string(r)); t == nil {
			cmd := &engine.Command{Caller: x.who(), Key: key, Payload: hash16(payload), IfMatch: match, Body: body}
			out := x.do(engine.AggregateID(r), cmd)
			if out != nil {
				x.answerReservation(200, out.Reservation)
			}
			return out
		}
	}
	x.trouble(t)
	return nil
}

// transitionRoute is one of the actions of a reservation.
type transitionRoute struct {
	name   string
	action engine.Action
}

var transitions = []transitionRoute{
	{"cancel", engine.ActionCancel},
	{"confirm", engine.ActionConfirm},
	{"decline", engine.ActionDecline},
	{"seat", engine.ActionSeat},
	{"complete", engine.ActionComplete},
	{"no-show", engine.ActionNoShow},
	{"reinstate", engine.ActionReinstate},
}

func (s *Server) transition(x *exchange, route transitionRoute) {
	var w reasonRequest
	t := decodeOptional(x.body(), &w)
	if t == nil {
		t = checkText("reason", w.Reason, maxLine, true)
	}
	if t != nil {
		x.trouble(t)
		return
	}
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	body := &engine.Transition{ID: engine.ReservationID(strings.Clone(x.param)), Action: route.action, Reason: w.Reason}
	out := x.amend(restaurant, body, canonical(canonical(nil, x.param), w.Reason), false)
	if out != nil && route.action == engine.ActionCancel && !out.Replayed {
		s.metrics.cancelled.Inc()
	}
}

// text is a string that may be absent.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
