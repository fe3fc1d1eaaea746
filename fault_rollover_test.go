package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A block takes so many bytes; a record that would go beyond opens the next one.
const blockBytes = 8 << 20

// TestFaultPowerCutAfterRecovery is the narrow one. The server is killed between write and fsync, so its last record is in the
// page cache only; the record fills its block, so that whatever the restart writes goes to the next file, and no later fsync
// touches the record. The repetition with its key is acknowledged. Then the power goes. Recovered is not durable: unless
// recovery itself made it so.
func TestFaultPowerCutAfterRecovery(t *testing.T) {
	needRoot(t, mounting)
	needRoot(t, tracing)
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	v := newVolume(t, imageMiB)
	s := newServer(t, v.data(), "--journal-bytes", "268435456")
	s.start()
	w := furnish(t, s, 10, 40)
	c := newCrowd(s, w, l, seed, 32)
	rollovers := 0
	for range times(t, 1, "MAITRED_ROLLOVERS", 5) {
		c.round++
		fillBlock(t, s, c)
		held := holdLast(t, s, c)
		before := blocks(t, s.data)
		s.kill()
		<-held
		s.start()
		c.settle(s.addr, y) // acknowledged now
		s.kill()
		if blocks(t, s.data) > before {
			rollovers++
		}
		v = v.cut()
		s.data = v.data()
		s.start()
		c.compare(s.addr, y, 0, 1)
		y.faults++
	}
	s.kill()
	inspect(t, s, c, y)
	y.print(t, l, "rollovers=%d", rollovers)
	require.Positive(t, rollovers, "the restart wrote into the same block every time: the narrow case was not met")
}

func blocks(t *testing.T, data string) int {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(journalDir(data), "*.blk"))
	require.NoError(t, err)
	return len(all)
}

func size(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return int(info.Size())
}

// fillBlock makes reservations until the newest block has little room left.
func fillBlock(t *testing.T, s *server, c *crowd) {
	t.Helper()
	o := &offer{w: c.w, addr: s.addr, seed: uint64(c.round), tokens: s.tokens("customer", 32)}
	o.next.Store(int64(c.round) * 10_000_000)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		room := blockBytes - size(t, lastBlock(t, s.data))
		switch {
		case room < 24<<10:
			return
		case room < 256<<10:
			o.closed(1, 20*time.Millisecond)
		default:
			o.closed(32, 100*time.Millisecond)
		}
		require.True(t, time.Now().Before(deadline), "the block does not fill up")
	}
}

// holdLast makes single reservations, each as long as the room allows, with every fsync held back, until a record has been
// written after which not even a claim fits into the block. That record's fsync has not run when it returns. The channel
// closes when its guest has noticed the kill that is to follow.
func holdLast(t *testing.T, s *server, c *crowd) <-chan struct{} {
	t.Helper()
	const (
		overhead = 520 // of a frame with one reservation, beside its special requests; at least
		leave    = 150 // less than a claim takes
		longest  = 1000
	)
	a := newAPI(s.addr, 4)
	defer a.close()
	trace(t, s.pid, "delay_enter=1500000", lastBlock(t, s.data))
	for n := 0; n < 60; n++ {
		block := lastBlock(t, s.data)
		had := size(t, block)
		room := blockBytes - had
		last := room <= overhead+longest+leave
		length := min(longest, max(0, room-overhead-leave/2))
		done := make(chan struct{})
		go func() { defer close(done); c.single(a, length) }()
		if last {
			require.Eventually(t, func() bool { return size(t, block) > had || lastBlock(t, s.data) != block }, readyWithin, time.Millisecond)
			return done
		}
		<-done
	}
	t.Fatal("the block was not filled to the brim")
	return nil
}

// single is one reservation with special requests of a length.
func (c *crowd) single(a *api, length int) {
	g := c.guests[0]
	n := c.l.number()
	restaurant, date, slot, guests := c.w.want(g.rng)
	text := mark(n)
	text += " " + strings.Repeat("x", max(0, length-len(text)-1))
	o := &op{N: n, Guest: g.n, Key: fmt.Sprintf("key-%d", n), Method: "POST", Path: "/reservations"}
	o.Body = map[string]any{"restaurant_id": restaurant, "date": date, "time_slot": slot, "guests_count": guests, "special_requests": text}
	c.send(a, g, o)
	c.l.record(o, c.round)
}
