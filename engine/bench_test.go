package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// floorOf is a restaurant with n tables of four, open from noon past midnight, and one reservation at most per table.
func floorOf(tb testing.TB, tables, reservations int) (engine.Aggregate, engine.RestaurantID, engine.Day) {
	tb.Helper()
	h := newHarness(tb, "Europe/Rome", engine.OpeningHours{Days: 127, Open: 12 * 60, Close: 26 * 60, LastSeating: 24 * 60}).on("2026-06-12")
	for i := range tables {
		h.table(fmt.Sprint(i+1), 1, 4)
	}
	for i := range reservations {
		out := h.do(guest(1), h.create(h.day, 19*60+15*(i/tables%4), 2))
		if out.Code != engine.CodeCreated && out.Code != engine.CodeSlotUnavailable {
			tb.Fatal(out.Code)
		}
	}
	return h.a, h.id, h.day
}

func BenchmarkDecideCreate(b *testing.B) {
	a, id, day := floorOf(b, 60, 30)
	cmd := &engine.Command{Caller: guest(1), Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.CreateReservation{
		ID: engine.MakeReservationID(id, 1<<40), Want: engine.When{HasLocal: true, Day: day, LocalMin: 20 * 60}, GuestsCount: 2}}
	b.ReportAllocs()
	for b.Loop() {
		if out, _ := a.Decide(0, cmd); out.Code != engine.CodeCreated {
			b.Fatal(out.Code)
		}
	}
}

func BenchmarkViewNext(b *testing.B) {
	a, id, day := floorOf(b, 20, 10)
	v := a.View()
	_, events := a.Decide(0, &engine.Command{Caller: guest(1), Body: &engine.CreateReservation{
		ID: engine.MakeReservationID(id, 1<<40), Want: engine.When{HasLocal: true, Day: day, LocalMin: 20 * 60}, GuestsCount: 2}})
	b.ReportAllocs()
	for b.Loop() {
		v.Next(events)
	}
}

func BenchmarkAvailability(b *testing.B) {
	a, _, day := floorOf(b, 60, 60)
	v := a.View().(*engine.RestaurantView)
	dst := make([]engine.Start, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		if dst = v.Availability(0, day, 2, dst[:0]); len(dst) == 0 {
			b.Fatal("no starts")
		}
	}
}

// busyHouse is a floor of 60 tables with 60 combinations, pacing, turn times by shift and a buffer, on a day with about 100 parties.
func busyHouse(b testing.TB) (*engine.RestaurantView, engine.Day) {
	h := newHarness(b, "Europe/Rome", engine.OpeningHours{Days: 127, Open: 12 * 60, Close: 26 * 60, LastSeating: 24 * 60, Name: "All day"}).on("2026-06-12")
	var tables []engine.TableID
	for i := range 60 {
		h.table(fmt.Sprint(i+1), 1, 2+i%5)
	}
	for _, t := range h.a.View().(*engine.RestaurantView).Tables() {
		tables = append(tables, t.ID)
	}
	rules := engine.RulesChange{BufferMin: new(15), Pacing: &engine.Pacing{Covers: 40, Parties: 12, OnlineCovers: 30, OnlineParties: 10},
		TurnTimes:    &[]engine.TurnTime{{MinParty: 1, MaxParty: 2, Minutes: 75, Shift: "All day"}, {MinParty: 3, MaxParty: 4, Minutes: 105}, {MinParty: 5, MaxParty: 12, Minutes: 135}},
		Combinations: new([]engine.Combination)}
	for i := range 60 {
		*rules.Combinations = append(*rules.Combinations, engine.Combination{Tables: []engine.TableID{tables[i], tables[(i+1)%60]}, MinParty: 2, MaxParty: 4})
	}
	if out := h.do(owner, &engine.SetRules{Change: rules}); out.Code != engine.CodeOK {
		b.Fatal(out.Code, out.Field)
	}
	for i := range 150 {
		h.do(guest(byte(i)), h.create(h.day, 12*60+15*(i%48), 1+i%6))
	}
	return h.a.View().(*engine.RestaurantView), h.day
}

func BenchmarkAvailabilityOfABusyHouse(b *testing.B) {
	v, day := busyHouse(b)
	for _, guests := range []int{2, 4, 8} {
		b.Run(fmt.Sprint(guests), func(b *testing.B) {
			dst := make([]engine.Start, 0, 128)
			b.ReportAllocs()
			for b.Loop() {
				if dst = v.Availability(0, day, guests, dst[:0]); len(dst) == 0 {
					b.Fatal("no starts")
				}
			}
		})
	}
}

// A search takes no memory, whatever the rules.
func TestAvailabilityDoesNotAllocate(t *testing.T) {
	v, day := busyHouse(t)
	dst := make([]engine.Start, 0, 128)
	for _, area := range []string{"", "hall"} {
		n := testing.AllocsPerRun(20, func() { dst = v.AvailabilityIn(0, day, 4, area, "", dst[:0]) })
		require.NotEmpty(t, dst)
		require.Zero(t, n)
	}
}
