package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bound is a member with what it may be at most and at least, and what is just beyond.
type bound[T any] struct {
	field     string
	set       func(to T, n int)
	good, bad []int
}

// eachBound lays every value alone over what is in order.
func eachBound[T any](t *testing.T, list []bound[T], fresh func() T, settle func(T) string) {
	t.Helper()
	for _, b := range list {
		for _, n := range b.good {
			v := fresh()
			b.set(v, n)
			require.Empty(t, settle(v), "%s %d", b.field, n)
		}
		for _, n := range b.bad {
			v := fresh()
			b.set(v, n)
			require.Equal(t, b.field, settle(v), "%d", n)
		}
	}
}

func TestRulesAtTheirBounds(t *testing.T) {
	turn := TurnTime{MinParty: 1, MaxParty: 2, Minutes: 90}
	fee := Policy{Currency: "EUR"}
	eachBound(t, []bound[*Rules]{
		{"horizon_days", func(r *Rules, n int) { r.HorizonDays = n }, []int{0, 1, MaxHorizonDays}, []int{-1, MaxHorizonDays + 1}},
		{"min_notice_minutes", func(r *Rules, n int) { r.MinNoticeMin, r.HorizonDays = n, MaxHorizonDays }, []int{0, MaxNoticeMin}, []int{-1, MaxNoticeMin + 1}},
		{"min_notice_minutes", func(r *Rules, n int) { r.MinNoticeMin, r.HorizonDays = n, 2 }, []int{2 * minutesPerDay}, []int{2*minutesPerDay + 1}},
		{"buffer_minutes", func(r *Rules, n int) { r.BufferMin = n }, []int{0, 5, MaxBufferMin}, []int{-5, 7, MaxBufferMin + 5}},
		{"no_show_minutes", func(r *Rules, n int) { r.NoShowMin = n }, []int{0, minNoShowMin, MaxNoShowMin}, []int{-1, minNoShowMin - 1, MaxNoShowMin + 1}},
		{"hold_minutes", func(r *Rules, n int) { r.HoldMin = n }, []int{0, 1, MaxHoldMin}, []int{-1, MaxHoldMin + 1}},
		{"offer_minutes", func(r *Rules, n int) { r.OfferMin = n }, []int{0, 1, MaxHoldMin}, []int{-1, MaxHoldMin + 1}},
		{"approval", func(r *Rules, n int) { r.Approval = Approval(n) }, []int{0, 1}, []int{-1, 3}},
		{"approval_from", func(r *Rules, n int) { r.Approval, r.ApprovalFrom = ApprovalLarge, n }, []int{1, maxParty}, []int{0, -1, maxParty + 1}},
		{"approval_from", func(r *Rules, n int) { r.ApprovalFrom = n }, []int{0}, []int{1}},
		{"paused_until", func(r *Rules, n int) { r.PausedUntil = Instant(n) }, []int{0, int(lastInstant)}, []int{-1, int(lastInstant) + 1}},
		{"pacing.covers", func(r *Rules, n int) { r.Pacing.Covers = n }, []int{0, MaxPacing}, []int{-1, MaxPacing + 1}},
		{"pacing.parties", func(r *Rules, n int) { r.Pacing.Parties = n }, []int{0, MaxPacing}, []int{-1, MaxPacing + 1}},
		{"pacing.online_covers", func(r *Rules, n int) { r.Pacing.OnlineCovers = n }, []int{0, MaxPacing}, []int{-1, MaxPacing + 1}},
		{"pacing.online_covers", func(r *Rules, n int) { r.Pacing.OnlineCovers, r.Pacing.Covers = n, 9 }, []int{9}, []int{10}},
		{"pacing.online_parties", func(r *Rules, n int) { r.Pacing.OnlineParties = n }, []int{0, MaxPacing}, []int{-1, MaxPacing + 1}},
		{"pacing.online_parties", func(r *Rules, n int) { r.Pacing.OnlineParties, r.Pacing.Parties = n, 9 }, []int{9}, []int{10}},
		{"pacing.window_minutes", func(r *Rules, n int) { r.Pacing.WindowMin = n }, []int{0, 5, MaxPacingWindow}, []int{-5, 7, MaxPacingWindow + 5}},
		{"cancellation.free_until_minutes", func(r *Rules, n int) { r.Cancellation.FreeUntilMin = n }, []int{0, MaxNoticeMin}, []int{-1, MaxNoticeMin + 1}},
		{"cancellation.late_fee", func(r *Rules, n int) { r.Cancellation = fee; r.Cancellation.LateFee = n }, []int{0, MaxFee}, []int{-1, MaxFee + 1}},
		{"cancellation.no_show_fee", func(r *Rules, n int) { r.Cancellation = fee; r.Cancellation.NoShowFee = n }, []int{0, MaxFee}, []int{-1, MaxFee + 1}},
		{"cancellation.currency", func(r *Rules, n int) { r.Cancellation.LateFee = n }, []int{0}, []int{1}},
		{"cancellation.currency", func(r *Rules, n int) { r.Cancellation.NoShowFee = n }, []int{0}, []int{1}},
		{"special_days", func(r *Rules, n int) { r.SpecialDays = specialDays(n) }, []int{0, MaxSpecialDays}, []int{MaxSpecialDays + 1}},
		{"special_days.date", func(r *Rules, n int) { r.SpecialDays = []SpecialDay{{Day: Day(n)}} }, []int{1, int(lastDay)}, []int{-1, 0, int(lastDay) + 1}},
		{"special_days.note", func(r *Rules, n int) { r.SpecialDays = []SpecialDay{{Day: 1, Note: strings.Repeat("n", n)}} }, []int{0, MaxName}, []int{MaxName + 1}},
		{"special_days.shifts", func(r *Rules, n int) { r.SpecialDays = []SpecialDay{{Day: 1, Shifts: shortShifts(n)}} }, []int{0, MaxShifts}, []int{MaxShifts + 1}},
		{"turn_times", func(r *Rules, n int) { r.TurnTimes = turnTimes(n) }, []int{0, MaxTurnTimes}, []int{MaxTurnTimes + 1}},
		{"turn_times.max_party", func(r *Rules, n int) { r.TurnTimes = []TurnTime{{MinParty: 2, MaxParty: n, Minutes: 90}} }, []int{2, maxParty}, []int{1, maxParty + 1}},
		{"turn_times.max_party", func(r *Rules, n int) { r.TurnTimes = []TurnTime{{MinParty: n, MaxParty: 2, Minutes: 90}} }, []int{1, 2}, []int{0}},
		{"turn_times.minutes", func(r *Rules, n int) { r.TurnTimes = []TurnTime{{MinParty: 1, MaxParty: 2, Minutes: n}} }, []int{MinTurnMin, MaxTurnMin}, []int{MinTurnMin - 5, MinTurnMin + 1, MaxTurnMin + 5}},
		{"turn_times.to_date", func(r *Rules, n int) { turn.From, turn.To = 5, Day(n); r.TurnTimes = []TurnTime{turn} }, []int{5, int(lastDay)}, []int{0, 4, int(lastDay) + 1}},
		{"turn_times.to_date", func(r *Rules, n int) { turn.From, turn.To = Day(n), 5; r.TurnTimes = []TurnTime{turn} }, []int{1, 5}, []int{-1, 0, 6}},
	}, func() *Rules { return new(Rules) }, func(r *Rules) string { return r.settle(nil) })
}

