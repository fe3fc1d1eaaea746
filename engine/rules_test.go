package engine_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

var evening = engine.OpeningHours{Days: 127, Open: 18 * 60, Close: 24 * 60, LastSeating: 22 * 60}

// TestHalfOpen: I1 and I2. 18:00–19:30 and 19:30–21:00 fit on one table, 19:15 does not.
func TestHalfOpen(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	h.table("1", 1, 2)
	h.booked(18*60, 2)
	out := h.do(guest(2), h.create(h.day, 19*60+15, 2))
	require.Equal(t, engine.CodeSlotUnavailable, out.Code)
	require.Equal(t, []int{19*60 + 30, 19*60 + 45, 20 * 60, 20*60 + 15}, locals(out.Alternatives), "the nearest, nearest first")
	h.booked(19*60+30, 2)
}

func locals(list []engine.Alternative) (out []int) {
	for _, a := range list {
		out = append(out, a.LocalMin)
	}
	return out
}

func TestBestFit(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	big := h.table("1", 1, 8)
	ten := h.table("T10", 1, 2)
	two := h.table("T2", 1, 2)
	require.Equal(t, two, h.booked(19*60, 2).Tables[0], "the smallest; T2 comes before T10")
	require.Equal(t, ten, h.booked(19*60, 2).Tables[0])
	require.Equal(t, big, h.booked(19*60, 2).Tables[0])
	require.Equal(t, engine.CodeSlotUnavailable, h.do(guest(1), h.create(h.day, 19*60, 2)).Code)
}

func TestWishedTable(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	small, large := h.table("1", 1, 2), h.table("2", 1, 6)
	wish := h.create(h.day, 19*60, 2)
	wish.Table = large
	require.Equal(t, large, h.do(guest(1), wish).Reservation.Tables[0], "a wish that can be met")
	wish = h.create(h.day, 19*60, 2)
	wish.Table = large
	require.Equal(t, engine.CodeSlotUnavailable, h.do(owner, wish).Code, "for staff it is binding")
	require.Equal(t, small, h.do(guest(1), wish).Reservation.Tables[0], "for guests it is a wish")
	wish = h.create(h.day, 21*60, 4)
	wish.Table = small
	require.Equal(t, engine.CodePartyTooLarge, h.do(owner, wish).Code)
	wish.Table = engine.MakeTableID(h.id, 4711)
	require.Equal(t, "table_id", h.do(guest(1), wish).Field)
}

func TestMinCapacity(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	h.table("1", 4, 10)
	for guests, code := range map[int]engine.Code{2: engine.CodePartyTooLarge, 20: engine.CodePartyTooLarge, 0: engine.CodeInvalid} {
		require.Equal(t, code, h.do(guest(1), h.create(h.day, 19*60, guests)).Code)
	}
	require.Equal(t, engine.CodeCreated, h.do(guest(1), h.create(h.day, 18*60, 4)).Code)
	require.Equal(t, engine.CodeCreated, h.do(guest(1), h.create(h.day, 21*60, 10)).Code)
}

func TestTransitions(t *testing.T) {
	const no = engine.CodeInvalidTransition
	reach := map[engine.Status][]engine.Action{
		engine.StatusConfirmed: {},
		engine.StatusSeated:    {engine.ActionSeat},
		engine.StatusCompleted: {engine.ActionSeat, engine.ActionComplete},
		engine.StatusCancelled: {engine.ActionCancel},
		engine.StatusNoShow:    {engine.ActionNoShow},
	}
	allowed := map[engine.Status]map[engine.Action]engine.Status{
		engine.StatusConfirmed: {engine.ActionCancel: engine.StatusCancelled, engine.ActionSeat: engine.StatusSeated, engine.ActionNoShow: engine.StatusNoShow},
		engine.StatusSeated:    {engine.ActionComplete: engine.StatusCompleted},
		engine.StatusCancelled: {engine.ActionReinstate: engine.StatusConfirmed},
		engine.StatusNoShow:    {engine.ActionReinstate: engine.StatusConfirmed},
	}
	for status, path := range reach {
		for action := engine.ActionCancel; action <= engine.ActionReinstate; action++ {
			h := newHarness(t, "Europe/Rome", evening)
			h.table("1", 1, 4)
			r := h.booked(19*60, 2)
			for _, a := range path {
				r = h.do(owner, &engine.Transition{ID: r.ID, Action: a}).Reservation
			}
			require.Equal(t, status, r.Status)
			out := h.do(owner, &engine.Transition{ID: r.ID, Action: action})
			if to, ok := allowed[status][action]; ok {
				require.Equal(t, engine.CodeOK, out.Code)
				require.Equal(t, to, out.Reservation.Status)
				require.Equal(t, r.Version+1, out.Reservation.Version, "I4")
				continue
			}
			require.Equal(t, no, out.Code, "%s: %s", engine.StatusName(status), engine.ActionName(action))
			require.Equal(t, status, out.Reservation.Status, "the refusal shows the state that it met")
		}
	}
}

