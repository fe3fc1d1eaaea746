package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"maitred/engine"
	"maitred/persistence"
)

// Source gives the state of every restaurant, when Redis has lost it.
//
// What it must keep: each state that Restaurants returns has every event up to the position that Position returned before. A
// state may be newer. Pages need not be of one moment, a restaurant made meanwhile may be missing, and a position below the
// cursor is fine as long as the journal has what follows it. So bases with the journal's tail will do, and so will the store.
type Source interface {
	// Position is where the source stands, and a time at which nothing durable was missing there; zero = not known.
	Position(ctx context.Context) (persistence.Position, time.Time, error)
	// Restaurants returns at most limit restaurants behind after ("" = from the beginning), in an order that stays, and where
	// to go on; next is empty behind the last. It should answer within 10 s.
	Restaurants(ctx context.Context, after string, limit int) (states []persistence.AggregateState, next string, err error)
}

const (
	sourcePage = 200              // restaurants
	loadPiece  = 20_000           // reservations that are written between two renewals, by about one restaurant
	loadLease  = 20 * time.Second // a load that is not renewed for so long has died
)

var (
	errOtherSource  = errors.New("redis: the source is of another journal")
	errSourceBehind = errors.New("redis: the journal has not any more what comes after the source")
)

// Rebuild loads every restaurant from the source, the newer version wins, and moves the cursor to where the source stood. What
// is there already stays readable meanwhile. Only one sink loads at a time.
func (s *Sink) Rebuild(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.rebuild(ctx, "on request")
	return err
}

func (s *Sink) rebuild(ctx context.Context, why string) (at persistence.Position, err error) {
	defer func() {
		if err != nil {
			at, err = persistence.Position{}, fmt.Errorf("redis: load: %w", err)
		}
	}()
	cursor, err := s.o.Cursors.Cursor(ctx, SinkName)
	if err != nil {
		return at, fmt.Errorf("read the cursor: %w", err)
	}
	at, asOf, err := s.o.Source.Position(ctx)
	if err != nil {
		return at, fmt.Errorf("ask the source: %w", err)
	}
	if err := s.fits(ctx, cursor, at); err != nil {
		return at, err
	}
	at.Journal = cmp.Or(at.Journal, cursor.Journal) // a source that has nothing yet does not know it
	stands, err := s.begin(ctx, at)
	if err != nil {
		return at, err
	}
	s.o.Log.Warn("redis is loaded anew", "why", why, "cursor", cursor.Seq, "from", at.Seq)
	began := s.o.Now()
	n, err := s.loadSource(ctx, stands)
	if err != nil {
		return at, err
	}
	var asOfMs int64
	if !asOf.IsZero() {
		asOfMs = asOf.UnixMilli()
	}
	gen := rand.Text()
	err = s.c.mark(ctx, finishScript, stands, func(master string) []any {
		return []any{s.load, master, at.Journal, uint64(at.Seq), asOfMs, gen}
	})
	if err != nil {
		return at, err
	}
	if cursor != at {
		if err := s.o.Cursors.Move(ctx, SinkName, cursor, at); err != nil {
			return at, fmt.Errorf("move the cursor: %w", err)
		}
	}
	clear(s.torn)
	s.o.Log.Info("redis is whole", "restaurants", n, "took", s.o.Now().Sub(began).Round(time.Millisecond).String(), "cursor", at.Seq)
	return at, nil
}

// fits tells whether the journal can go on from where the source stands.
func (s *Sink) fits(ctx context.Context, cursor, at persistence.Position) error {
	if cursor.Journal != "" && at.Journal != "" && cursor.Journal != at.Journal {
		return fmt.Errorf("%s, not %s: %w", at.Journal, cursor.Journal, errOtherSource)
	}
	if s.o.Bounds == nil {
		return nil
	}
	b, err := s.o.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("read the journal's bounds: %w", err)
	}
	if at.Seq+1 < b.First {
		return fmt.Errorf("%d, the journal begins at %d: %w", at.Seq, b.First, errSourceBehind)
	}
	return nil
}

// begin takes the markers for this load, the first one first: of two sinks one gets them.
func (s *Sink) begin(ctx context.Context, at persistence.Position) ([]stand, error) {
	keys, err := s.c.markerKeys(ctx)
	if err != nil {
		return nil, err
	}
	stands := make([]stand, len(keys))
	for i, key := range keys {
		master, err := beginScript.Run(ctx, s.c.db, []string{key}, s.load, s.lease.Milliseconds(), at.Journal).Text()
		switch {
		case err != nil:
			return nil, fmt.Errorf("mark %s: %w", key, err)
		case master == isForeign:
			return nil, fmt.Errorf("%s, not %s: %w", key, at.Journal, ErrForeign)
		case master == "":
			return nil, fmt.Errorf("%s: %w", key, errLoading)
		}
		stands[i] = stand{key, master}
	}
	return stands, nil
}