func specialDays(n int) (list []SpecialDay) {
	for i := range n {
		list = append(list, SpecialDay{Day: Day(1 + i)})
	}
	return list
}

// shortShifts are shifts that seat at one time each.
func shortShifts(n int) (list []OpeningHours) {
	for i := range n {
		list = append(list, OpeningHours{Days: allDays, Open: i * 5, LastSeating: i * 5, Close: i*5 + 5})
	}
	return list
}

func turnTimes(n int) (list []TurnTime) {
	for i := range n {
		list = append(list, TurnTime{MinParty: 1 + i, MaxParty: 1 + i, Minutes: 90})
	}
	return list
}

func TestDetailsAtTheirBounds(t *testing.T) {
	good := func() *Details { return &Details{Name: "Osteria", TimeZone: "Europe/Rome"} }
	long := func(field string, most int, at func(d *Details) *string) bound[*Details] {
		return bound[*Details]{field, func(d *Details, n int) { *at(d) = strings.Repeat("x", n) }, []int{1, most}, []int{most + 1}}
	}
	eachBound(t, []bound[*Details]{
		long("name", MaxName, func(d *Details) *string { return &d.Name }),
		long("address", MaxAddress, func(d *Details) *string { return &d.Address }),
		long("city", MaxName, func(d *Details) *string { return &d.City }),
		long("country", MaxName, func(d *Details) *string { return &d.Country }),
		long("cuisine_type", MaxName, func(d *Details) *string { return &d.CuisineType }),
		long("description", MaxDescription, func(d *Details) *string { return &d.Description }),
		long("phone", MaxPhone, func(d *Details) *string { return &d.Phone }),
		long("email", MaxEmail, func(d *Details) *string { return &d.Email }),
		{"name", func(d *Details, n int) { d.Name = "" }, nil, []int{0}},
		{"latitude", func(d *Details, n int) { d.Latitude = float64(n) }, []int{-90, 0, 90}, []int{-91, 91}},
		{"longitude", func(d *Details, n int) { d.Longitude = float64(n) }, []int{-180, 0, 180}, []int{-181, 181}},
		{"grid_min", func(d *Details, n int) { d.GridMin = n }, []int{0, MinGridMin, MaxGridMin}, []int{-5, 7, MaxGridMin + 5}},
		{"opening_hours", func(d *Details, n int) { d.OpeningHours = shortShifts(n) }, []int{0, MaxShifts}, []int{MaxShifts + 1}},
	}, good, (*Details).settle)
}

