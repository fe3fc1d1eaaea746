package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// A real streaming replica answers while it has what this process has written; paused, killed or away the primary does, and nobody
// misses what he has written.
func TestReplica(t *testing.T) {
	primary, err := dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, primary.Close()) }()
	s, err := Open(t.Context(), primary.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.Cursor(t.Context())
	require.NoError(t, err)
	standby, err := primary.StartReplica(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, standby.Close()) }()
	require.NoError(t, s.ReadFrom(t.Context(), standby.DSN))
	answered := func() float64 { return testutil.ToFloat64(s.metrics.replicaReads) }

	aggregates, events := persistencetest.AnEvening(t)
	var restaurant engine.RestaurantID
	for id := range aggregates {
		if engine.IsRestaurantID(string(id)) {
			restaurant = engine.RestaurantID(id)
		}
	}
	half := persistence.Seq(len(events) / 2)
	end := persistence.Seq(len(events))
	position := func(seq persistence.Seq) persistence.Position {
		return persistence.Position{Journal: "jrn_test", Seq: seq}
	}
	look := func() persistence.Seq { // the cursor as whoever lists sees it
		t.Helper()
		var seq persistence.Seq
		require.NoError(t, s.list(t.Context(), func(ctx context.Context, tx pgx.Tx, _ time.Time) error {
			return tx.QueryRow(ctx, "SELECT seq FROM cursors WHERE sink = 'store'").Scan(&seq)
		}))
		return seq
	}
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, position(half), events[:half]))
	require.Equal(t, half, look(), "at once, wherever")
	require.Eventually(t, func() bool { before := answered(); look(); return answered() > before }, 10*time.Second, 20*time.Millisecond, "the replica answers")
	_, err = s.ReviewsOf(t.Context(), restaurant, persistence.ReviewFilter{Limit: 10})
	require.NoError(t, err)

	replay := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), standby.DSN)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	replay("SELECT pg_wal_replay_pause()")
	require.NoError(t, s.Write(t.Context(), position(half), position(end), events[half:]))
	require.Equal(t, end, look(), "the replica is behind: the primary answers")
	require.Positive(t, testutil.ToFloat64(s.metrics.fallbacks.WithLabelValues("behind")))
	replay("SELECT pg_wal_replay_resume()")
	require.Eventually(t, func() bool { before := answered(); return look() == end && answered() > before }, 10*time.Second, 20*time.Millisecond)

	require.NoError(t, standby.Kill(t.Context()))
	begun := time.Now()
	for range 20 {
		require.Equal(t, end, look())
	}
	require.Less(t, time.Since(begun), 5*time.Second)
	require.Positive(t, testutil.ToFloat64(s.metrics.fallbacks.WithLabelValues("away")))
	require.NoError(t, standby.Start(t.Context()))
	require.Eventually(t, func() bool { before := answered(); return look() == end && answered() > before }, 10*time.Second, 20*time.Millisecond)
}
