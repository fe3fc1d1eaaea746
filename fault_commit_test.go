package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultKillInCommit kills the server inside a group commit: before the frame is written, so that none of its operations was
// done, and between write and fsync, so that all of them were although nobody was told. Either way nobody was told too early,
// and the keys say what became of them.
func TestFaultKillInCommit(t *testing.T) {
	needRoot(t, tracing)
	points := []struct {
		name, calls, inject string
		done                bool // what was on its way is there
	}{
		{"before the write", writing, "delay_enter=50000", false},
		{"after it, before fsync", syncing, "delay_enter=50000", true},
		{"after fsync, before ack", syncing, "delay_exit=50000", true},
	}
	for _, point := range points {
		t.Run(point.name, func(t *testing.T) {
			seed, y, l := seedOf(t), &tally{}, newLedger(t)
			s, c := house(t, l, seed)
			for range times(t, 2, "MAITRED_COMMITS", 10) {
				c.round++
				stop := under(s, c)
				served(t, s, c, readyWithin)
				r := trace(t, s.pid, point.calls, point.inject, lastBlock(t, s.data))
				require.Eventually(t, func() bool { return r.hits() > 2 }, readyWithin, pollEvery, "nothing was delayed")
				pause(20 * time.Millisecond) // into the middle of a commit, most likely
				s.kill()
				stop()
				s.start()
				c.settle(s.addr, y)
				c.compare(s.addr, y, 0, 1)
				y.faults++
			}
			require.Equal(t, point.done, c.found > 0, "done %d, not done %d: killed at another point", c.found, c.absent)
			aftermath(t, s, c, y)
			y.print(t, l, "unknown_done=%d unknown_not_done=%d", c.found, c.absent)
		})
	}
}
