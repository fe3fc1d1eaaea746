package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// harness drives one restaurant: every event goes through the codec, every state is checked, the view is folded beside.
type harness struct {
	tb   testing.TB
	a    engine.Aggregate
	view engine.View
	id   engine.RestaurantID
	now  engine.Instant
	day  engine.Day // two days after now
	n    uint64
}

var owner = engine.Caller{Account: engine.MakeAccountID([16]byte{9}), Role: engine.RoleOwner}

func guest(n byte) engine.Caller {
	return engine.Caller{Account: engine.MakeAccountID([16]byte{1, n}), Role: engine.RoleCustomer}
}

var system = engine.Caller{Role: engine.RoleSystem}

func day(tb testing.TB, s string) engine.Day {
	d, ok := engine.ParseDate(s)
	require.True(tb, ok, s)
	return d
}

func newHarness(tb testing.TB, zone string, hours ...engine.OpeningHours) *harness {
	h := &harness{tb: tb, id: engine.MakeRestaurantID(77), day: day(tb, "2011-06-12")}
	h.now = engine.Instant(h.day-2) * 86_400_000
	h.a = engine.NewAggregate(engine.AggregateID(h.id))
	h.view = h.a.View()
	out := h.do(owner, &engine.CreateRestaurant{ID: h.id, Details: engine.Details{Name: "Osteria", TimeZone: zone, OpeningHours: hours}})
	require.Equal(tb, engine.CodeCreated, out.Code, out.Field)
	return h
}

// on moves the clock to noon UTC two days before date.
func (h *harness) on(date string) *harness {
	h.day = day(h.tb, date)
	h.now = engine.Instant(h.day-2)*86_400_000 + 43_200_000
	return h
}

func (h *harness) do(c engine.Caller, body engine.Body) engine.Outcome {
	return h.send(&engine.Command{Caller: c, Body: body})
}

func (h *harness) send(cmd *engine.Command) engine.Outcome {
	h.tb.Helper()
	out, events := h.a.Decide(h.now, cmd)
	for i, e := range events {
		d, err := engine.DecodeEvent(engine.AppendEvent(nil, e))
		require.NoError(h.tb, err)
		events[i] = d
		h.a.Apply(d)
	}
	h.view = h.view.Next(events)
	if h.a.Version() < 100 {
		require.NoError(h.tb, engine.CheckInvariants(h.a))
	}
	return out
}

func (h *harness) next() uint64 { h.n++; return h.n }

func (h *harness) table(number string, least, most int) engine.TableID {
	h.tb.Helper()
	id := engine.MakeTableID(h.id, h.next())
	out := h.do(owner, &engine.AddTable{ID: id, Table: engine.TableSpec{Number: number, Capacity: most, MinCapacity: least, InService: true}})
	require.Equal(h.tb, engine.CodeCreated, out.Code, out.Field)
	return id
}

func (h *harness) create(d engine.Day, local, guests int) *engine.CreateReservation {
	return &engine.CreateReservation{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: guests,
		Want: engine.When{HasLocal: true, Day: d, LocalMin: local}}
}

// booked is a reservation that guest 1 has made.
func (h *harness) booked(local, guests int) *engine.Reservation {
	h.tb.Helper()
	out := h.do(guest(1), h.create(h.day, local, guests))
	require.Equal(h.tb, engine.CodeCreated, out.Code, out.Field)
	return out.Reservation
}

func (h *harness) starts(d engine.Day, guests int) []engine.Start {
	return h.view.(*engine.RestaurantView).Availability(h.now, d, guests, nil)
}
