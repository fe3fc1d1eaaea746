package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const healthyWithin = 30 * time.Second // without hands, from the moment the cause is gone

// under runs the guests in the background until the returned function is called. They go on when an answer does not come:
// the faults here do not end the server.
func under(s *server, c *patrons) (stop func()) {
	c.stubborn = true
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.run(ctx, s.addr) })
	return func() { cancel(); wg.Wait() }
}

// seen counts operations by verdict since a moment; the difference of two calls says what happened in between.
func (c *patrons) seen() map[verdict]int { return c.l.count() }

// served waits until more reservations are acknowledged than before.
func served(t *testing.T, s *server, c *patrons, within time.Duration) time.Duration {
	t.Helper()
	begun, before := time.Now(), c.seen()[acknowledged]
	require.Eventually(t, func() bool { return c.seen()[acknowledged] > before+100 || s.gone() }, within, pollEvery*5,
		"nothing acknowledged within %v: %s", within, s.said.tail())
	require.False(t, s.gone(), "the server ended: %s", s.said.tail())
	return time.Since(begun)
}

// aftermath is the end of a run whose fault did not end the server: everything is compared, also after a kill and a restart.
func aftermath(t *testing.T, s *server, c *patrons, y *tally) {
	t.Helper()
	c.settle(s.addr, y)
	c.compare(s.addr, y, 0, 1)
	s.kill()
	s.start()
	c.compare(s.addr, y, 0, 1)
	s.kill()
	inspect(t, s, c, y)
}

// TestFaultDiskFull fills the volume under load, first to the watermark, then to the last byte at once, and frees it again.
func TestFaultDiskFull(t *testing.T) {
	needRoot(t, mounting)
	seed, y := seedOf(t), &tally{}
	l := newLedger(t)
	v := newVolume(t, imageMiB)
	s := newServer(t, v.data(), "--journal-bytes", "268435456")
	s.start()
	c := newPatrons(s, furnish(t, s, 10, 20), l, seed, 32)
	c.rest = 2 * time.Millisecond
	stop := under(s, c)
	served(t, s, c, readyWithin)
	var slowest time.Duration
	for range times(t, 1, "MAITRED_FULL", 5) {
		for _, leave := range []int64{32 << 20, 0} {
			v.fill(leave)
			shunned(t, s, c, "disk full")
			v.empty()
			slowest = max(slowest, served(t, s, c, healthyWithin))
			y.faults++
		}
	}
	stop()
	full := strings.Count(s.said.String(), "no space left on device")
	aftermath(t, s, c, y)
	y.print(t, l, "healthy_after=%v enospc_seen=%d", slowest.Round(time.Millisecond), full)
	require.Positive(t, full, "the disk was never really full: the watermark alone was tested")
}

// shunned waits until the server answers nothing but 503 and 504 for half a second.
func shunned(t *testing.T, s *server, c *patrons, cause string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		before := c.seen()
		pause(500 * time.Millisecond)
		after := c.seen()
		require.False(t, s.gone(), "the server ended: %s", s.said.tail())
		if after[acknowledged] == before[acknowledged] && after[notDone]+after[unknown] > before[notDone]+before[unknown] {
			return
		}
	}
	t.Fatalf("%s: reservations are still acknowledged, or nothing is answered: the fault has no effect", cause)
}

// TestFaultFsyncFails lets one fsync fail under load.
func TestFaultFsyncFails(t *testing.T) {
	needRoot(t, tracing)
	seed, y := seedOf(t), &tally{}
	l := newLedger(t)
	s, c := house(t, l, seed)
	c.rest = 5 * time.Millisecond
	stop := under(s, c)
	served(t, s, c, readyWithin)
	var slowest time.Duration
	for range times(t, 1, "MAITRED_EIO", 10) {
		r := trace(t, s.pid, syncing, "error=EIO:when=1", lastBlock(t, s.data))
		require.Eventually(t, func() bool { return r.hits() > 0 }, readyWithin, pollEvery, "no fsync was made to fail")
		r.detach()
		y.faults += r.hits()
		slowest = max(slowest, served(t, s, c, healthyWithin))
	}
	stop()
	aftermath(t, s, c, y)
	y.print(t, l, "healthy_after=%v", slowest.Round(time.Millisecond))
}

// TestFaultFsyncSlow delays every fsync by 100 ms: frames grow, nothing else happens.
func TestFaultFsyncSlow(t *testing.T) {
	needRoot(t, tracing)
	seed, y := seedOf(t), &tally{}
	l := newLedger(t)
	s, c := house(t, l, seed)
	stop := under(s, c)
	served(t, s, c, readyWithin)
	before := c.seen()
	r := trace(t, s.pid, syncing, "delay_enter=100000")
	pause(3 * time.Second)
	after := c.seen()
	r.detach()
	y.faults = r.hits()
	served(t, s, c, 5*time.Second)
	stop()
	require.Positive(t, y.faults, "no fsync was delayed")
	rate := float64(after[acknowledged]-before[acknowledged]) / 3
	perFsync := float64(after[acknowledged]-before[acknowledged]) / float64(y.faults)
	require.Greater(t, perFsync, 2.0, "reservations do not share an fsync when it is slow")
	require.Equal(t, before[unknown]+before[notDone], after[unknown]+after[notDone], "an fsync of 100 ms is slow, it is no failure")
	aftermath(t, s, c, y)
	y.print(t, l, "acknowledged_per_s=%.0f per_fsync=%.1f", rate, perFsync)
}

// house is a furnished server on a new data directory, with guests.
func house(t *testing.T, l *ledger, seed uint64, args ...string) (*server, *patrons) {
	t.Helper()
	s := newServer(t, t.TempDir()+"/data", args...)
	s.start()
	return s, newPatrons(s, furnish(t, s, 10, 20), l, seed, 32)
}

// watch samples the server's memory until the returned function is called, which gives the largest sample in bytes.
func watch(s *server) (peak func() int64) {
	var most atomic.Int64
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				most.Store(max(most.Load(), s.rss()))
			}
		}
	}()
	return func() int64 { close(done); <-over; return most.Load() }
}
