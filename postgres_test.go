package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
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

	empty := n.Config.Data // adopt begins a journal above what PostgreSQL has followed, and says what is gone
	require.NoError(t, (&JournalAdoptCmd{Data: empty, StoreURL: pg.DSN, Node: "n1", AcceptLoss: true}).Run())
	require.ErrorContains(t, (&StoreRebuildCmd{Data: empty, StoreURL: pg.DSN}).Run(), "--replace empties it", "it is another journal's")
	require.NoError(t, (&StoreRebuildCmd{Data: empty, StoreURL: pg.DSN, Replace: true}).Run())
	s = openSite(t, empty, onPostgres)
	s.trattoria(1, 1)
	s.follow()
	require.NoError(t, s.Close())
	requireForward(t, empty)
}

// requireForward: what a broker lacks that nobody has any more is given up, when an operator says so and only then. The journal begins late.
func requireForward(t *testing.T, data string) {
	t.Helper()
	home, err := jetstream.Open(t.Context(), (&Node{Config: Config{Data: data}, Log: slog.New(slog.DiscardHandler)}).journalOptions())
	require.NoError(t, err)
	b, err := home.Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.Greater(t, b.First, persistence.Seq(1))
	id, err := persistence.JournalOf(t.Context(), home.Journal(), b.First)
	require.NoError(t, err)
	require.NoError(t, home.Close())
	require.ErrorContains(t, (&SinkForwardCmd{Data: data, AcceptLoss: true}).Run(), "no cursor yet")

	home, err = jetstream.Open(t.Context(), (&Node{Config: Config{Data: data}, Log: slog.New(slog.DiscardHandler)}).journalOptions())
	require.NoError(t, err)
	require.NoError(t, home.Cursors().Move(t.Context(), "rabbitmq", persistence.Position{}, persistence.Position{Journal: "jrn_lost", Seq: 1}))
	require.NoError(t, home.Close())
	require.ErrorContains(t, (&SinkForwardCmd{Data: data}).Run(), "--accept-loss")
	var said strings.Builder
	require.NoError(t, (&SinkForwardCmd{Data: data, AcceptLoss: true}).run(t.Context(), &said))
	require.Contains(t, said.String(), fmt.Sprintf("goes on at record %d of journal %s", b.First, id))
	require.ErrorContains(t, (&SinkForwardCmd{Data: data, AcceptLoss: true}).Run(), "goes on by itself")
}

// TestSinkCommands: what PostgreSQL does not take is parked, shown, tried again and given up.
func TestSinkCommands(t *testing.T) {
	noLeaks(t)
	pg, data := openPostgres(t), t.TempDir()
	s := openSite(t, data, func(c *Config) { c.StoreURL = pg.DSN })
	guest := s.token(2, engine.RoleCustomer)
	restaurant, other := s.trattoria(1, 1), s.trattoria(2, 1)
	s.follow()
	alter := func(change string) {
		conn, err := pgx.Connect(t.Context(), pg.DSN)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), change)
		require.NoError(t, err)
	}
	alter("ALTER TABLE reservations ADD CONSTRAINT broken CHECK (restaurant_id <> '" + restaurant + "')")
	for i, r := range []string{restaurant, other} {
		got, _ := s.reserve(guest, r, fmt.Sprint(i), "20:00")
		require.Equal(t, 201, got.status, "%s", got.body)
	}
	s.follow()
	status := func() string {
		var out bytes.Buffer
		require.NoError(t, (&SinkStatusCmd{URL: "http://" + s.Addr(), StoreURL: pg.DSN}).run(t.Context(), &out))
		return out.String()
	}
	require.Regexp(t, `(?s)store +running.*PARKED.*`+restaurant+` +3 .*broken`, status())
	require.NotContains(t, status(), other)

	resume := &SinkResumeCmd{parkedOne{StoreURL: pg.DSN, ID: restaurant}}
	require.ErrorContains(t, (&SinkResumeCmd{parkedOne{StoreURL: pg.DSN, ID: other}}).Run(), "is not parked")
	require.ErrorContains(t, (&SinkSkipCmd{parkedOne{StoreURL: pg.DSN, ID: "x"}}).Run(), "neither")
	alter("ALTER TABLE reservations DROP CONSTRAINT broken")
	require.NoError(t, resume.Run())
	require.Eventually(t, func() bool { return !strings.Contains(status(), restaurant) }, 15*time.Second, 50*time.Millisecond, "the idle node tries too")
	require.NoError(t, s.Close())
	followed := rowsIn(t, pg.DSN)
	require.NoError(t, (&StoreRebuildCmd{Data: data}).Run())
	require.Equal(t, dump(t, data), followed)
}

// No text that the API takes is poison for PostgreSQL.
func TestNoGuestParksARestaurant(t *testing.T) {
	noLeaks(t)
	pg, data := openPostgres(t), t.TempDir()
	s := openSite(t, data, func(c *Config) { c.StoreURL = pg.DSN })
	restaurant := s.trattoria(1, 4)
	guest := s.token(2, engine.RoleCustomer)
	taken := 0
	for i, words := range []string{"a\x00b", "\xff\xfe", "\u202e", strings.Repeat("\U0001f355", 200), "'; DROP TABLE reservations; --", "\\x00", "\b\f\v"} {
		got, err := s.do(request{method: "POST", path: "/reservations", token: guest, key: fmt.Sprint(i), body: map[string]any{
			"restaurant_id": restaurant, "date": day(3), "time_slot": fmt.Sprintf("%d:00", 12+2*(i%4)), "guests_count": 1, "special_requests": words}})
		require.NoError(t, err)
		require.Less(t, got.status, 500, "%q: %s", words, got.body)
		if got.status == 201 {
			taken++
		}
	}
	require.GreaterOrEqual(t, taken, 3)
	s.follow()
	store, err := postgres.Open(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer store.Close()
	parked, err := store.Parked(t.Context())
	require.NoError(t, err)
	require.Empty(t, parked)
}
