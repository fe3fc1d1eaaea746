package actors

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence/memory"
)

// Never more than MaxResident aggregates are in memory, whatever many callers ask for, and nothing is lost by it.
func TestResidentsAreBounded(t *testing.T) {
	const most, restaurants, each = 8, 60, 20
	w := newWorld(t, stays, func(c *Config) { c.MaxResident = most })
	check := func() {
		if n := w.house.handles.Size(); n > most {
			t.Errorf("%d in memory", n)
		}
	}
	ids := make([]engine.AggregateID, restaurants)
	for i := range ids {
		ids[i] = w.restaurant(uint64(i+1), each)
		check()
	}
	inParallel(restaurants*each, 4, func(i int) {
		out, err := w.reserve(ids[i%restaurants], uint64(i+1), turns[i%3])
		for errors.Is(err, ErrBusy) { // nobody left memory in time, on a slow machine: the client comes again
			out, err = w.reserve(ids[i%restaurants], uint64(i+1), turns[i%3])
		}
		if err != nil || out.Code != engine.CodeCreated {
			t.Errorf("%v %v", err, out.Code)
		}
		check()
	})
	for _, id := range ids {
		require.Len(t, w.view(id).DaySheet(day, nil), each)
		check()
	}
	require.EqualValues(t, w.house.handles.Size(), w.house.taken.Load())
	w.restart()
	require.Len(t, w.view(ids[0]).DaySheet(day, nil), each)
}

// When nothing can leave memory, what is not in it is refused, what is in it serves.
func TestFullHouseRefuses(t *testing.T) {
	w := newWorld(t, stays, func(c *Config) { c.MaxResident = 2 })
	first, second := w.restaurant(1, 3), w.restaurant(2, 3)
	w.basesFault.Store(&memory.Fault{Kind: memory.Lost})
	create := func() (engine.Outcome, error) {
		return w.do(engine.AggregateID(engine.MakeRestaurantID(3)), owner, &engine.CreateRestaurant{
			ID: engine.MakeRestaurantID(3), Details: engine.Details{Name: "Da Luigi", TimeZone: "Europe/Rome"},
		})
	}
	_, err := create()
	require.ErrorIs(t, err, ErrBusy)
	for _, id := range []engine.AggregateID{first, second} {
		out, err := w.reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
	}
	w.basesFault.Store(nil)
	out, err := create()
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	require.Equal(t, 2, w.house.handles.Size())
	for _, id := range []engine.AggregateID{first, second} {
		require.Len(t, w.view(id).DaySheet(day, nil), 1)
	}
}

// One place in ten is kept free, by those that were used the longest time ago.
func TestNearlyFullHouseSweepsTheLeastRecentlyUsed(t *testing.T) {
	w := newWorld(t, stays, func(c *Config) { c.MaxResident = 20 })
	now := time.Now().Unix()
	ids := make([]engine.AggregateID, 20)
	for i := range ids {
		ids[i] = w.restaurant(uint64(i+1), 0)
	}
	for i, id := range ids {
		hd := w.opened(id)
		hd.used.Store(now - int64(i*7%20))
	}
	w.house.sweepFull()
	require.Equal(t, 18, w.house.handles.Size())
	for i, id := range ids {
		_, there := w.house.handles.Load(id)
		require.Equal(t, i*7%20 < 18, there, i)
	}
	w.house.sweepFull()
	require.Equal(t, 18, w.house.handles.Size())
}
