package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Write implements persistence.Sink. Events of an aggregate that are here already change nothing; a missing one is
// ErrGap. Without events the cursor may also be moved back. A transaction ends between two statements when ctx does.
func (s *Store) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	err := s.transact(ctx, func(t *tx) error {
		at, _, err := readCursorStmt(t.ctx, s.stmts.cursor)
		if err != nil {
			return err
		}
		if at != old {
			return fmt.Errorf("cursor is %v, not %v: %w", at, old, persistence.ErrConflict)
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
		return fmt.Errorf("sqlite: write up to %d: %w", next.Seq, err)
	}
	return nil
}

// tx is one transaction of the writer.
type tx struct {
	*Store
	ctx     context.Context // of the statements: never ends, or each of them would cost a goroutine that waits for the end
	step    func() error    // asked before each statement
	made    []reservation   // reservations made in this transaction, not yet inserted
	madeAt  map[reservationKey]int
	touched []*head
	args    []any
	body    []byte
}

type reservationKey struct {
	restaurant engine.AggregateID
	id         string
}

// reservation is a row to be inserted.
type reservation struct {
	restaurant int64
	guest      any
	own        any
	tables     any
	day, local int32
	starts     int64
	ends       int64
	guests     int32
	requests   string
	status     enginepb.Status
	version    uint64
	buffer     int32
	holdUntil  any // Unix ms; nil = never held
}

// transact runs fn between BEGIN IMMEDIATE and COMMIT.
func (s *Store) transact(ctx context.Context, fn func(*tx) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return persistence.ErrClosed
	}
	t := &tx{Store: s, ctx: context.WithoutCancel(ctx), step: s.stepOf(ctx), madeAt: map[reservationKey]int{}}
	if err := t.exec(s.stmts.begin); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			clear(s.known)
			if _, rerr := s.stmts.rollback.ExecContext(t.ctx); rerr != nil {
				err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
			}
		}
	}()
	if err := t.refresh(); err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.exec(s.stmts.commit); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	t.scrubLog()
	return nil
}

// stepOf is what happens before each statement of a transaction.
func (s *Store) stepOf(ctx context.Context) func() error {
	return func() error {
		if s.GiveWay != nil {
			s.GiveWay()
		}
		return ctx.Err()
	}
}

// refresh forgets what the writer knows when somebody else has written since, or when it knows too much.
func (t *tx) refresh() error {
	var v int64
	if err := t.stmts.dataVersion.QueryRowContext(t.ctx).Scan(&v); err != nil {
		return fmt.Errorf("read data_version: %w", err)
	}
	if v != t.dataV || len(t.known) > maxNames {
		clear(t.known)
	}
	t.dataV = v
	return nil
}

func (t *tx) exec(st *sql.Stmt, args ...any) error {
	if err := t.step(); err != nil {
		return err
	}
	_, err := st.ExecContext(t.ctx, args...)
	return err
}

// must is exec of a statement that has to change exactly one row.
func (t *tx) must(what string, st *sql.Stmt, args ...any) error {
	if err := t.step(); err != nil {
		return err
	}
	res, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("%s: %d rows, not 1: %w", what, n, errors.Join(err, ErrGap))
	}
	return nil
}

func readCursorStmt(ctx context.Context, st *sql.Stmt) (p persistence.Position, asOf int64, err error) {
	err = st.QueryRowContext(ctx).Scan(&p.Journal, &p.Seq, &asOf)
	if errors.Is(err, sql.ErrNoRows) {
		return persistence.Position{}, 0, nil
	}
	return p, asOf, err
}

// project makes the effect of events, their audit, and the cursor.
func (t *tx) project(next persistence.Position, events []persistence.Committed) error {
	var audited persistence.Seq
	if len(events) > 0 {
		if err := t.stmts.lastEvent.QueryRowContext(t.ctx).Scan(&audited); err != nil {
			return err
		}
	}
	var asOf int64
	for from := 0; from < len(events); {
		to := from
		for ; to < len(events) && events[to].Seq == events[from].Seq; to++ {
			asOf = max(asOf, events[to].Event.GetAtMs())
		}
		if err := t.frame(events[from:to], events[from].Seq > audited); err != nil {
			return err
		}
		from = to
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.exec(t.stmts.putCursor, next.Journal, int64(next.Seq), asOf)
}

// frame applies the events of one frame, and writes them down when they are not in the audit.
func (t *tx) frame(events []persistence.Committed, audit bool) error {
	t.body = t.body[:0]
	for i := range events {
		c := &events[i]
		h, err := t.head(c.Aggregate)
		if err != nil {
			return err
		}
		if audit {
			if t.body, err = appendAudit(t.body, h, c); err != nil {
				return err
			}
			h.seq = c.Seq
			t.touch(h)
		}
		if c.Version <= h.version {
			continue
		}
		if c.Version != h.version+1 {
			return fmt.Errorf("%s: version %d after %d at %d: %w", c.Aggregate, c.Version, h.version, c.Seq, ErrGap)
		}
		h.version = c.Version
		t.touch(h)
		if err := t.apply(h, c); err != nil {
			return fmt.Errorf("%s: version %d: %w", c.Aggregate, c.Version, err)
		}
	}
	if !audit {
		return nil
	}
	return t.exec(t.stmts.event, int64(events[0].Seq), events[0].Event.GetAtMs(), t.body)
}

func (t *tx) touch(h *head) {
	if !h.dirty {
		h.dirty = true
		t.touched = append(t.touched, h)
	}
}

// head finds or makes the number and the place of an aggregate.
func (t *tx) head(id engine.AggregateID) (*head, error) {
	if h := t.known[id]; h != nil {
		return h, nil
	}
	if err := t.step(); err != nil {
		return nil, err
	}
	h := &head{}
	err := t.stmts.findName.QueryRowContext(t.ctx, string(id)).Scan(&h.n, &h.version, &h.seq)
	if errors.Is(err, sql.ErrNoRows) {
		var res sql.Result
		if res, err = t.stmts.addName.ExecContext(t.ctx, string(id)); err == nil {
			h.n, err = res.LastInsertId()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("number of %s: %w", id, err)
	}
	t.known[id] = h
	return h, nil
}

// flush writes the reservations that were made and the heads that moved.
func (t *tx) flush() error {
	t.args = t.args[:0]
	// Neighbours in the index by restaurant are inserted together.
	slices.SortStableFunc(t.made, func(a, b reservation) int { return cmp.Compare(a.restaurant, b.restaurant) })
	for i := range t.made {
		r := &t.made[i]
		t.args = append(t.args, r.restaurant, r.own, r.guest, r.tables, int64(r.day), int64(r.local), r.starts, r.ends,
			int64(r.guests), orNull(r.requests), int64(r.status), int64(r.version), int64(r.buffer), r.holdUntil)
	}
	if err := t.stmts.reservations.exec(t.ctx, t.step, t.args); err != nil {
		return fmt.Errorf("insert reservations: %w", err)
	}
	t.args = t.args[:0]
	for _, h := range t.touched {
		t.args = append(t.args, h.n, int64(h.version), int64(h.seq))
		h.dirty = false
	}
	if err := t.stmts.heads.exec(t.ctx, t.step, t.args); err != nil {
		return fmt.Errorf("upsert heads: %w", err)
	}
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
