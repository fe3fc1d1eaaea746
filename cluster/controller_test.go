package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// roster is a list of members that a test writes.
type roster struct {
	mu      sync.Mutex
	alive   []Member
	changed chan struct{}
}

func (r *roster) Alive() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.alive)
}

func (r *roster) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *roster) change(fn func([]Member) []Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive = fn(slices.Clone(r.alive))
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *roster) join(name string) {
	r.change(func(all []Member) []Member { return append(all, Member{Name: name, Meta: Meta{Weight: 1}}) })
}

func (r *roster) leave(name string) {
	r.change(func(all []Member) []Member {
		return slices.DeleteFunc(all, func(m Member) bool { return m.Name == name })
	})
}

func (r *roster) drain(name string) {
	r.change(func(all []Member) []Member {
		for i := range all {
			all[i].Draining = all[i].Draining || all[i].Name == name
		}
		return all
	})
}

const partitions = 64

// cell is several nodes with a controller each, on one journal, in a bubble of testing/synctest.
type cell struct {
	t       *testing.T
	begun   time.Time
	journal *memory.Journal
	bases   *memory.Bases
	roster  *roster
	nodes   map[string]*node
}

type node struct {
	house   *actors.House
	control *Controller
}

func newCell(t *testing.T, names ...string) *cell {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(before) })
	c := &cell{
		t: t, begun: time.Now(), bases: memory.NewBases(memory.BasesOptions{}), roster: &roster{changed: make(chan struct{})}, nodes: map[string]*node{},
		journal: memory.NewJournal(memory.Options{Latency: func(int) time.Duration { return time.Millisecond }}),
	}
	for _, name := range names {
		c.start(name)
	}
	return c
}

func (c *cell) start(name string) {
	house, err := actors.Open(c.t.Context(), actors.Config{
		Node: name, Shared: true, Partitions: partitions, Journal: c.journal, Bases: c.bases, Feed: persistence.NewFeed(c.journal, 1<<20),
		Now: time.Now, Boottime: func() time.Duration { return time.Since(c.begun) },
	})
	require.NoError(c.t, err)
	c.roster.join(name)
	n := &node{house, NewController(name, house, c.roster, Times{}, NewMetrics(prometheus.NewRegistry()), time.Now)}
	n.control.Start()
	c.nodes[name] = n
}

// kill ends a node without a word to anybody.
func (c *cell) kill(name string) {
	n := c.nodes[name]
	delete(c.nodes, name)
	require.NoError(c.t, n.control.Close())
	require.NoError(c.t, n.house.Close())
}

func (c *cell) close() {
	for name := range c.nodes {
		c.kill(name)
	}
}

// held is how many partitions each node has, as name sees it.
func (c *cell) held(name string) map[string]int {
	held := map[string]int{}
	for _, owner := range c.nodes[name].house.Owners() {
		held[owner]++
	}
	return held
}

// wished is how many each should have.
func (c *cell) wished(name string) map[string]int {
	wished, ring := map[string]int{}, c.nodes[name].control.Ring()
	for p := range partitions {
		wished[ring.Wish(persistence.Partition(p))]++
	}
	return wished
}

// after lets the time of the bubble pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// The first node has everything; the others get what the ring wishes once the members have been the same for five seconds.
func TestPartitionsSpreadOnceItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "n1", "n2", "n3")
		defer c.close()
		after(4 * time.Second)
		require.Equal(t, map[string]int{"n1": partitions}, c.held("n2"))
		c.start("n4") // and the wait begins anew
		after(4 * time.Second)
		require.Equal(t, map[string]int{"n1": partitions}, c.held("n2"))
		after(4 * time.Second)
		require.Equal(t, c.wished("n2"), c.held("n2"))
		require.Len(t, c.held("n2"), 4)
	})
}