// TestShiftsAtTheirBounds: each condition alone makes a shift nonsense.
func TestShiftsAtTheirBounds(t *testing.T) {
	settle := func(h *OpeningHours) string {
		if h.nonsense() {
			return "opening_hours"
		}
		return ""
	}
	good := func() *OpeningHours {
		return &OpeningHours{Days: allDays, Open: 18 * 60, LastSeating: 22 * 60, Close: 24 * 60, Name: "Dinner"}
	}
	const f = "opening_hours"
	eachBound(t, []bound[*OpeningHours]{
		{f, func(h *OpeningHours, n int) { h.Days = uint8(n) }, []int{1, 127}, []int{0, 128}},
		{f, func(h *OpeningHours, n int) { h.Open = n }, []int{0, 22 * 60}, []int{-5, 18*60 + 1, 22*60 + 5}},
		{f, func(h *OpeningHours, n int) { h.Open, h.LastSeating, h.Close = n, n, n+5 }, []int{minutesPerDay - 5}, []int{minutesPerDay}},
		{f, func(h *OpeningHours, n int) { h.Close = n }, []int{22*60 + 5, 42 * 60}, []int{22 * 60, 17 * 60, 18 * 60, 42*60 + 1}},
		{f, func(h *OpeningHours, n int) { h.LastSeating = n }, []int{18 * 60, 24*60 - 5}, []int{18*60 - 5, 24 * 60, 22*60 + 1}},
		{f, func(h *OpeningHours, n int) { h.GridMin = n }, []int{0, MinGridMin, MaxGridMin}, []int{7, MaxGridMin + 5}},
		{f, func(h *OpeningHours, n int) { h.Name = strings.Repeat("n", n) }, []int{0, MaxShiftName}, []int{MaxShiftName + 1}},
	}, good, settle)
}

func TestTablesAtTheirBounds(t *testing.T) {
	d := &decision{restaurant: &restaurant{book: book{floor: &floor{}}}}
	good := func() *Table { return &Table{TableSpec: TableSpec{Number: "T1", Capacity: 4, MinCapacity: 2}} }
	eachBound(t, []bound[*Table]{
		{"table_number", func(o *Table, n int) { o.Number = strings.Repeat("1", n) }, []int{1, MaxTableNumber}, []int{0, MaxTableNumber + 1}},
		{"capacity", func(o *Table, n int) { o.Capacity, o.MinCapacity = n, 1 }, []int{1, MaxCapacity}, []int{0, -1, MaxCapacity + 1}},
		{"min_capacity", func(o *Table, n int) { o.MinCapacity = n }, []int{1, 4}, []int{0, -1, 5}},
		{"channel", func(o *Table, n int) { o.Channel = Channel(n) }, []int{0, 2}, []int{-1, 3}},
		{"location", func(o *Table, n int) { o.Location = strings.Repeat("l", n) }, []int{0, MaxLocation}, []int{MaxLocation + 1}},
		{"blocks", func(o *Table, n int) { o.Blocks = slices.Repeat([]Block{{From: 1, Until: 2}}, n) }, []int{0, MaxBlocks}, []int{MaxBlocks + 1}},
		{"blocks", func(o *Table, n int) { o.Blocks = []Block{{From: int64(n), Until: 600}} }, []int{1, 599}, []int{-1, 0, 600, 601}},
		{"blocks", func(o *Table, n int) { o.Blocks = []Block{{From: 600, Until: int64(n)}} }, []int{601, int(lastSecond)}, []int{0, int(lastSecond) + 1}},
	}, good, d.tableFault)
}

