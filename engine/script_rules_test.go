package engine_test

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// rules reads "notice=60 horizon=30 buffer=15 late=20 hold=5 offer=10 pause=TIME|- turn=1-2:90,3-4:120@Dinner,1-9:180/DATE..DATE pacing=WINDOW:COVERS:PARTIES:ONLINE
// COVERS:ONLINE PARTIES special=DATE:SHIFTS;DATE: combine=T1+T2:5-8,… approval=large_parties:8 policy=FREE MINUTES:LATE FEE:NO-SHOW FEE:CURRENCY".
func (s *script) rules(args map[string]string) engine.Body {
	c := &engine.SetRules{}
	for key, field := range map[string]**int{"notice": &c.Change.MinNoticeMin, "horizon": &c.Change.HorizonDays, "buffer": &c.Change.BufferMin, "late": &c.Change.NoShowMin,
		"hold": &c.Change.HoldMin, "offer": &c.Change.OfferMin} {
		if args[key] != "" {
			*field = new(s.number(args, key, 0))
		}
	}
	if p := args["pause"]; p == "-" {
		c.Change.PausedUntil = new(engine.Instant)
	} else if p != "" {
		at, err := time.Parse(time.RFC3339, p)
		require.NoError(s.t, err)
		c.Change.PausedUntil = new(engine.Instant(at.UnixMilli()))
	}
	if args["pacing"] != "" {
		p := new(engine.Pacing)
		_, err := fmt.Sscanf(args["pacing"], "%d:%d:%d:%d:%d", &p.WindowMin, &p.Covers, &p.Parties, &p.OnlineCovers, &p.OnlineParties)
		require.NoError(s.t, err)
		c.Change.Pacing = p
	}
	if list, given := args["turn"]; given {
		c.Change.TurnTimes = new([]engine.TurnTime)
		for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
			*c.Change.TurnTimes = append(*c.Change.TurnTimes, s.turn(text))
		}
	}
	if list, given := args["special"]; given {
		c.Change.SpecialDays = new([]engine.SpecialDay)
		for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ';' }) {
			date, shifts, _ := strings.Cut(text, ":")
			*c.Change.SpecialDays = append(*c.Change.SpecialDays, engine.SpecialDay{Day: day(s.t, date), Shifts: s.shifts(shifts)})
		}
	}
	if args["approval"] != "" {
		name, from, _ := strings.Cut(args["approval"], ":")
		a, ok := engine.ParseApproval(name)
		require.True(s.t, ok)
		c.Change.Approval, c.Change.ApprovalFrom = &a, new(0)
		if from != "" {
			_, err := fmt.Sscan(from, c.Change.ApprovalFrom)
			require.NoError(s.t, err)
		}
	}
	if args["policy"] != "" {
		p := new(engine.Policy)
		_, err := fmt.Sscanf(args["policy"], "%d:%d:%d:%s", &p.FreeUntilMin, &p.LateFee, &p.NoShowFee, &p.Currency)
		require.NoError(s.t, err)
		c.Change.Cancellation = p
	}
	if list, given := args["combine"]; given {
		c.Change.Combinations = new([]engine.Combination)
		for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
			*c.Change.Combinations = append(*c.Change.Combinations, s.combination(text))
		}
	}
	return c
}

// combination reads "T1+T2:5-8".
func (s *script) combination(text string) (c engine.Combination) {
	names, parties, _ := strings.Cut(text, ":")
	for _, name := range strings.Split(names, "+") {
		c.Tables = append(c.Tables, s.table(name))
	}
	_, err := fmt.Sscanf(parties, "%d-%d", &c.MinParty, &c.MaxParty)
	require.NoError(s.t, err)
	return c
}

func (s *script) turn(text string) (t engine.TurnTime) {
	text, dates, dated := strings.Cut(text, "/")
	text, t.Shift, _ = strings.Cut(text, "@")
	_, err := fmt.Sscanf(text, "%d-%d:%d", &t.MinParty, &t.MaxParty, &t.Minutes)
	require.NoError(s.t, err)
	if dated {
		from, to, _ := strings.Cut(dates, "..")
		t.From, t.To = day(s.t, from), day(s.t, to)
	}
	return t
}

// shifts reads "Lunch=12:00-14:30-16:00/30,Dinner=…": opening, last seating and close, and the grid if it is another one.
func (s *script) shifts(text string) (list []engine.OpeningHours) {
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		h := engine.OpeningHours{Days: 127}
		name, rest, _ := strings.Cut(one, "=")
		h.Name = name
		var open, openMin, last, lastMin, end, endMin int
		_, err := fmt.Sscanf(rest+"/0", "%d:%d-%d:%d-%d:%d/%d", &open, &openMin, &last, &lastMin, &end, &endMin, &h.GridMin)
		require.NoError(s.t, err)
		h.Open, h.LastSeating, h.Close = open*60+openMin, last*60+lastMin, end*60+endMin
		list = append(list, h)
	}
	return list
}

// free shows the start times of a day: with the number of tables, or – when none is free.
func (s *script) free(args map[string]string) string {
	v := s.view.(*engine.RestaurantView)
	var text []string
	for _, f := range v.AvailabilityIn(s.now, day(s.t, args["date"]), s.number(args, "guests", 2), "", s.reservation(args["own"]), nil) {
		n := "–"
		if f.Free > 0 {
			n = fmt.Sprint(f.Free)
		}
		text = append(text, fmt.Sprintf("%s %s", engine.AppendClock(nil, f.LocalMin), n))
	}
	return "  " + strings.Join(text, "\n  ")
}

// waitlist shows who waits for a day, and what somebody who asks is told.
func (s *script) waitlist(args map[string]string) string {
	v := s.view.(*engine.RestaurantView)
	text := ""
	for _, r := range v.Waitlist(day(s.t, cmp.Or(args["on"], args["date"]))) {
		text += fmt.Sprintf("%d ahead of %s\n  ", v.Ahead(r), s.line(r))
	}
	minutes, ahead, out := v.Quote(s.now, s.when(args), s.number(args, "guests", 2), args["area"])
	return text + fmt.Sprintf("a party of %d would be told %d min, %d ahead: %s", s.number(args, "guests", 2), minutes, ahead, out.Code)
}

// conflicts shows what lies ahead and does not fit any more.
func (s *script) conflicts() string {
	list, more := s.view.(*engine.RestaurantView).Conflicts(s.now, 10)
	require.False(s.t, more)
	if len(list) == 0 {
		return "none"
	}
	var text []string
	for _, c := range list {
		text = append(text, fmt.Sprintf("  %s: %v", s.line(c.Reservation), c.Reasons))
	}
	return strings.Join(text, "\n")
}
