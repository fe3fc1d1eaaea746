package edge

import (
	"strings"
	"time"

	"maitred/engine"
)

type (
	explanationJSON struct {
		Date          string            `json:"date"`
		TimeSlot      string            `json:"time_slot"`
		StartsAt      string            `json:"starts_at"`
		EndsAt        string            `json:"ends_at"`
		FreeAgainAt   string            `json:"free_again_at"`
		Shift         string            `json:"shift"`
		TurnMinutes   int               `json:"turn_minutes"`
		BufferMinutes int               `json:"buffer_minutes"`
		Offered       bool              `json:"offered"`
		Reason        string            `json:"reason"` // ok, or the code that a booking would be refused with
		Pacing        paceJSON          `json:"pacing"`
		TableIDs      []string          `json:"table_ids"` // where the party would sit
		Tables        []tableVerdict    `json:"tables"`
		Combinations  []combinedVerdict `json:"combinations"`
	}
	paceJSON struct {
		From          string `json:"from"`
		Until         string `json:"until"`
		Covers        int    `json:"covers"`
		Parties       int    `json:"parties"`
		OnlineCovers  int    `json:"online_covers"`
		OnlineParties int    `json:"online_parties"`
	}
	tableVerdict struct {
		ID           string   `json:"id"`
		TableNumber  string   `json:"table_number"`
		Capacity     int      `json:"capacity"`
		MinCapacity  int      `json:"min_capacity"`
		Reason       string   `json:"reason"`
		Reservations []string `json:"reservations"` // who has it then
	}
	combinedVerdict struct {
		TableIDs []string `json:"table_ids"`
		MinParty int      `json:"min_party"`
		MaxParty int      `json:"max_party"`
		Reason   string   `json:"reason"`
	}
)

// getExplanation says to staff what each rule and table makes of a time.
func (s *Server) getExplanation(x *exchange) {
	q, t := x.question()
	if t != nil {
		x.trouble(t)
		return
	}
	_, v := x.inside(engine.RoleHost)
	if v == nil {
		return
	}
	e, code, field := v.Explain(engine.Instant(x.now.UnixMilli()), q)
	if code != engine.CodeOK {
		x.refuse(&engine.Outcome{Code: code, Field: field})
		return
	}
	x.send(200, explanationOf(&e))
}

func (x *exchange) question() (q engine.Question, t *trouble) {
	if t = x.query("date", "time", "guests_count", "area", "as"); t != nil {
		return q, t
	}
	args := x.ctx.QueryArgs()
	get := func(name string) string { return string(args.Peek(name)) }
	if q.When, t = x.queryStart(); t != nil {
		return q, t
	}
	if q.Guests, t = x.guests(get("guests_count")); t != nil {
		return q, t
	}
	q.Area = get("area")
	if t = checkText("area", q.Area, maxName, false); t != nil {
		return q, t
	}
	switch get("as") {
	case "", "guest":
	case "staff":
		q.Staff = true
	default:
		return q, wrong("as", "guest or staff")
	}
	return q, nil
}

// queryStart reads the parameters date and time.
func (x *exchange) queryStart() (engine.When, *trouble) {
	args := x.ctx.QueryArgs()
	start, t := when(string(args.Peek("date")), string(args.Peek("time")), "")
	if t != nil && t.field == "time_slot" {
		t = wrong("time", "HH:MM, 00:00 to 23:59")
	}
	return start, t
}

func explanationOf(e *engine.Explanation) *explanationJSON {
	zone := time.FixedZone("", int(offset(e.Day, e.LocalMin, e.StartsAt)))
	instant := func(at int64) string { return time.Unix(at, 0).In(zone).Format(time.RFC3339) }
	clock := func(m int) string { return string(appendClock(nil, m)) }
	out := &explanationJSON{
		Date: e.Day.String(), TimeSlot: clock(e.LocalMin), StartsAt: instant(e.StartsAt), EndsAt: instant(e.EndsAt), FreeAgainAt: instant(e.FreeAgainAt),
		Shift: e.Shift, TurnMinutes: e.TurnMin, BufferMinutes: e.BufferMin, Offered: e.Code == engine.CodeOK, Reason: e.Code.String(),
		Pacing:   paceJSON{clock(e.PaceFrom), clock(e.PaceUntil), e.Pace.Covers, e.Pace.Parties, e.Pace.OnlineCovers, e.Pace.OnlineParties},
		TableIDs: texts(e.Chosen), Tables: []tableVerdict{}, Combinations: []combinedVerdict{},
	}
	for _, t := range e.Tables {
		out.Tables = append(out.Tables, tableVerdict{string(t.Table.ID), t.Table.Number, t.Table.Capacity, t.Table.MinCapacity, t.Reason.String(), texts(t.By)})
	}
	for _, c := range e.Combinations {
		out.Combinations = append(out.Combinations, combinedVerdict{texts(c.Tables), c.MinParty, c.MaxParty, c.Reason.String()})
	}
	return out
}

// texts are ids as JSON has them: a list also when there is none.
func texts[T ~string](ids []T) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strings.Clone(string(id))
	}
	return out
}
