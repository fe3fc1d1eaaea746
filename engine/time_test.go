package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func allDay(last int) engine.OpeningHours {
	return engine.OpeningHours{Days: 127, Open: 0, Close: last + 30, LastSeating: last}
}

// TestClockChanges looks at the start times of nights on which the clocks change: each shown minute is offered once, at the
// first instant that shows it, and a minute that is skipped is not offered.
func TestClockChanges(t *testing.T) {
	for _, c := range []struct {
		zone, date string
		starts     int // of 00:00 … 05:45 in steps of 15 min: 24 less what is skipped
		skipped    int // a local minute that does not exist; -1 = none
		twice      int // a local minute that comes twice; -1 = none
	}{
		{"Europe/Rome", "2026-03-29", 20, 2*60 + 30, -1},
		{"Europe/Rome", "2026-10-25", 24, -1, 2*60 + 30},
		{"Australia/Lord_Howe", "2026-10-04", 22, 2 * 60, -1},
		{"Australia/Lord_Howe", "2026-04-05", 24, -1, 90 + 15},
		{"America/St_Johns", "2026-03-08", 20, 2*60 + 15, -1},
		{"America/St_Johns", "2026-11-01", 24, -1, 90},
		{"Pacific/Chatham", "2026-09-27", 20, 2*60 + 45, -1},
		{"Pacific/Chatham", "2026-04-05", 24, -1, 2*60 + 45},
		{"America/Santiago", "2026-09-06", 20, 30, -1},
		{"Asia/Kathmandu", "2026-03-29", 24, -1, -1},
		{"UTC", "2026-03-29", 24, -1, -1},
	} {
		t.Run(c.zone+" "+c.date, func(t *testing.T) {
			loc, err := time.LoadLocation(c.zone)
			require.NoError(t, err)
			h := newHarness(t, c.zone, allDay(5*60+45)).on(c.date)
			h.table("1", 1, 4)
			starts := h.starts(h.day, 2)
			require.Len(t, starts, c.starts)
			for i, s := range starts {
				shown := time.Unix(s.StartsAt, 0).In(loc)
				require.Equal(t, s.LocalMin, shown.Hour()*60+shown.Minute())
				require.Equal(t, 1, s.Free)
				require.NotEqual(t, c.skipped, s.LocalMin)
				require.True(t, i == 0 || starts[i-1].StartsAt < s.StartsAt, "in order")
			}
			if c.skipped >= 0 {
				require.Equal(t, engine.CodeNotOnGrid, h.do(guest(1), h.create(h.day, c.skipped, 2)).Code)
			}
			if c.twice >= 0 {
				r := h.booked(c.twice, 2)
				shown := time.Unix(r.StartsAt, 0).In(loc)
				later := shown.Add(time.Hour)
				if c.zone == "Australia/Lord_Howe" {
					later = shown.Add(30 * time.Minute)
				}
				require.Equal(t, shown.Format("15:04"), later.Format("15:04"), "the minute comes twice")
				again := &engine.CreateReservation{ID: engine.MakeReservationID(h.id, 1000), GuestsCount: 2, Want: engine.When{StartsAt: later.Unix()}}
				require.Equal(t, engine.CodeNotOnGrid, h.do(guest(1), again).Code, "the second one is no start")
				require.Equal(t, r.StartsAt+90*60, r.EndsAt, "the table is taken for the turn time, by the clock that never changes")
			}
		})
	}
}

// TestSkippedDay: Samoa had no 30 December 2011. The engine does not book there, but its arithmetic holds.
func TestSkippedDay(t *testing.T) {
	h := newHarness(t, "Pacific/Apia", allDay(23*60)).on("2011-12-30")
	h.table("1", 1, 4)
	require.Empty(t, h.starts(h.day, 2))
	require.Len(t, h.starts(h.day+1, 2), 93)
}

func TestFarFuture(t *testing.T) {
	h := newHarness(t, "Europe/Rome", allDay(23*60)).on("2045-07-01")
	h.table("1", 1, 4)
	s := h.starts(h.day, 2)
	require.Len(t, s, 93)
	require.Equal(t, int64(h.day)*86400-7200, s[0].StartsAt, "summer time is known beyond the packed table")
}

