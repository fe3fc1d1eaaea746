package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultKill kills the server at random moments under load, as often as it takes. After each restart every acknowledged
// reservation is asked for, every operation of unknown outcome is repeated with its key, and in the end the journal is read
// by a model that knows nothing of the engine.
func TestFaultKill(t *testing.T) {
	perHouse := 4 // kills on one data directory
	if long() {
		perHouse = 25
	}
	seed, y := seedOf(t), &tally{}
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLedger(t)
	kills := times(t, 10, "MAITRED_KILLS", 200)
	var slowest time.Duration
	for house := 0; y.faults < kills; house++ {
		args := habits[house%len(habits)]
		slowest = max(slowest, killHouse(t, y, l, rng, min(perHouse, kills-y.faults), args))
	}
	y.print(t, l, "offers=%d restart_max=%v", y.offers, slowest.Round(time.Millisecond))
	require.NotZero(t, y.offers, "nobody who waited was offered a table: the run shows nothing of the waitlist")
}

// habits are the ways of the server that differ in what it does between two kills: restaurants stay in memory, leave it when
// nobody asks for a moment (so that bases are written all the time), leave it after every command.
var habits = [][]string{nil, {"--idle-after", "100ms"}, {"--test-passivate"}}

// killHouse makes a data directory and kills its server n times, every third time once more while it recovers.
func killHouse(t *testing.T, y *tally, into *ledger, rng *rand.Rand, n int, args []string) (slowest time.Duration) {
	t.Helper()
	s := newServer(t, filepath.Join(t.TempDir(), "data"), args...)
	s.start()
	w := furnish(t, s, 20, 20)
	l := newLedger(t)
	c := newPatrons(s, w, l, rng.Uint64(), 48)
	c.queues = true
	for range n {
		c.round++
		killUnderLoad(t, s, c, time.Duration(100+rng.IntN(900))*time.Millisecond)
		y.faults++
		if y.faults%3 == 0 {
			s.launch()
			pause(time.Duration(rng.IntN(250)) * time.Millisecond)
			s.kill()
		}
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

// TestFaultStop stops the server in good order under load: it ends within its grace, says that all is well, and what it answered
// while it stopped is true.
func TestFaultStop(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	s, c := house(t, l, seed)
	var slowest time.Duration
	for range times(t, 2, "MAITRED_STOPS", 20) {
		c.round++
		stop := under(s, c)
		served(t, s, c, readyWithin)
		begun := time.Now()
		require.NoError(t, syscall.Kill(s.pid, syscall.SIGTERM))
		require.Zero(t, s.waitExit(stopWithin), "exit code: %s", s.said)
		slowest = max(slowest, time.Since(begun))
		stop()
		s.start()
		c.settle(s.addr, y)
		y.faults++
	}
	aftermath(t, s, c, y)
	y.print(t, l, "stopped_after=%v", slowest.Round(time.Millisecond))
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
