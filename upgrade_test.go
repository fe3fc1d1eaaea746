package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// upgrade is a cluster whose nodes change their builds under load.
type upgrade struct {
	*cluster3
	g     *patrons
	w     *world
	y     *tally
	token string
}

// replace stops a node in good order, starts it with another build, and compares everything that was acknowledged by way of it.
func (u *upgrade) replace(i int, bin string) {
	u.t.Helper()
	s := u.nodes[i]
	stop := under(&server{addr: u.addrs()}, u.g)
	pause(500 * time.Millisecond)
	require.NoError(u.t, syscall.Kill(s.pid, syscall.SIGTERM))
	require.Zero(u.t, s.waitExit(stopWithin), "exit code: %s", s.said)
	s.bin = bin
	s.launch()
	u.serves(s)
	u.spread()
	pause(500 * time.Millisecond) // with what it was given
	stop()
	u.g.settle(u.addrs(), u.y)
	u.g.compare(s.addr, u.y, 0, 1)
	require.Zero(u.t, u.y.lost+u.y.doubled+u.y.wrong, "%v", u.y.details)
	u.g.round++
	fmt.Printf("%s %s: n%d runs %s, %d acknowledged\n", time.Now().Format(time.TimeOnly), u.t.Name(), i+1, filepath.Base(bin), u.g.seen()[acknowledged])
}

// occasion asks a node for a reservation with the member that only the later build knows, in each restaurant, and counts the answers.
func (u *upgrade) occasion(i int) map[int]int {
	u.t.Helper()
	a := newAPI(u.nodes[i].addr, 4)
	defer a.close()
	answers := map[int]int{}
	for n, p := range u.w.places {
		got, err := a.do(request{method: "POST", path: "/reservations", token: u.token, body: map[string]any{
			"restaurant_id": p.id, "date": day(15), "time_slot": u.w.slots[(n+i)%len(u.w.slots)], "guests_count": 2, "occasion": "birthday",
		}})
		require.NoError(u.t, err)
		answers[got.status]++
	}
	return answers
}

// TestRollingUpgrade replaces the nodes of a cluster one by one by a later build and, at first, one of them back, while guests reserve. The
// later build writes and says more than this one knows; nothing is lost, doubled or misunderstood, and its new member of a reservation is
// accepted when every node runs it, and not before.
func TestRollingUpgrade(t *testing.T) {
	later, u := buildLater(t), newUpgrade(t)
	today := u.nodes[0].bin

	u.replace(0, later)
	require.Equal(t, map[int]int{503: len(u.w.places)}, u.occasion(0), "others would not understand it, also when the restaurant is here")
	require.Equal(t, map[int]int{422: len(u.w.places)}, u.occasion(1))
	require.True(t, marked(t, u.nodes[1].data), "nothing of the later build came to an older node: the test shows nothing")
	u.replace(0, today) // reads what the later one has written

	for i := range u.nodes {
		u.replace(i, later)
		if i < len(u.nodes)-1 {
			require.Equal(t, map[int]int{503: len(u.w.places)}, u.occasion(i))
		}
	}
	for i, s := range u.nodes {
		var last map[int]int
		require.Eventually(t, func() bool { last = u.occasion(i); return last[503] == 0 }, readyWithin, 10*pollEvery, "n%d has not heard what the others run", i+1)
		require.Positive(t, last[201], "%v", last)
		require.Equal(t, len(u.w.places), last[201]+last[409], "%v", last)
		u.g.compare(s.addr, u.y, 0, 1)
	}
	require.Zero(t, u.y.lost+u.y.doubled+u.y.wrong, "%v", u.y.details)
	require.Greater(t, u.g.seen()[acknowledged], 500)
}

func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	c := newCluster(t, "--test-keeping", "2s") // bases and floors of both builds
	c.start()
	w := furnish(t, c.nodes[0], 12, 20)
	w.days = 10
	g := newPatrons(c.nodes[0], w, newLedger(t), seedOf(t), 12)
	g.stubborn, g.rest = true, 10*time.Millisecond
	return &upgrade{cluster3: c, g: g, w: w, y: &tally{}, token: c.nodes[0].tokens("customer", 1)[0]}
}
