package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultFarBehind keeps PostgreSQL, RabbitMQ and Redis away for many reservations (the long form: a million), and lets them come back
// while reservations go on at about 1,000 a second. The server's memory stays bounded, and each of them catches up faster than three times
// what arrives.
func TestFaultFarBehind(t *testing.T) {
	const arrival = 1_000.0
	many := times(t, 10_000, "MAITRED_BEHIND", 1_000_000)
	seed, l := seedOf(t), newLedger(t)
	pg, rd := openPostgres(t), openRedis(t)
	names, all := []string{"store", "redis"}, []outside{pg, rd}
	flags := []string{"--store-url", pg.DSN, "--redis-url", "redis://" + rd.Addr}
	if long() { // it takes its time to start and to stop
		mq := openRabbitMQ(t)
		names, all, flags = append(names, "rabbitmq"), append(all, mq), append(flags, "--amqp-url", mq.URL)
	}
	s := newServer(t, t.TempDir()+"/data", flags...)
	memory := int64(512 << 20)
	if long() { // a million reservations alone are 900 MiB
		memory = 1536 << 20
	}
	s.env = []string{fmt.Sprintf("GOMEMLIMIT=%d", memory)} // as an operator who has a third more would
	s.start()
	w := furnish(t, s, times(t, 50, "MAITRED_BEHIND_RESTAURANTS", 400), 40)
	w.days = 80
	whole(t, s, len(all))
	for _, service := range all {
		require.NoError(t, service.Stop(t.Context()))
	}
	o := &offer{w: w, addr: s.addr, seed: seed, tokens: s.tokens("customer", 32)}
	before, peak, made, begun := s.rss(), watch(s), 0, time.Now()
	for last := begun; made < many; {
		r := o.closed(64, time.Second)
		if made += len(r.good); len(r.good) > 0 {
			last = time.Now()
		}
		require.Less(t, time.Since(last), time.Minute, "%d of %d: refused %d, shed %d, silent %d: %s",
			made, many, r.other.Load(), r.shed.Load(), r.silent.Load(), s.said.tail())
		if long() && time.Since(begun) > 15*time.Minute {
			break // the restaurants are full
		}
	}
	took := time.Since(begun)
	away := peak()

	c := newPatrons(s, w, l, seed, 32)
	c.rest = 25 * time.Millisecond
	stop := under(s, c)
	served(t, s, c, readyWithin)
	peak = watch(s)
	back := map[string]time.Duration{}
	for i, name := range names {
		require.NoError(t, all[i].Start(t.Context()))
		back[name] = catchUp(t, s, name, 10*time.Minute)
	}
	most := peak()
	stop()
	whole(t, s, len(all))
	fmt.Printf("away for %d reservations (%v): memory %d MiB before, %d MiB while they were away, %d MiB while they caught up\n",
		made, took.Round(time.Second), before>>20, away>>20, most>>20)
	for _, sink := range slices.Sorted(maps.Keys(back)) {
		rate := float64(made)/back[sink].Seconds() + arrival
		fmt.Printf("%-10s whole again after %v: about %.0f events/s beside %.0f arriving\n", sink, back[sink].Round(10*time.Millisecond), rate, arrival)
		if long() {
			require.Greater(t, rate, 3*arrival, sink)
		}
	}
	require.Less(t, max(away, most), memory*4/3, "memory is bounded")
	requireRedisSaysTheSame(t, s, &world{places: w.places[:5], days: 5})
	requireStoreIsTheFold(t, s, pg.DSN)
}

// catchUp is how long a follower takes until it has everything.
func catchUp(t *testing.T, s *server, name string, within time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	for time.Since(begun) < within {
		pause(5 * pollEvery)
		res, err := http.Get("http://" + s.addr + "/readyz")
		if err != nil {
			continue
		}
		var ready struct {
			Followers map[string]struct {
				OK         bool
				LagSeconds float64 `json:"lag_seconds"`
			}
		}
		err = json.NewDecoder(res.Body).Decode(&ready)
		_ = res.Body.Close()
		if f := ready.Followers[name]; err == nil && f.OK && f.LagSeconds < 1 {
			return time.Since(begun)
		}
	}
	t.Fatalf("%s does not catch up within %v: %s", name, within, s.said.tail())
	return 0
}
