package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/postgres"
)

// awayFor is how long a service is away.
func awayFor() time.Duration {
	if long() {
		return 5 * time.Minute
	}
	return 1500 * time.Millisecond
}

// brokerKnows is how long RabbitMQ 3.10 takes to write down which quorum queues it has (half a second without a new one): killed before,
// it comes back without the processes of the queues, and confirms nothing that goes to them.
const brokerKnows = 2 * time.Second

// outside is a service that can be hurt.
type outside interface {
	Stop(context.Context) error
	Kill(context.Context) error
	Start(context.Context) error
}

// TestFaultServices stops PostgreSQL, RabbitMQ and Redis and kills them with -9 under load, empties Redis, and restarts the server while
// they are away. No operation fails but those that the restart cut off; afterwards the store is the fold of the journal, Redis says what
// the restaurants say, and each event is in RabbitMQ at least once, in order, duplicates byte for byte the same.
func TestFaultServices(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	pg, mq := openPostgres(t), openRabbitMQ(t)
	rd := openRedis(t)
	queue := subscribe(t, mq.URL)
	s, c := house(t, l, seed, "--store-url", pg.DSN, "--amqp-url", mq.URL, "--redis-url", "redis://"+rd.Addr)
	c.rest = 25 * time.Millisecond // 32 guests: about 1,000 a second
	faults := []struct {
		name    string
		service outside
		hurt    func(outside, context.Context) error
		restart bool // of the server meanwhile
	}{
		{"PostgreSQL stopped", pg, outside.Stop, false},
		{"RabbitMQ killed", mq, outside.Kill, false},
		{"PostgreSQL killed, server restarted", pg, outside.Kill, true},
		{"Redis killed, so emptied", rd, outside.Kill, false},
		{"RabbitMQ stopped", mq, outside.Stop, false},
		{"Redis stopped", rd, outside.Stop, true},
		{"Redis emptied under load", emptied{rd}, outside.Stop, false},
	}
	if !long() {
		faults = faults[1:4]
	}
	whole(t, s, 3)
	pause(brokerKnows)
	for _, f := range faults {
		c.round++
		stop := under(s, c)
		served(t, s, c, readyWithin)
		before := c.seen()
		require.NoError(t, f.hurt(f.service, t.Context()), f.name)
		pause(awayFor())
		served(t, s, c, readyWithin)
		require.Equal(t, before[notDone], c.seen()[notDone], "%s: operations failed", f.name)
		require.Equal(t, before[unknown], c.seen()[unknown], "%s: operations without an answer", f.name)
		if f.restart {
			s.kill()
			s.start()
			served(t, s, c, readyWithin)
		}
		require.NoError(t, f.service.Start(t.Context()), f.name)
		pause(time.Second)
		stop()
		c.settle(s.addr, y)
		y.faults++
		fmt.Printf("%s: whole again after %v\n", f.name, whole(t, s, 3).Round(10*time.Millisecond))
	}
	requireRedisSaysTheSame(t, s, c.w)
	requireStoreIsTheFold(t, s, pg.DSN)
	requireEachEventInOrder(t, queue, pg.DSN)
	s.start()
	aftermath(t, s, c, y)
	y.print(t, l, "away=%v", awayFor())
}

// emptied is a Redis whose stop is a FLUSHALL.
type emptied struct{ *dev.Redis }

func (e emptied) Stop(ctx context.Context) error {
	db := goredis.NewClient(&goredis.Options{Addr: e.Addr})
	defer db.Close()
	return db.FlushAll(ctx).Err()
}

func (emptied) Start(context.Context) error { return nil }

func openRedis(t *testing.T) *dev.Redis {
	t.Helper()
	rd, err := dev.StartRedis(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rd.Close()) })
	return rd
}

// requireRedisSaysTheSame compares what the owner of each restaurant says about each day with what the copy says.
func requireRedisSaysTheSame(t *testing.T, s *server, w *world) {
	t.Helper()
	ask := func(path, cacheControl string) (slots json.RawMessage, asOf string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/api/v1"+path, nil)
		require.NoError(t, err)
		req.Header.Set("Cache-Control", cacheControl)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var got struct {
			Slots json.RawMessage `json:"slots"`
			AsOf  string          `json:"as_of"`
		}
		require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
		require.Equal(t, http.StatusOK, res.StatusCode)
		return got.Slots, got.AsOf
	}
	taken := 0
	for i := range w.places {
		for d := range w.days {
			path := fmt.Sprintf("/restaurants/%s/availability?date=%s&guests_count=2", w.places[i].id, day(1+d))
			want, strong := ask(path, "no-cache")
			got, stale := ask(path, "max-stale")
			require.Empty(t, strong)
			require.NotEmpty(t, stale, "the copy answers")
			require.JSONEq(t, string(want), string(got), path)
			taken += bytes.Count(got, []byte(`"tables":`)) - bytes.Count(got, fmt.Appendf(nil, `"tables":%d`, w.places[i].tables))
		}
	}
	require.Positive(t, taken, "somebody has a table")
}

