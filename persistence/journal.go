package persistence

import (
	"context"
	"errors"
	"time"
)

// Seq is a sequence of the stream JOURNAL: the total order of everything. 0 = before the first record.
type Seq uint64

// Subject is where a record stands: the slot of a node (SlotSubject) or Control.
type Subject string

// Control carries genesis and checkpoints.
const Control Subject = "j.ctl"

// SlotSubject is the subject of a node's slot.
func SlotSubject(node string) Subject { return Subject("j.w." + node) }

// Entry is one stored record.
type Entry struct {
	Seq     Seq
	Subject Subject
	Time    time.Time // when the journal stored it
	Data    []byte    // read-only, valid for ever
}

// Bounds says what a journal holds.
type Bounds struct {
	First, Last     Seq // Last = First-1 when empty
	Bytes, MaxBytes uint64
}

// Errors of Append. Anything else is ErrUnknown in disguise and must be treated so.
var (
	// ErrConflict: the subject's last sequence is not the expected one, now or for certain (10071, 10164).
	ErrConflict = errors.New("persistence: subject has another last sequence")
	// ErrFull: a limit was reached; surely not stored (10077, 10023, 10054).
	ErrFull = errors.New("persistence: journal is full")
	// ErrUnknown: no answer. After an append the record may be stored now, later or never; a read may be repeated.
	ErrUnknown = errors.New("persistence: no answer, outcome unknown")
	// ErrNotFound: no such record or base.
	ErrNotFound = errors.New("persistence: not found")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("persistence: closed")
)

// Journal is the one stream. All methods may be called by many goroutines. persistencetest.ExerciseJournal is its contract.
type Journal interface {
	// Append stores data on subject if and only if the subject's last sequence is expect (0 = none), durably (fsync, or a
	// quorum of fsyncs) before it returns. The journal keeps no reference to data. The outcome is nil, or ErrConflict,
	// ErrFull, ErrUnknown (wrapped).
	Append(ctx context.Context, subject Subject, data []byte, expect Seq) (Seq, error)
	// Last reads the newest record of subject from the journal's leader; ErrNotFound when it has none.
	Last(ctx context.Context, subject Subject) (Entry, error)
	// Get reads one record; ErrNotFound when it was purged or is not there yet.
	Get(ctx context.Context, seq Seq) (Entry, error)
	// Read calls fn for each record with from ≤ seq ≤ to in order, without gaps, and returns fn's first error. A record that
	// should be there and is not is an error. from below Bounds.First is an error.
	Read(ctx context.Context, from, to Seq, fn func(Entry) error) error
	// Bounds reads what the journal holds.
	Bounds(ctx context.Context) (Bounds, error)
	// Purge removes all records below seq.
	Purge(ctx context.Context, below Seq) error
	// Close ends the journal's use. Idempotent.
	Close() error
}
