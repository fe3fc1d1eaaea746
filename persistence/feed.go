package persistence

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Feed hands durable events to sinks: from memory while they keep up, from the journal when they fell behind. Bounded.
// Publish never waits for a sink.
type Feed struct {
	// Seal opens what is read from the journal. nil = it is in clear. Set before use.
	Seal *Seal

	journal  Journal
	maxBytes int

	mu     sync.Mutex
	chunks []published // frames with events, ascending, all after start
	bytes  int
	start  Seq // memory holds every event after it; the journal has the rest
	last   Seq
	wake   chan struct{} // closed by Publish when someone waits; nil when nobody does
}

// published is one frame in memory.
type published struct {
	seq    Seq
	bytes  int
	events []Committed
}

// NewFeed makes a feed over journal that keeps at most maxBytes of recent events in memory. Until the first Publish
// nothing is handed out: what is merely found in the journal may not be durable yet.
func NewFeed(journal Journal, maxBytes int) *Feed {
	return &Feed{journal: journal, maxBytes: maxBytes}
}

// Publish adds what became durable at seq (heartbeats and claims with no events too); bytes is the size of the record. It
// is called in stream order and takes ownership of events. What lies between the last seq and this one, and all before it, is
// then durable and is read from the journal.
func (f *Feed) Publish(seq Seq, bytes int, events []Committed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq <= f.last {
		return
	}
	if seq != f.last+1 {
		f.forget(len(f.chunks))
		f.start = seq - 1
	}
	f.last = seq
	if len(events) > 0 {
		f.chunks = append(f.chunks, published{seq, bytes, events})
		f.bytes += bytes
		drop := 0
		for over := f.bytes - f.maxBytes; over > 0; drop++ {
			over -= f.chunks[drop].bytes
		}
		f.forget(drop)
	}
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// forget takes the n oldest frames out of memory.
func (f *Feed) forget(n int) {
	if n == 0 {
		return
	}
	for i := range f.chunks[:n] {
		f.bytes -= f.chunks[i].bytes
		f.start = f.chunks[i].seq
		f.chunks[i] = published{}
	}
	f.chunks = f.chunks[n:]
	if len(f.chunks) == 0 {
		f.chunks = nil
	}
}

// Last is the newest sequence published.
func (f *Feed) Last() Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Next waits for records after seq and returns at most max events of whole frames (one frame at least), with the sequence
// they reach. No events and a higher sequence mean heartbeats. An after beyond what was ever published waits.
func (f *Feed) Next(ctx context.Context, after Seq, max int) ([]Committed, Seq, error) {
	for {
		f.mu.Lock()
		if f.last > after {
			if after >= f.start {
				events, reached := f.fromMemory(after, max)
				f.mu.Unlock()
				return events, reached, nil
			}
			to := min(f.start, after+readChunkRecords)
			f.mu.Unlock()
			return f.fromJournal(ctx, after, to, max)
		}
		if f.wake == nil {
			f.wake = make(chan struct{})
		}
		wake := f.wake
		f.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, after, ctx.Err()
		}
	}
}

// fromMemory is called with the lock held and after ≥ start.
func (f *Feed) fromMemory(after Seq, max int) ([]Committed, Seq) {
	lo, hi := 0, len(f.chunks)
	for lo < hi {
		if mid := (lo + hi) / 2; f.chunks[mid].seq <= after {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	n, end := 0, lo
	for end < len(f.chunks) && (end == lo || n+len(f.chunks[end].events) <= max) {
		n += len(f.chunks[end].events)
		end++
	}
	var out []Committed
	if n > 0 {
		out = make([]Committed, 0, n)
	}
	for _, c := range f.chunks[lo:end] {
		out = append(out, c.events...)
	}
	if end < len(f.chunks) {
		return out, f.chunks[end-1].seq
	}
	return out, f.last
}

func (f *Feed) fromJournal(ctx context.Context, after, to Seq, max int) ([]Committed, Seq, error) {
	var out []Committed
	reached, bytes := after, 0
	err := ReadRecords(ctx, f.journal, after+1, to, func(e Entry, r Record) error {
		if fr, ok := r.(*Frame); ok && len(out) > 0 && len(out)+len(fr.Index) > max {
			return errEnough
		}
		events, err := f.Seal.EventsIn(e.Seq, r)
		if err != nil {
			return err
		}
		out = append(out, events...)
		reached = e.Seq
		if bytes += len(e.Data); bytes >= readChunkBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, after, fmt.Errorf("read journal after %d: %w", after, err)
	}
	return out, reached, nil
}