// An operator who is in a hurry need not wait; one who stops it holds the moves back, for as long as he said and no longer. Who drains goes on,
// and who is dead is claimed.
func TestAnOperatorHurriesAndHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "n1", "n2", "n3")
		defer c.close()
		after(time.Second)
		require.Equal(t, map[string]int{"n1": partitions}, c.held("n1"))
		plan := c.nodes["n1"].control.Ring().Moves(c.nodes["n1"].house.Owners())
		for _, n := range c.nodes {
			n.control.Hurry()
		}
		after(2 * time.Second)
		require.Equal(t, c.wished("n1"), c.held("n1"))
		for _, m := range plan {
			require.Equal(t, "n1", m.From)
			require.Equal(t, m.To, c.nodes["n1"].house.Owners()[m.Partition])
		}
		require.Empty(t, c.nodes["n1"].control.Ring().Moves(c.nodes["n1"].house.Owners()))

		c.start("n4")
		for _, n := range c.nodes {
			n.control.Pause(time.Minute)
		}
		after(30 * time.Second)
		require.Zero(t, c.held("n1")["n4"])
		require.Equal(t, 30*time.Second, c.nodes["n1"].control.Paused())
		c.roster.drain("n2")
		after(10 * time.Second)
		require.Zero(t, c.held("n1")["n2"], "who drains goes on")
		c.kill("n3")
		c.roster.leave("n3")
		after(10 * time.Second)
		require.Zero(t, c.held("n1")["n3"], "who is dead is claimed")
		after(15 * time.Second)
		require.Equal(t, c.wished("n1"), c.held("n1"), "the pause is over")
		c.nodes["n1"].control.Pause(48 * time.Hour)
		require.Equal(t, MaxPause, c.nodes["n1"].control.Paused())
	})
}

func TestARingWithOtherWeights(t *testing.T) {
	r := NewRing(256, []Node{{"a", 100}, {"b", 100}, {"c", 100}})
	owners := make([]string, 256)
	for p := range owners {
		owners[p] = r.Wish(persistence.Partition(p))
	}
	require.Empty(t, r.Moves(owners))
	less, err := r.With(map[string]uint16{"b": 50})
	require.NoError(t, err)
	moves := less.Moves(owners)
	require.NotEmpty(t, moves)
	for _, m := range moves {
		require.Equal(t, less.Wish(m.Partition), m.To)
	}
	require.Less(t, less.Load("b"), r.Load("b"))
	none, err := r.With(map[string]uint16{"c": 0})
	require.NoError(t, err)
	require.Zero(t, none.Load("c"))
	_, err = r.With(map[string]uint16{"d": 1})
	require.ErrorContains(t, err, `"d"`)
	require.Empty(t, NewRing(256, nil).Moves(owners), "nobody to take anything")
}

// A node that drains gives everything away at once, and gets nothing back.
func TestADrainingNodeGivesEverythingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "n1", "n2", "n3")
		defer c.close()
		after(10 * time.Second)
		require.NotZero(t, c.held("n1")["n2"])
		c.roster.drain("n2")
		after(2 * time.Second)
		require.Zero(t, c.held("n1")["n2"])
		after(20 * time.Second)
		require.Zero(t, c.held("n1")["n2"])
		require.Equal(t, c.wished("n1"), c.held("n1"))
	})
}

// A node that died is claimed within the lease and three seconds, although gossip still calls it alive; what it had is spread by
// the ring. It owns nothing when it is back, and gets its share again.
func TestADeadNodeIsInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "n1", "n2", "n3")
		defer c.close()
		after(10 * time.Second)
		had := c.held("n1")
		c.kill("n2")
		after(actors.LeaseTime)
		require.Equal(t, had, c.held("n1"), "not before it is surely silent")
		after(3 * time.Second)
		held := c.held("n1")
		require.Zero(t, held["n2"])
		require.Less(t, had["n1"], held["n1"], "both heirs get a part")
		require.Less(t, had["n3"], held["n3"])
		c.roster.leave("n2")
		after(10 * time.Second)
		require.Equal(t, c.wished("n1"), c.held("n1"))
		c.start("n2")
		require.Zero(t, c.held("n2")["n2"])
		after(10 * time.Second)
		require.Equal(t, had, c.held("n1"))
	})
}

// When the first heir is dead too, the next one claims both, and does not wait for it.
func TestTheNextHeirClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "n1", "n2", "n3", "n4")
		defer c.close()
		after(10 * time.Second)
		heirs := c.nodes["n1"].control.Ring().Heirs("n1")
		c.kill("n1")
		c.kill(heirs[0])
		after(actors.Silence - 500*time.Millisecond)
		require.NotZero(t, c.held(heirs[1])["n1"], "nobody is silent yet")
		after(time.Second)
		held := c.held(heirs[1])
		require.Zero(t, held["n1"])
		require.Zero(t, held[heirs[0]])
	})
}

