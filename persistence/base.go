package persistence

import (
	"context"

	"maitred/engine"
)

// Revision is the sequence of a base in SNAP. 0 = none.
type Revision uint64

// BaseHeader is what a base says without its state.
type BaseHeader struct {
	ID       engine.AggregateID
	Version  engine.Version // of the state
	Position Seq            // of the frame that brought that version
	NextDue  engine.Instant // earliest timer; 0 = none
	Revision Revision
}

// Base is the whole state of one aggregate at a durable version.
type Base struct {
	BaseHeader
	State []byte
}

// Bases is the bucket SNAP. persistencetest.ExerciseBases is its contract.
type Bases interface {
	// Put stores b if the stored revision of b.ID is still b.Revision (0 = none), and never a lower version: ErrConflict.
	// Durable when it returns.
	Put(ctx context.Context, b Base) (Revision, error)
	// Get reads the base of id; ErrNotFound when there is none.
	Get(ctx context.Context, id engine.AggregateID) (Base, error)
	// Scan calls fn with the header of every base, in no order, and returns the last revision of the bucket that it covers.
	// When some cannot be read, fn has been called with all others and the error is ErrCorrupt.
	Scan(ctx context.Context, fn func(BaseHeader) error) (Revision, error)
	// Anew is the revision above which the bucket was begun again after its bases were lost; 0 = it never was. A floor that
	// relies on a lower one says nothing: what it covers has to be read from the journal.
	Anew() Revision
}
