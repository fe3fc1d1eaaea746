package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence/redis"
)

// TestRedisIsWholeBesideAParkedRestaurant: what PostgreSQL does not take is missing in the states that an emptied Redis is filled from; it
// comes from the journal.
func TestRedisIsWholeBesideAParkedRestaurant(t *testing.T) {
	noLeaks(t)
	pg, rd := openPostgres(t), openRedis(t)
	s := openSite(t, t.TempDir(), func(c *Config) { c.StoreURL, c.RedisURL = pg.DSN, "redis://"+rd.Addr })
	guest := s.token(2, engine.RoleCustomer)
	restaurant, other := s.trattoria(1, 1), s.trattoria(2, 1)
	s.follow()
	conn, err := pgx.Connect(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "ALTER TABLE reservations ADD CONSTRAINT broken CHECK (restaurant_id <> '"+restaurant+"')")
	require.NoError(t, err)
	reserve := func(slot string) {
		for _, r := range []string{restaurant, other} {
			got, _ := s.reserve(guest, r, r+slot, slot)
			require.Equal(t, 201, got.status, "%s", got.body)
		}
		s.follow()
	}
	reserve("20:00")
	db := goredis.NewClient(&goredis.Options{Addr: rd.Addr})
	defer db.Close()
	require.NoError(t, db.FlushAll(t.Context()).Err())
	taken := func(r string) string {
		n, err := db.HLen(t.Context(), fmt.Sprintf("maitred:{%s}:day:%s", r, day(3))).Result()
		require.NoError(t, err)
		return fmt.Sprint(max(0, n-1)) // without the position
	}
	require.Eventually(t, func() bool { return taken(restaurant) == "1" && taken(other) == "1" }, 10*time.Second, pollEvery, "the booking that is parked is in Redis")
	reserve("12:00")
	require.Eventually(t, func() bool { return taken(restaurant) == "2" && taken(other) == "2" }, 10*time.Second, pollEvery, "%v", s.followers[redis.SinkName].Status())
}
