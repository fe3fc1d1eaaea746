package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"maitred/persistence"
)

// House is what holds this node's partitions: *actors.House. The journal's fold is behind every answer.
type House interface {
	Owners() []string                    // by partition
	Written() []uint64                   // events by partition since the house was opened
	SeenFor(node string) time.Duration   // how long ago its last record was seen; negative = never
	SilentFor(node string) time.Duration // for how long its slot may have been claimed; negative = not yet
	Release(ctx context.Context, p persistence.Partition, to string) error
	Claim(ctx context.Context, node string, give func(persistence.Partition) string) error
}

// Roster says who is there: *Members.
type Roster interface {
	Alive() []Member // with this node itself
	Changed() <-chan struct{}
}

// Times of the controller; tests and operators may want others. Zero means the default named beside them.
type Times struct {
	Settle time.Duration // how long the members must have been the same before partitions move because of it; 5 s
	Look   time.Duration // how often the controller looks; 200 ms
	Rank   time.Duration // how much longer each next heir of a silent node waits; 1 s
	Fresh  time.Duration // how long ago a receiver's last record may be; 1 s
	Move   time.Duration // how long one move may take; 2 s
}

func (t Times) orDefault() Times {
	t.Settle, t.Look, t.Rank = cmp.Or(t.Settle, 5*time.Second), cmp.Or(t.Look, 200*time.Millisecond), cmp.Or(t.Rank, time.Second)
	t.Fresh, t.Move = cmp.Or(t.Fresh, time.Second), cmp.Or(t.Move, 2*time.Second)
	return t
}

// maxMoves is how many partitions move at once: each waits for what is in flight in it, and the guests of it wait meanwhile.
const maxMoves = 4

// Controller carries out the ring's wish with the partitions of this node, and claims the slots of silent nodes. Every node has
// one, and none tells another what to do: only the owner moves a partition, except after its silence (DESIGN §7).
type Controller struct {
	name    string
	house   House
	roster  Roster
	times   Times
	metrics *Metrics
	now     func() time.Time

	mu       sync.Mutex
	ring     *Ring
	draining bool      // this node itself
	settled  time.Time // from when on partitions may move
	paused   time.Time // until when an operator holds them back

	woken chan struct{} // capacity 1: the mover is to look now

	stop context.CancelFunc
	work sync.WaitGroup
}

// NewController makes a controller that does nothing before Start. now is a monotonic clock.
func NewController(name string, house House, roster Roster, times Times, m *Metrics, now func() time.Time) *Controller {
	c := &Controller{name: name, house: house, roster: roster, times: times.orDefault(), metrics: m, now: now, woken: make(chan struct{}, 1)}
	c.look()
	return c
}

// Start begins to move and to claim.
func (c *Controller) Start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.work.Go(func() { c.every(ctx, nil, c.claimSilent) })
	c.work.Go(func() { c.every(ctx, c.woken, c.move) })
}

// Close ends both. A move that has begun is seen to its end, or given up by the house.
func (c *Controller) Close() error {
	if c.stop != nil {
		c.stop()
	}
	c.work.Wait()
	return nil
}

func (c *Controller) every(ctx context.Context, woken <-chan struct{}, act func(context.Context)) {
	tick := time.NewTicker(c.times.Look)
	defer tick.Stop()
	for {
		changed := c.roster.Changed()
		c.look()
		act(ctx)
		select {
		case <-tick.C:
		case <-changed:
		case <-woken:
		case <-ctx.Done():
			return
		}
	}
}

