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
	"maitred/persistence/memory"
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
	s := sinkOf(t, single.empty(t).client(t), &memory.Cursors{})
	begun(t, s)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(persistence.Seq(len(events))), events))
	var known engine.RestaurantID
	for id := range aggregates {
		if engine.IsRestaurantID(string(id)) {
			known = engine.RestaurantID(id)
		}
	}
	reader := NewReader(s.c)
	get := func(id engine.RestaurantID, notBefore time.Time) (persistence.Availability, error) {
		return reader.Availability(t.Context(), 1_790_000_000_000, id, 20_700, 2, notBefore)
	}
	a, err := get(known, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "Europe/Rome", a.TimeZone)
	_, err = get(known, a.AsOf)
	require.NoError(t, err)
	_, err = get(known, a.AsOf.Add(time.Millisecond))
	require.ErrorIs(t, err, ErrStale)
	_, err = get(engine.MakeRestaurantID(99), time.Time{})
	require.ErrorIs(t, err, persistence.ErrNotFound)
	require.EqualValues(t, 2, testutil.ToFloat64(reader.hits))
	require.EqualValues(t, 1, testutil.ToFloat64(reader.misses.WithLabelValues("stale")))
	require.EqualValues(t, 1, testutil.ToFloat64(reader.misses.WithLabelValues("unknown")))
}

// Nodes that share a limiter share what a client owes; a minute later it owes nothing; away it fails soon.
func TestLimiterIsShared(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		one, two := NewLimiter(b.client(t)), NewLimiter(b.client(t))
		debt, err := one.Charge(t.Context(), "k", 60, 30)
		require.NoError(t, err)
		require.InDelta(t, 30, debt.Seconds(), 1)
		debt, err = two.Charge(t.Context(), "k", 60, 10)
		require.NoError(t, err)
		require.InDelta(t, 40, debt.Seconds(), 1)
		debt, err = two.Charge(t.Context(), "other", 60, 1)
		require.NoError(t, err)
		require.InDelta(t, 1, debt.Seconds(), 0.5)
		debt, err = one.Charge(t.Context(), "k", 60, 100_000)
		require.NoError(t, err)
		require.LessOrEqual(t, debt, limitMinutes*time.Minute, "more is not owed")
		_, err = one.Charge(t.Context(), "k", 0, 1)
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

func limiterError(t *testing.T, c *Client) error {
	_, err := NewLimiter(c).Charge(t.Context(), "x", 10, 1)
	return err
}
