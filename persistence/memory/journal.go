// Package memory keeps a journal and bases in memory, with the exact semantics of the durable ones and with faults that
// tests and the simulator put in by hand. It works inside testing/synctest: no goroutine of its own, no clock but the one
// it is given.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"maitred/persistence"
)

var _ persistence.Journal = (*Journal)(nil)

// Options of a Journal. The zero value is usable.
type Options struct {
	MaxBytes uint64                        // of all records; 0 = 1 GiB
	First    persistence.Seq               // sequence of the first record; 0 = 1
	Now      func() time.Time              // stamps entries; nil = time.Now
	OnAppend func(Append) Fault            // asked before each append; nil = no faults
	Latency  func(bytes int) time.Duration // how long an append takes; nil = none
}

// Append is what OnAppend is asked about.
type Append struct {
	Number  int // of this call of Append, from 1
	Subject persistence.Subject
	Data    []byte // read-only
	Expect  persistence.Seq
}

// Fault says how one append goes wrong.
type Fault struct {
	Kind FaultKind
	// After is, for Late, how many later calls of Append come first. 0 = only Deliver brings it.
	After int
	// Hold delays the append before the journal sees it, HoldAck the answer after it was stored. A context that ends first
	// gives ErrUnknown; with Hold the record was then not stored. nil = no delay.
	Hold, HoldAck <-chan struct{}
}

// FaultKind is a way to fail.
type FaultKind uint8

// The kinds of fault.
const (
	None           FaultKind = iota
	Lost                     // not stored, ErrUnknown
	LostAck                  // stored if the expectation holds, ErrUnknown either way
	Late                     // ErrUnknown now; tried with the same expectation after Fault.After other appends
	Conflict                 // not stored, ErrConflict though the expectation may hold (as 10164)
	StoredConflict           // stored if the expectation holds, ErrConflict either way: the client's own retry met its first try
	Full                     // not stored, ErrFull
)

func (k FaultKind) String() string {
	return [...]string{"none", "lost", "lost ack", "late", "conflict", "stored conflict", "full"}[k]
}

// Journal is a stream in memory.
type Journal struct {
	opts Options

	mu      sync.Mutex
	first   persistence.Seq
	entries []persistence.Entry // entries[i].Seq == first+i
	last    map[persistence.Subject]persistence.Seq
	bytes   uint64
	max     uint64
	appends int
	late    []lateAppend
	taken   map[FaultKind]int
	closed  bool
}

type lateAppend struct {
	subject persistence.Subject
	data    []byte
	expect  persistence.Seq
	left    int // appends still to come before it; 0 = waits for Deliver
}

// NewJournal makes an empty journal.
func NewJournal(o Options) *Journal {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	return &Journal{
		opts: o, first: max(o.First, 1), max: o.MaxBytes,
		last: map[persistence.Subject]persistence.Seq{}, taken: map[FaultKind]int{},
	}
}

// Append implements persistence.Journal.
func (j *Journal) Append(ctx context.Context, subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	fault, err := j.begin(subject, data, expect)
	if err != nil {
		return 0, err
	}
	if err := j.delay(ctx, fault.Hold, len(data)); err != nil {
		return 0, err
	}
	seq, err := j.perform(fault, subject, data, expect)
	if err != nil {
		return 0, fmt.Errorf("append %d bytes to %s, expecting %d: %w", len(data), subject, expect, err)
	}
	if fault.HoldAck != nil {
		select {
		case <-fault.HoldAck:
		case <-ctx.Done():
			return 0, unknown(ctx)
		}
	}
	return seq, nil
}

// begin counts the append and asks for its fault, without the lock: the hook may use the journal.
func (j *Journal) begin(subject persistence.Subject, data []byte, expect persistence.Seq) (Fault, error) {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return Fault{}, persistence.ErrClosed
	}
	j.appends++
	n := j.appends
	j.ripen()
	j.mu.Unlock()
	if j.opts.OnAppend == nil {
		return Fault{}, nil
	}
	return j.opts.OnAppend(Append{Number: n, Subject: subject, Data: data, Expect: expect}), nil
}