// look takes the members as they are now. When the nodes that should hold partitions are others than before, everything waits until
// they have been the same for a while; only what leaves a node that drains need not wait.
func (c *Controller) look() {
	var nodes []Node
	draining := false
	for _, m := range c.roster.Alive() {
		if draining = draining || m.Name == c.name && m.Draining; !m.Draining {
			nodes = append(nodes, Node{m.Name, m.Weight})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ring := NewRing(len(c.house.Owners()), nodes)
	if c.ring == nil || !c.ring.same(ring) {
		c.ring = ring
		c.settled = c.now().Add(c.times.Settle)
	}
	c.draining = draining
}

// Ring is the wish as of the last look.
func (c *Controller) Ring() *Ring {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring
}

// mayMove tells whether partitions may leave now, and by which ring.
func (c *Controller) mayMove() (*Ring, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return c.ring, c.draining || !now.Before(c.settled) && !now.Before(c.paused)
}

// fresh tells whether a node writes into the journal as far as this one can see.
func (c *Controller) fresh(node string) bool {
	if node == c.name {
		return true
	}
	seen := c.house.SeenFor(node)
	return seen >= 0 && seen <= c.times.Fresh
}

// claimSilent claims the slots of nodes that are silent and own something, each heir in its turn.
func (c *Controller) claimSilent(ctx context.Context) {
	owners := map[string]bool{}
	for _, owner := range c.house.Owners() {
		owners[owner] = true
	}
	delete(owners, c.name)
	for _, node := range slices.Sorted(maps.Keys(owners)) {
		if c.house.SilentFor(node) >= c.turn(node) {
			c.claim(ctx, node)
		}
	}
}

// turn is how long this node lets others claim the slot of node before it does: those that come before it and write, so that two dead
// nodes cost no more than one. A node that drains claims only if nobody else does.
func (c *Controller) turn(node string) time.Duration {
	before := time.Duration(0)
	for _, heir := range c.Ring().Heirs(node) {
		if heir == c.name {
			break
		}
		if c.fresh(heir) {
			before++
		}
	}
	return before * c.times.Rank
}

func (c *Controller) claim(ctx context.Context, node string) {
	heirs := c.Ring().without(node)
	able := map[string]bool{}
	for _, n := range heirs.nodes {
		able[n.Name] = c.fresh(n.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, c.times.Move)
	defer cancel()
	err := c.house.Claim(ctx, node, func(p persistence.Partition) string {
		if to := heirs.Wish(p); able[to] {
			return to
		}
		return c.name
	})
	c.metrics.claimed(err)
	if err == nil {
		slog.Warn("claimed the slot of a silent node", "node", node)
	} else if !errors.Is(err, persistence.ErrConflict) {
		slog.Info("could not claim the slot of a silent node", "node", node, "err", err)
	}
}

// move gives away what the ring wishes elsewhere, a few at a time, the quiet ones first.
func (c *Controller) move(ctx context.Context) {
	for ctx.Err() == nil {
		ring, may := c.mayMove()
		if !may {
			return
		}
		due := c.due(ring)
		if len(due) == 0 {
			return
		}
		if !c.moveAll(ctx, ring, due[:min(len(due), maxMoves)]) {
			return // whatever keeps it may be over at the next look
		}
		c.look()
	}
}

// due are the own partitions that a node other than this one should hold and can take, the quiet ones first.
func (c *Controller) due(ring *Ring) []persistence.Partition {
	var due []persistence.Partition
	able := map[string]bool{"": false, c.name: false}
	for i, owner := range c.house.Owners() {
		if owner != c.name {
			continue
		}
		to := ring.Wish(persistence.Partition(i))
		if _, known := able[to]; !known {
			able[to] = c.fresh(to)
		}
		if able[to] {
			due = append(due, persistence.Partition(i))
		}
	}
	written := c.house.Written()
	slices.SortStableFunc(due, func(a, b persistence.Partition) int { return cmp.Compare(written[a], written[b]) })
	return due
}

// moveAll tells whether every one of them moved.
func (c *Controller) moveAll(ctx context.Context, ring *Ring, due []persistence.Partition) bool {
	ctx, cancel := context.WithTimeout(ctx, c.times.Move)
	defer cancel()
	errs := make([]error, len(due))
	var moves sync.WaitGroup
	for i, p := range due {
		moves.Go(func() {
			errs[i] = c.house.Release(ctx, p, ring.Wish(p))
			c.metrics.moved(errs[i])
		})
	}
	moves.Wait()
	err := errors.Join(errs...)
	if err != nil && ctx.Err() == nil {
		slog.Info("a partition did not move", "err", err)
	}
	return err == nil
}
