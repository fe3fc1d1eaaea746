package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"maitred/engine"
	"maitred/persistence"
)

// SinkName is the name of the sink's cursor.
const SinkName = "redis"

const (
	// minRetain is how long after the end of its date (UTC) somebody of a service day may hold a table: the last start is almost 48 h
	// after the beginning of the date, a turn takes 2.5 h, and clocks are up to 12 h behind UTC.
	minRetain     = 40 * time.Hour
	defaultRetain = 48 * time.Hour
	maxRounds     = 20  // tries to write a restaurant beside another writer
	maxTogether   = 500 // restaurants that are read at once
	writeTimeout  = 30 * time.Second
)

var _ persistence.Sink = (*Sink)(nil)

// SinkOptions say what a sink relies on. Fields that have a default may stay zero.
type SinkOptions struct {
	Cursors persistence.Cursors
	Source  Source
	// Bounds is Journal.Bounds: a cursor that is below what the journal has is made good from Source. nil = the journal is
	// never purged.
	Bounds func(ctx context.Context) (persistence.Bounds, error)
	// Retain is how long a day's key lives after the end of its date (UTC). At least 40 h; default 48 h.
	Retain  time.Duration
	Timeout time.Duration    // of one Write; default 30 s
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default slog.Default
}

// Sink follows the journal into Redis. Safe for concurrent use; two of them, also on two nodes, do each other no harm.
type Sink struct {
	c    *Client
	o    SinkOptions
	load string // names the loads of this sink: one that failed is no hindrance to the next

	lease time.Duration

	mu   sync.Mutex                  // of Write, Cursor and Rebuild
	torn map[engine.AggregateID]bool // what is there of them is not what their events follow
	told time.Time                   // when the last Write or Cursor ended well
}

// NewSink makes a sink. It needs no server to be there. The client stays the caller's.
func NewSink(c *Client, o SinkOptions) (*Sink, error) {
	if o.Cursors == nil || o.Source == nil {
		return nil, errors.New("redis: a sink needs Cursors and a Source")
	}
	if o.Retain == 0 {
		o.Retain = defaultRetain
	}
	if o.Retain < minRetain {
		return nil, fmt.Errorf("redis: days are to be kept %v, at least %v", o.Retain, minRetain)
	}
	if o.Timeout <= 0 {
		o.Timeout = writeTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Sink{c: c, o: o, load: rand.Text(), lease: loadLease, torn: map[engine.AggregateID]bool{}}, nil
}

// Cursor implements persistence.Sink. When Redis does not hold what the cursor says, or the journal does not have any more what
// comes next, it loads everything anew first: Rebuild.
func (s *Sink) Cursor(ctx context.Context) (persistence.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.o.Cursors.Cursor(ctx, SinkName)
	if err != nil {
		return persistence.Position{}, fmt.Errorf("redis: read the cursor: %w", err)
	}
	why, err := s.missing(ctx, at)
	if err != nil {
		return persistence.Position{}, fmt.Errorf("redis: compare with the cursor: %w", err)
	}
	if why != "" {
		at, err = s.rebuild(ctx, why)
	}
	if err == nil {
		s.told = s.o.Now()
	}
	return at, err
}

// missing says why Redis is not what the cursor says; empty = it is.
func (s *Sink) missing(ctx context.Context, at persistence.Position) (why string, err error) {
	if len(s.torn) > 0 {
		return "an event did not follow what is there", nil
	}
	keys, err := s.c.markerKeys(ctx)
	if err != nil {
		return "", err
	}
	markers, err := s.c.markers(ctx, keys)
	if err != nil {
		return "", err
	}
	for i := range markers {
		holds, err := markers[i].holds(at)
		if err != nil {
			return "", err
		}
		if !holds {
			why = "a marker is missing or behind"
		}
	}
	if why != "" || s.o.Bounds == nil {
		return why, nil
	}
	b, err := s.o.Bounds(ctx)
	if err != nil {
		return "", fmt.Errorf("read the journal's bounds: %w", err)
	}
	if at.Seq+1 < b.First {
		return "the journal was purged beyond the cursor", nil
	}
	return "", nil
}

// Write implements persistence.Sink. Redis and the cursor are no one transaction: when it fails, some restaurants may have
// their events already, which changes nothing for the next try. An event that does not follow what is there is ErrGap.
func (s *Sink) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if err := s.write(ctx, old, next, events); err != nil {
		return fmt.Errorf("redis: write up to %d: %w", next.Seq, err)
	}
	s.told = s.o.Now()
	return nil
}