func (j *Journal) delay(ctx context.Context, hold <-chan struct{}, bytes int) error {
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return unknown(ctx)
		}
	}
	if j.opts.Latency != nil {
		if d := j.opts.Latency(bytes); d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return unknown(ctx)
			}
		}
	}
	if ctx.Err() != nil {
		return unknown(ctx)
	}
	return nil
}

func unknown(ctx context.Context) error {
	return fmt.Errorf("%w: %w", persistence.ErrUnknown, context.Cause(ctx))
}

func (j *Journal) perform(f Fault, subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return 0, persistence.ErrClosed
	}
	if f.Kind != None {
		j.taken[f.Kind]++
	}
	switch f.Kind {
	case Lost:
		return 0, persistence.ErrUnknown
	case Late:
		j.late = append(j.late, lateAppend{subject, slices.Clone(data), expect, f.After})
		return 0, persistence.ErrUnknown
	case Conflict:
		return 0, persistence.ErrConflict
	case Full:
		return 0, persistence.ErrFull
	}
	seq, err := j.store(subject, data, expect)
	switch f.Kind {
	case LostAck:
		return 0, persistence.ErrUnknown
	case StoredConflict:
		return 0, persistence.ErrConflict
	}
	return seq, err
}

// store is the compare-and-set. An expectation of a record that was purged is refused, 0 takes its place.
func (j *Journal) store(subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	if last := j.last[subject]; last != expect {
		return 0, fmt.Errorf("%w: it is %d", persistence.ErrConflict, last)
	}
	if len(data) > persistence.MaxRecordBytes {
		return 0, fmt.Errorf("%w: %w", persistence.ErrFull, persistence.ErrTooLarge)
	}
	if j.bytes+size(subject, data) > j.max {
		return 0, fmt.Errorf("%w: %d of %d bytes", persistence.ErrFull, j.bytes, j.max)
	}
	seq := j.first + persistence.Seq(len(j.entries))
	j.entries = append(j.entries, persistence.Entry{Seq: seq, Subject: subject, Time: j.opts.Now(), Data: slices.Clone(data)})
	j.last[subject] = seq
	j.bytes += size(subject, data)
	return seq, nil
}

// size is what a record takes of MaxBytes.
func size(subject persistence.Subject, data []byte) uint64 {
	return uint64(len(subject) + len(data) + 22)
}

// ripen counts the late appends down by one append and tries those whose time has come.
func (j *Journal) ripen() {
	keep := j.late[:0]
	for _, l := range j.late {
		if l.left > 0 {
			if l.left--; l.left == 0 {
				_, _ = j.store(l.subject, l.data, l.expect) // its caller has gone; the journal shows what became of it
				continue
			}
		}
		keep = append(keep, l)
	}
	clear(j.late[len(keep):])
	j.late = keep
}

// Deliver tries every late append now, in the order they were sent, and returns how many were stored.
func (j *Journal) Deliver() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	stored := 0
	for _, l := range j.late {
		if _, err := j.store(l.subject, l.data, l.expect); err == nil {
			stored++
		}
	}
	j.late = nil
	return stored
}

// Taken is how often a fault of kind was applied.
func (j *Journal) Taken(kind FaultKind) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.taken[kind]
}

// SetMaxBytes changes the limit, as an operator does.
func (j *Journal) SetMaxBytes(n uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.max = n
}

// Reopen makes the journal that a new process finds: what is stored, without faults' late appends (they were in the old
// process's hands) and open. The receiver is closed. o.First is ignored.
func (j *Journal) Reopen(o Options) *Journal {
	n := j.Snapshot(o)
	_ = j.Close() // never fails
	return n
}

// Snapshot copies what is durable now, as a disk image does. The receiver goes on.
func (j *Journal) Snapshot(o Options) *Journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := NewJournal(o)
	n.first, n.entries, n.bytes = j.first, slices.Clone(j.entries), j.bytes
	for s, seq := range j.last {
		n.last[s] = seq
	}
	return n
}
