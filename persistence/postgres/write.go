package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/persistence"
)

// Write implements persistence.Sink. Events of an aggregate that are here already change nothing; a missing one is ErrGap.
// Without events the cursor may also be moved back.
func (s *Store) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	err := s.transact(ctx, func(t *tx) error {
		if t.at != old {
			return fmt.Errorf("cursor is %v, not %v: %w", t.at, old, persistence.ErrConflict)
		}
		if old.Journal != "" && old.Journal != next.Journal {
			return fmt.Errorf("cursor of journal %s cannot move to journal %s", old.Journal, next.Journal)
		}
		for i := range events {
			if c := &events[i]; c.Seq <= old.Seq || c.Seq > next.Seq {
				return fmt.Errorf("event at %d is not between %d and %d", c.Seq, old.Seq, next.Seq)
			}
		}
		return t.project(next, events)
	})
	if err != nil {
		return fmt.Errorf("postgres: write up to %d: %w", next.Seq, err)
	}
	s.saw(next)
	return nil
}

// tx is one transaction of the writer.
type tx struct {
	*Store
	pgx.Tx
	ctx     context.Context
	at      persistence.Position
	audited persistence.Seq // newest event of the audit
	moved   map[engine.AggregateID]engine.Version
	rows    *rows
	witness bool                 // park what the exclusion objects to
	apart   bool                 // write each aggregate by itself, and park those that fail
	again   []engine.AggregateID // parked, to be tried again
	forget  bool                 // what the writer knows is not true after this
}

// transact runs fn in a transaction that no other writer's overlaps: it begins with the lock of the cursor. When the server refuses
// rows, fn runs again, more carefully.
func (s *Store) transact(ctx context.Context, fn func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return persistence.ErrClosed
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	t := &tx{Store: s, ctx: ctx}
	err := t.run(fn)
	if isConflict(err) {
		t.witness = true
		err = t.run(fn)
	}
	if isRefusal(err) {
		t.apart = true
		err = t.run(fn)
	}
	return err
}

// run is one try.
func (t *tx) run(fn func(*tx) error) error {
	t.moved, t.again, t.rows = map[engine.AggregateID]engine.Version{}, nil, newRows()
	err := pgx.BeginFunc(t.ctx, t.write, func(p pgx.Tx) error {
		t.Tx = p
		if err := t.lock(); err != nil {
			return err
		}
		return fn(t)
	})
	if err != nil {
		t.revision = -1
		return err
	}
	for id, v := range t.moved {
		t.known[id] = v
	}
	if t.forget {
		t.revision = -1
	}
	return nil
}

// lock takes the cursor and forgets what the writer knows when somebody else has written since, or when it knows too much.
func (t *tx) lock() error {
	var revision int64
	err := t.QueryRow(t.ctx, `SELECT journal, seq, revision, (SELECT coalesce(max(seq), 0) FROM events) FROM cursors WHERE sink = 'store'
 FOR UPDATE`).Scan(&t.at.Journal, &t.at.Seq, &revision, &t.audited)
	if err != nil {
		return fmt.Errorf("lock the cursor: %w", err)
	}
	if revision != t.revision || len(t.known) > maxKnown {
		clear(t.known)
		if err := t.readParked(); err != nil {
			return err
		}
	}
	t.revision = revision + 1
	if _, err := t.Exec(t.ctx, "UPDATE cursors SET revision = $1 WHERE sink = 'store'", t.revision); err != nil {
		return fmt.Errorf("count the transaction: %w", err)
	}
	return nil
}

// project makes the effect of events, their audit, and the cursor.
func (t *tx) project(next persistence.Position, events []persistence.Committed) error {
	if err := t.heads(events); err != nil {
		return err
	}
	for _, id := range t.again {
		if err := t.resume(id); err != nil {
			return err
		}
	}
	fresh, err := t.fresh(events)
	if err != nil {
		return err
	}
	if t.apart {
		err = t.writeApart(fresh)
	} else {
		err = t.writeRows(t.Tx, fresh)
	}
	if err != nil {
		return err
	}
	return t.finish(next, events)
}

// writeRows folds events into rows and writes them.
func (t *tx) writeRows(db pgx.Tx, events []*persistence.Committed) error {
	if err := t.rows.load(t.ctx, db, events); err != nil {
		return err
	}
	for _, c := range events {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if err := t.rows.apply(c); err != nil {
			return fmt.Errorf("%s: version %d: %w", c.Aggregate, c.Version, err)
		}
	}
	if err := t.rows.save(t.ctx, db); err != nil {
		return err
	}
	if t.witness {
		return t.parkConflicts(db)
	}
	return nil
}

// finish writes audit, heads and cursor.
func (t *tx) finish(next persistence.Position, events []persistence.Committed) error {
	var asOf int64
	for i := range events {
		asOf = max(asOf, events[i].Event.GetAtMs())
	}
	if err := t.audit(events); err != nil {
		return err
	}
	if err := t.saveHeads(); err != nil {
		return err
	}
	_, err := t.Exec(t.ctx, "UPDATE cursors SET journal = $1, seq = $2, as_of = greatest(as_of, $3) WHERE sink = 'store'",
		next.Journal, int64(next.Seq), time.UnixMilli(asOf))
	if err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	return nil
}

// heads reads the versions of the aggregates that the writer does not know.
func (t *tx) heads(events []persistence.Committed) error {
	var unknown []string
	for i := range events {
		id := events[i].Aggregate
		if _, ok := t.known[id]; !ok {
			t.known[id] = 0
			unknown = append(unknown, string(id))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	found, err := t.Query(t.ctx, "SELECT aggregate, version FROM heads WHERE aggregate = ANY($1)", unknown)
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	var id engine.AggregateID
	var v engine.Version
	_, err = pgx.ForEachRow(found, []any{&id, &v}, func() error {
		t.known[id] = v
		return nil
	})
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	return nil
}

// head is the version of an aggregate in this transaction.
func (t *tx) head(id engine.AggregateID) engine.Version {
	if v, ok := t.moved[id]; ok {
		return v
	}
	return t.known[id]
}

// fresh are the events that are not here yet.
func (t *tx) fresh(events []persistence.Committed) (fresh []*persistence.Committed, err error) {
	for i := range events {
		c := &events[i]
		v := t.head(c.Aggregate)
		if _, parked := t.parked[c.Aggregate]; parked || c.Version <= v {
			continue
		}
		if c.Version != v+1 {
			return nil, fmt.Errorf("%s: version %d after %d at %d: %w", c.Aggregate, c.Version, v, c.Seq, ErrGap)
		}
		t.moved[c.Aggregate] = c.Version
		fresh = append(fresh, c)
	}
	return fresh, nil
}

func (t *tx) saveHeads() error {
	var ids []string
	var versions []int64
	for id, v := range t.moved {
		ids, versions = append(ids, string(id)), append(versions, int64(v))
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := t.Exec(t.ctx, `INSERT INTO heads (aggregate, version) SELECT * FROM unnest($1::text[], $2::bigint[])
 ON CONFLICT (aggregate) DO UPDATE SET version = excluded.version`, ids, versions)
	if err != nil {
		return fmt.Errorf("write heads: %w", err)
	}
	return nil
}