func openRabbitMQ(t *testing.T) *dev.RabbitMQ {
	t.Helper()
	mq, err := dev.StartRabbitMQ(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() {
		if said, err := os.ReadFile(filepath.Join(mq.Dir, "server.txt")); t.Failed() && err == nil {
			t.Logf("RabbitMQ said:\n%s", said[max(0, len(said)-6000):])
		}
		require.NoError(t, mq.Close())
	})
	return mq
}

// whole waits until every follower has everything that was durable at the first look. What comes later (heartbeats) does not count.
func whole(t *testing.T, s *server, followers int) time.Duration {
	t.Helper()
	begun, end := time.Now(), uint64(0)
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + s.addr + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		var ready struct {
			Last      uint64
			Followers map[string]followerNow
		}
		if json.NewDecoder(res.Body).Decode(&ready) != nil || len(ready.Followers) != followers {
			return false
		}
		end = cmp.Or(end, ready.Last)
		return !slices.ContainsFunc(slices.Collect(maps.Values(ready.Followers)), func(f followerNow) bool { return !f.OK || f.Cursor < end })
	}, time.Minute, pollEvery, "a follower does not catch up: %s", s.said.tail())
	return time.Since(begun)
}

// requireStoreIsTheFold stops the server and compares PostgreSQL with what a rebuilt embedded store says.
func requireStoreIsTheFold(t *testing.T, s *server, dsn string) {
	t.Helper()
	followed := func() string {
		store, err := postgres.Open(t.Context(), dsn)
		require.NoError(t, err)
		defer store.Close()
		return dumpOf(t, store)
	}
	s.stop()
	require.NoError(t, (&StoreRebuildCmd{Data: s.data}).Run())
	require.Equal(t, dump(t, s.data), followed())
}

// subscription is a queue that gets all events of restaurants.
type subscription struct {
	url, name string
}

// subscribe makes a durable queue before the first event.
func subscribe(t *testing.T, url string) *subscription {
	t.Helper()
	q := &subscription{url: url, name: "test.all"}
	q.with(t, func(ch *amqp.Channel) {
		require.NoError(t, ch.ExchangeDeclare("maitred.events", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "maitred.unrouted"}))
		_, err := ch.QueueDeclare(q.name, true, false, false, false, nil)
		require.NoError(t, err)
		require.NoError(t, ch.QueueBind(q.name, "restaurant.#", "maitred.events", false, nil))
	})
	return q
}

func (q *subscription) with(t *testing.T, fn func(*amqp.Channel)) {
	t.Helper()
	conn, err := amqp.Dial(q.url)
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	fn(ch)
}

// requireEachEventInOrder reads the whole queue and compares it with the audit of the store.
func requireEachEventInOrder(t *testing.T, q *subscription, dsn string) {
	t.Helper()
	store, err := postgres.Open(t.Context(), dsn)
	require.NoError(t, err)
	defer store.Close()
	want := map[string]bool{}
	for after := persistence.Seq(0); ; {
		events, reached, err := store.Events(t.Context(), after, 10_000)
		require.NoError(t, err)
		for _, e := range events {
			if engine.IsRestaurantID(string(e.Aggregate)) {
				want[fmt.Sprintf("%s/%d", e.Aggregate, e.Version)] = true
			}
		}
		if after = reached; len(events) == 0 {
			break
		}
	}
	got, newest, twice := map[string][]byte{}, map[string]uint64{}, 0
	q.with(t, func(ch *amqp.Channel) {
		for {
			m, ok, err := ch.Get(q.name, true)
			require.NoError(t, err)
			if !ok {
				return
			}
			if first, seen := got[m.MessageId]; seen {
				require.True(t, bytes.Equal(first, m.Body), "%s came twice, not the same", m.MessageId)
				twice++
				continue
			}
			got[m.MessageId] = m.Body
			restaurant, version, _ := strings.Cut(m.MessageId, "/")
			v, err := strconv.ParseUint(version, 10, 64)
			require.NoError(t, err)
			require.Greater(t, v, newest[restaurant], "%s is out of order", m.MessageId)
			newest[restaurant] = v
		}
	})
	for id := range want {
		if _, came := got[id]; !came { // require.Contains walks through the whole map
			t.Fatalf("%s did not come", id)
		}
	}
	require.Len(t, got, len(want))
	fmt.Printf("RabbitMQ: %d events, %d duplicates\n", len(got), twice)
}