func TestCombinationsAtTheirBounds(t *testing.T) {
	f := &floor{}
	for i := range MaxTablesPerParty + 22 {
		f.slots = append(f.slots, &Table{ID: TableID(rune('A' + i)), TableSpec: TableSpec{Number: string(rune('A' + i)), Capacity: 4, MinCapacity: 2}})
	}
	f.arrange()
	ids := func(n int) (list []TableID) {
		for _, o := range f.slots[:n] {
			list = append(list, o.ID)
		}
		return list
	}
	many := func(n int) (list []Combination) {
		for i := range f.slots {
			for j := range i {
				if len(list) < n {
					list = append(list, Combination{Tables: []TableID{f.slots[j].ID, f.slots[i].ID}, MinParty: 5, MaxParty: 8})
				}
			}
		}
		return list
	}
	set := func(c Combination) []Combination { return []Combination{c} }
	eachBound(t, []bound[*[]Combination]{
		{"combinations", func(l *[]Combination, n int) { *l = many(n) }, []int{0, MaxCombinations}, []int{MaxCombinations + 1}},
		{"combinations.table_ids", func(l *[]Combination, n int) { *l = set(Combination{ids(n), 5, 8}) }, []int{2, MaxTablesPerParty}, []int{0, 1, MaxTablesPerParty + 1}},
		{"combinations.max_party", func(l *[]Combination, n int) { *l = set(Combination{ids(2), 5, n}) }, []int{5, 8}, []int{4, 9}},
		{"combinations.max_party", func(l *[]Combination, n int) { *l = set(Combination{ids(2), n, 8}) }, []int{1, 8}, []int{0}},
	}, func() *[]Combination { return new([]Combination) }, func(l *[]Combination) string { return f.combinationFault(*l) })
}

func TestCurrency(t *testing.T) {
	for currency, field := range map[string]string{
		"EUR": "", "AAA": "", "ZZZ": "", "": "cancellation.currency", "EU": "cancellation.currency", "EURO": "cancellation.currency",
		"eur": "cancellation.currency", "EU@": "cancellation.currency", "EU[": "cancellation.currency",
	} {
		require.Equal(t, field, (&Policy{LateFee: 1, Currency: currency}).fault(), currency)
	}
}