func TestWhoMay(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	table := h.table("1", 1, 4)
	r := h.booked(19*60, 2)
	require.Equal(t, engine.CodeNotFound, h.do(guest(2), &engine.Transition{ID: r.ID, Action: engine.ActionCancel}).Code, "a stranger's")
	require.Equal(t, engine.CodeNotFound, h.do(engine.Caller{}, &engine.Reschedule{ID: r.ID}).Code)
	require.Equal(t, engine.CodeForbidden, h.do(guest(1), &engine.Transition{ID: r.ID, Action: engine.ActionSeat}).Code)
	require.Equal(t, engine.CodeForbidden, h.do(engine.Caller{}, h.create(h.day, 20*60, 2)).Code)
	require.Equal(t, engine.CodeForbidden, h.do(guest(1), &engine.RemoveTable{ID: table}).Code)
	require.Equal(t, engine.CodeForbidden, h.do(guest(1), &engine.Sweep{}).Code)
	staffs := h.do(owner, h.create(h.day, 21*60, 2)).Reservation
	require.Empty(t, staffs.Guest)
	require.Equal(t, engine.CodeNotFound, h.do(engine.Caller{Role: engine.RoleCustomer}, &engine.Transition{ID: staffs.ID, Action: engine.ActionCancel}).Code,
		"nobody's account is not nobody's guest")
	require.Equal(t, engine.CodeOK, h.do(guest(1), &engine.Transition{ID: r.ID, Action: engine.ActionCancel}).Code)
}

// TestRescheduleExcludesItself, and leaves everything as it was when it is refused.
func TestRescheduleExcludesItself(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	h.table("1", 1, 2)
	r := h.booked(19*60, 2)
	other := h.booked(21*60, 2)
	move := func(local int) engine.Outcome {
		return h.do(guest(1), &engine.Reschedule{ID: r.ID, Want: &engine.When{HasLocal: true, Day: h.day, LocalMin: local}})
	}
	require.Equal(t, engine.CodeOK, move(19*60+15).Code, "it overlaps itself only")
	before := h.a.Digest()
	out := move(20 * 60)
	require.Equal(t, engine.CodeSlotUnavailable, out.Code)
	require.Contains(t, locals(out.Alternatives), 19*60+30, "free but for itself")
	require.Equal(t, before, h.a.Digest())
	require.Equal(t, engine.CodeOK, move(18*60).Code)
	require.Equal(t, engine.CodeOK, h.do(guest(1), &engine.Reschedule{ID: other.ID, Want: &engine.When{HasLocal: true, Day: h.day, LocalMin: 19*60 + 30}}).Code, "the old place is free at once")
}

