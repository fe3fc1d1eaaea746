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
	w := furnish(t, s, 20, 40)
	w.days = 80
	c := newPatrons(s, w, l, seed, 32)
	want := times(t, 1, "MAITRED_ROLLOVERS", 5)
	for round := 1; y.faults < want && round <= 5*want; round++ {
		c.round = round
		held := holdLast(t, s, c, round)
		if held == nil {
			continue
		}
		before := blocks(t, s.data)
		s.kill()
		<-held
		unsure := len(l.open())
		s.start()
		c.settle(s.addr, y) // acknowledged now
		s.kill()
		if unsure > 0 && blocks(t, s.data) > before {
			y.faults++
		}
		v = v.cut()
		s.data = v.data()
		s.start()
		c.compare(s.addr, y, 0, 1)
	}
	s.kill()
	inspect(t, s, c, y)
	require.Equal(t, want, y.faults, "the restart wrote into the same block: the narrow case was not met")
	y.print(t, l, "")
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

// fillBlock makes reservations until the newest block has little room left, and returns how many bytes a record with one
// reservation takes beside its special requests.
func fillBlock(t *testing.T, s *server, c *patrons, a *api, round int) (overhead int) {
	t.Helper()
	o := &offer{w: c.w, addr: s.addr, seed: uint64(round), tokens: s.tokens("customer", 32), wish: strings.Repeat("x", 500)}
	o.next.Store(int64(round) * 10_000_000)
	overhead = longest
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		block := lastBlock(t, s.data)
		had := size(t, block)
		switch room := blockBytes - had; {
		case room > 256<<10:
			o.closed(32, 100*time.Millisecond)
		case room > 24<<10:
			o.closed(1, 20*time.Millisecond)
		case room > overhead+longest:
			length := min(longest, max(0, room-2*overhead-longest/2))
			if c.single(a, length).Verdict == acknowledged && lastBlock(t, s.data) == block {
				overhead = min(overhead, size(t, block)-had-length)
			}
		default:
			return overhead
		}
	}
	t.Fatal("the block does not fill up")
	return 0
}

const (
	longest = 900 // special requests
	leave   = 60  // of a full block: less than any record takes
)

// holdLast makes one reservation that fills the newest block, and returns when its record is written and its fsync held back.
// The channel closes when the guest has noticed the kill that is to follow. It is nil when the record did not come to lie as
// it should.
func holdLast(t *testing.T, s *server, c *patrons, round int) <-chan struct{} {
	t.Helper()
	a := newAPI(s.addr, 4)
	overhead := fillBlock(t, s, c, a, round)
	block := lastBlock(t, s.data)
	r := trace(t, s.pid, syncing, "delay_enter=1500000", block)
	had := size(t, block)
	length := blockBytes - had - overhead - leave
	done := make(chan struct{})
	go func() { defer close(done); c.single(a, length) }()
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); pause(time.Millisecond) {
		if room := blockBytes - size(t, block); room >= 0 && room < 2*leave && lastBlock(t, s.data) == block {
			return done
		}
	}
	r.detach()
	<-done
	return nil
}

// single is one reservation with special requests of a length.
func (c *patrons) single(a *api, length int) *op {
	g := c.guests[0]
	n := c.l.number()
	restaurant, date, slot, guests := c.w.want(g.rng)
	text := mark(n)
	text += " " + strings.Repeat("x", max(0, length-len(text)-1))
	o := &op{N: n, Guest: g.n, Key: fmt.Sprintf("key-%d", n), Method: "POST", Path: "/reservations"}
	o.Body = map[string]any{"restaurant_id": restaurant, "date": date, "time_slot": slot, "guests_count": guests, "special_requests": text}
	c.send(a, g, o)
	c.l.record(o, c.round)
	return o
}
