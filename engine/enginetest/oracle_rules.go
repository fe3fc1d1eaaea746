package enginetest

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"maitred/engine"
)

func (b *Book) rules() engine.Rules {
	if b.Rules == nil {
		return engine.Rules{Version: 1}
	}
	return *b.Rules
}

func (b *Book) setRules(cmd *engine.Command, c *engine.SetRules) (engine.Outcome, string, int) {
	old := b.rules()
	switch {
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Rules: &old}, "", 0
	}
	next := old
	next.Version++
	for to, from := range map[*int]*int{&next.MinNoticeMin: c.Change.MinNoticeMin, &next.HorizonDays: c.Change.HorizonDays,
		&next.BufferMin: c.Change.BufferMin, &next.NoShowMin: c.Change.NoShowMin,
		&next.HoldMin: c.Change.HoldMin, &next.OfferMin: c.Change.OfferMin} {
		if from != nil {
			*to = *from
		}
	}
	if c.Change.PausedUntil != nil {
		next.PausedUntil = *c.Change.PausedUntil
	}
	if c.Change.TurnTimes != nil {
		next.TurnTimes = *c.Change.TurnTimes
	}
	if c.Change.Pacing != nil {
		next.Pacing = *c.Change.Pacing
	}
	if c.Change.SpecialDays != nil {
		next.SpecialDays = *c.Change.SpecialDays
	}
	if c.Change.Combinations != nil {
		next.Combinations = *c.Change.Combinations
	}
	if c.Change.Cancellation != nil {
		next.Cancellation = *c.Change.Cancellation
	}
	if c.Change.Approval != nil {
		next.Approval = *c.Change.Approval
	}
	if c.Change.ApprovalFrom != nil {
		next.ApprovalFrom = *c.Change.ApprovalFrom
	}
	if f := b.settleRules(&next); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	b.Rules = &next
	return engine.Outcome{Code: engine.CodeOK, Rules: &next}, "rules", 1
}

// settleRules looks at what the generator may get wrong.
func (b *Book) settleRules(r *engine.Rules) string {
	r.TurnTimes, r.SpecialDays = slices.Clone(r.TurnTimes), slices.Clone(r.SpecialDays)
	slices.SortStableFunc(r.SpecialDays, func(x, y engine.SpecialDay) int { return int(x.Day) - int(y.Day) })
	slices.SortStableFunc(r.TurnTimes, func(x, y engine.TurnTime) int {
		for _, k := range [][2]int{{int(x.From), int(y.From)}, {int(x.To), int(y.To)}} {
			if k[0] != k[1] {
				return k[0] - k[1]
			}
		}
		if x.Shift != y.Shift {
			if x.Shift < y.Shift {
				return -1
			}
			return 1
		}
		for _, k := range [][2]int{{x.MinParty, y.MinParty}, {x.MaxParty, y.MaxParty}, {x.Minutes, y.Minutes}} {
			if k[0] != k[1] {
				return k[0] - k[1]
			}
		}
		return 0
	})
	horizon := r.HorizonDays
	if horizon == 0 {
		horizon = 90
	}
	switch p := r.Pacing; {
	case r.MinNoticeMin > horizon*1440:
		return "min_notice_minutes"
	case r.BufferMin%5 != 0:
		return "buffer_minutes"
	case r.Approval == engine.ApprovalLarge && r.ApprovalFrom == 0, r.Approval != engine.ApprovalLarge && r.ApprovalFrom != 0:
		return "approval_from"
	case p.Covers != 0 && p.OnlineCovers > p.Covers:
		return "pacing.online_covers"
	}
	if p := r.Cancellation; p.Currency == "" && p.LateFee+p.NoShowFee > 0 {
		return "cancellation.currency"
	}
	for i, d := range r.SpecialDays {
		if i > 0 && r.SpecialDays[i-1].Day == d.Day {
			return "special_days.date"
		}
		for j := range d.Shifts {
			d.Shifts[j].Days = 127
		}
		r.SpecialDays[i].Shifts = inOrder(d.Shifts)
		if crowded(d.Shifts) {
			return "special_days.shifts"
		}
	}
	if f := b.turnFault(r.TurnTimes, r.SpecialDays, b.Info.OpeningHours); f != "" {
		return f
	}
	return b.combinationFault(r.Combinations)
}

func (b *Book) combinationFault(list []engine.Combination) string {
	known := map[string]bool{}
	for _, c := range list {
		seats, names := 0, []string{}
		for _, id := range c.Tables {
			t := b.table(id)
			if t == nil {
				return "combinations.table_ids"
			}
			seats += t.Capacity
			names = append(names, string(id))
		}
		sort.Strings(names)
		set := fmt.Sprint(names)
		switch {
		case len(slices.Compact(names)) != len(c.Tables) || len(c.Tables) < 2:
			return "combinations.table_ids"
		case c.MinParty > c.MaxParty || c.MaxParty > seats:
			return "combinations.max_party"
		case known[set]:
			return "combinations.table_ids"
		}
		known[set] = true
	}
	return ""
}

