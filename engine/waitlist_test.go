package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func (h *harness) join(c engine.Caller, d engine.Day, local, until, guests int) engine.Outcome {
	w := engine.When{HasLocal: true, Day: d, LocalMin: local}
	return h.do(c, &engine.JoinWaitlist{ID: engine.MakeReservationID(h.id, h.next()), Want: w,
		Until: engine.When{HasLocal: true, Day: d, LocalMin: until}, GuestsCount: guests})
}

var dinner = engine.OpeningHours{Days: 127, Open: 18 * 60, LastSeating: 22 * 60, Close: 24 * 60}

// One guest has 4 holds and entries of the waitlist at most: an entry that finds a table free is a hold at once.
func TestOneGuestHasFewOffers(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 40 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	n := 0
	for range 40 {
		out := h.join(guest(1), h.day, 19*60, 19*60, 2)
		if out.Code == engine.CodeCreated && out.Reservation.Status == engine.StatusHeld {
			n++
		}
	}
	require.LessOrEqual(t, n, engine.MaxHoldsPerGuest, "tables that one guest holds through the waitlist")
}

// 64 no-shows are all the events of a sweep: what they free is offered by the next one.
func TestWhatASweepFreesIsOffered(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 64 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	for range 64 {
		require.Equal(t, engine.CodeCreated, h.do(owner, h.create(h.day, 18*60, 2)).Code)
	}
	h.now = engine.Instant(h.day)*86_400_000 + 17*3600_000
	out := h.join(guest(1), h.day, 19*60, 19*60, 2)
	require.Equal(t, engine.StatusWaiting, out.Reservation.Status)
	id := out.Reservation.ID
	for range 3 { // every timer fires
		h.now = engine.Instant(h.day)*86_400_000 + 18*3600_000 + 30*60_000
		h.do(system, &engine.Sweep{})
	}
	// somebody who looks later has the table
	late := h.do(guest(2), h.create(h.day, 19*60, 2))
	require.Equal(t, engine.StatusHeld, h.view.(*engine.RestaurantView).Reservation(id).Status, "who waited was offered nothing; who came later: %s", late.Code)
}

// One command frees tables for more parties than it has events: the next one goes on, before it decides.
func TestMoreWaitThanACommandHasEvents(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 91 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{Pacing: &engine.Pacing{OnlineParties: 1}}})
	require.Equal(t, engine.CodeCreated, h.do(guest(99), h.create(h.day, 19*60, 2)).Code)
	for i := range 90 {
		require.Equal(t, engine.StatusWaiting, h.join(guest(byte(i)), h.day, 19*60, 19*60, 2).Reservation.Status)
	}
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{Pacing: &engine.Pacing{}}})
	h.now += 1000
	require.Len(t, h.view.(*engine.RestaurantView).Waitlist(h.day), 90-(engine.MaxEvents-1))
	require.Equal(t, h.a.NextDue(), h.now-1000, "a sweep is due")
	require.Zero(t, h.starts(h.day, 2)[4].Free, "and what it will offer is not shown")
	require.Equal(t, engine.CodeSlotUnavailable, h.do(guest(98), h.create(h.day, 19*60, 2)).Code)
	h.do(system, &engine.Sweep{})
	require.Empty(t, h.view.(*engine.RestaurantView).Waitlist(h.day))
	require.NotEqual(t, h.a.NextDue(), h.now)
}

// The notice of the house binds who joins the waitlist instead of booking.
func TestWaitingIsNoWayRoundNotice(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{MinNoticeMin: new(24 * 60)}})
	h.now = engine.Instant(h.day)*86_400_000 + 17*3600_000
	require.Equal(t, engine.CodeTooLate, h.do(guest(1), h.create(h.day, 19*60, 2)).Code)
	require.Equal(t, engine.CodeTooLate, h.join(guest(1), h.day, 19*60, 19*60, 2).Code)
	require.Equal(t, engine.StatusHeld, h.join(owner, h.day, 19*60, 19*60, 2).Reservation.Status, "staff may")
}

