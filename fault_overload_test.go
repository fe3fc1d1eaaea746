package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	fsyncDelay   = "150000" // microseconds; with frames of 256 KiB that is a capacity of about 2,000 reservations/s
	overloadConn = 4096     // requests under way at most
	memoryLimit  = 512 << 20
)

// TestFaultOverload slows the journal down, measures what it can carry then, and offers five times as much, whether answers
// come or not. What is accepted must stay near the capacity, the rest is told when to come back, and nothing grows.
func TestFaultOverload(t *testing.T) {
	needRoot(t, tracing)
	raiseFileLimit(t)
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	s := newServer(t, t.TempDir()+"/data")
	s.start()
	w := furnish(t, s, 60, 50)
	w.days = 80
	tokens := s.tokens("customer", 200)
	s.stop()
	s.wrap = []string{"strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=" + fsyncDelay}
	s.env = []string{"GOMEMLIMIT=384MiB"} // as an operator who has 512 MiB would
	s.start()
	o := &offer{w: w, tokens: tokens, addr: s.addr, seed: seed, wish: strings.Repeat("x", 500)}
	seconds := 10 * time.Second
	if long() {
		seconds = 60 * time.Second
	}
	peak := watch(s)
	o.closed(600, 2*time.Second) // opens the restaurants
	capacity := o.closed(600, 5*time.Second)
	load := o.open(5*capacity.rate(), seconds)
	recovered := o.recover(t, capacity)
	after := o.closed(600, 5*time.Second) // the machine may have become slower meanwhile
	memory := peak()
	y.faults = 1
	fmt.Printf("%s: capacity=%.0f/s (afterwards %.0f/s) offered=%.0f/s goodput=%.0f/s refused=%d other=%d no_answer=%d p99_capacity=%v p99_accepted=%v rss=%d MiB normal_after=%v\n",
		t.Name(), capacity.rate(), after.rate(), load.offered(), load.rate(), load.shed.Load(), load.other.Load(), load.silent.Load(),
		capacity.p99().Round(time.Millisecond), load.p99().Round(time.Millisecond), memory>>20, recovered.Round(time.Millisecond))
	require.Zero(t, load.unadvised.Load(), "503 or 429 without Retry-After")
	require.Greater(t, load.offered(), 3*capacity.rate(), "the generator could not offer enough: no overload")
	require.Positive(t, load.shed.Load(), "nothing was refused: no overload")
	require.GreaterOrEqual(t, load.rate(), 0.8*min(capacity.rate(), after.rate()), "goodput")
	most := 4 * max(capacity.p99(), after.p99()) // with a neighbour on the machine; a queue of a second's work is beyond that
	if long() {
		most = 2 * max(capacity.p99(), after.p99())
	}
	require.LessOrEqual(t, load.p99(), most, "what is accepted does not wait behind what should have been refused")
	require.LessOrEqual(t, memory, int64(memoryLimit), "resident memory")
	require.LessOrEqual(t, recovered, 5*time.Second, "back to normal")
	s.kill()
	s.wrap = nil
	s.start()
	o.compare(t, y)
	s.kill()
	shelve(t, s.data, y)
	l.record(&op{N: 1, Verdict: acknowledged, Answer: &kept{ID: "see above"}}, 0)
	y.print(t, l, "acknowledged_in_all=%d", len(o.acked))
}

func raiseFileLimit(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.Greater(t, limit.Cur, uint64(overloadConn+1000), "open files allowed")
}
