package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFaultDrain drains each node in turn, and lets it take its share again, while guests reserve by way of all three at half of what
// the cluster can do. Nobody is refused or left without an answer, and nobody waits much longer than without it.
func TestFaultDrain(t *testing.T) {
	if !long() {
		t.Skip("make faults-cluster; TestFaultCluster stops nodes in good order in the short form")
	}
	seed := seedOf(t)
	c := newCluster(t)
	c.start()
	w := furnish(t, c.nodes[0], 60, 40)
	w.days = 60
	o := &offer{w: w, addr: c.addrs(), seed: seed, tokens: c.nodes[0].tokens("customer", 64)}
	o.closed(48, 2*time.Second) // until everything is warm
	capacity := o.closed(48, 4*time.Second).rate()
	calm := o.open(capacity/2, 5*time.Second)
	for _, s := range c.nodes[:times(t, 1, "MAITRED_DRAINS", 3)] {
		name := nodeName(c, s)
		done := make(chan string, 1)
		go func() {
			pause(500 * time.Millisecond)
			out, err := s.run("cluster", "drain", name, "--admin", s.admin)
			done <- fmt.Sprint(out, err)
		}()
		r := o.open(capacity/2, 5*time.Second)
		said := <-done
		require.Contains(t, said, name+" holds 0 of 256 partitions\n<nil>", said)
		out, err := s.run("cluster", "drain", name, "--undo", "--admin", s.admin)
		require.NoError(t, err, out)
		back := o.open(capacity/2, 8*time.Second) // five of them until it settles
		c.spread()
		fmt.Printf("drain of %s at %.0f/s of %.0f/s: p99 %v before, %v while it drains, %v while it takes its share again; refused %d %v %v, without an answer %d, of %d\n",
			name, r.offered(), capacity, calm.p99().Round(time.Millisecond), r.p99().Round(time.Millisecond), back.p99().Round(time.Millisecond),
			r.shed.Load()+back.shed.Load(), r.why, back.why, r.silent.Load()+back.silent.Load(), r.sent.Load()+back.sent.Load())
		for _, phase := range []*result{r, back} {
			require.Zero(t, phase.shed.Load()+phase.silent.Load())
			require.Less(t, phase.p99(), calm.p99()+300*time.Millisecond)
		}
	}
}

// nodeName is the --node of one of the cluster's processes.
func nodeName(c *cluster3, s *server) string {
	for i := range c.nodes {
		if c.nodes[i] == s {
			return fmt.Sprintf("n%d", i+1)
		}
	}
	return ""
}
