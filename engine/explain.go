package engine

import "slices"

// Question is what staff ask about a time: would such a party be seated, and why not.
type Question struct {
	When   When
	Guests int
	Area   string // empty = anywhere
	Staff  bool   // as if staff booked it; else as a guest would see it
}

// Explanation says what every rule and every table makes of a question.
type Explanation struct {
	Day                 Day
	LocalMin            int    // minutes after midnight of Day
	StartsAt, EndsAt    int64  // Unix seconds
	FreeAgainAt         int64  // Unix seconds: after the buffer
	Shift               string // by name; empty also when there is none
	Code                Code   // CodeOK, or what a booking would be refused with
	Pace                Pace
	Tables              []TableVerdict       // by number
	Combinations        []CombinationVerdict // in the order in which they are tried
	Chosen              []TableID            // nil unless CodeOK
	TurnMin, BufferMin  int
	PaceFrom, PaceUntil int // the window, minutes after midnight of Day
}

// Pace is who starts in a window so far.
type Pace struct{ Covers, Parties, OnlineCovers, OnlineParties int }

// Reason says why a table or combination is not for a party.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	ReasonFree Reason = iota
	ReasonOutOfService
	ReasonPartyTooSmall // below its least party
	ReasonPartyTooLarge
	ReasonChannel // kept for others
	ReasonArea    // elsewhere, or in several areas
	ReasonBlocked // out of service then
	ReasonTaken
)

var reasonNames = [...]string{"free", "out_of_service", "party_too_small", "party_too_large", "channel", "area", "blocked", "taken"}

// String is the reason as the API spells it.
func (r Reason) String() string { return reasonNames[r] }

// TableVerdict is what becomes of a table.
type TableVerdict struct {
	Table  *Table
	Reason Reason
	By     []ReservationID // who has it then, by start; only with ReasonTaken
}

// CombinationVerdict is what becomes of a combination.
type CombinationVerdict struct {
	Tables             []TableID
	MinParty, MaxParty int
	Reason             Reason
}

// Explain answers a question. CodeInvalid with a field when the question is nonsense, else CodeOK. now is raised to the time of the last
// event, as in Decide.
func (v *RestaurantView) Explain(now Instant, w Question) (e Explanation, code Code, field string) {
	if b, over := v.at(max(now, v.last)); len(over) > 0 {
		v = &RestaurantView{*b}
	}
	if w.Guests < 1 {
		return e, CodeInvalid, "guests_count"
	}
	if !v.floor.hasArea(w.Area) {
		return e, CodeInvalid, "area"
	}
	p, code, field := v.locate(w.When)
	if code != CodeOK {
		return e, code, field
	}
	q := &search{now: max(now, v.last), guests: w.Guests, staff: w.Staff, area: w.Area}
	e = Explanation{Day: p.day, LocalMin: p.local, StartsAt: p.at, Shift: p.shift, BufferMin: v.rules.BufferMin}
	var held span
	e.EndsAt, held = v.stay(p, w.Guests)
	e.TurnMin, e.FreeAgainAt = int(e.EndsAt-p.at)/60, e.EndsAt+int64(e.BufferMin)*60
	v.explainPace(&e)
	taken := v.taken(held, nil)
	v.explainTables(&e, q, held, &taken)
	e.Code = v.judge(q, p)
	switch {
	case e.Code != CodeOK:
	case !v.everFits(w.Guests):
		e.Code = CodePartyTooLarge
	case !v.paced(q, p):
		e.Code = CodePacingLimit
	default:
		if e.Chosen = v.seat(q, wish{span: held, table: -1}); e.Chosen == nil {
			e.Code = CodeSlotUnavailable
		}
	}
	return e, CodeOK, ""
}

func (b *book) explainPace(e *Explanation) {
	var count pace
	b.paceOf(e.Day, "", &count)
	window := b.rules.Pacing.window()
	w := count[e.LocalMin/window]
	e.Pace = Pace{int(w.covers), int(w.parties), int(w.onlineCovers), int(w.onlineParties)}
	e.PaceFrom = e.LocalMin / window * window
	e.PaceUntil = e.PaceFrom + window
}

func (b *book) explainTables(e *Explanation, q *search, held span, taken *mask) {
	var blocked mask
	b.floor.blockedIn(held, &blocked)
	for _, t := range b.floor.list {
		slot := b.floor.slot(t.ID)
		v := TableVerdict{Table: t, Reason: q.reason(t.InService, t.MinCapacity, t.Capacity, t.Channel, q.area == "" || t.Location == q.area)}
		switch {
		case v.Reason != ReasonFree:
		case blocked.has(slot):
			v.Reason = ReasonBlocked
		case taken.has(slot):
			v.Reason, v.By = ReasonTaken, idsOf(b.holders(t.ID, e.Day, held))
		}
		e.Tables = append(e.Tables, v)
	}
	for i := range b.combos {
		c := &b.combos[i]
		v := CombinationVerdict{c.ids, c.min, c.max, q.reason(c.served, c.min, c.max, c.channel, q.area == "" || !c.mixed && c.area == q.area)}
		if v.Reason == ReasonFree && c.meets(taken, maskWords) {
			v.Reason = ReasonTaken
		}
		e.Combinations = append(e.Combinations, v)
	}
}

func (q *search) reason(served bool, least, most int, c Channel, there bool) Reason {
	switch {
	case !served:
		return ReasonOutOfService
	case q.guests < least:
		return ReasonPartyTooSmall
	case q.guests > most:
		return ReasonPartyTooLarge
	case !q.books(c):
		return ReasonChannel
	case !there:
		return ReasonArea
	}
	return ReasonFree
}

// holders are those who have a table in a span: of the service day and its neighbours, where a shift past midnight or a long stay may reach.
func (b *book) holders(t TableID, day Day, held span) (list []*Reservation) {
	for d := day - 2; d <= day+2; d++ {
		s, ok := b.sheets.get(dayKey(d))
		if !ok {
			continue
		}
		for _, r := range s.list {
			if h := r.held(); blocks(r.Status) && h.from < held.to && held.from < h.to && slices.Contains(r.Tables, t) {
				list = append(list, r)
			}
		}
	}
	return list
}

func idsOf(list []*Reservation) (ids []ReservationID) {
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}
