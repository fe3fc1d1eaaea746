package memory

import (
	"context"
	"fmt"
	"slices"

	"maitred/persistence"
)

// Last implements persistence.Journal.
func (j *Journal) Last(ctx context.Context, subject persistence.Subject) (persistence.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(ctx); err != nil {
		return persistence.Entry{}, err
	}
	seq := j.last[subject]
	if seq == 0 {
		return persistence.Entry{}, fmt.Errorf("last of %s: %w", subject, persistence.ErrNotFound)
	}
	return j.entries[seq-j.first], nil
}

// Get implements persistence.Journal.
func (j *Journal) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(ctx); err != nil {
		return persistence.Entry{}, err
	}
	if seq < j.first || seq-j.first >= persistence.Seq(len(j.entries)) {
		return persistence.Entry{}, fmt.Errorf("get %d: %w", seq, persistence.ErrNotFound)
	}
	return j.entries[seq-j.first], nil
}

// Read implements persistence.Journal. fn is called without the lock: it may use the journal.
func (j *Journal) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	if to < from {
		return nil
	}
	entries, err := j.slice(ctx, from, to)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) slice(ctx context.Context, from, to persistence.Seq) ([]persistence.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(ctx); err != nil {
		return nil, err
	}
	last := j.first + persistence.Seq(len(j.entries)) - 1
	if from < j.first || to > last {
		return nil, fmt.Errorf("read %d to %d: the journal holds %d to %d: %w", from, to, j.first, last, persistence.ErrNotFound)
	}
	return slices.Clone(j.entries[from-j.first : to-j.first+1]), nil
}

// Bounds implements persistence.Journal.
func (j *Journal) Bounds(ctx context.Context) (persistence.Bounds, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(ctx); err != nil {
		return persistence.Bounds{}, err
	}
	return persistence.Bounds{
		First: j.first, Last: j.first + persistence.Seq(len(j.entries)) - 1, Bytes: j.bytes, MaxBytes: j.max,
	}, nil
}

// Purge implements persistence.Journal. Beyond the end it empties the journal; sequences go on.
func (j *Journal) Purge(ctx context.Context, below persistence.Seq) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(ctx); err != nil {
		return err
	}
	if below <= j.first {
		return nil
	}
	n := min(int(below-j.first), len(j.entries))
	for _, e := range j.entries[:n] {
		j.bytes -= size(e.Subject, e.Data)
		if j.last[e.Subject] == e.Seq {
			delete(j.last, e.Subject)
		}
	}
	j.entries = slices.Clone(j.entries[n:])
	j.first += persistence.Seq(n)
	return nil
}

// Close implements persistence.Journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return nil
}

// usable is called with the lock held.
func (j *Journal) usable(ctx context.Context) error {
	if j.closed {
		return persistence.ErrClosed
	}
	return ctx.Err()
}
