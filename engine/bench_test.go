package engine_test

import (
	"fmt"
	"testing"

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