// turnFault tries every party, day and shift that turn times may mean.
func (b *Book) turnFault(list []engine.TurnTime, special []engine.SpecialDay, weekly []engine.OpeningHours) string {
	var names []string
	for _, h := range weekly {
		names = append(names, h.Name)
	}
	for _, d := range special {
		for _, h := range d.Shifts {
			names = append(names, h.Name)
		}
	}
	for i, t := range list {
		if t.Shift != "" && !slices.Contains(names, t.Shift) {
			return "turn_times.shift"
		}
		for _, o := range list[:i] {
			if kind(o) != kind(t) {
				continue
			}
			for guests := 1; guests <= 20; guests++ {
				for day := min(t.From, o.From); day <= max(t.To, o.To); day++ {
					for _, shift := range append(names, "none") {
						if means(t, guests, day, shift) && means(o, guests, day, shift) {
							return "turn_times"
						}
					}
				}
			}
		}
	}
	return ""
}

// kind of a turn time: the higher wins.
func kind(t engine.TurnTime) int {
	switch {
	case t.From != 0:
		return 3
	case t.Shift != "":
		return 2
	}
	return 1
}

func means(t engine.TurnTime, guests int, day engine.Day, shift string) bool {
	return guests >= t.MinParty && guests <= t.MaxParty && (t.Shift == "" || t.Shift == shift) && (t.From == 0 || day >= t.From && day <= t.To)
}

// turn is how many seconds a party keeps its table.
func (b *Book) turn(guests int, s start) int64 {
	minutes := map[int]int64{1: 90, 2: 90, 3: 105, 4: 105, 5: 120, 6: 120}[guests]
	if minutes == 0 {
		minutes = 150
	}
	for k := 1; k <= 3; k++ {
		for _, t := range b.rules().TurnTimes {
			if kind(t) == k && means(t, guests, s.day, s.shift) {
				minutes = int64(t.Minutes)
			}
		}
	}
	return minutes * 60
}

func (b *Book) buffer() int64 { return int64(b.rules().BufferMin) * 60 }

// hours are the shifts of a day.
func (b *Book) hours(day engine.Day) (out []engine.OpeningHours) {
	for _, d := range b.rules().SpecialDays {
		if d.Day == day {
			return d.Shifts
		}
	}
	weekday := (int(time.Unix(int64(day)*86400, 0).UTC().Weekday()) + 6) % 7
	for _, h := range b.Info.OpeningHours {
		if h.Days>>weekday&1 != 0 {
			out = append(out, h)
		}
	}
	return out
}

// crowded reports whether two shifts seat at one minute of some day of two weeks.
func crowded(list []engine.OpeningHours) bool {
	seats := map[int]bool{}
	for day := range 14 {
		for _, h := range list {
			if h.Days>>(day%7)&1 == 0 {
				continue
			}
			for m := h.Open; m <= h.LastSeating; m++ {
				if seats[day*1440+m] {
					return true
				}
				seats[day*1440+m] = true
			}
		}
	}
	return false
}

// paced reports whether pacing lets one more party start at s.
func (b *Book) paced(s start, guests int, staff bool, except engine.ReservationID) bool {
	p := b.rules().Pacing
	window := p.WindowMin
	if window == 0 {
		window = 15
	}
	begin := s.local / window * window
	covers, parties, onlineCovers, onlineParties := guests, 1, guests, 1
	for _, r := range b.List {
		if r.ID == except || r.Day != s.day || r.LocalMin < begin || r.LocalMin >= begin+window || !holds(r.Status) && r.Status != engine.StatusCompleted {
			continue
		}
		covers += r.GuestsCount
		parties++
		if r.Guest != "" {
			onlineCovers += r.GuestsCount
			onlineParties++
		}
	}
	over := func(n, most int) bool { return most > 0 && n > most }
	return !over(covers, p.Covers) && !over(parties, p.Parties) &&
		(staff || !over(onlineCovers, p.OnlineCovers) && !over(onlineParties, p.OnlineParties))
}

func (b *Book) alternatives(now engine.Instant, s start, a ask) (out []engine.Alternative) {
	for away := engine.Day(0); away <= 3 && len(out) < 4; away++ {
		days := []engine.Day{s.day - away}
		if away > 0 {
			days = append(days, s.day+away)
		}
		var near []engine.Start
		for _, d := range days {
			near = append(near, b.availability(now, d, a)...)
		}
		sort.SliceStable(near, func(i, j int) bool {
			x, y := near[i].StartsAt-s.at, near[j].StartsAt-s.at
			if max(x, -x) != max(y, -y) {
				return max(x, -x) < max(y, -y)
			}
			return x < y
		})
		for _, n := range near {
			known := n.StartsAt == s.at || slices.ContainsFunc(out, func(a engine.Alternative) bool { return a.StartsAt == n.StartsAt })
			if n.Free > 0 && !known && len(out) < 4 {
				out = append(out, engine.Alternative{Day: n.Day, LocalMin: n.LocalMin, StartsAt: n.StartsAt})
			}
		}
	}
	return out
}