// TestTurnTimesThatMeet: two of equal standing must not say something of one party.
func TestTurnTimesThatMeet(t *testing.T) {
	base := TurnTime{MinParty: 3, MaxParty: 5, Minutes: 90}
	dated := TurnTime{MinParty: 3, MaxParty: 5, Minutes: 90, From: 10, To: 20}
	dinner, lunch := base, base
	dinner.Shift, lunch.Shift = "Dinner", "Lunch"
	datedDinner, datedLunch := dated, dated
	datedDinner.Shift, datedLunch.Shift = "Dinner", "Lunch"
	with := func(t TurnTime, change func(*TurnTime)) TurnTime { change(&t); return t }
	for name, c := range map[string]struct {
		a, b TurnTime
		meet bool
	}{
		"the same":                  {base, base, true},
		"touching above":            {base, with(base, func(t *TurnTime) { t.MinParty, t.MaxParty = 5, 9 }), true},
		"above":                     {base, with(base, func(t *TurnTime) { t.MinParty, t.MaxParty = 6, 9 }), false},
		"touching below":            {base, with(base, func(t *TurnTime) { t.MinParty, t.MaxParty = 1, 3 }), true},
		"below":                     {base, with(base, func(t *TurnTime) { t.MinParty, t.MaxParty = 1, 2 }), false},
		"one is for days":           {base, dated, false},
		"one is for a shift":        {base, dinner, false},
		"other shifts":              {lunch, dinner, false},
		"one shift":                 {dinner, dinner, true},
		"days: other shifts":        {datedLunch, datedDinner, false},
		"days: one is for a shift":  {dated, datedDinner, true},
		"days: one shift":           {datedDinner, datedDinner, true},
		"days touch":                {dated, with(dated, func(t *TurnTime) { t.From, t.To = 20, 25 }), true},
		"days follow":               {dated, with(dated, func(t *TurnTime) { t.From, t.To = 21, 25 }), false},
		"days touch before":         {dated, with(dated, func(t *TurnTime) { t.From, t.To = 5, 10 }), true},
		"days before":               {dated, with(dated, func(t *TurnTime) { t.From, t.To = 5, 9 }), false},
		"days: parties differ":      {dated, with(dated, func(t *TurnTime) { t.MinParty, t.MaxParty = 6, 6 }), false},
		"days: smaller parties":     {dated, with(dated, func(t *TurnTime) { t.MinParty, t.MaxParty = 1, 2 }), false},
		"one shift, other parties":  {dinner, with(dinner, func(t *TurnTime) { t.MinParty, t.MaxParty = 6, 6 }), false},
		"no shift and another days": {with(dated, func(t *TurnTime) { t.Shift = "Dinner" }), with(dated, func(t *TurnTime) { t.From, t.To = 30, 31 }), false},
	} {
		require.Equal(t, c.meet, c.a.meets(c.b), name)
		require.Equal(t, c.meet, c.b.meets(c.a), "%s, the other way round", name)
	}
}

// TestTurnTimeStanding: days before shift before neither, of equal standing the first.
func TestTurnTimeStanding(t *testing.T) {
	r := &Rules{TurnTimes: []TurnTime{
		{MinParty: 1, MaxParty: 4, Minutes: 60}, {MinParty: 1, MaxParty: 4, Minutes: 75, Shift: "Dinner"}, {MinParty: 1, MaxParty: 4, Minutes: 180, From: 10, To: 20},
	}}
	for _, c := range []struct {
		guests, day int
		shift       string
		minutes     int
	}{
		{1, 9, "", 60}, {4, 9, "Lunch", 60}, {4, 9, "Dinner", 75}, {2, 10, "Dinner", 180}, {2, 20, "", 180}, {2, 21, "", 60}, {5, 15, "Dinner", DefaultTurnMin(5)},
	} {
		require.Equal(t, c.minutes, r.turnMin(c.guests, Day(c.day), c.shift), "%v", c)
	}
	r.TurnTimes = append(r.TurnTimes, TurnTime{MinParty: 1, MaxParty: 4, Minutes: 200, From: 10, To: 20})
	require.Equal(t, 180, r.turnMin(2, 15, ""), "journals of other builds may hold two: the first counts, as in every fold")
}

// TestShiftsThatMeet: two shifts that would seat at one time of one day, also past midnight and from Sunday to Monday.
func TestShiftsThatMeet(t *testing.T) {
	at := func(days uint8, open, last int) OpeningHours {
		return OpeningHours{Days: days, Open: open, LastSeating: last, Close: last + 60}
	}
	const monday, tuesday, sunday = 1, 2, 64
	const h = 60
	for name, c := range map[string]struct {
		a, b OpeningHours
		meet bool
	}{
		"one evening":             {at(monday, 18*h, 20*h), at(monday, 20*h, 22*h), true},
		"one after the other":     {at(monday, 18*h, 20*h), at(monday, 20*h+5, 22*h), false},
		"other days":              {at(monday, 18*h, 20*h), at(tuesday, 18*h, 20*h), false},
		"past midnight":           {at(monday, 20*h, 26*h), at(tuesday, 2*h, 4*h), true},
		"past midnight, before":   {at(monday, 20*h, 26*h), at(tuesday, 2*h+5, 4*h), false},
		"past midnight, one day":  {at(monday, 20*h, 26*h), at(monday, 1*h, 2*h), false},
		"Sunday night":            {at(sunday, 20*h, 26*h), at(monday, 1*h, 4*h), true},
		"Sunday night, Tuesday":   {at(sunday, 20*h, 26*h), at(tuesday, 1*h, 4*h), false},
		"Monday night, Sunday":    {at(monday, 20*h, 26*h), at(sunday, 1*h, 4*h), false},
		"every night and morning": {at(allDays, 20*h, 26*h), at(allDays, 1*h, 4*h), true},
	} {
		require.Equal(t, c.meet, c.a.meets(c.b), name)
		require.Equal(t, c.meet, c.b.meets(c.a), "%s, the other way round", name)
	}
}

