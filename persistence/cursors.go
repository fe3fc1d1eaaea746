package persistence

import "context"

// Cursors keeps where sinks stand that cannot keep it in one transaction with what they write: beside the journal, durable.
type Cursors interface {
	// Cursor reads the position of a sink; zero when it is new. sink is a ValidName.
	Cursor(ctx context.Context, sink string) (Position, error)
	// Move writes the position of a sink if it is old (ErrConflict); ErrUnknown says that it may have been written.
	Move(ctx context.Context, sink string, old, next Position) error
}
