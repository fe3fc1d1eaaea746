package jetstream

import (
	"context"
	"encoding/json"
	"fmt"

	"maitred/persistence"
)

// A cursor stands on $KV.CURSORS.<sink>: one message, the newest.
const (
	cursorStream   = "KV_CURSORS"
	cursorPrefix   = "$KV.CURSORS."
	maxCursorBytes = 1 << 10
	maxCursorSpace = 1 << 20
)

// Cursors is the bucket CURSORS.
type Cursors struct{ home *Embedded }

var _ persistence.Cursors = (*Cursors)(nil)

// Cursor implements persistence.Cursors.
func (c *Cursors) Cursor(ctx context.Context, sink string) (persistence.Position, error) {
	at, _, err := c.read(ctx, sink)
	return at, err
}

func (c *Cursors) read(ctx context.Context, sink string) (at persistence.Position, revision uint64, err error) {
	if !persistence.ValidName(sink) {
		return at, 0, fmt.Errorf("jetstream: %q is not the name of a sink", sink)
	}
	l, err := c.home.current()
	if err != nil {
		return at, 0, err
	}
	m, err := l.get(ctx, cursorStream, getRequest{LastFor: cursorPrefix + sink})
	if isNotFound(err) {
		return at, 0, nil
	}
	if err != nil {
		return at, 0, err
	}
	if err := json.Unmarshal(m.Data, &at); err != nil {
		return at, 0, fmt.Errorf("jetstream: cursor of %s: %w", sink, err)
	}
	return at, m.Seq, nil
}

// Move implements persistence.Cursors.
func (c *Cursors) Move(ctx context.Context, sink string, old, next persistence.Position) error {
	at, revision, err := c.read(ctx, sink)
	if err != nil {
		return err
	}
	if at != old {
		return fmt.Errorf("jetstream: cursor of %s is %v, not %v: %w", sink, at, old, persistence.ErrConflict)
	}
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	l, err := c.home.current()
	if err != nil {
		return err
	}
	if _, err := l.publish(ctx, cursorPrefix+sink, nil, data, revision, requestTimeout); err != nil {
		return fmt.Errorf("jetstream: move the cursor of %s: %w", sink, err)
	}
	return nil
}
