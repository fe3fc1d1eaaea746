package redis

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ln.Close()) })
	return ln.Addr().String()
}

// A reader that finds Redis away stops asking after a few times, and asks again later.
func TestReadersDoNotWaitForASilentServer(t *testing.T) {
	c := open(t, Options{Addrs: []string{silent(t)}, Timeout: 50 * time.Millisecond})
	r := NewReader(c)
	get := func() error {
		_, err := r.Availability(t.Context(), 0, engine.MakeRestaurantID(1), 20_000, 2, time.Time{})
		return err
	}
	for range breakerErrors {
		begun := time.Now()
		err := get()
		require.Error(t, err)
		require.NotErrorIs(t, err, circuitbreaker.ErrOpen)
		require.Less(t, time.Since(begun), 2*readTimeout)
	}
	begun := time.Now()
	for range 1000 {
		require.ErrorIs(t, get(), circuitbreaker.ErrOpen)
	}
	require.Less(t, time.Since(begun), time.Second)
	require.EqualValues(t, 1000+breakerErrors, testutil.ToFloat64(r.misses.WithLabelValues("away")))
}

func TestReaderCounts(t *testing.T) {
	aggregates, events := persistencetest.AnEvening(t)
	r := newRig(t, alone(t), nil)
	r.all(t, events)
	var known engine.AggregateID
	for id := range aggregates {
		if engine.IsRestaurantID(string(id)) {
			known = id
		}
	}
	reader := NewReader(r.c)
	get := func(id engine.RestaurantID, notBefore time.Time) (persistence.Availability, error) {
		return reader.Availability(t.Context(), 1_790_000_000_000, id, 20_700, 2, notBefore)
	}
	a, err := get(engine.RestaurantID(known), time.Time{})
	require.NoError(t, err)
	require.NotEmpty(t, a.TimeZone)
	_, err = get(engine.RestaurantID(known), a.AsOf)
	require.NoError(t, err)
	_, err = get(engine.RestaurantID(known), a.AsOf.Add(time.Millisecond))
	require.ErrorIs(t, err, ErrStale)
	_, err = get(engine.MakeRestaurantID(99), time.Time{})
	require.ErrorIs(t, err, persistence.ErrNotFound)
	require.EqualValues(t, 2, testutil.ToFloat64(reader.hits))
	require.EqualValues(t, 1, testutil.ToFloat64(reader.misses.WithLabelValues("stale")))
	require.EqualValues(t, 1, testutil.ToFloat64(reader.misses.WithLabelValues("unknown")))

	require.NoError(t, r.c.db.HSet(t.Context(), floorKey(known), "tbl_x", "{not json").Err())
	_, err = get(engine.RestaurantID(known), time.Time{})
	require.ErrorContains(t, err, "is not ours")
}

// Nodes that share a limiter share what a client owes; a minute later it owes nothing; away it fails soon.
func TestLimiterIsShared(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		a, b := NewLimiter(open(t, o)), NewLimiter(open(t, o))
		debt, err := a.Charge(t.Context(), "k", 60, 30)
		require.NoError(t, err)
		require.InDelta(t, 30, debt.Seconds(), 1)
		debt, err = b.Charge(t.Context(), "k", 60, 10)
		require.NoError(t, err)
		require.InDelta(t, 40, debt.Seconds(), 1)
		debt, err = b.Charge(t.Context(), "other", 60, 1)
		require.NoError(t, err)
		require.InDelta(t, 1, debt.Seconds(), 0.5)
		debt, err = a.Charge(t.Context(), "k", 60, 100_000)
		require.NoError(t, err)
		require.LessOrEqual(t, debt, limitMinutes*time.Minute, "more is not owed")
		_, err = a.Charge(t.Context(), "k", 0, 1)
		require.Error(t, err)
	})
	l := NewLimiter(open(t, Options{Addrs: []string{silent(t)}, Timeout: 50 * time.Millisecond}))
	for range breakerErrors {
		_, err := l.Charge(context.Background(), "k", 60, 1)
		require.Error(t, err)
	}
	_, err := l.Charge(context.Background(), "k", 60, 1)
	require.ErrorIs(t, err, circuitbreaker.ErrOpen)
}

// Who reads the copy gets what the restaurant itself would say.
func TestAvailabilityIsTheEngines(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		aggregates, events := persistencetest.AnEvening(t)
		r := newRig(t, o, nil)
		r.all(t, events)
		compared := 0
		for id, a := range aggregates {
			view, ok := a.View().(*engine.RestaurantView)
			if !ok {
				continue
			}
			first, _ := engine.ParseDate("2026-11-26")
			for day := first; day < first+7; day++ {
				for guests := 1; guests <= 6; guests++ {
					now := engine.Instant(int64(day)*86_400_000 - 3_600_000*int64(guests*4))
					got, err := r.c.Availability(t.Context(), now, engine.RestaurantID(id), day, guests)
					require.NoError(t, err)
					require.Equal(t, view.Availability(now, day, guests, nil), got.Starts)
					require.Equal(t, "Europe/Rome", got.TimeZone)
					compared += len(got.Starts)
				}
			}
			d, err := r.c.Day(t.Context(), engine.RestaurantID(id), first+2)
			require.NoError(t, err)
			require.Equal(t, a.Version(), d.Version)
			require.NotEmpty(t, d.Stays)
			require.Equal(t, events[len(events)-1].Event.GetAtMs(), d.AsOf.UnixMilli())
		}
		require.Greater(t, compared, 500)
	})
}

// all writes events at once.
func (r *rig) all(t *testing.T, events []persistence.Committed) {
	t.Helper()
	old, err := r.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Write(t.Context(), old, at(persistence.Seq(len(events))), events))
}
