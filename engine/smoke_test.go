package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func do(t *testing.T, a engine.Aggregate, v *engine.View, now engine.Instant, c engine.Command) engine.Outcome {
	t.Helper()
	out, events := a.Decide(now, &c)
	for i, e := range events {
		d, err := engine.DecodeEvent(engine.AppendEvent(nil, e))
		require.NoError(t, err)
		events[i] = d
		a.Apply(d)
	}
	*v = (*v).Next(events)
	require.Equal(t, a.Version(), (*v).Version())
	b, err := engine.OpenBase(engine.AggregateID("rst_0000000000001"), a.AppendBase(nil))
	require.NoError(t, err)
	require.Equal(t, a.Digest(), b.Digest())
	require.Equal(t, a.NextDue(), b.NextDue())
	return out
}

func TestSmoke(t *testing.T) {
	rid := engine.MakeRestaurantID(1)
	require.EqualValues(t, "rst_0000000000001", rid)
	a := engine.NewAggregate(engine.AggregateID(rid))
	v := a.View()
	owner := engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
	guest := engine.Caller{Account: engine.MakeAccountID([16]byte{2}), Role: engine.RoleCustomer}
	day, _ := engine.ParseDate("2026-11-28") // Saturday
	now := engine.Instant(int64(day-3)) * 86400_000
	out := do(t, a, &v, now, engine.Command{Caller: owner, Body: &engine.CreateRestaurant{ID: rid, Details: engine.Details{
		Name: "Da Mario", TimeZone: "Europe/Rome",
		OpeningHours: []engine.OpeningHours{{Days: 1 << 5, Open: 18 * 60, Close: 26 * 60, LastSeating: 25 * 60}}}}})
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	tid := engine.MakeTableID(rid, 7)
	out = do(t, a, &v, now, engine.Command{Caller: owner, Body: &engine.AddTable{ID: tid, Table: engine.TableSpec{
		Number: "1", Capacity: 4, MinCapacity: 1, InService: true}}})
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	book := engine.Command{Caller: guest, Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.CreateReservation{
		ID: engine.MakeReservationID(rid, 9), Want: engine.When{HasLocal: true, Day: day, LocalMin: 30}, GuestsCount: 2}}
	out = do(t, a, &v, now, book)
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	require.Equal(t, 24*60+30, out.Reservation.LocalMin)
	require.Equal(t, out.Reservation, v.(*engine.RestaurantView).Reservation(out.Reservation.ID))
	out = do(t, a, &v, now, book)
	require.True(t, out.Replayed)
	book.Key = engine.Hash{3}
	book.Body.(*engine.CreateReservation).ID = engine.MakeReservationID(rid, 10)
	out = do(t, a, &v, now, book)
	require.Equal(t, engine.CodeSlotUnavailable, out.Code)
	require.Len(t, out.Alternatives, 4)
	starts := v.(*engine.RestaurantView).Availability(now, day, 2, nil)
	require.Len(t, starts, 29)
	out = do(t, a, &v, now+5*86400_000, engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Sweep{}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, engine.StatusNoShow, v.(*engine.RestaurantView).Reservation(engine.MakeReservationID(rid, 9)).Status)
	require.Zero(t, a.NextDue())
}
