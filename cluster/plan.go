package cluster

import (
	"fmt"
	"slices"
	"time"

	"maitred/persistence"
)

// Move is a partition that should be with another node.
type Move struct {
	Partition persistence.Partition
	From, To  string
}

// Moves are what would bring the owners to the ring's wish. A ring without nodes wishes none.
func (r *Ring) Moves(owners []string) (moves []Move) {
	for i, owner := range owners {
		if to := r.Wish(persistence.Partition(i)); to != owner && to != "" {
			moves = append(moves, Move{persistence.Partition(i), owner, to})
		}
	}
	return moves
}

// With is the ring with other weights. An error names a node that is not in it.
func (r *Ring) With(weights map[string]uint16) (*Ring, error) {
	nodes := slices.Clone(r.nodes)
	for name, weight := range weights {
		i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%q is no node that takes partitions now", name)
		}
		nodes[i].Weight = weight
	}
	return NewRing(len(r.wished), nodes), nil
}

// MaxPause bounds how long moves may be held back, so that nobody forgets it.
const MaxPause = time.Hour

// Hurry lets partitions move now: the members are as they should be, says an operator. It ends a pause.
func (c *Controller) Hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.settled, c.paused = now, now
	c.rouse()
}

// Pause holds moves back for a while, at most MaxPause; what is under way ends. A node that drains goes on, and dead ones are claimed: both are
// about guests who would not be served.
func (c *Controller) Pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = c.now().Add(min(max(d, 0), MaxPause))
	c.rouse()
}

// Paused is for how much longer moves are held back.
func (c *Controller) Paused() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, c.paused.Sub(c.now()))
}

// rouse lets the mover look now.
func (c *Controller) rouse() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}
