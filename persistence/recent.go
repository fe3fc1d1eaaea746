package persistence

import (
	"context"
	"sync"
)

// Recent is a journal that keeps what was read from it last, to be read again without asking. A node that takes over restaurants opens
// each from the records since its base: a frame has events of many restaurants, so without this the same frames are asked for over and
// over, of a leader on another machine. What other nodes write is read anyway, for the fold, and a record never changes. Records that
// somebody else purged may still be had.
type Recent struct {
	Journal
	max int

	mu      sync.Mutex
	entries map[Seq]Entry
	order   []Seq // as they came
	bytes   int
}

// NewRecent keeps at most limit bytes of j's records.
func NewRecent(j Journal, limit int) *Recent {
	return &Recent{Journal: j, max: limit, entries: map[Seq]Entry{}}
}

// entryOverhead is what an entry takes beside its data, about.
const entryOverhead = 200

func (r *Recent) keep(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.entries[e.Seq]; there {
		return
	}
	r.entries[e.Seq] = e
	r.order = append(r.order, e.Seq)
	r.bytes += len(e.Data) + entryOverhead
	for r.bytes > r.max {
		r.drop(r.order[0])
		r.order = r.order[1:]
	}
}

// drop forgets a record, if it is there. The caller holds mu.
func (r *Recent) drop(seq Seq) {
	if e, there := r.entries[seq]; there {
		r.bytes -= len(e.Data) + entryOverhead
		delete(r.entries, seq)
	}
}

func (r *Recent) find(seq Seq) (Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.entries[seq]
	return e, there
}

// Get implements Journal.
func (r *Recent) Get(ctx context.Context, seq Seq) (Entry, error) {
	if e, there := r.find(seq); there {
		return e, nil
	}
	e, err := r.Journal.Get(ctx, seq)
	if err == nil {
		r.keep(e)
	}
	return e, err
}

// Read implements Journal. What is here at the beginning of the range is not asked for.
func (r *Recent) Read(ctx context.Context, from, to Seq, fn func(Entry) error) error {
	for ; from <= to; from++ {
		e, there := r.find(from)
		if !there {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if from > to {
		return nil
	}
	return r.Journal.Read(ctx, from, to, func(e Entry) error {
		r.keep(e)
		return fn(e)
	})
}

// Purge implements Journal.
func (r *Recent) Purge(ctx context.Context, below Seq) error {
	if err := r.Journal.Purge(ctx, below); err != nil {
		return err
	}
	r.forget(func(seq Seq) bool { return seq < below })
	return nil
}

// Close implements Journal.
func (r *Recent) Close() error {
	r.forget(func(Seq) bool { return true })
	return r.Journal.Close()
}

func (r *Recent) forget(which func(Seq) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.order[:0]
	for _, seq := range r.order {
		if which(seq) {
			r.drop(seq)
		} else {
			left = append(left, seq)
		}
	}
	r.order = left
}
