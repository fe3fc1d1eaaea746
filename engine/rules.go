package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// Rules are what a house says of its book beyond opening hours and tables. Immutable. Zero values mean no limit, or the default that
// is named.
type Rules struct {
	Version      Version // 1 = never set
	MinNoticeMin int     // minutes from now to the start, for guests; 0–MaxNoticeMin
	HorizonDays  int     // × 24 h from now to the start, 1–MaxHorizonDays; 0 = HorizonDays
	BufferMin    int     // minutes after a party for which its table stays free, 0–MaxBufferMin by 5
	NoShowMin    int     // minutes after its start at which a party has not come, 5–MaxNoShowMin; 0 = 30
	PausedUntil  Instant // guests may not book before; 0 = not paused
	TurnTimes    []TurnTime
	Pacing       Pacing
	SpecialDays  []SpecialDay // by day
	Combinations []Combination
	Cancellation Policy
	Approval     Approval
	HoldMin      int // minutes that a hold lasts, 1–MaxHoldMin; 0 = DefaultHoldMin
	ApprovalFrom int // guests: with ApprovalLarge parties of so many and more wait; 0 with the others
	OfferMin     int // minutes that an offer to a waiting party lasts, 1–MaxHoldMin; 0 = DefaultOfferMin
}

// waits reports whether a guest's booking for so many waits for the house.
func (r *Rules) waits(guests int) bool {
	return r.Approval == ApprovalManual || r.Approval == ApprovalLarge && guests >= r.ApprovalFrom
}

// Combination is two tables or more that are pushed together for one party. Whoever sits there holds all of them.
type Combination struct {
	Tables             []TableID
	MinParty, MaxParty int // at most what the tables seat
}

// TurnTime is how long parties of MinParty to MaxParty keep their table. One for days counts before one for a shift, that before one
// for neither, and that before the default (DefaultTurnMin). Those of equal standing must not meet.
type TurnTime struct {
	MinParty, MaxParty int
	Minutes            int    // MinTurnMin–MaxTurnMin by 5
	Shift              string // only in shifts of that name; empty = in all
	From, To           Day    // only on these service days, To included; both 0 = on all
}

// Pacing bounds the guests and the parties who may start in one window; 0 = no bound. Windows begin at midnight of the service day and
// are half-open. Everybody counts who holds a table or has left it; guests must keep both pairs, staff the first.
type Pacing struct {
	WindowMin                   int // minutes, 5–MaxPacingWindow by 5; 0 = DefaultPacingWindow
	Covers, Parties             int
	OnlineCovers, OnlineParties int // of parties that guests booked themselves
}

// SpecialDay has other shifts than its weekday, or none.
type SpecialDay struct {
	Day    Day
	Shifts []OpeningHours // their Days mean nothing, and are allDays
	Note   string
}

// RulesChange changes what is not nil.
type RulesChange struct {
	MinNoticeMin, HorizonDays, BufferMin, NoShowMin *int
	PausedUntil                                     *Instant
	TurnTimes                                       *[]TurnTime
	Pacing                                          *Pacing
	SpecialDays                                     *[]SpecialDay
	Combinations                                    *[]Combination
	Cancellation                                    *Policy
	Approval                                        *Approval
	ApprovalFrom, HoldMin, OfferMin                 *int
}

// neverSet is what holds where nobody has said anything.
var neverSet = &Rules{Version: 1}

// merge lays what is given over r.
func (c *RulesChange) merge(r *Rules) {
	set(&r.MinNoticeMin, c.MinNoticeMin)
	set(&r.HorizonDays, c.HorizonDays)
	set(&r.BufferMin, c.BufferMin)
	set(&r.NoShowMin, c.NoShowMin)
	set(&r.PausedUntil, c.PausedUntil)
	set(&r.TurnTimes, c.TurnTimes)
	set(&r.Pacing, c.Pacing)
	set(&r.SpecialDays, c.SpecialDays)
	set(&r.Combinations, c.Combinations)
	set(&r.Cancellation, c.Cancellation)
	set(&r.Approval, c.Approval)
	set(&r.ApprovalFrom, c.ApprovalFrom)
	set(&r.HoldMin, c.HoldMin)
	set(&r.OfferMin, c.OfferMin)
}

