package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultDetached keeps RabbitMQ away until as much was written as would fill the journal twice, and it was purged beyond what
// RabbitMQ has. Reservations go on and the journal does not fill up; when RabbitMQ is back it gets every event from the store's audit, in
// order, and an alarm says so (holes H15).
func TestFaultDetached(t *testing.T) {
	if !long() {
		t.Skip("make faults; the short form is TestProjectorCatchesUpFromTheArchive")
	}
	const journal = 64 << 20
	many, wish := 2*journal/1_200, strings.Repeat("x", 900)
	seed := seedOf(t)
	pg, mq := openPostgres(t), openRabbitMQ(t)
	queue := subscribe(t, mq.URL)
	s := newServer(t, t.TempDir()+"/data", "--store-url", pg.DSN, "--amqp-url", mq.URL,
		"--journal-bytes", fmt.Sprint(journal), "--journal-keep", "1s", "--test-keeping", "1s")
	s.start()
	w := furnish(t, s, 20, 40)
	w.days = 80
	whole(t, s, 2)
	pause(brokerKnows)
	require.NoError(t, mq.Stop(t.Context()))
	behind := followersOf(t, s)["rabbitmq"].Cursor
	o := &offer{w: w, addr: s.addr, seed: seed, tokens: s.tokens("customer", 32), wish: wish}
	made, worst := 0, 0.0
	for begun := time.Now(); made < many || firstKept(t, s) <= behind+1; {
		r := o.closed(32, time.Second)
		made += len(r.good)
		require.Zero(t, r.shed.Load(), "nobody is sent away: %s", s.said.tail())
		// The journal is so small that 10 s of the fastest load fill it, sooner than the store follows and bases are made.
		for now := 1.0; now > 0.5; pause(100 * time.Millisecond) {
			now = used(t, s)
			worst = max(worst, now)
			require.Less(t, time.Since(begun), 5*time.Minute, "%d %d %s", firstKept(t, s), behind, s.said.tail())
		}
	}
	require.NoError(t, mq.Start(t.Context()))
	fmt.Printf("detached: %d reservations while RabbitMQ was away, journal used %.0f %% at most; caught up after %v\n",
		made, 100*worst, whole(t, s, 2).Round(10*time.Millisecond))
	require.Contains(t, s.said.String(), "catches up from the store", "the alarm")
	requireEachEventInOrder(t, queue, pg.DSN)
}

type followerNow struct {
	OK     bool
	State  string
	Cursor uint64
}

func followersOf(t *testing.T, s *server) map[string]followerNow {
	t.Helper()
	var ready struct{ Followers map[string]followerNow }
	readyz(t, s, &ready)
	return ready.Followers
}

var purgedBelow = regexp.MustCompile(`"journal purged","below":(\d+)`)

// firstKept is where the journal begins, as the server's log says.
func firstKept(t *testing.T, s *server) (seq uint64) {
	t.Helper()
	if all := purgedBelow.FindAllStringSubmatch(s.said.String(), -1); len(all) > 0 {
		_, err := fmt.Sscan(all[len(all)-1][1], &seq)
		require.NoError(t, err)
	}
	return seq
}

// used is the share of the journal that is taken.
func used(t *testing.T, s *server) float64 {
	t.Helper()
	var ready struct{ Journal struct{ Used float64 } }
	readyz(t, s, &ready)
	return ready.Journal.Used
}

func readyz(t *testing.T, s *server, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/readyz", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.NoError(t, json.NewDecoder(res.Body).Decode(into))
}
