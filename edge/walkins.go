package edge

import "maitred/engine"

type walkInRequest struct {
	GuestsCount     int         `json:"guests_count"`
	SpecialRequests string      `json:"special_requests"`
	TableID         string      `json:"table_id"`
	Area            string      `json:"area"`
	Contact         contactJSON `json:"contact"`
}

func checkWalkIn(w *walkInRequest) *trouble {
	if t := checkParty("guests_count", w.GuestsCount); t != nil {
		return t
	}
	if t := checkText("special_requests", w.SpecialRequests, maxText, true); t != nil {
		return t
	}
	if w.TableID != "" && !fitsID(w.TableID) {
		return wrong("table_id", "not an id")
	}
	if t := checkText("area", w.Area, maxName, false); t != nil {
		return t
	}
	return checkContact(&w.Contact)
}

// postWalkIn seats a party that stands at the door.
func (s *Server) postWalkIn(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	var w walkInRequest
	t := decode(x.body(), &w)
	if t == nil {
		t = checkWalkIn(&w)
	}
	cmd := x.command(t, string(restaurant), string(restaurant), &w, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.SeatWalkIn{ID: engine.MakeReservationID(restaurant, s.mint.uint64()), GuestsCount: w.GuestsCount, SpecialRequests: w.SpecialRequests,
		Table: engine.TableID(w.TableID), Area: w.Area, Contact: engine.Contact{Name: w.Contact.Name, Phone: w.Contact.Phone, Email: w.Contact.Email}}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.location(reservationsPath+"/", string(out.Reservation.ID))
		x.answerReservation(201, out.Reservation)
	}
}
