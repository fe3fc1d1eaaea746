package main

import (
	"context"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const imageMiB = 1024

// TestFaultPowerCut takes the power away under load, and after a kill, a restart and acknowledged repetitions: what was
// recovered must be durable before it is acknowledged.
func TestFaultPowerCut(t *testing.T) {
	needRoot(t, mounting)
	seed, y := seedOf(t), &tally{}
	rng := rand.New(rand.NewPCG(seed, 2))
	l := newLedger(t)
	v := newVolume(t, imageMiB)
	s := newServer(t, v.data(), "--journal-bytes", "268435456")
	s.start()
	c := newPatrons(s, furnish(t, s, 10, 20), l, seed, 32)
	c.queues = true
	for cuts := times(t, 2, "MAITRED_CUTS", 12); y.faults < cuts; y.faults++ {
		c.round++
		killUnderLoad(t, s, c, time.Duration(200+rng.IntN(1000))*time.Millisecond)
		if y.faults%2 == 1 { // kill, restart, acknowledge the repetitions, cut
			s.start()
			c.settle(s.addr, y)
			s.kill()
		}
		v = v.cut()
		s.data = v.data()
		s.start()
		c.settle(s.addr, y)
		c.compare(s.addr, y, 0, 1)
	}
	s.kill()
	inspect(t, s, c, y)
	y.print(t, l, "offers=%d", y.offers)
	require.NotZero(t, y.offers, "nobody who waited was offered a table: the run shows nothing of the waitlist")
}

// refusal is how a server says that it does not trust what it finds.
var refusal = regexp.MustCompile(`(?i)journal|high-water|adopt|salvage|regressed|empty|missing|lost`)

// TestFaultPowerCutControl runs the same with a journal that acknowledges before it is durable. It must lose, and be caught:
// otherwise the test above shows nothing.
func TestFaultPowerCutControl(t *testing.T) {
	needRoot(t, mounting)
	seed, y := seedOf(t), &tally{}
	l := newLedger(t)
	v := newVolume(t, imageMiB)
	s := newServer(t, v.data(), "--journal-bytes", "268435456", "--test-lazy-sync")
	s.start()
	c := newPatrons(s, furnish(t, s, 5, 20), l, seed, 16)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.run(ctx, s.addr)
	s.kill()
	v = v.cut()
	s.data = v.data()
	s.launch()
	require.Eventually(t, func() bool { return s.ready() || s.gone() }, readyWithin, pollEvery)
	if s.gone() {
		require.Regexp(t, refusal, s.said.tail(), "the server ended without saying why")
		t.Logf("caught at start: %s", s.said.tail())
		return
	}
	c.compare(s.addr, y, 0, 1)
	require.Positive(t, y.lost+y.wrong, "a lazy journal lost nothing in a power cut: the cut is no cut")
	t.Logf("caught by comparison: lost=%d wrong=%d of %d", y.lost, y.wrong, len(l.books))
}
