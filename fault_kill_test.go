package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultKill kills the server at random moments under load, as often as it takes. After each restart every acknowledged
// reservation is asked for, every operation of unknown outcome is repeated with its key, and in the end the journal is read
// by a model that knows nothing of the engine.
func TestFaultKill(t *testing.T) {
	const perHouse = 25 // kills on one data directory
	seed, y := seedOf(t), &tally{}
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLedger(t)
	kills := times(t, 10, "MAITRED_KILLS", 200)
	var slowest time.Duration
	for y.faults < kills {
		slowest = max(slowest, killHouse(t, y, l, rng, min(perHouse, kills-y.faults)))
	}
	y.print(t, l, "restart_max=%v", slowest.Round(time.Millisecond))
}

// killHouse makes a data directory and kills its server n times.
func killHouse(t *testing.T, y *tally, into *ledger, rng *rand.Rand, n int) (slowest time.Duration) {
	t.Helper()
	s := newServer(t, filepath.Join(t.TempDir(), "data"))
	s.start()
	w := furnish(t, s, 20, 20)
	l := newLedger(t)
	c := newPatrons(s, w, l, rng.Uint64(), 48)
	for range n {
		c.round++
		killUnderLoad(t, s, c, time.Duration(100+rng.IntN(900))*time.Millisecond)
		y.faults++
		slowest = max(slowest, s.start())
		c.settle(s.addr, y)
		c.compare(s.addr, y, c.round, 10)
	}
	c.compare(s.addr, y, 0, 1)
	s.kill()
	inspect(t, s, c, y)
	into.absorb(l)
	return slowest
}

// killUnderLoad lets the guests ask for a while, kills the server, and returns when every guest has noticed.
func killUnderLoad(t *testing.T, s *server, c *patrons, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	quiet := make(chan struct{})
	go func() { c.run(ctx, s.addr); close(quiet) }()
	before := len(c.l.open())
	pause(after)
	require.False(t, s.gone(), "the server ended by itself: %s", s.said.tail())
	s.kill()
	<-quiet
	require.Greater(t, len(c.l.open()), before, "the kill hit no operation: it was no fault")
}

// inspect reads the journal of a stopped server, lets the server's own command verify it, and compares it with what the guests
// wrote down.
func inspect(t *testing.T, s *server, c *patrons, y *tally) {
	t.Helper()
	shelve(t, s.data, y).reconcile(y, c.l)
	c.oddities(y)
	if said, err := s.run("journal", "verify", "--data", s.data); err != nil {
		y.add(&y.wrong, "journal verify: %v: %s", err, said)
	}
}