func (s *Sink) write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	if old.Journal != "" && old.Journal != next.Journal {
		return fmt.Errorf("cursor of journal %s cannot move to journal %s", old.Journal, next.Journal)
	}
	var order []engine.AggregateID
	of, asOf := map[engine.AggregateID][]*persistence.Committed{}, int64(0)
	for i := range events {
		c := &events[i]
		if c.Seq <= old.Seq || c.Seq > next.Seq {
			return fmt.Errorf("event at %d is not between %d and %d", c.Seq, old.Seq, next.Seq)
		}
		asOf = max(asOf, c.Event.GetAtMs())
		if !aboutRestaurant(c.Aggregate) {
			continue
		}
		if of[c.Aggregate] == nil {
			order = append(order, c.Aggregate)
		}
		of[c.Aggregate] = append(of[c.Aggregate], c)
	}
	if len(events) == 0 && !s.told.IsZero() { // a quiet evening is no older for it
		asOf = s.told.UnixMilli()
	}
	at, err := s.o.Cursors.Cursor(ctx, SinkName)
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	if at != old {
		return fmt.Errorf("cursor is %v, not %v: %w", at, old, persistence.ErrConflict)
	}
	keys, err := s.c.markerKeys(ctx)
	if err != nil {
		return err
	}
	stands, err := s.c.epochs(ctx, keys, next.Journal)
	if err != nil {
		return err
	}
	for len(order) > 0 {
		n := min(len(order), maxTogether)
		if err := s.follow(ctx, order[:n], of); err != nil {
			return err
		}
		order = order[n:]
	}
	// The markers first: one is never behind the cursor, unless Redis has lost something.
	err = s.c.mark(ctx, advanceScript, stands, func(epoch string) []any {
		return []any{epoch, next.Journal, uint64(old.Seq), uint64(next.Seq), asOf}
	})
	if err != nil || old == next {
		return err
	}
	return s.o.Cursors.Move(ctx, SinkName, old, next)
}

// follow brings restaurants to the newest of their events.
func (s *Sink) follow(ctx context.Context, ids []engine.AggregateID, of map[engine.AggregateID][]*persistence.Committed) error {
	for range maxRounds {
		folds, err := s.read(ctx, ids, of)
		if err != nil {
			return err
		}
		var changed []*fold
		for _, f := range folds {
			before := f.head.Version
			if err := f.apply(of[f.id]); err != nil {
				return s.tear(f.id, err)
			}
			if f.head.Version != before {
				changed = append(changed, f)
			}
		}
		if ids, err = s.run(ctx, changed); err != nil || len(ids) == 0 {
			return err
		}
	}
	return fmt.Errorf("%s: another writer is always faster: %w", ids[0], persistence.ErrConflict)
}

// read is what the keys of restaurants say that their events look at.
func (s *Sink) read(ctx context.Context, ids []engine.AggregateID, of map[engine.AggregateID][]*persistence.Committed) ([]*fold, error) {
	folds := make([]*fold, len(ids))
	heads := make([]*goredis.StringCmd, len(ids))
	records := make([]*goredis.SliceCmd, len(ids))
	wanted := make([][]string, len(ids))
	_, err := s.c.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, id := range ids {
			heads[i] = p.Get(ctx, versionKey(id))
			wanted[i] = needs(of[id])
			keys := make([]string, len(wanted[i]))
			for k, r := range wanted[i] {
				keys[k] = recordKey(id, r)
			}
			if len(keys) > 0 {
				records[i] = p.MGet(ctx, keys...)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, fmt.Errorf("read %d restaurants: %w", len(ids), err)
	}
	for i, id := range ids {
		if folds[i], err = foldOf(id, heads[i]); err != nil {
			return nil, s.tear(id, err)
		}
		if records[i] == nil {
			continue
		}
		found, err := records[i].Result()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", versionKey(id), err)
		}
		for k, v := range found {
			text, there := v.(string)
			if !there {
				continue
			}
			r, err := decode[record](recordKey(id, wanted[i][k]), text)
			if err != nil {
				return nil, s.tear(id, err)
			}
			folds[i].records[wanted[i][k]] = &r
		}
	}
	return folds, nil
}

// tear notes a restaurant that only a load can bring further.
func (s *Sink) tear(id engine.AggregateID, err error) error {
	if errors.Is(err, ErrGap) || errors.Is(err, errNotOurs) {
		s.torn[id] = true
	}
	return err
}

// foldOf begins with the position that was read.
func foldOf(id engine.AggregateID, head *goredis.StringCmd) (f *fold, err error) {
	f = newFold(id)
	f.was, err = head.Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", versionKey(id), err)
	}
	f.head, err = decode[position](versionKey(id), f.was)
	return f, err
}