// settle puts the rules into their canonical form and names the first member that is nonsense, or contradicts another one or the shifts
// of the week; "" when there is none.
func (r *Rules) settle(weekly []OpeningHours) string {
	r.TurnTimes, r.SpecialDays = slices.Clone(r.TurnTimes), slices.Clone(r.SpecialDays)
	slices.SortStableFunc(r.TurnTimes, compareTurns)
	slices.SortStableFunc(r.SpecialDays, func(a, b SpecialDay) int { return cmp.Compare(a.Day, b.Day) })
	switch {
	case r.HorizonDays < 0 || r.HorizonDays > MaxHorizonDays:
		return "horizon_days"
	case r.MinNoticeMin < 0 || r.MinNoticeMin > MaxNoticeMin || r.MinNoticeMin > r.horizonDays()*minutesPerDay:
		return "min_notice_minutes"
	case !within(r.BufferMin, 0, MaxBufferMin):
		return "buffer_minutes"
	case r.NoShowMin != 0 && (r.NoShowMin < minNoShowMin || r.NoShowMin > MaxNoShowMin):
		return "no_show_minutes"
	case r.HoldMin < 0 || r.HoldMin > MaxHoldMin:
		return "hold_minutes"
	case r.OfferMin < 0 || r.OfferMin > MaxHoldMin:
		return "offer_minutes"
	case ApprovalName(r.Approval) == "":
		return "approval"
	case r.Approval == ApprovalLarge && (r.ApprovalFrom < 1 || r.ApprovalFrom > maxParty) || r.Approval != ApprovalLarge && r.ApprovalFrom != 0:
		return "approval_from"
	case r.PausedUntil < 0 || r.PausedUntil > lastInstant:
		return "paused_until"
	}
	if field := cmp.Or(r.Pacing.fault(), r.Cancellation.fault()); field != "" {
		return field
	}
	if field := settleSpecialDays(r.SpecialDays); field != "" {
		return field
	}
	return r.turnFault(weekly)
}

// within reports whether minutes lie on ticks between two bounds.
func within(minutes, least, most int) bool {
	return minutes >= least && minutes <= most && minutes%MinGridMin == 0
}

func (p *Pacing) fault() string {
	for _, b := range [...]struct {
		field string
		n     int
	}{{"covers", p.Covers}, {"parties", p.Parties}, {"online_covers", p.OnlineCovers}, {"online_parties", p.OnlineParties}} {
		if b.n < 0 || b.n > MaxPacing {
			return "pacing." + b.field
		}
	}
	switch {
	case p.WindowMin != 0 && !within(p.WindowMin, MinGridMin, MaxPacingWindow):
		return "pacing.window_minutes"
	case p.Covers != 0 && p.OnlineCovers > p.Covers:
		return "pacing.online_covers"
	case p.Parties != 0 && p.OnlineParties > p.Parties:
		return "pacing.online_parties"
	}
	return ""
}

func settleSpecialDays(list []SpecialDay) string {
	if len(list) > MaxSpecialDays {
		return "special_days"
	}
	for i := range list {
		d := &list[i]
		d.Shifts = slices.Clone(d.Shifts)
		for j := range d.Shifts {
			d.Shifts[j].Days = allDays
		}
		sortShifts(d.Shifts)
		switch {
		case d.Day <= 0 || d.Day > lastDay || i > 0 && list[i-1].Day == d.Day:
			return "special_days.date"
		case !text(d.Note, MaxName):
			return "special_days.note"
		case len(d.Shifts) > MaxShifts || slices.ContainsFunc(d.Shifts, OpeningHours.nonsense) || overlap(d.Shifts):
			return "special_days.shifts"
		}
	}
	return ""
}

func compareTurns(a, b TurnTime) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Shift, b.Shift), cmp.Compare(a.MinParty, b.MinParty),
		cmp.Compare(a.MaxParty, b.MaxParty), cmp.Compare(a.Minutes, b.Minutes))
}