// loadSource writes every restaurant of the source.
func (s *Sink) loadSource(ctx context.Context, stands []stand) (n int, err error) {
	for after := ""; ; {
		states, next, err := s.o.Source.Restaurants(ctx, after, sourcePage)
		if err != nil {
			return n, fmt.Errorf("ask the source: %w", err)
		}
		n += len(states)
		for len(states) > 0 {
			piece := 0
			for rows := 0; piece < len(states) && rows < loadPiece; piece++ {
				rows += len(states[piece].Reservations)
			}
			if err := s.renew(ctx, stands); err != nil {
				return n, err
			}
			if err := s.loadAll(ctx, states[:piece]); err != nil {
				return n, err
			}
			states = states[piece:]
		}
		if err := s.renew(ctx, stands); err != nil {
			return n, err
		}
		if after = next; next == "" {
			return n, nil
		}
	}
}

// renew fails when the load was in vain.
func (s *Sink) renew(ctx context.Context, stands []stand) error {
	return s.c.mark(ctx, renewScript, stands, func(master string) []any { return []any{s.load, s.lease.Milliseconds(), master} })
}

// loadAll writes those restaurants of which Redis has no version, or an older one.
func (s *Sink) loadAll(ctx context.Context, states []persistence.AggregateState) error {
	todo := map[engine.AggregateID]*persistence.AggregateState{}
	var ids []engine.AggregateID
	for i := range states {
		if a := &states[i]; aboutRestaurant(a.ID) && a.Restaurant != nil {
			todo[a.ID], ids = a, append(ids, a.ID)
		}
	}
	now := s.o.Now().Unix()
	over := func(day int32) bool { return dayEnds(day, s.o.Retain) <= now }
	for range maxRounds {
		if len(ids) == 0 {
			return nil
		}
		folds, err := s.older(ctx, ids, todo)
		if err != nil {
			return err
		}
		for _, f := range folds {
			f.load(todo[f.id], over)
		}
		if ids, err = s.run(ctx, folds); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: another writer is always faster: %w", ids[0], persistence.ErrConflict)
}

// older are the restaurants whose version is below that of their state, with the keys that are to go.
func (s *Sink) older(ctx context.Context, ids []engine.AggregateID, states map[engine.AggregateID]*persistence.AggregateState) ([]*fold, error) {
	heads, days := make([]*goredis.StringCmd, len(ids)), make([]*goredis.StringSliceCmd, len(ids))
	_, err := s.c.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, id := range ids {
			heads[i], days[i] = p.Get(ctx, versionKey(id)), p.ZRange(ctx, daysKey(id), 0, -1)
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, fmt.Errorf("read %d restaurants: %w", len(ids), err)
	}
	var folds []*fold
	for i, id := range ids {
		f, err := foldOf(id, heads[i])
		if err != nil && !errors.Is(err, errNotOurs) {
			return nil, err
		}
		if has, v := f.head.Version, states[id].Version; has > v || has == v && !s.torn[id] {
			continue
		}
		dates, err := days[i].Result() // the pipeline's error may be that of a missing version, which hides this one's
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", daysKey(id), err)
		}
		f.anew = []string{floorKey(id), daysKey(id)}
		if err := s.sweep(ctx, f, dates); err != nil {
			return nil, err
		}
		folds = append(folds, f)
	}
	return folds, nil
}

// sweep adds the days of a restaurant, and the records of who is on them, to what goes.
func (s *Sink) sweep(ctx context.Context, f *fold, dates []string) error {
	if len(dates) == 0 {
		return nil
	}
	fields := make([]*goredis.StringSliceCmd, len(dates))
	_, err := s.c.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, date := range dates {
			fields[i] = p.HKeys(ctx, dayKey(f.id, date))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the days of %s: %w", f.id, err)
	}
	for i, date := range dates {
		f.anew = append(f.anew, dayKey(f.id, date))
		for _, id := range fields[i].Val() {
			if id != fieldPosition {
				f.anew = append(f.anew, recordKey(f.id, id))
			}
		}
	}
	return nil
}
