package actors

import (
	"math"
	"sync"
)

// maxIdle is how many goroutines wait for work; more of them end when they have none.
const maxIdle = 256

// crew runs mailboxes on goroutines that it keeps, the one that worked last first: its stack has grown already. There are as
// many as mailboxes at work, which the node's admission bounds.
type crew struct {
	mu     sync.Mutex
	idle   []chan *mailbox
	closed bool
}

// run has somebody drain m.
func (c *crew) run(m *mailbox) {
	c.mu.Lock()
	n := len(c.idle)
	if n == 0 {
		c.mu.Unlock()
		go c.work(m)
		return
	}
	next := c.idle[n-1]
	c.idle = c.idle[:n-1]
	c.mu.Unlock()
	next <- m
}

func (c *crew) work(m *mailbox) {
	next := make(chan *mailbox, 1)
	for ok := true; ok; m, ok = <-next {
		m.drain(math.MaxInt)
		c.mu.Lock()
		if c.closed || len(c.idle) >= maxIdle {
			c.mu.Unlock()
			return
		}
		c.idle = append(c.idle, next)
		c.mu.Unlock()
	}
}

// close ends those who wait, and the others when they have drained what they are at.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, next := range c.idle {
		close(next)
	}
	c.idle = nil
}
