package edge

import (
	"strings"

	"maitred/engine"
)

type holdRequest struct {
	RestaurantID string      `json:"restaurant_id"`
	Date         string      `json:"date"`
	TimeSlot     string      `json:"time_slot"`
	StartsAt     string      `json:"starts_at"`
	GuestsCount  int         `json:"guests_count"`
	TableID      string      `json:"table_id"`
	Area         string      `json:"area"`
	Contact      contactJSON `json:"contact"`
	Replaces     string      `json:"replaces"`
}

type confirmRequest struct {
	SpecialRequests *string `json:"special_requests"`
}

// postHold keeps tables for a guest who is still writing.
func (s *Server) postHold(x *exchange) {
	var w holdRequest
	t := decode(x.body(), &w)
	var body *engine.Hold
	if t == nil {
		body, t = holdOf(&w)
	}
	cmd := x.command(t, w.RestaurantID, w.RestaurantID, &w, false)
	if cmd == nil {
		return
	}
	restaurant := engine.RestaurantID(w.RestaurantID)
	body.ID = engine.MakeReservationID(restaurant, s.mint.uint64())
	cmd.Body = body
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.location(api+"/holds/", string(out.Reservation.ID))
		x.answerHold(201, out.Reservation, out.Waits)
	}
}

func holdOf(w *holdRequest) (*engine.Hold, *trouble) {
	if !engine.IsRestaurantID(w.RestaurantID) {
		if !fitsID(w.RestaurantID) {
			return nil, wrong("restaurant_id", "an id is needed")
		}
		return nil, refusal(kindNotFound)
	}
	want, t := when(w.Date, w.TimeSlot, w.StartsAt)
	if t == nil {
		t = checkWalkIn(&walkInRequest{GuestsCount: w.GuestsCount, TableID: w.TableID, Area: w.Area, Contact: w.Contact})
	}
	if t == nil && w.Replaces != "" && !fitsID(w.Replaces) {
		t = wrong("replaces", "not an id")
	}
	return &engine.Hold{Want: want, GuestsCount: w.GuestsCount, Table: engine.TableID(w.TableID), Area: w.Area, Replaces: engine.ReservationID(w.Replaces),
		Contact: engine.Contact{Name: w.Contact.Name, Phone: w.Contact.Phone, Email: w.Contact.Email}}, t
}

// confirmHold makes a booking of a hold.
func (s *Server) confirmHold(x *exchange) {
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	var w confirmRequest
	t := decodeOptional(x.body(), &w)
	if t == nil {
		t = checkText("special_requests", text(w.SpecialRequests), maxText, true)
	}
	id := strings.Clone(x.param)
	cmd := x.command(t, string(restaurant), id, &w, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.ConfirmHold{ID: engine.ReservationID(id), SpecialRequests: w.SpecialRequests}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		s.metrics.created.Inc()
		x.answerReservation(200, out.Reservation)
	}
}

// deleteHold lets go.
func (s *Server) deleteHold(x *exchange) {
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	id := strings.Clone(x.param)
	cmd := x.command(nil, string(restaurant), id, struct{}{}, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.Transition{ID: engine.ReservationID(id), Action: engine.ActionRelease}
	if x.do(engine.AggregateID(restaurant), cmd) != nil {
		x.empty()
	}
}
