package edge

import (
	"strconv"
	"strings"

	"maitred/engine"
)

type waitRequest struct {
	Date            string      `json:"date"` // and TimeSlot or StartsAt: the earliest start that suits; none = now
	TimeSlot        string      `json:"time_slot"`
	StartsAt        string      `json:"starts_at"`
	Until           string      `json:"until"` // the latest: HH:MM of that date, or RFC 3339
	GuestsCount     int         `json:"guests_count"`
	SpecialRequests string      `json:"special_requests"`
	Area            string      `json:"area"`
	Contact         contactJSON `json:"contact"`
}

// postWait puts a party on the waitlist.
func (s *Server) postWait(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	var w waitRequest
	t := decode(x.body(), &w)
	var body *engine.JoinWaitlist
	if t == nil {
		body, t = waitOf(&w)
	}
	cmd := x.command(t, string(restaurant), string(restaurant), &w, false)
	if cmd == nil {
		return
	}
	body.ID = engine.MakeReservationID(restaurant, s.mint.uint64())
	cmd.Body = body
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.location(api+"/waitlist/", string(out.Reservation.ID))
		x.answerHold(201, out.Reservation, out.Waits)
	}
}

func waitOf(w *waitRequest) (*engine.JoinWaitlist, *trouble) {
	c := &engine.JoinWaitlist{GuestsCount: w.GuestsCount, SpecialRequests: w.SpecialRequests, Area: w.Area,
		Contact: engine.Contact{Name: w.Contact.Name, Phone: w.Contact.Phone, Email: w.Contact.Email}}
	t := checkWalkIn(&walkInRequest{GuestsCount: w.GuestsCount, SpecialRequests: w.SpecialRequests, Area: w.Area, Contact: w.Contact})
	if t == nil && w.Date+w.TimeSlot+w.StartsAt != "" {
		c.Want, t = when(w.Date, w.TimeSlot, w.StartsAt)
	}
	if t == nil && w.Until != "" {
		c.Until, t = until(w.Date, w.Until)
	}
	return c, t
}

// until is the latest start that suits: a clock of the date, or an instant.
func until(date, text string) (engine.When, *trouble) {
	if minutes, ok := parseClock(text); ok && date != "" {
		day, t := parseDate("date", date)
		return engine.When{HasLocal: true, Day: day, LocalMin: minutes}, t
	}
	w, t := when("", "", text)
	if t != nil {
		t = wrong("until", "HH:MM of the date, or RFC 3339 in whole seconds")
	}
	return w, t
}

// getWaitlist lists who waits for a table on a day, for staff.
func (s *Server) getWaitlist(x *exchange) {
	_, v := x.inside(engine.RoleHost)
	if v == nil {
		return
	}
	t := x.query("date")
	date := string(x.ctx.QueryArgs().Peek("date"))
	var day engine.Day
	if t == nil {
		day, t = parseDate("date", date)
	}
	if t != nil {
		x.trouble(t)
		return
	}
	b := append(append(x.buf[:0], `{"date":"`...), date...)
	b = append(b, `","items":[`...)
	for i, r := range v.Waitlist(day) { // at most engine.MaxWaiting
		if i > 0 {
			b = append(b, ',')
		}
		b = x.appendPlace(b, r, i)
	}
	x.buf = append(b, "]}"...)
	x.reply(200)
}

// appendPlace writes a reservation and how many are ahead of it.
func (x *exchange) appendPlace(dst []byte, r *engine.Reservation, ahead int) []byte {
	dst = x.appendFor(dst, r)
	dst = strconv.AppendInt(append(dst[:len(dst)-1], `,"ahead":`...), int64(ahead), 10)
	return append(dst, '}')
}

// getWait is a party's own place on the list.
func (s *Server) getWait(x *exchange) {
	v, r := x.subject()
	if r == nil {
		return
	}
	ahead := 0
	if r.Status == engine.StatusWaiting {
		ahead = v.Ahead(r)
	}
	x.etag(r.Version)
	x.buf = x.appendPlace(x.buf[:0], r, ahead)
	x.buf = append(appendWaits(x.buf[:len(x.buf)-1], v.WaitsFor(r)), '}')
	x.reply(200)
}

type quoteJSON struct {
	WaitMinutes *int `json:"wait_minutes"` // after the wished start; null: that day has no table
	Ahead       int  `json:"ahead"`
}

// getQuote says what a party would be told if it joined now.
func (s *Server) getQuote(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	want, guests, area, t := x.quoteQuery()
	if t != nil {
		x.trouble(t)
		return
	}
	v := x.restaurant(restaurant)
	if v == nil {
		return
	}
	minutes, ahead, out := v.Quote(engine.Instant(x.now.UnixMilli()), want, guests, area)
	if out.Code != engine.CodeOK {
		x.refuse(&out)
		return
	}
	q := quoteJSON{Ahead: ahead}
	if minutes >= 0 {
		q.WaitMinutes = &minutes
	}
	x.send(200, q)
}

func (x *exchange) quoteQuery() (want engine.When, guests int, area string, t *trouble) {
	if t = x.query("date", "time", "guests_count", "area"); t != nil {
		return
	}
	args := x.ctx.QueryArgs()
	if args.Has("date") || args.Has("time") {
		if want, t = x.queryStart(); t != nil {
			return
		}
	}
	if guests, t = x.guests(string(args.Peek("guests_count"))); t == nil {
		area = string(args.Peek("area"))
		t = checkText("area", area, maxName, false)
	}
	return
}

// postOffer offers a table before it is a party's turn.
func (s *Server) postOffer(x *exchange) {
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	id := strings.Clone(x.param)
	x.amend(restaurant, &engine.OfferTable{ID: engine.ReservationID(id)}, canonical(nil, id), false)
}