// TestSmallForms: arithmetic that the rest stands on, at its edges.
func TestSmallForms(t *testing.T) {
	for _, c := range [][3]int{{7, 7, 1}, {6, 7, 0}, {0, 7, 0}, {-1, 7, -1}, {-7, 7, -1}, {-8, 7, -2}} {
		require.Equal(t, c[2], floorDiv(c[0], c[1]), "%v", c)
	}
	require.InDelta(t, 3.5, Ratings{Sum: 7, Count: 2}.Average(), 0)
	require.Equal(t, int64(36_000-7_200), (&Reservation{StartsAt: 36_000, Policy: Policy{FreeUntilMin: 120}}).Free())
	for r, possible := range map[Ratings]bool{
		{}: true, {Sum: 2, Count: 2}: true, {Sum: 10, Count: 2}: true, {Sum: 1, Count: 2}: false, {Sum: 11, Count: 2}: false, {Sum: -1, Count: -1}: false, {Sum: 1}: false,
	} {
		require.Equal(t, possible, r.possible(), "%v", r)
	}
	for _, name := range []string{"", "Local", "Nowhere/Atlantis", strings.Repeat("x", MaxTimeZone+1)} {
		require.Nil(t, openZone(name), name)
	}
	for name, ok := range map[string]bool{
		"Europe/Rome": true, "UTC": true, "": false, "localtime": false, "posixrules": false, "posix/Europe/Rome": false, "right/UTC": false,
		"Europe/../Europe/Rome": false, "./UTC": false, "Europe//Rome": false,
	} {
		require.Equal(t, ok, everywhere(name), name)
	}
}

// TestNamesAreWithinTheirLists: what a newer build may say has no name here, and nothing has a name that nobody reads back.
func TestNamesAreWithinTheirLists(t *testing.T) {
	for a := range Approval(len(approvalNames)) {
		back, ok := ParseApproval(ApprovalName(a))
		require.True(t, ok)
		require.Equal(t, a, back)
	}
	for c := range Channel(len(channelNames)) {
		back, ok := ParseChannel(ChannelName(c))
		require.True(t, ok)
		require.Equal(t, c, back)
	}
	for s := range Status(len(statusNames)) {
		back, ok := ParseStatus(StatusName(s))
		require.Equal(t, StatusName(s) != "", ok)
		require.True(t, !ok || back == s)
	}
	for a := range Action(len(actionNames)) {
		back, ok := ParseAction(ActionName(a))
		require.Equal(t, ActionName(a) != "", ok)
		require.True(t, !ok || back == a)
	}
	beyond := []string{ApprovalName(-1), ApprovalName(Approval(len(approvalNames))), ChannelName(-1), ChannelName(Channel(len(channelNames))),
		StatusName(-1), StatusName(Status(len(statusNames))), ActionName(Action(len(actionNames)))}
	require.Empty(t, strings.Join(beyond, ""))
	require.Equal(t, "unknown", Code(CodeCount).String())
	for _, parse := range []func(string) bool{
		func(s string) bool { _, ok := ParseApproval(s); return ok }, func(s string) bool { _, ok := ParseChannel(s); return ok },
		func(s string) bool { _, ok := ParseStatus(s); return ok }, func(s string) bool { _, ok := ParseAction(s); return ok },
	} {
		require.False(t, parse("nobody"))
		require.False(t, parse(""))
	}
}