// While the first heir writes, it is its turn.
func TestHeirsTakeTurns(t *testing.T) {
	house := &fakeHouse{owners: []string{"n1", "n2", "n3", "n4"}, seen: map[string]time.Duration{}}
	members := &roster{}
	for _, n := range house.owners {
		house.seen[n] = 0
		members.alive = append(members.alive, Member{Name: n, Meta: Meta{Weight: 1}})
	}
	heirs := NewController("n1", house, members, Times{}, nil, time.Now).Ring().Heirs("n1")
	last := NewController(heirs[2], house, members, Times{}, nil, time.Now)
	require.Equal(t, 2*time.Second, last.turn("n1"))
	house.seen[heirs[0]] = time.Minute
	require.Equal(t, time.Second, last.turn("n1"))
	require.Zero(t, NewController(heirs[1], house, members, Times{}, nil, time.Now).turn("n1"))
}

// fakeHouse notes what it is asked for.
type fakeHouse struct {
	mu       sync.Mutex
	owners   []string
	written  []uint64
	seen     map[string]time.Duration
	released []persistence.Partition
	refuse   error
	most     int // releases at once
	now      int
}

func (h *fakeHouse) Owners() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.owners)
}

func (h *fakeHouse) Written() []uint64 { return h.written }

func (h *fakeHouse) SeenFor(node string) time.Duration {
	if d, ok := h.seen[node]; ok {
		return d
	}
	return -1
}

func (h *fakeHouse) SilentFor(string) time.Duration { return -1 }

func (h *fakeHouse) Claim(context.Context, string, func(persistence.Partition) string) error {
	return errors.New("nobody is silent")
}

func (h *fakeHouse) Release(_ context.Context, p persistence.Partition, to string) error {
	h.mu.Lock()
	h.now++
	h.most = max(h.most, h.now)
	h.mu.Unlock()
	<-time.After(time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
	if h.refuse != nil {
		return h.refuse
	}
	h.released = append(h.released, p)
	h.owners[p] = to
	return nil
}

func newFake(seen time.Duration) (*fakeHouse, *Controller, *prometheus.Registry) {
	h := &fakeHouse{seen: map[string]time.Duration{"n2": seen}}
	for p := range partitions {
		h.owners, h.written = append(h.owners, "n1"), append(h.written, uint64(p*37%partitions))
	}
	r := &roster{changed: make(chan struct{})}
	r.join("n1")
	r.join("n2")
	reg := prometheus.NewRegistry()
	return h, NewController("n1", h, r, Times{}, NewMetrics(reg), time.Now), reg
}

// Partitions move a few at a time, the quiet ones first.
func TestBusyPartitionsMoveLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, _ := newFake(time.Millisecond)
		c.Start()
		after(10 * time.Second)
		require.NoError(t, c.Close())
		require.Len(t, h.released, c.Ring().Load("n2"))
		require.LessOrEqual(t, h.most, maxMoves)
		for i, p := range h.released {
			for _, later := range h.released[min(len(h.released), i+maxMoves):] {
				require.Less(t, h.written[p], h.written[later])
			}
		}
	})
}

// Nobody gives to a node that does not write, nor to one that was never seen.
func TestOnlyWhoWritesIsGiven(t *testing.T) {
	for _, seen := range []time.Duration{-1, 1100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			h, c, _ := newFake(seen)
			c.Start()
			after(time.Minute)
			require.NoError(t, c.Close())
			require.Empty(t, h.released, seen)
		})
	}
}

// A move that fails is tried again at the next look, not at once.
func TestAMoveThatFailsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, reg := newFake(0)
		h.refuse = fmt.Errorf("not now")
		c.Start()
		after(10 * time.Second)
		require.NoError(t, c.Close())
		require.Empty(t, h.released)
		all, err := reg.Gather()
		require.NoError(t, err)
		i := slices.IndexFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == "maitred_cluster_moves_total" })
		failed := all[i].GetMetric()[0].GetCounter().GetValue()
		require.InDelta(t, maxMoves*25, failed, 2*maxMoves)
	})
}