// Of two who join in one millisecond the first in the journal is the first.
func TestWhoJoinsFirstWithinAMillisecond(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	r := h.do(owner, h.create(h.day, 19*60, 2)).Reservation
	w := engine.When{HasLocal: true, Day: h.day, LocalMin: 19 * 60}
	first := engine.MakeReservationID(h.id, 900)
	second := engine.MakeReservationID(h.id, 800)
	for i, id := range []engine.ReservationID{first, second} {
		require.Equal(t, engine.CodeCreated, h.do(guest(byte(i)), &engine.JoinWaitlist{ID: id, Want: w, Until: w, GuestsCount: 2}).Code)
	}
	h.do(owner, &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
	require.Equal(t, engine.StatusHeld, h.view.(*engine.RestaurantView).Reservation(first).Status)
}

// From -11 to +14 hours a service day moves by three: who is in the way then is not found by day, but by the occupancy.
func TestTablesByHandAfterAnotherZone(t *testing.T) {
	all := engine.OpeningHours{Days: 127, Open: 23 * 60, LastSeating: 46*60 + 45, Close: 47 * 60}
	h := newHarness(t, "Pacific/Niue", all)
	t1 := h.table("1", 1, 2)
	h.table("2", 1, 2)
	out := h.do(owner, &engine.SetRules{Change: engine.RulesChange{TurnTimes: &[]engine.TurnTime{{MinParty: 1, MaxParty: 100, Minutes: 480}}, BufferMin: new(120)}})
	require.Equal(t, engine.CodeOK, out.Code, out.Field)
	c := h.create(h.day, 46*60+45, 2) // 22:45 of the day after
	c.Table = t1
	a := h.do(owner, c)
	require.Equal(t, engine.CodeCreated, a.Code)
	end := a.Reservation.EndsAt + 2*3600
	out = h.do(owner, &engine.ChangeRestaurant{Change: engine.DetailsChange{TimeZone: new("Pacific/Kiritimati"), OpeningHours: &[]engine.OpeningHours{{Days: 127, Open: 0, LastSeating: 20 * 60, Close: 22 * 60}}}})
	require.Equal(t, engine.CodeOK, out.Code, out.Field)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{TurnTimes: &[]engine.TurnTime{}, BufferMin: new(0)}})
	for at := end - 3600; at < end; at += 900 {
		b := h.do(owner, &engine.CreateReservation{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2, Want: engine.When{StartsAt: at}})
		if b.Code != engine.CodeCreated || b.Reservation.Day < a.Reservation.Day+3 {
			t.Log(b.Code, b.Reservation)
			continue
		}
		t.Logf("days %v %v, tables %v %v", a.Reservation.Day, b.Reservation.Day, a.Reservation.Tables, b.Reservation.Tables)
		require.NotPanics(t, func() {
			out := h.do(owner, &engine.AssignTables{ID: b.Reservation.ID, Tables: []engine.TableID{t1}})
			require.Equal(t, engine.CodeSlotUnavailable, out.Code)
		})
		return
	}
}

// An offer ends with the start that it is for: who accepted later would be gone a moment after.
func TestAnOfferEndsWithItsStart(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{Approval: new(engine.ApprovalManual)}})
	h.now = engine.Instant(h.day)*86_400_000 + (18*60+58)*60_000
	out := h.do(guest(1), &engine.JoinWaitlist{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2}) // at the door
	require.Equal(t, engine.StatusHeld, out.Reservation.Status)
	require.EqualValues(t, out.Reservation.StartsAt*1000, out.Reservation.HoldUntil)
	h.now += 5 * 60_000
	require.Equal(t, engine.CodeInvalidTransition, h.do(guest(1), &engine.ConfirmHold{ID: out.Reservation.ID}).Code)
}

// Who has four holds is offered nothing more.
func TestOffersAreHoldsOfTheGuest(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 8 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	for range 4 {
		h.do(guest(1), &engine.Hold{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2, Want: engine.When{HasLocal: true, Day: h.day, LocalMin: 19 * 60}})
	}
	for range 4 {
		h.join(guest(1), h.day, 19*60, 19*60, 2)
	}
	n := 0
	for _, r := range h.view.(*engine.RestaurantView).DaySheet(h.day, nil) {
		if r.Status == engine.StatusHeld {
			n++
		}
	}
	require.LessOrEqual(t, n, 4)
}

