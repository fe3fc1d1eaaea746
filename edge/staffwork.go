package edge

import (
	"strconv"
	"strings"

	"maitred/engine"
)

type tablesRequest struct {
	TableIDs []string `json:"table_ids"`
	Override string   `json:"override"`
}

type noteRequest struct {
	Note *string `json:"note"`
}

// putTables puts a party at the tables that staff name.
func (s *Server) putTables(x *exchange) {
	var w tablesRequest
	t := decode(x.body(), &w)
	if t == nil {
		t = checkTables(&w)
	}
	body := &engine.AssignTables{Override: w.Override}
	for _, id := range w.TableIDs {
		body.Tables = append(body.Tables, engine.TableID(id))
	}
	x.staffWork(t, &w, true, func(id engine.ReservationID) engine.Body { body.ID = id; return body })
}

func checkTables(w *tablesRequest) *trouble {
	if len(w.TableIDs) < 1 || len(w.TableIDs) > engine.MaxTablesPerParty {
		return wrong("table_ids", "1 to "+strconv.Itoa(engine.MaxTablesPerParty))
	}
	for _, id := range w.TableIDs {
		if !fitsID(id) {
			return wrong("table_ids", "not an id")
		}
	}
	return checkOverride(w.Override)
}

func checkOverride(reason string) *trouble { return checkBytes("override", reason, engine.MaxOverride) }

// checkBytes is checkText for what the engine bounds in bytes.
func checkBytes(field, s string, most int) *trouble {
	if len(s) > most {
		return wrong(field, "at most "+strconv.Itoa(most)+" bytes")
	}
	return checkText(field, s, most, true)
}

// putNote replaces what staff note for each other.
func (s *Server) putNote(x *exchange) {
	var w noteRequest
	t := decode(x.body(), &w)
	switch {
	case t != nil:
	case w.Note == nil:
		t = wrong("note", "a text, which may be empty")
	default:
		t = checkBytes("note", *w.Note, engine.MaxNote)
	}
	x.staffWork(t, &w, false, func(id engine.ReservationID) engine.Body { return &engine.Annotate{ID: id, Note: *w.Note} })
}

// staffWork sends a command about the reservation that the path names, and answers with it.
func (x *exchange) staffWork(t *trouble, w any, needsMatch bool, body func(engine.ReservationID) engine.Body) {
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	id := strings.Clone(x.param)
	cmd := x.command(t, string(restaurant), id, w, needsMatch)
	if cmd == nil {
		return
	}
	cmd.Body = body(engine.ReservationID(id))
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.answerReservation(200, out.Reservation)
	}
}

// appendFor writes a reservation as the caller may see it. Who is not its guest is staff: nobody else sees it at all.
func (x *exchange) appendFor(dst []byte, r *engine.Reservation) []byte {
	dst = appendReservation(dst, r)
	if x.caller == nil || r.Guest == x.caller.account {
		return dst
	}
	return append(appendStaffWork(dst[:len(dst)-1], r), '}')
}

// appendStaffWork writes what only staff see, with a comma before each.
func appendStaffWork(dst []byte, r *engine.Reservation) []byte {
	if r.Note != "" {
		dst = appendString(append(dst, `,"note":`...), r.Note)
	}
	o := r.Override
	if o == nil || o.Reason == "" {
		return dst
	}
	dst = appendString(append(dst, `,"override":{"reason":`...), o.Reason)
	dst = append(dst, `,"lifted":[`...)
	for i, code := range o.Lifted {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, code.String())
	}
	return append(dst, "]}"...)
}

// appendObstacles writes what stands in the way of staff, with a comma before.
func appendObstacles(dst []byte, list []engine.Obstacle) []byte {
	dst = append(dst, `,"conflicts":[`...)
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendObstacle(dst, &list[i])
	}
	return append(dst, ']')
}

func appendObstacle(dst []byte, o *engine.Obstacle) []byte {
	dst = appendString(append(dst, `{"table_id":`...), string(o.Table))
	dst = appendString(append(dst, `,"table_number":`...), o.Number)
	dst = appendString(append(dst, `,"reason":`...), o.Reason.String())
	if o.From != 0 {
		dst = appendInstant(append(dst, `,"from":"`...), o.From, 0)
		dst = append(appendInstant(append(dst, `","until":"`...), o.Until, 0), '"')
	}
	if o.Reservation != "" {
		dst = appendString(append(dst, `,"reservation_id":`...), string(o.Reservation))
		dst = strconv.AppendInt(append(dst, `,"guests_count":`...), int64(o.Guests), 10)
		dst = appendString(append(dst, `,"status":`...), engine.StatusName(o.Status))
		dst = strconv.AppendInt(append(dst, `,"buffer_minutes":`...), int64(o.BufferMin), 10)
	}
	return append(dst, '}')
}
