package memory

import (
	"context"
	"fmt"
	"sync"

	"maitred/persistence"
)

var _ persistence.Cursors = (*Cursors)(nil)

// Cursors keeps positions in memory. The zero value is ready.
type Cursors struct {
	mu sync.Mutex
	at map[string]persistence.Position
}

// Cursor implements persistence.Cursors.
func (c *Cursors) Cursor(ctx context.Context, sink string) (persistence.Position, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[sink], ctx.Err()
}

// Move implements persistence.Cursors.
func (c *Cursors) Move(ctx context.Context, sink string, old, next persistence.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.at[sink] != old {
		return fmt.Errorf("memory: cursor of %s is %v, not %v: %w", sink, c.at[sink], old, persistence.ErrConflict)
	}
	if c.at == nil {
		c.at = map[string]persistence.Position{}
	}
	c.at[sink] = next
	return nil
}