// TestIDDigits: each character of an id is one of 32, and the first ones bear no more than the bits that are there.
func TestIDDigits(t *testing.T) {
	for c := range 256 {
		digit := strings.IndexByte(crockford, byte(c))
		table := tblPrefix + strings.Repeat("0", 2*idPartLen-1) + string([]byte{byte(c)})
		_, ok := RestaurantOf(table)
		require.Equal(t, digit >= 0, ok, "%q", c)
		own, ok := ownPart(table)
		require.Equal(t, digit >= 0, ok, "%q", c)
		require.Equal(t, uint64(max(digit, 0)), own, "%q", c)
		_, ok = RestaurantOf(tblPrefix + string([]byte{byte(c)}) + strings.Repeat("0", 2*idPartLen-1))
		require.Equal(t, digit >= 0 && digit < 16, ok, "%q as the first of 64 bits", c)
		require.Equal(t, digit >= 0 && digit < 8, IsAccountID(acctPrefix+string([]byte{byte(c)})+strings.Repeat("0", 2*idPartLen-1)), "%q as the first of 128 bits", c)
	}
}

// TestBetterOfTwoFaces: what is offered, then what a shift covers, then the first.
func TestBetterOfTwoFaces(t *testing.T) {
	face := func(day Day, covered, offered bool) place { return place{day: day, covered: covered, offered: offered} }
	closed, covered, offered := face(1, false, false), face(2, true, false), face(3, true, true)
	for _, c := range []struct{ a, b, best place }{
		{closed, covered, covered}, {closed, offered, offered}, {covered, closed, covered}, {covered, offered, offered},
		{offered, closed, offered}, {offered, covered, offered}, {offered, face(4, true, true), offered}, {covered, face(4, true, false), covered},
		{closed, face(4, false, false), closed},
	} {
		require.Equal(t, c.best, better(c.a, c.b))
	}
}

// TestShiftsOfOldJournals: journals of the first builds have shifts that overlap; the one that offers the time names it.
func TestShiftsOfOldJournals(t *testing.T) {
	b := &book{zone: openZone("UTC"), rules: neverSet, info: &Restaurant{Details: Details{OpeningHours: []OpeningHours{
		{Days: allDays, Open: 600, LastSeating: 900, Close: 960, Name: "hourly", GridMin: 60},
		{Days: allDays, Open: 600, LastSeating: 900, Close: 960, Name: "half-hourly", GridMin: 30},
	}}}}
	for local, want := range map[int]place{
		595: {}, 600: {covered: true, offered: true, shift: "hourly"}, 630: {covered: true, offered: true, shift: "half-hourly"},
		660: {covered: true, offered: true, shift: "hourly"}, 665: {covered: true, shift: "hourly"}, 900: {covered: true, offered: true, shift: "hourly"}, 905: {},
	} {
		p := b.placeAt(1, local)
		require.Equal(t, want, place{covered: p.covered, offered: p.offered, shift: p.shift}, "%d", local)
	}
	for minute, next := range map[int]int{-1: 600, 599: 600, 600: 630, 629: 630, 630: 660, 870: 900} {
		p, ok := b.startAfter(1, minute)
		require.True(t, ok)
		require.Equal(t, next, p.local, "after %d", minute)
		require.Equal(t, next == 600 || next == 660 || next == 900, p.shift == "hourly", "of two that offer it the first, after %d", minute)
	}
	_, ok := b.startAfter(1, 900)
	require.False(t, ok)
}

func TestNaturalOrder(t *testing.T) {
	list := []string{"", "1", "01", "2", "10", "A", "T1", "T1a", "T1b", "T2", "T10", "T10-2", "T10-10", "a", "ab"}
	for i, a := range list {
		for j, b := range list {
			require.Equal(t, i < j, compareNatural(a, b) < 0, "%q %q", a, b)
			require.Equal(t, i == j, compareNatural(a, b) == 0, "%q %q", a, b)
		}
	}
}

// TestRoomForOneMore: the last one that may live, without making fifty thousand.
func TestRoomForOneMore(t *testing.T) {
	d := &decision{restaurant: &restaurant{book: book{live: MaxLive - 1}}}
	require.Equal(t, Outcome{}, d.room())
	d.live++
	require.Equal(t, Outcome{Code: CodeLimit, Field: "live_reservations"}, d.room())
}

func TestDigest(t *testing.T) {
	seen := map[uint64]string{}
	for _, base := range []string{"", "a", "b", "ab", "ba", "abc", "\x00", "\x00\x00"} {
		d := digest([]byte(base))
		require.NotContains(t, seen, d, "%q and %q", base, seen[d])
		seen[d] = base
	}
	require.EqualValues(t, uint64(0xaf63dc4c8601ec8c), digest([]byte("a")), "the published value of FNV-1a")
}
