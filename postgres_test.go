package main

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
	"maitred/persistence/postgres"
)

// openPostgres starts a private server for one test.
func openPostgres(t *testing.T) *dev.Postgres {
	t.Helper()
	pg, err := dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Close()) })
	return pg
}

// follow waits until the store has everything that is durable.
func (s *site) follow() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(s.t, s.projector.Wait(ctx, s.house.Status().Last))
}

// rowsIn is everything in a PostgreSQL store but the cursor.
func rowsIn(t *testing.T, dsn string) string {
	t.Helper()
	store, err := postgres.Open(t.Context(), dsn)
	require.NoError(t, err)
	defer store.Close()
	return dumpOf(t, store)
}

// TestPostgresIsAway: PostgreSQL is stopped, killed and away over a restart. Bookings, logins and the restart go on; when it is back it
// becomes what the journal says, and what the embedded store would have been.
func TestPostgresIsAway(t *testing.T) {
	noLeaks(t)
	pg, data := openPostgres(t), t.TempDir()
	onPostgres := func(c *Config) { c.StoreURL = pg.DSN }
	s := openSite(t, data, onPostgres)
	guest := s.token(2, engine.RoleCustomer)
	restaurant := s.trattoria(1, 3)
	var mine []kept
	reserve := func(s *site, slot string) {
		t.Helper()
		got, k := s.reserve(guest, restaurant, fmt.Sprint(len(mine)), slot)
		require.Equal(t, 201, got.status, "%s", got.body)
		mine = append(mine, k)
	}
	reserve(s, "12:00")
	s.follow()
	s.requireMine(guest, mine...)

	require.NoError(t, pg.Kill(t.Context()))
	reserve(s, "14:00")
	got, err := s.do(request{method: "GET", path: "/reservations", token: guest})
	requireStatus(t, 503, got, err)
	require.NoError(t, s.Close())

	s = openSite(t, data, onPostgres) // while it is away
	status, _, _ := s.login("nobody@example.org", "a long password")
	require.Equal(t, 401, status, "logins go on")
	reserve(s, "16:00")
	require.NoError(t, pg.Start(t.Context()))
	s.follow()
	s.requireMine(guest, mine...)
	require.NoError(t, pg.Stop(t.Context()))
	reserve(s, "18:00")
	require.NoError(t, pg.Start(t.Context()))
	s.follow()
	s.requireMine(guest, mine...)
	require.NoError(t, s.Close())

	followed := rowsIn(t, pg.DSN)
	require.NoError(t, (&StoreRebuildCmd{Data: data, StoreURL: pg.DSN}).Run())
	require.Equal(t, followed, rowsIn(t, pg.DSN))
	require.NoError(t, (&StoreRebuildCmd{Data: data}).Run())
	require.Equal(t, followed, dump(t, data), "the embedded store holds the same")

	var out bytes.Buffer
	require.NoError(t, (&AuditCmd{StoreURL: pg.DSN, ID: restaurant, Limit: 100}).run(t.Context(), &out))
	require.Equal(t, 1+3+len(mine), bytes.Count(out.Bytes(), []byte("\n")), out.String())
}

// TestAnEmptyJournalNeedsAnAnswer: whoever starts an empty directory must know that the store has not followed another one.
func TestAnEmptyJournalNeedsAnAnswer(t *testing.T) {
	noLeaks(t)
	pg, data := openPostgres(t), t.TempDir()
	onPostgres := func(c *Config) { c.StoreURL = pg.DSN }
	require.NoError(t, pg.Stop(t.Context()))
	n := newNode(nodeConfig(t, t.TempDir()))
	onPostgres(&n.Config)
	require.ErrorContains(t, n.Open(t.Context()), "new installation or a lost disk")
	require.NoError(t, pg.Start(t.Context()))

	s := openSite(t, data, onPostgres)
	s.trattoria(1, 1)
	s.follow()
	require.NoError(t, s.Close())
	n = newNode(nodeConfig(t, t.TempDir())) // the disk was lost
	onPostgres(&n.Config)
	require.ErrorContains(t, n.Open(t.Context()), "journal_regressed")
}
