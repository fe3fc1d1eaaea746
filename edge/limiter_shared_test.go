package edge

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledger is the debts of all nodes, kept the simple way.
type ledger struct {
	mu    sync.Mutex
	now   func() time.Time
	due   map[string]time.Time
	calls int
	err   error
}

func (l *ledger) Charge(_ context.Context, key string, perMinute, n int) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.err != nil {
		return 0, l.err
	}
	now := l.now()
	if l.due[key].Before(now) {
		l.due[key] = now
	}
	for range n {
		if next := l.due[key].Add(time.Minute / time.Duration(perMinute)); next.Sub(now) <= 16*time.Minute {
			l.due[key] = next
		}
	}
	return l.due[key].Sub(now), nil
}

// What a client spent at one node is owed at the next, once they have settled; and it is owed once.
func TestNodesShareWhatAClientOwes(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	all, client := &ledger{now: clock, due: map[string]time.Time{}}, [16]byte{15: 1}
	a, b := newLimiter(10, true), newLimiter(10, true)
	for range 6 {
		require.True(t, a.charge(client, 10, now).allowed)
	}
	require.Equal(t, 9, b.charge(client, 10, now).remaining, "nobody has told it yet")
	a.settle(all, clock)
	b.settle(all, clock)
	require.Equal(t, 2, b.charge(client, 10, now).remaining, "7 were spent, this is the 8th")
	a.settle(all, clock)
	b.settle(all, clock)
	calls := all.calls
	a.settle(all, clock)
	b.settle(all, clock)
	require.Equal(t, calls, all.calls, "what is settled is settled")
	now = now.Add(time.Minute)
	require.Equal(t, 9, b.charge(client, 10, now).remaining, "a minute later everything is paid")
}

// Redis away: the node's own limit goes on as if it were alone, and nothing gathers.
func TestLimitsGoOnAlone(t *testing.T) {
	now := time.Now()
	all, l, client := &ledger{err: errors.New("away")}, newLimiter(3, true), [16]byte{15: 1}
	for _, want := range []bool{true, true, true, false} {
		require.Equal(t, want, l.charge(client, 3, now).allowed)
		l.settle(all, func() time.Time { return now })
	}
	require.Equal(t, 3, all.calls)
	for i := range l.shards {
		require.Empty(t, l.shards[i].unsettled)
	}
}

// Whoever spends his quota at every node within the moment before they settle pays it back: in the long run he has one quota.
func TestBurstsAtEveryNodeArePaidBack(t *testing.T) {
	const nodes, quota, minutes = 3, 12, 8
	now := time.Now()
	clock := func() time.Time { return now }
	all, client, passed := &ledger{now: clock, due: map[string]time.Time{}}, [16]byte{15: 1}, 0
	var ls [nodes]*limiter
	for i := range ls {
		ls[i] = newLimiter(quota, true)
	}
	for range minutes {
		for _, l := range ls {
			for range quota + 1 {
				a := l.charge(client, quota, now)
				require.GreaterOrEqual(t, a.remaining, 0)
				if a.allowed {
					passed++
				}
			}
		}
		for range 2 { // each learns what the others told
			for _, l := range ls {
				l.settle(all, clock)
			}
		}
		now = now.Add(time.Minute)
	}
	require.LessOrEqual(t, passed, (nodes+minutes)*quota)
	require.Greater(t, passed, minutes*quota/2, "and no less than about that")
}

// The server settles by itself until it is closed.
func TestTheServerSettles(t *testing.T) {
	all := &ledger{now: time.Now, due: map[string]time.Time{}}
	s := listen(t, &script{do: created}, func(c *Config) { c.RateLimit, c.SharedLimits = 100, all })
	require.Equal(t, 200, s.ask("GET", "/", "", "").StatusCode)
	require.Eventually(t, func() bool { all.mu.Lock(); defer all.mu.Unlock(); return all.calls == 1 }, 5*time.Second, 5*time.Millisecond)
}