func TestPastMidnight(t *testing.T) {
	h := newHarness(t, "Europe/Rome", engine.OpeningHours{Days: 1 << 5, Open: 18 * 60, Close: 26 * 60, LastSeating: 25 * 60}).on("2026-06-13")
	h.table("1", 1, 4)
	require.Equal(t, 5, h.day.Weekday(), "a Saturday")
	r := h.booked(30, 2)
	require.Equal(t, 1470, r.LocalMin)
	require.Equal(t, h.day, r.Day, "00:30 belongs to Saturday")
	require.Equal(t, int64(h.day+1)*86400+30*60-7200, r.StartsAt)
	require.Equal(t, engine.CodeClosed, h.do(guest(1), h.create(h.day+1, 30, 2)).Code, "Sunday has no shift")
	out := h.do(guest(1), &engine.Reschedule{ID: r.ID, Want: &engine.When{StartsAt: r.StartsAt}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, h.day, out.Reservation.Day, "by instant it is Saturday's too")
	out = h.do(guest(1), &engine.CreateReservation{ID: engine.MakeReservationID(h.id, 999), GuestsCount: 2,
		Want: engine.When{HasLocal: true, Day: h.day, LocalMin: 30, StartsAt: r.StartsAt + 900}})
	require.Equal(t, engine.CodeInvalid, out.Code)
	require.Equal(t, "starts_at", out.Field)
}

// TestLastSeating: it is a start itself, once, on the grid or not.
func TestLastSeating(t *testing.T) {
	for last, want := range map[int]int{20 * 60: 9, 20*60 + 5: 10, 20*60 + 15: 10} {
		h := newHarness(t, "Europe/Rome", engine.OpeningHours{Days: 127, Open: 18 * 60, Close: 23 * 60, LastSeating: last})
		h.table("1", 1, 4)
		s := h.starts(h.day, 2)
		require.Len(t, s, want, "last seating %d", last)
		require.Equal(t, last, s[len(s)-1].LocalMin)
		h.booked(last, 2)
		require.Equal(t, engine.CodeClosed, h.do(guest(1), h.create(h.day, last+5, 2)).Code)
	}
}

func TestNoticeIsExact(t *testing.T) {
	h := newHarness(t, "UTC", allDay(23*60)).on("2026-06-12")
	h.table("1", 1, 4)
	start := int64(h.day)*86400 + 12*3600
	for _, c := range []struct {
		now  engine.Instant
		code engine.Code
	}{
		{engine.Instant(start*1000) - 90*86_400_000 - 1, engine.CodeTooEarly},
		{engine.Instant(start*1000) - 90*86_400_000, engine.CodeCreated},
		{engine.Instant(start * 1000), engine.CodeCreated},
		{engine.Instant(start*1000) + 1, engine.CodeTooLate},
	} {
		a := engine.NewAggregate(engine.AggregateID(h.id))
		fresh := &harness{tb: t, a: a, view: a.View(), id: h.id, now: c.now, day: h.day, n: 500}
		fresh.do(owner, &engine.CreateRestaurant{ID: h.id, Details: engine.Details{Name: "O", TimeZone: "UTC", OpeningHours: []engine.OpeningHours{allDay(23 * 60)}}})
		fresh.table("1", 1, 4)
		require.Equal(t, c.code, fresh.do(guest(1), fresh.create(h.day, 12*60, 2)).Code, "at %d", c.now)
	}
}

func TestDates(t *testing.T) {
	for d := engine.Day(0); d <= 2_932_896; d++ { // 9999-12-31
		if of := (d + 719_468) % 146_097 % 36_524; d > 40_000 && d%13 != 0 && of > 2 && of < 36_520 { // all until 2079, and where centuries end
			continue
		}
		want := time.Unix(int64(d)*86400, 0).UTC()
		require.Equal(t, want.Format(time.DateOnly), d.String())
		back, ok := engine.ParseDate(d.String())
		require.True(t, ok)
		require.Equal(t, d, back)
		require.Equal(t, (int(want.Weekday())+6)%7, d.Weekday())
	}
	for _, bad := range []string{"", "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-01", "1969-12-31", "2026-06-31", "x026-06-30", "2026-x6-30", "2026-06-x0", "2026-6--30", "2026-06-00", "2100-02-29",
		"2026/06-30", "2026-06/30", "2026-06-301"} {
		_, ok := engine.ParseDate(bad)
		require.False(t, ok, bad)
	}
	require.Equal(t, "00:30", string(engine.AppendClock(nil, 1470)))
	m, ok := engine.ParseClock("23:59")
	require.True(t, ok)
	require.Equal(t, 1439, m)
	for _, bad := range []string{"24:00", "12:60", "1:00", "12-00", "", "x2:00", "12:x0", "12:000"} {
		_, ok := engine.ParseClock(bad)
		require.False(t, ok, bad)
	}
}
