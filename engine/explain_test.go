package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// TestExplain: everything that is said of a time, with a window of pace, a buffer, areas and combinations of both kinds.
func TestExplain(t *testing.T) {
	dinner := engine.OpeningHours{Days: 127, Open: 18 * 60, Close: 24 * 60, LastSeating: 22 * 60, Name: "Dinner"}
	h := newHarness(t, "UTC", dinner)
	table := func(number, area string, most int) engine.TableID {
		id := engine.MakeTableID(h.id, h.next())
		out := h.do(owner, &engine.AddTable{ID: id, Table: engine.TableSpec{Number: number, Capacity: most, MinCapacity: 1, InService: true, Location: area}})
		require.Equal(t, engine.CodeCreated, out.Code)
		return id
	}
	bar, garden, garden2 := table("1", "bar", 2), table("2", "garden", 4), table("3", "garden", 4)
	rules := engine.RulesChange{BufferMin: new(15), Pacing: &engine.Pacing{WindowMin: 45, Covers: 6},
		Combinations: &[]engine.Combination{{Tables: []engine.TableID{bar, garden}, MinParty: 2, MaxParty: 6}, {Tables: []engine.TableID{garden, garden2}, MinParty: 2, MaxParty: 8}}}
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.SetRules{Change: rules}).Code)
	sits := h.booked(19*60+30, 4)
	require.Equal(t, []engine.TableID{garden}, sits.Tables)
	explain := func(local, guests int, area string) engine.Explanation {
		e, code, field := h.view.(*engine.RestaurantView).Explain(h.now, engine.Question{When: engine.When{HasLocal: true, Day: h.day, LocalMin: local}, Guests: guests, Area: area, Staff: true})
		require.Equal(t, engine.CodeOK, code, field)
		return e
	}
	midnight := int64(h.day) * 86_400
	e := explain(19*60+45, 2, "garden")
	require.Equal(t, engine.Explanation{Day: h.day, LocalMin: 19*60 + 45, StartsAt: midnight + 71_100, EndsAt: midnight + 76_500, FreeAgainAt: midnight + 77_400, Shift: "Dinner",
		Pace: engine.Pace{Covers: 4, Parties: 1, OnlineCovers: 4, OnlineParties: 1}, TurnMin: 90, BufferMin: 15, PaceFrom: 19*60 + 30, PaceUntil: 20*60 + 15,
		Chosen: []engine.TableID{garden2}, Tables: e.Tables, Combinations: e.Combinations}, e)
	var tables []engine.Reason
	for _, v := range e.Tables {
		tables = append(tables, v.Reason)
	}
	require.Equal(t, []engine.Reason{engine.ReasonArea, engine.ReasonTaken, engine.ReasonFree}, tables)
	require.Equal(t, []engine.ReservationID{sits.ID}, e.Tables[1].By)
	require.Len(t, e.Combinations, 2)
	for _, v := range e.Combinations {
		want := engine.ReasonTaken
		if v.MaxParty == 6 {
			want = engine.ReasonArea // the last of its tables is there, the first is not
		}
		require.Equal(t, want, v.Reason)
	}
	require.Equal(t, engine.CodePacingLimit, explain(19*60+45, 3, "").Code)
	require.Equal(t, engine.CodeOK, explain(20*60+15, 3, "").Code, "the next window")
	require.Equal(t, engine.CodePartyTooLarge, explain(21*60, 9, "").Code)
	require.Equal(t, engine.CodeSlotUnavailable, explain(20*60+30, 5, "").Code)
	require.Equal(t, engine.CodeOK, explain(21*60+30, 5, "").Code, "after the stay and the buffer of who sits there")
}

// TestExplainLooksAtNeighbouringDays: a stay that reaches into the day after the next, and one that comes from two days before.
func TestExplainLooksAtNeighbouringDays(t *testing.T) {
	sunday, tuesday := uint8(64), uint8(2)
	long := engine.OpeningHours{Days: sunday, Open: 23 * 60, Close: 47 * 60, LastSeating: 46*60 + 45}
	h := newHarness(t, "UTC", long, engine.OpeningHours{Days: tuesday, Open: 0, Close: 60, LastSeating: 30})
	id := h.table("1", 1, 2)
	h.day = day(t, "2011-06-12") // a Sunday
	h.now = engine.Instant(h.day) * 86_400_000
	by := func(d engine.Day, local int) []engine.ReservationID {
		e, code, field := h.view.(*engine.RestaurantView).Explain(h.now, engine.Question{When: engine.When{HasLocal: true, Day: d, LocalMin: local}, Guests: 2})
		require.Equal(t, engine.CodeOK, code, field)
		require.Equal(t, id, e.Tables[0].Table.ID)
		return e.Tables[0].By
	}
	after := h.do(guest(1), h.create(h.day+2, 0, 2)).Reservation
	require.Equal(t, []engine.ReservationID{after.ID}, by(h.day, 46*60+45), "from 22:45 of Monday, on Sunday's book")
	require.Empty(t, by(h.day, 45*60), "which ends before")
	h.do(guest(1), &engine.Transition{ID: after.ID, Action: engine.ActionCancel})
	before := h.do(guest(1), h.create(h.day, 46*60+45, 2)).Reservation
	require.NotNil(t, before)
	require.Equal(t, []engine.ReservationID{before.ID}, by(h.day+2, 0))
}