// TestReceipts: I8 and I10, holes H9.
func TestReceipts(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	h.table("1", 1, 2)
	create := &engine.Command{Caller: guest(1), Key: engine.Hash{1}, Payload: engine.Hash{1}, Body: h.create(h.day, 19*60, 2)}
	r := h.send(create).Reservation
	h.do(guest(1), &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
	for i := range engine.MaxReceipts + 100 {
		note := "no nuts"
		out := h.send(&engine.Command{Caller: owner, Key: engine.Hash{2, byte(i), byte(i >> 8)}, Body: &engine.ChangeRestaurant{Change: engine.DetailsChange{Description: &note}}})
		require.Equal(t, engine.CodeOK, out.Code)
	}
	for i, replayed := range map[int]bool{0: false, 99: false, 100: true, 101: true, engine.MaxReceipts + 99: true} {
		out, _ := h.a.Decide(h.now, &engine.Command{Caller: owner, Key: engine.Hash{2, byte(i), byte(i >> 8)}, Body: &engine.ChangeRestaurant{}})
		require.Equal(t, replayed, out.Replayed, "the ring keeps the newest: %d", i)
	}
	opened, err := engine.OpenBase(engine.AggregateID(h.id), h.a.AppendBase(nil))
	require.NoError(t, err)
	require.NoError(t, engine.CheckInvariants(opened))
	for _, a := range []engine.Aggregate{h.a, opened} {
		create.Body.(*engine.CreateReservation).ID = engine.MakeReservationID(h.id, 5000)
		out, events := a.Decide(h.now, create)
		require.Empty(t, events)
		require.True(t, out.Replayed)
		require.Equal(t, engine.CodeCreated, out.Code, "the first answer's code")
		require.Equal(t, engine.StatusCancelled, out.Reservation.Status, "the reservation as it is now")
		other := *create
		other.Payload = engine.Hash{7}
		out, _ = a.Decide(h.now, &other)
		require.Equal(t, engine.CodeKeyReused, out.Code)
	}
	refused := &engine.Command{Caller: guest(1), Key: engine.Hash{3}, Payload: engine.Hash{1}, Body: h.create(h.day, 3*60, 2)}
	require.Equal(t, engine.CodeClosed, h.send(refused).Code)
	refused.Payload, refused.Body = engine.Hash{9}, h.create(h.day, 19*60, 2)
	require.Equal(t, engine.CodeCreated, h.send(refused).Code, "a refused attempt leaves no receipt")
}

func TestIfMatch(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	h.table("1", 1, 2)
	r := h.booked(19*60, 2)
	note := "window"
	change := &engine.Command{Caller: guest(1), IfMatch: 1, Body: &engine.Reschedule{ID: r.ID, SpecialRequests: &note}}
	require.Equal(t, engine.CodeOK, h.send(change).Code)
	out := h.send(change)
	require.Equal(t, engine.CodeStale, out.Code)
	require.EqualValues(t, 2, out.Reservation.Version)
}

// TestSweep: I13. Confirmed and 30 minutes late, at most 64 at a time, never seated, once.
func TestSweep(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	for i := range 100 {
		h.table(strings.Repeat("x", 1+i%30)+string(rune('a'+i/30)), 1, 2)
		h.booked(19*60, 2)
	}
	seated := h.booked(21*60, 2)
	h.do(owner, &engine.Transition{ID: seated.ID, Action: engine.ActionSeat})
	due := engine.Instant(int64(h.day)*86_400_000 + (19*60+30)*60_000)
	require.Equal(t, due-(24*60+30)*60_000, h.a.NextDue(), "the first reminder")
	h.now = due - 31*60_000
	h.do(system, &engine.Sweep{})
	h.do(system, &engine.Sweep{})
	require.Equal(t, due, h.a.NextDue())
	h.now = due - 1
	h.do(system, &engine.Sweep{})
	require.Equal(t, due, h.a.NextDue(), "not yet")
	h.now = due
	before := h.a.Version()
	h.do(system, &engine.Sweep{})
	require.Equal(t, before+engine.MaxEvents, h.a.Version())
	require.Equal(t, due, h.a.NextDue(), "more remain")
	h.now += 8 * 3_600_000
	h.do(system, &engine.Sweep{})
	h.do(system, &engine.Sweep{})
	require.Equal(t, before+100, h.a.Version())
	require.Zero(t, h.a.NextDue())
	require.Equal(t, engine.StatusSeated, h.view.(*engine.RestaurantView).Reservation(seated.ID).Status)
	require.NoError(t, engine.CheckInvariants(h.a))
}

// TestForget: what is over leaves the state, with its key, not before a day has passed since its last change (I9).
func TestForget(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	old, late := h.booked(18*60, 2), h.booked(20*60, 2)
	h.do(guest(1), &engine.Transition{ID: old.ID, Action: engine.ActionCancel})
	h.do(owner, &engine.Transition{ID: late.ID, Action: engine.ActionSeat})
	known := func(r *engine.Reservation) bool { return h.view.(*engine.RestaurantView).Reservation(r.ID) != nil }
	touch := func(after engine.Instant) {
		h.now += after
		h.do(owner, &engine.ChangeRestaurant{})
	}
	const aDay = 86_400_000
	touch(34 * aDay)
	require.True(t, known(old), "two days before its service day, it has 33 more")
	touch(aDay)
	require.False(t, known(old))
	require.True(t, known(late), "seated is not over")
	h.do(owner, &engine.Transition{ID: late.ID, Action: engine.ActionComplete})
	touch(aDay)
	require.True(t, known(late), "a day after its last change")
	touch(aDay)
	require.False(t, known(late))
	require.NoError(t, engine.CheckInvariants(h.a))
	require.NoError(t, engine.CheckViewInvariants(h.view.(*engine.RestaurantView)))
}

func TestTableInUse(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	table := h.table("1", 1, 2)
	r := h.booked(19*60, 2)
	require.Equal(t, engine.CodeInUse, h.do(owner, &engine.RemoveTable{ID: table}).Code, "I3")
	h.do(guest(1), &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.RemoveTable{ID: table}).Code)
	other := h.table("2", 1, 2)
	out := h.do(owner, &engine.Transition{ID: r.ID, Action: engine.ActionReinstate})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, []engine.TableID{other}, out.Reservation.Tables, "reinstated on what there is")
	require.EqualValues(t, 4, out.Reservation.Version, "cancelled, moved, confirmed")
}

