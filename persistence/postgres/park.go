package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"maitred/engine"
	"maitred/persistence"
)

// Codes of PostgreSQL's Appendix A: https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	exclusionViolation = "23P01"
	oneParty           = "one_party_per_table"
)

// refusals are the classes data exception, integrity constraint violation and program limit exceeded.
var refusals = []string{"22", "23", "54"}

// isConflict says that the witness objects: a table was given away twice.
func isConflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == exclusionViolation && pg.ConstraintName == oneParty
}

// isRefusal says that the server does not take the values, whenever they come, or has not the row that they are for.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains(refusals, pg.Code[:2]) || errors.Is(err, errGone)
}

// parkRows parks the later of two rows of which at least one was written now.
const parkRows = `UPDATE reservation_tables p SET parked = true FROM (
 SELECT DISTINCT t.reservation_id, t.position FROM reservation_tables t JOIN reservation_tables o ON o.table_id = t.table_id
 AND o.reservation_id <> t.reservation_id AND o.occupies AND NOT o.parked AND o.period && t.period
 WHERE t.reservation_id = ANY($1) AND t.occupies AND NOT t.parked AND (o.reservation_id <> ALL($1) OR o.reservation_id < t.reservation_id)
) c WHERE p.reservation_id = c.reservation_id AND p.position = c.position RETURNING p.reservation_id, p.table_id`

// parkConflicts takes the rows that overlap others out of the exclusion. What they say stays.
func (t *tx) parkConflicts(db pgx.Tx) error {
	err := each(t.ctx, db, parkRows, []any{sorted(t.rows.reservations)}, func(row pgx.Rows) error {
		var reservation, table string
		if err := row.Scan(&reservation, &table); err != nil {
			return err
		}
		t.metrics.conflicts.Inc()
		t.log().Error("a table is given away twice: the row is parked", "reservation", reservation, "table", table)
		return nil
	})
	if err != nil {
		return fmt.Errorf("park conflicts: %w", err)
	}
	return nil
}

// writeApart writes the events of each aggregate in a savepoint of its own; an aggregate whose rows are refused is parked.
func (t *tx) writeApart(events []*persistence.Committed) error {
	var order []engine.AggregateID
	of := map[engine.AggregateID][]*persistence.Committed{}
	for _, c := range events {
		if of[c.Aggregate] == nil {
			order = append(order, c.Aggregate)
		}
		of[c.Aggregate] = append(of[c.Aggregate], c)
	}
	for _, id := range order {
		if err := t.writeOne(of[id]); err != nil {
			return err
		}
	}
	return nil
}

// writeOne writes the events of one aggregate, or parks it.
func (t *tx) writeOne(events []*persistence.Committed) error {
	t.rows, t.witness = newRows(), true
	err := pgx.BeginFunc(t.ctx, t.Tx, func(db pgx.Tx) error {
		if err := t.writeRows(db, events); err != nil {
			return err
		}
		_, err := db.Exec(t.ctx, "SET CONSTRAINTS ALL IMMEDIATE")
		return err
	})
	if err == nil {
		_, err = t.Exec(t.ctx, "SET CONSTRAINTS ALL DEFERRED")
	}
	if !isRefusal(err) {
		return err
	}
	return t.park(events[0], err)
}

