package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// ward is the store and the house of an eraser: real aggregates, a store that follows when it is told to.
type ward struct {
	t       *testing.T
	all     map[engine.AggregateID]engine.Aggregate
	seq     persistence.Seq
	shown   persistence.Seq                                               // what the store has followed
	pending []engine.AccountID                                            // in the store
	guests  map[engine.AccountID]map[engine.RestaurantID]engine.AccountID // in the store
	broken  engine.RestaurantID
	away    error // of the store
	sent    []string
}

func (w *ward) PendingErasures(context.Context, int) ([]engine.AccountID, error) {
	return slices.Clone(w.pending), w.away
}

func (w *ward) RestaurantsOf(_ context.Context, guest engine.AccountID, _ int) (list []engine.RestaurantID, _ error) {
	for r := range w.guests[guest] {
		list = append(list, r)
	}
	slices.Sort(list)
	return list, w.away
}

func (w *ward) current(context.Context) (bool, error) { return w.shown >= w.seq, w.away }

func (w *ward) View(id engine.AggregateID, _ time.Time) (*actors.View, error) {
	return &actors.View{View: w.all[id].View()}, nil
}

func (w *ward) Do(id engine.AggregateID, cmd *engine.Command, _ time.Time) (engine.Outcome, error) {
	if string(id) == string(w.broken) {
		return engine.Outcome{}, actors.ErrQuarantined
	}
	out, events := w.all[id].Decide(engine.Instant(time.Now().UnixMilli()), cmd)
	for _, e := range events {
		w.all[id].Apply(e)
	}
	w.seq++
	switch body := cmd.Body.(type) {
	case *engine.ForgetGuest:
		w.sent = append(w.sent, "forget")
		if !out.More {
			delete(w.guests[body.Guest], engine.RestaurantID(id))
		}
	case *engine.CompleteErasure:
		w.sent = append(w.sent, "complete")
		w.pending = slices.DeleteFunc(w.pending, func(a engine.AccountID) bool { return string(a) == string(id) })
	}
	return out, nil
}

// erased is an account that was erased now, with reservations at restaurants.
func (w *ward) erased(n byte, reservations int, restaurants ...engine.RestaurantID) engine.AccountID {
	w.t.Helper()
	a := engine.MakeAccountID([16]byte{n})
	guest := engine.Caller{Account: a, Role: engine.RoleCustomer}
	must := func(id engine.AggregateID, c engine.Caller, body engine.Body) {
		out, err := w.Do(id, &engine.Command{Caller: c, Body: body}, time.Time{})
		require.NoError(w.t, err)
		require.False(w.t, out.Code.Refused(), "%T: %v %s", body, out.Code, out.Field)
	}
	w.all[engine.AggregateID(a)] = engine.NewAggregate(engine.AggregateID(a))
	must(engine.AggregateID(a), guest, &engine.Register{Profile: engine.Profile{ID: a, Email: "a@b", Role: engine.RoleCustomer, PasswordHash: "x"}})
	w.guests[a] = map[engine.RestaurantID]engine.AccountID{}
	for _, r := range restaurants {
		id := engine.AggregateID(r)
		owner := engine.Caller{Account: engine.MakeAccountID([16]byte{200}), Role: engine.RoleOwner}
		if w.all[id] == nil {
			w.all[id] = engine.NewAggregate(id)
			must(id, owner, &engine.CreateRestaurant{ID: r, Details: engine.Details{Name: "Osteria", TimeZone: "UTC",
				OpeningHours: []engine.OpeningHours{{Days: 127, Open: 0, Close: 1440, LastSeating: 1300}}}})
			for i := range uint64(4) {
				must(id, owner, &engine.AddTable{ID: engine.MakeTableID(r, i), Table: engine.TableSpec{Number: string('a' + rune(i)), Capacity: 4, MinCapacity: 1, InService: true}})
			}
		}
		today := engine.Day(time.Now().Unix() / 86_400)
		for i := range reservations {
			must(id, guest, &engine.CreateReservation{ID: engine.MakeReservationID(r, uint64(n)<<32+uint64(i)), GuestsCount: 2,
				Want: engine.When{HasLocal: true, Day: today + 1 + engine.Day(i/6), LocalMin: 600 + 120*(i%6)}})
		}
		w.guests[a][r] = a
	}
	must(engine.AggregateID(a), guest, &engine.EraseAccount{})
	w.pending = append(w.pending, a)
	return a
}

func newWard(t *testing.T) (*ward, *eraser) {
	w := &ward{t: t, all: map[engine.AggregateID]engine.Aggregate{}, guests: map[engine.AccountID]map[engine.RestaurantID]engine.AccountID{}}
	return w, newEraser(w, w, w.current, time.Now, slog.New(slog.DiscardHandler), 10*time.Minute)
}

func (w *ward) completed(a engine.AccountID) bool {
	at, pending := w.all[engine.AggregateID(a)].View().(*engine.AccountView).Erasure()
	return at > 0 && !pending
}

// TestEraserWaits: an erasure is complete neither before the grace is over, nor while the store may not show a reservation.
func TestEraserWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := newWard(t)
		a := w.erased(1, 100, engine.MakeRestaurantID(1))
		w.shown = w.seq
		left, err := e.round(t.Context())
		require.NoError(t, err)
		require.True(t, left)
		require.Equal(t, []string{"forget", "forget"}, w.sent, "100 to cancel take two commands, at once")
		w.shown = w.seq
		left, err = e.round(t.Context())
		require.NoError(t, err)
		require.False(t, left, "nothing to do but wait")
		require.False(t, w.completed(a))

		pause(e.grace)
		// A request that was let in before the erasure has made another reservation, which the store does not show yet.
		w.seq++
		left, err = e.round(t.Context())
		require.NoError(t, err)
		require.True(t, left)
		require.False(t, w.completed(a), "the store is behind")
		w.guests[a] = map[engine.RestaurantID]engine.AccountID{engine.MakeRestaurantID(1): a}
		w.shown = w.seq
		_, err = e.round(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"forget", "forget", "forget"}, w.sent)
		require.False(t, w.completed(a))
		w.shown = w.seq
		left, err = e.round(t.Context())
		require.NoError(t, err)
		require.True(t, w.completed(a))
		require.False(t, left)
	})
}

// TestEraserGoesOn: a restaurant that does not answer holds up its own guest alone, a store that is away everybody, for as long as
// it lasts; Close ends the goroutine.
func TestEraserGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := newWard(t)
		first := w.erased(1, 2, engine.MakeRestaurantID(1), engine.MakeRestaurantID(2))
		second := w.erased(2, 2, engine.MakeRestaurantID(2))
		w.shown, w.broken = 1<<40, engine.MakeRestaurantID(1)
		w.away = errors.New("away")
		e.start()
		pause(15 * time.Minute)
		synctest.Wait()
		require.Empty(t, w.sent)
		w.away = nil
		e.signal()
		e.signal()
		pause(2 * eraseEvery)
		synctest.Wait()
		require.True(t, w.completed(second))
		require.False(t, w.completed(first))
		w.broken = ""
		e.signal()
		pause(2 * eraseEvery)
		synctest.Wait()
		require.True(t, w.completed(first))
		require.NoError(t, e.Close())
	})
}