// TestBounds: I9.
func TestBounds(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	for i := range engine.MaxTables {
		h.table(strings.Repeat("9", i%9)+string(rune('A'+i%26))+strings.Repeat("1", i/26), 1, 2)
	}
	out := h.do(owner, &engine.AddTable{ID: engine.MakeTableID(h.id, 9999), Table: engine.TableSpec{Number: "one more", Capacity: 2, MinCapacity: 1}})
	require.Equal(t, engine.Outcome{Code: engine.CodeLimit, Field: "tables"}, out)
	require.Equal(t, engine.MaxTables, h.starts(h.day, 2)[0].Free)
	for range engine.MaxTables {
		h.booked(19*60, 2)
	}
	require.Equal(t, engine.CodeSlotUnavailable, h.do(guest(1), h.create(h.day, 19*60, 2)).Code, "T tables, T winners")
	require.NoError(t, engine.CheckInvariants(h.a))
	long := h.create(h.day, 19*60, 2)
	long.SpecialRequests = strings.Repeat("x", engine.MaxSpecialRequests+1)
	require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: "special_requests"}, h.do(guest(1), long))
	long.SpecialRequests = "\xff"
	require.Equal(t, "special_requests", h.do(guest(1), long).Field, "not UTF-8")
}

// TestViewsStay: I11.
func TestViewsStay(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	h.table("2", 1, 2)
	first := h.booked(19*60, 2) // so that there are nodes to share
	kept := h.view.(*engine.RestaurantView)
	version, elsewhere := kept.DayVersion(h.day), kept.DayVersion(h.day+5)
	direct := h.a.View().(*engine.RestaurantView)
	r := h.booked(19*60, 2)
	for _, v := range []*engine.RestaurantView{kept, direct} {
		require.Nil(t, v.Reservation(r.ID))
		require.Equal(t, []*engine.Reservation{first}, v.DaySheet(h.day, nil))
		require.Equal(t, 1, v.Availability(h.now, h.day, 2, nil)[4].Free)
		require.Equal(t, version, v.DayVersion(h.day))
		require.NoError(t, engine.CheckViewInvariants(v))
	}
	require.Greater(t, h.view.(*engine.RestaurantView).DayVersion(h.day), version)
	require.Equal(t, elsewhere, h.view.(*engine.RestaurantView).DayVersion(h.day+5))
	require.Equal(t, 0, h.view.(*engine.RestaurantView).Availability(h.now, h.day, 2, nil)[4].Free)
}

// TestImpossibleEventsPanic: I5 and I6.
func TestImpossibleEventsPanic(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	_, first := h.a.Decide(h.now, &engine.Command{Caller: guest(1), Body: h.create(h.day, 19*60, 2)})
	_, second := h.a.Decide(h.now, &engine.Command{Caller: guest(1), Body: h.create(h.day, 19*60, 2)})
	h.a.Apply(first[0])
	require.Panics(t, func() { h.a.Apply(second[0]) }, "I1: both were decided on the same state")
	h = newHarness(t, "UTC", evening)
	back := &engine.Event{AtMs: 1, Body: first[0].Body}
	require.PanicsWithValue(t, "engine: I6: time goes backwards", func() { h.a.Apply(back) })
	out, events := h.a.Decide(1, &engine.Command{Caller: owner, Body: &engine.ChangeRestaurant{}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.EqualValues(t, h.now, events[0].AtMs, "I6: now is raised to the last event")
}