func (t *tx) park(first *persistence.Committed, cause error) error {
	_, err := t.Exec(t.ctx, `INSERT INTO parked (aggregate, version, reason) VALUES ($1, $2, $3)
 ON CONFLICT (aggregate) DO UPDATE SET version = excluded.version, reason = excluded.reason, resume = false`,
		string(first.Aggregate), int64(first.Version), strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\x00", ""), "?"))
	if err != nil {
		return fmt.Errorf("park %s: %w", first.Aggregate, err)
	}
	delete(t.moved, first.Aggregate)
	t.parked[first.Aggregate] = struct{}{}
	t.metrics.parked.Set(float64(len(t.parked)))
	t.log().Error("events cannot be written: the aggregate is parked, others go on", "aggregate", first.Aggregate, "version", first.Version, "error", cause)
	return nil
}

// readParked reads which aggregates are parked, and which of them an operator wants to try again.
func (t *tx) readParked() error {
	clear(t.parked)
	t.again = nil
	err := each(t.ctx, t.Tx, "SELECT aggregate, resume FROM parked ORDER BY aggregate", nil, func(row pgx.Rows) error {
		var id engine.AggregateID
		var resume bool
		if err := row.Scan(&id, &resume); err != nil {
			return err
		}
		if t.parked[id] = struct{}{}; resume {
			t.again = append(t.again, id)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is parked: %w", err)
	}
	t.metrics.parked.Set(float64(len(t.parked)))
	return nil
}

// resume applies the events of a parked aggregate from the audit: without personal strings, which no audit has.
func (t *tx) resume(id engine.AggregateID) error {
	left, err := committed(t.ctx, t.Tx, selectEvents+` WHERE aggregate = $1 AND version > coalesce((SELECT version FROM heads WHERE aggregate = $1), 0)
 ORDER BY version`, string(id))
	if err != nil {
		return err
	}
	delete(t.parked, id)
	t.metrics.parked.Set(float64(len(t.parked)))
	if _, err := t.Exec(t.ctx, "DELETE FROM parked WHERE aggregate = $1", string(id)); err != nil || len(left) == 0 {
		return err
	}
	events := make([]*persistence.Committed, len(left))
	for i := range left {
		events[i] = &left[i]
	}
	t.moved[id] = left[len(left)-1].Version
	rows, witness := t.rows, t.witness
	defer func() { t.rows, t.witness = rows, witness }()
	return t.writeOne(events)
}

// ParkedRow is an aggregate whose events could not be written.
type ParkedRow struct {
	Aggregate engine.AggregateID
	Version   engine.Version // of the first event that is not in the rows
	Reason    string
	Since     time.Time
}

// Parked lists at most 1,000 aggregates whose events could not be written, oldest first.
func (s *Store) Parked(ctx context.Context) (out []ParkedRow, err error) {
	err = each(ctx, s.read, "SELECT aggregate, version, reason, since FROM parked ORDER BY since, aggregate LIMIT 1000", nil, func(row pgx.Rows) error {
		var p ParkedRow
		err := row.Scan(&p.Aggregate, &p.Version, &p.Reason, &p.Since)
		out = append(out, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: list what is parked: %w", err)
	}
	return out, nil
}

// Whole is the position up to which the rows of every aggregate have everything: the cursor, unless something is parked.
func (s *Store) Whole(ctx context.Context) (p persistence.Position, err error) {
	if err := s.migrate(ctx); err != nil {
		return p, fmt.Errorf("postgres: %w", err)
	}
	err = s.read.QueryRow(ctx, `SELECT journal, least(seq, (SELECT min(e.seq) - 1 FROM parked p JOIN events e ON e.aggregate = p.aggregate AND e.version = p.version))
 FROM cursors WHERE sink = 'store'`).Scan(&p.Journal, &p.Seq)
	if err != nil {
		return persistence.Position{}, fmt.Errorf("postgres: read how far everything is: %w", err)
	}
	return p, nil
}

// ErrNotParked says that the aggregate is not parked.
var ErrNotParked = errors.New("postgres: not parked")

// Resume asks whoever writes the store to try a parked aggregate again, in its next transaction.
func (s *Store) Resume(ctx context.Context, id engine.AggregateID) error {
	return s.transact(ctx, func(t *tx) error {
		return t.onParked(id, "UPDATE parked SET resume = true WHERE aggregate = $1")
	})
}

// Skip gives up the events of a parked aggregate that are in the audit: its rows stay as they are, and go on with what comes. Rows that
// later events need may be missing then; `store rebuild` makes them anew.
func (s *Store) Skip(ctx context.Context, id engine.AggregateID) error {
	return s.transact(ctx, func(t *tx) error {
		if err := t.onParked(id, "DELETE FROM parked WHERE aggregate = $1"); err != nil {
			return err
		}
		_, err := t.Exec(ctx, `INSERT INTO heads (aggregate, version) SELECT $1, max(version) FROM events WHERE aggregate = $1
 ON CONFLICT (aggregate) DO UPDATE SET version = greatest(heads.version, excluded.version)`, string(id))
		return err
	})
}

func (t *tx) onParked(id engine.AggregateID, query string) error {
	tag, err := t.Exec(t.ctx, query, string(id))
	if err == nil && tag.RowsAffected() == 0 {
		err = fmt.Errorf("%s: %w", id, ErrNotParked)
	}
	t.forget = true
	return err
}

func (s *Store) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}