// turnFault looks for turn times that cannot be, name no shift, or meet another one of equal standing.
func (r *Rules) turnFault(weekly []OpeningHours) string {
	if len(r.TurnTimes) > MaxTurnTimes {
		return "turn_times"
	}
	for i := range r.TurnTimes {
		t := &r.TurnTimes[i]
		switch {
		case t.MinParty < 1 || t.MaxParty < t.MinParty || t.MaxParty > maxParty:
			return "turn_times.max_party"
		case !within(t.Minutes, MinTurnMin, MaxTurnMin):
			return "turn_times.minutes"
		case t.From < 0 || t.To < t.From || t.To > lastDay || (t.From == 0) != (t.To == 0):
			return "turn_times.to_date"
		case t.Shift != "" && !r.named(t.Shift, weekly):
			return "turn_times.shift"
		case slices.ContainsFunc(r.TurnTimes[:i], t.meets):
			return "turn_times"
		}
	}
	return ""
}

// meets reports whether two turn times of equal standing say something of the same party.
func (t *TurnTime) meets(o TurnTime) bool {
	if (t.From == 0) != (o.From == 0) || t.From == 0 && t.Shift != o.Shift {
		return false
	}
	return t.MinParty <= o.MaxParty && o.MinParty <= t.MaxParty && t.From <= o.To && o.From <= t.To &&
		(t.Shift == "" || o.Shift == "" || t.Shift == o.Shift)
}

// named reports whether some shift has that name.
func (r *Rules) named(shift string, weekly []OpeningHours) bool {
	is := func(h OpeningHours) bool { return h.Name == shift }
	return slices.ContainsFunc(weekly, is) ||
		slices.ContainsFunc(r.SpecialDays, func(d SpecialDay) bool { return slices.ContainsFunc(d.Shifts, is) })
}

// special is the special day of that date; nil when it is an ordinary one.
func (r *Rules) special(day Day) *SpecialDay {
	i, found := slices.BinarySearchFunc(r.SpecialDays, day, func(d SpecialDay, day Day) int { return cmp.Compare(d.Day, day) })
	if !found {
		return nil
	}
	return &r.SpecialDays[i]
}

func (r *Rules) horizonDays() int { return cmp.Or(r.HorizonDays, HorizonDays) }

// horizon is the last start that may be booked at now, Unix milliseconds.
func (r *Rules) horizon(now Instant) int64 {
	return int64(now) + int64(r.horizonDays())*minutesPerDay*60*msPerSec
}

func (r *Rules) holdMs() int64 { return int64(cmp.Or(r.HoldMin, DefaultHoldMin)) * 60 * msPerSec }

func (r *Rules) offerMs() int64 { return int64(cmp.Or(r.OfferMin, DefaultOfferMin)) * 60 * msPerSec }

func (r *Rules) noShowMs() int64 { return int64(cmp.Or(r.NoShowMin, DefaultNoShowMin)) * 60 * msPerSec }

// turnMin is how long a party of that size keeps its table, in minutes, when it starts on that day in a shift of that name.
func (r *Rules) turnMin(guests int, day Day, shift string) int {
	best, standing := DefaultTurnMin(guests), 0
	for i := range r.TurnTimes {
		t := &r.TurnTimes[i]
		if guests < t.MinParty || guests > t.MaxParty || t.Shift != "" && t.Shift != shift || t.From != 0 && (day < t.From || day > t.To) {
			continue
		}
		s := 1
		if t.Shift != "" {
			s = 2
		}
		if t.From != 0 {
			s = 3
		}
		if s > standing {
			best, standing = t.Minutes, s
		}
	}
	return best
}

// DefaultTurnMin is how long a party keeps its table where the house says nothing else, in minutes.
func DefaultTurnMin(guests int) int {
	switch {
	case guests <= 2:
		return 90
	case guests <= 4:
		return 105
	case guests <= 6:
		return 120
	}
	return 150
}

func (d *decision) setRules(c *SetRules) Outcome {
	old := d.rules
	switch {
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Rules: old}
	}
	next := *old
	c.Change.merge(&next)
	if field := cmp.Or(next.settle(d.info.OpeningHours), d.floor.combinationFault(next.Combinations)); field != "" {
		return invalid(field)
	}
	next.Version++
	d.emit(&enginepb.Event_RulesSet{RulesSet: &enginepb.RulesSet{Rules: next.proto()}})
	attach(d.cmd, d.events, rulesSubject, CodeOK)
	return Outcome{Code: CodeOK, Rules: &next}
}

// rulesSubject is what the receipts of SetRules are about.
const rulesSubject = "rules"
