package redis

import (
	"context"
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

const sourcePage = 200 // restaurants

var errOtherSource = errors.New("redis: the source is of another journal")

// Rebuild loads every restaurant from the source, the newer version wins, and moves the cursor to where the source stood. What
// is there already stays readable meanwhile. Only one sink loads at a time.
func (s *Sink) Rebuild(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.rebuild(ctx)
	return err
}

func (s *Sink) rebuild(ctx context.Context) (at persistence.Position, err error) {
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
	if cursor.Journal != "" && at.Journal != "" && cursor.Journal != at.Journal {
		return at, fmt.Errorf("%s, not %s: %w", at.Journal, cursor.Journal, errOtherSource)
	}
	keys, err := s.begin(ctx, at)
	if err != nil {
		return at, err
	}
	began, n := s.o.Now(), 0
	for after := ""; ; {
		states, next, err := s.o.Source.Restaurants(ctx, after, sourcePage)
		if err != nil {
			return at, fmt.Errorf("ask the source: %w", err)
		}
		if err := s.renewed(s.c.mark(ctx, renewScript, keys, s.load, loadLease.Milliseconds())); err != nil {
			return at, err
		}
		if err := s.loadAll(ctx, states); err != nil {
			return at, err
		}
		if err := s.renewed(s.c.mark(ctx, renewScript, keys, s.load, loadLease.Milliseconds())); err != nil {
			return at, err
		}
		n += len(states)
		if after = next; next == "" {
			break
		}
	}
	var asOfMs int64
	if !asOf.IsZero() {
		asOfMs = asOf.UnixMilli()
	}
	if err := s.renewed(s.c.mark(ctx, finishScript, keys, s.load, at.Journal, uint64(at.Seq), asOfMs)); err != nil {
		return at, err
	}
	if cursor != at {
		if err := s.o.Cursors.Move(ctx, SinkName, cursor, at); err != nil {
			return at, fmt.Errorf("move the cursor: %w", err)
		}
	}
	s.torn = false
	s.o.Log.Info("redis is whole", "restaurants", n, "took", s.o.Now().Sub(began), "cursor", at.Seq)
	return at, nil
}

// begin takes the markers for this load, the first one first: of two sinks one gets them.
func (s *Sink) begin(ctx context.Context, at persistence.Position) (keys []string, err error) {
	if keys, err = s.c.markerKeys(ctx); err != nil {
		return nil, err
	}
	markers, err := s.c.markers(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i := range markers {
		if _, err := markers[i].holds(at); err != nil {
			return nil, err
		}
	}
	took, err := s.c.mark(ctx, beginScript, keys, s.load, loadLease.Milliseconds())
	if err == nil && !took {
		err = errLoading
	}
	return keys, err
}

// renewed is what the answer of a marker means: a load whose marker is gone was in vain.
func (s *Sink) renewed(took bool, err error) error {
	if err == nil && !took {
		return errNotWhole
	}
	return err
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
	for range maxRounds {
		if len(ids) == 0 {
			return nil
		}
		folds, err := s.older(ctx, ids, todo)
		if err != nil {
			return err
		}
		for _, f := range folds {
			f.load(todo[f.id])
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
		if err != nil {
			return nil, err
		}
		if f.head.Version >= states[id].Version {
			continue
		}
		f.anew = []string{floorKey(id), daysKey(id)}
		if err := s.clear(ctx, f, days[i].Val()); err != nil {
			return nil, err
		}
		folds = append(folds, f)
	}
	return folds, nil
}

// clear adds the days of a restaurant, and the records of who is on them, to what goes.
func (s *Sink) clear(ctx context.Context, f *fold, dates []string) error {
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