// An erasure of 62 bookings has one event left for an offer; a sweep makes the others.
func TestWhatAnErasureFreesIsOffered(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 62 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	for range 62 {
		require.Equal(t, engine.CodeCreated, h.do(guest(1), h.create(h.day, 19*60, 2)).Code)
	}
	for i := range 10 {
		require.Equal(t, engine.StatusWaiting, h.join(guest(byte(2+i)), h.day, 19*60, 19*60, 2).Reservation.Status)
	}
	out := h.do(system, &engine.ForgetGuest{Guest: guest(1).Account})
	require.False(t, out.More)
	h.now += 1000
	h.do(system, &engine.Sweep{})
	left := len(h.view.(*engine.RestaurantView).Waitlist(h.day))
	require.Zero(t, left, "of 10 who wait; %d tables are free for others", h.starts(h.day, 2)[4].Free)
}

// A note on what the book lets go that day is refused: its own event would take it away.
func TestANoteIsNotLostByItsOwnEvent(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	r := h.booked(19*60, 2)
	h.do(owner, &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
	h.now = engine.Instant(h.day+33)*86_400_000 + 1000
	cmd := &engine.Command{Caller: owner, Body: &engine.Annotate{ID: r.ID, Note: "owes us 50"}, Key: engine.Hash{1}, Payload: engine.Hash{2}}
	out := h.send(cmd)
	require.Equal(t, engine.CodeNotFound, out.Code)
}

// More holds are over than one command lets go: what is shown is what is decided.
func TestManyHoldsAreOver(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 40 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	for i := range 40 {
		require.Equal(t, engine.CodeCreated, h.do(guest(byte(100+i)), &engine.Hold{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2, Want: engine.When{HasLocal: true, Day: h.day, LocalMin: 19 * 60}}).Code)
	}
	for i := range 30 {
		require.Equal(t, engine.StatusWaiting, h.join(guest(byte(i)), h.day, 19*60, 19*60, 2).Reservation.Status)
	}
	h.now += 5 * 60_000
	free := h.starts(h.day, 2)[4].Free
	got := 0
	for i := range 12 {
		if h.do(guest(byte(200+i)), h.create(h.day, 19*60, 2)).Code == engine.CodeCreated {
			got++
		}
	}
	require.Equal(t, free, got, "tables shown free, tables booked; %d of those who waited are left", len(h.view.(*engine.RestaurantView).Waitlist(h.day)))
}

// The waitlist is bounded by day and in all.
func TestTheWaitlistIsBounded(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	last := engine.MaxWaiting/engine.MaxWaitingADay + 1
	for d := range last {
		c := h.create(h.day+engine.Day(d), 19*60, 2)
		require.Equal(t, engine.CodeCreated, h.do(owner, c).Code)
	}
	for d := range last - 1 {
		for range engine.MaxWaitingADay {
			require.Equal(t, engine.CodeCreated, h.join(owner, h.day+engine.Day(d), 19*60, 19*60, 2).Code)
		}
		out := h.join(owner, h.day, 19*60, 19*60, 2)
		require.Equal(t, []any{engine.CodeLimit, "waitlist"}, []any{out.Code, out.Field}, "the day is full")
	}
	require.Equal(t, engine.CodeLimit, h.join(owner, h.day+engine.Day(last-1), 19*60, 19*60, 2).Code, "the house is")
}

// Who has four holds is passed over, and has the next table once he has decided on one.
func TestWhoHasFourHoldsIsPassedOver(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	for i := range 6 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	var full []*engine.Reservation
	for range 6 {
		full = append(full, h.do(owner, h.create(h.day, 19*60, 2)).Reservation)
	}
	ada := h.join(guest(1), h.day, 19*60, 19*60, 2).Reservation.ID
	bob := h.join(guest(2), h.day, 19*60, 19*60, 2).Reservation.ID
	var held engine.ReservationID
	for range engine.MaxHoldsPerGuest {
		held = engine.MakeReservationID(h.id, h.next())
		require.Equal(t, engine.CodeCreated, h.do(guest(1), &engine.Hold{ID: held, GuestsCount: 2, Want: engine.When{HasLocal: true, Day: h.day, LocalMin: 21 * 60}}).Code)
	}
	status := func(id engine.ReservationID) engine.Status {
		return h.view.(*engine.RestaurantView).Reservation(id).Status
	}
	for _, r := range full[:2] {
		h.do(owner, &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
	}
	require.Equal(t, []engine.Status{engine.StatusWaiting, engine.StatusHeld}, []engine.Status{status(ada), status(bob)})
	require.Equal(t, engine.CodeOK, h.do(guest(1), &engine.ConfirmHold{ID: held}).Code)
	require.Equal(t, engine.StatusHeld, status(ada), "one hold is a booking: there is room for an offer")
}

// Parties that look for the same are not the same to the house: what staff wrote in may have the tables that it keeps.
func TestHouseTablesGoToWhoStaffWroteIn(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.do(owner, h.create(h.day, 19*60, 2))
	for _, c := range []engine.Caller{guest(1), owner} {
		require.Equal(t, engine.StatusWaiting, h.join(c, h.day, 19*60, 19*60, 2).Reservation.Status)
	}
	h.do(owner, &engine.AddTable{ID: engine.MakeTableID(h.id, h.next()), Table: engine.TableSpec{Number: "2", Capacity: 2, MinCapacity: 1, InService: true, Channel: engine.ChannelInHouse}})
	left := h.view.(*engine.RestaurantView).Waitlist(h.day)
	require.Len(t, left, 1)
	require.Equal(t, guest(1).Account, left[0].Guest)
}

// In the night in which an hour is left out the search goes on behind it.
func TestWaitingThroughTheMissingHour(t *testing.T) {
	h := newHarness(t, "Europe/Rome", engine.OpeningHours{Days: 127, Open: 22 * 60, LastSeating: 28 * 60, Close: 29 * 60})
	h.table("1", 1, 2)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{TurnTimes: &[]engine.TurnTime{{MinParty: 1, MaxParty: 9, Minutes: 15}}}})
	eve, ok := engine.ParseDate("2027-03-27")
	require.True(t, ok)
	h.now = engine.Instant(eve) * 86_400_000
	require.Equal(t, engine.CodeCreated, h.do(owner, h.create(eve, 25*60+45, 2)).Code)
	out := h.join(guest(1), eve, 25*60+45, 27*60, 2)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.Equal(t, []any{engine.StatusHeld, 27 * 60}, []any{out.Reservation.Status, out.Reservation.LocalMin}, "at three, which follows two")
}

