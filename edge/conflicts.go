package edge

import "maitred/engine"

type conflictJSON struct {
	ReservationID string   `json:"reservation_id"`
	Date          string   `json:"date"`
	TimeSlot      string   `json:"time_slot"`
	GuestsCount   int      `json:"guests_count"`
	Status        string   `json:"status"`
	TableIDs      []string `json:"table_ids"`
	Reasons       []string `json:"reasons"`
}

type conflictsJSON struct {
	Items []conflictJSON `json:"items"`
	More  bool           `json:"more"` // there are others behind these
}

// getConflicts lists to staff the reservations ahead that a change of hours, tables or rules has left without their ground.
func (s *Server) getConflicts(x *exchange) {
	if t := x.query(); t != nil {
		x.trouble(t)
		return
	}
	_, v := x.inside(engine.RoleHost)
	if v == nil {
		return
	}
	list, more := v.Conflicts(engine.Instant(x.now.UnixMilli()), maxConflicts)
	out := conflictsJSON{Items: []conflictJSON{}, More: more}
	for _, c := range list {
		r := c.Reservation
		j := conflictJSON{ReservationID: string(r.ID), Date: r.Day.String(), TimeSlot: string(appendClock(nil, r.LocalMin)), GuestsCount: r.GuestsCount,
			Status: engine.StatusName(r.Status), TableIDs: texts(r.Tables)}
		for _, reason := range c.Reasons {
			j.Reasons = append(j.Reasons, reason.String())
		}
		out.Items = append(out.Items, j)
	}
	x.send(200, out)
}
