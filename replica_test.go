package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// counted is the sum of a counter, over all its labels.
func counted(t *testing.T, from prometheus.Gatherer, name string) (n float64) {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestReadReplica: lists come from a streaming replica when it has what was shown; paused or killed it is not missed, and it answers
// while the server is away.
func TestReadReplica(t *testing.T) {
	noLeaks(t)
	require.ErrorContains(t, (&Config{Listen: ":0", JournalBytes: 1 << 30, StoreReadURL: "x"}).Validate(), "--store-read-url is a replica of --store-url")
	pg := openPostgres(t)
	replica, err := pg.StartReplica(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, replica.Close()) })
	s := openSite(t, t.TempDir(), func(c *Config) { c.StoreURL, c.StoreReadURL = pg.DSN, replica.DSN })
	guest, restaurant := s.token(2, engine.RoleCustomer), s.trattoria(1, 3)
	var mine []kept
	reserve := func() {
		t.Helper()
		got, k := s.reserve(guest, restaurant, fmt.Sprint(len(mine)), fmt.Sprintf("%d:00", 12+len(mine)))
		require.Equal(t, 201, got.status, "%s", got.body)
		mine = append(mine, k)
		s.follow()
	}
	mineNow := func() (of []kept) { // without waiting: what the store has, a list shows
		t.Helper()
		var page struct {
			Items []kept `json:"items"`
		}
		begun := time.Now()
		s.get(guest, "/reservations", &page)
		require.Less(t, time.Since(begun), time.Second)
		return page.Items
	}
	untilUsed := func() {
		t.Helper()
		require.NoError(t, replica.AwaitReplay(t.Context(), pg))
		before := counted(t, s.Registry, "database_replica_reads_total")
		require.Eventually(t, func() bool { mineNow(); return counted(t, s.Registry, "database_replica_reads_total") > before }, 20*time.Second, pollEvery)
		require.ElementsMatch(t, mine, mineNow())
	}
	reserve()
	untilUsed()
	require.NoError(t, replica.PauseReplay(t.Context()))
	for range 3 {
		reserve()
		require.ElementsMatch(t, mine, mineNow(), "own writes are seen")
	}
	require.Positive(t, counted(t, s.Registry, "database_replica_fallbacks_total"))
	require.NoError(t, replica.ResumeReplay(t.Context()))
	untilUsed()
	require.NoError(t, replica.Kill(t.Context()))
	reserve()
	for range 50 {
		require.ElementsMatch(t, mine, mineNow())
	}
	require.NoError(t, replica.Start(t.Context()))
	untilUsed()
	require.NoError(t, pg.Stop(t.Context()))
	answered := func() bool {
		got, err := s.do(request{method: "GET", path: "/reservations", token: guest})
		return err == nil && got.status == 200
	}
	require.Eventually(t, answered, 10*time.Second, pollEvery, "it has been sent everything, and replays it")
	for range 50 {
		require.ElementsMatch(t, mine, mineNow(), "lists go on while the server is away")
	}
	got, k := s.reserve(guest, restaurant, "more", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	require.NoError(t, pg.Start(t.Context()))
	mine = append(mine, k)
	s.follow()
	require.Eventually(t, answered, 10*time.Second, pollEvery, "connections that the restart cut are gone")
	require.ElementsMatch(t, mine, mineNow())
}