// What is pushed together is offered like a table.
func TestCombinationsAreOffered(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	one, two := h.table("1", 1, 4), h.table("2", 1, 4)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{Combinations: &[]engine.Combination{{Tables: []engine.TableID{one, two}, MinParty: 5, MaxParty: 8}}}})
	sits := h.booked(19*60, 4)
	seven := h.join(guest(2), h.day, 19*60, 19*60, 7).Reservation
	require.Equal(t, engine.StatusWaiting, seven.Status)
	offer := &engine.Command{Caller: owner, Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.OfferTable{ID: seven.ID}}
	require.Equal(t, engine.CodeSlotUnavailable, h.send(offer).Code)
	three := h.join(guest(3), h.day, 20*60, 22*60, 7).Reservation // at 20:45 both are free
	require.Equal(t, []any{engine.StatusHeld, 20*60 + 45, []engine.TableID{one, two}}, []any{three.Status, three.LocalMin, three.Tables})
	h.do(guest(3), &engine.Transition{ID: three.ID, Action: engine.ActionRelease})
	h.do(owner, &engine.Transition{ID: sits.ID, Action: engine.ActionCancel})
	now := h.view.(*engine.RestaurantView).Reservation(seven.ID)
	require.Equal(t, []any{engine.StatusHeld, []engine.TableID{one, two}}, []any{now.Status, now.Tables})
}

func TestAnOfferOfStaffIsRepeatable(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.booked(19*60, 2)
	r := h.join(guest(2), h.day, 19*60, 19*60, 2).Reservation
	id := engine.MakeTableID(h.id, h.next())
	h.do(owner, &engine.AddTable{ID: id, Table: engine.TableSpec{Number: "2", Capacity: 2, MinCapacity: 1, InService: true, Channel: engine.ChannelInHouse}})
	offer := &engine.Command{Caller: owner, Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.OfferTable{ID: r.ID}}
	out := h.send(offer)
	require.Equal(t, []any{engine.CodeOK, []engine.TableID{id}, false}, []any{out.Code, out.Reservation.Tables, out.Replayed})
	out = h.send(offer)
	require.Equal(t, []any{engine.CodeOK, true}, []any{out.Code, out.Replayed})
	offer.Key = engine.Hash{3}
	require.Equal(t, engine.CodeInvalidTransition, h.send(offer).Code)
}

// Horizon, pause and the door are exact for who joins, as they are for who books.
func TestJoiningAtTheBounds(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{HorizonDays: new(1), PausedUntil: new(engine.Instant(h.day-1) * 86_400_000)}})
	tomorrow := h.now + 86_400_000
	h.now = tomorrow - 1
	require.Equal(t, engine.CodePaused, h.join(guest(1), h.day-1, 19*60, 19*60, 2).Code)
	h.now = tomorrow + 19*3_600_000
	require.Equal(t, engine.CodeCreated, h.join(guest(1), h.day, 19*60, 19*60, 2).Code, "24 hours ahead")
	require.Equal(t, engine.CodeTooEarly, h.join(guest(1), h.day, 19*60+15, 19*60+15, 2).Code)
	h.now = engine.Instant(h.day+1) * 86_400_000
	for _, m := range []int{18 * 60, 19*60 + 30, 21 * 60} {
		require.Equal(t, engine.CodeCreated, h.do(owner, h.create(h.day+1, m, 2)).Code)
	}
	h.now += (19*60 + 15) * 60_000
	walks := &engine.JoinWaitlist{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2}
	r := h.do(guest(2), walks).Reservation
	require.Equal(t, []any{engine.StatusWaiting, 19*60 + 15}, []any{r.Status, r.LocalMin}, "who comes at a start waits from it on")

	h = newHarness(t, "UTC", dinner)
	h.table("1", 1, 2)
	h.do(owner, &engine.SetRules{Change: engine.RulesChange{PausedUntil: new(h.now + 1)}})
	require.Equal(t, engine.CodePaused, h.join(guest(1), h.day, 19*60, 19*60, 2).Code)
	h.now++
	require.Equal(t, engine.CodeCreated, h.join(guest(1), h.day, 19*60, 19*60, 2).Code)
}

// Who waits before is counted with what it would take, on its own day.
func TestAQuoteCountsWhoIsAhead(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	var full []*engine.Reservation
	for i := range 6 {
		h.table(fmt.Sprint(i), 1, 2)
		full = append(full, h.do(owner, h.create(h.day, 19*60, 2)).Reservation)
	}
	quote := func(d engine.Day) int {
		minutes, _, out := h.view.(*engine.RestaurantView).Quote(h.now, engine.When{HasLocal: true, Day: d, LocalMin: 19 * 60}, 2, "")
		require.Equal(t, engine.CodeOK, out.Code)
		return minutes
	}
	require.Equal(t, 90, quote(h.day))
	require.Equal(t, engine.StatusWaiting, h.join(guest(1), h.day, 19*60, 19*60, 2).Reservation.Status)
	for range engine.MaxHoldsPerGuest { // so that nothing is offered to him
		hold := &engine.Hold{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2, Want: engine.When{HasLocal: true, Day: h.day, LocalMin: 21 * 60}}
		require.Equal(t, engine.CodeCreated, h.do(guest(1), hold).Code)
	}
	h.do(owner, &engine.Transition{ID: full[0].ID, Action: engine.ActionCancel})
	require.Equal(t, 90, quote(h.day), "the table that is free is for who is ahead")
	require.Equal(t, 0, quote(h.day+1))
	h.do(owner, &engine.Transition{ID: full[1].ID, Action: engine.ActionCancel})
	require.Equal(t, 0, quote(h.day), "one for him, and one more")
}
