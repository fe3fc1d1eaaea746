package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

const (
	selectErasing       = "SELECT id FROM accounts JOIN names USING (n) WHERE erased = 1 ORDER BY n LIMIT ?"
	selectRestaurantsOf = `SELECT id FROM names WHERE n IN (SELECT DISTINCT restaurant FROM reservations
 WHERE guest = (SELECT n FROM names WHERE id = ?1)
 UNION SELECT restaurant FROM staff WHERE account = (SELECT n FROM names WHERE id = ?1)) ORDER BY n LIMIT ?2`
	selectOwns = "SELECT EXISTS (SELECT 1 FROM restaurants WHERE owner = (SELECT n FROM names WHERE id = ?))"
)

// erasureOf is accounts.erased of a base.
func erasureOf(a *persistence.AggregateState) persistence.Erasure {
	switch {
	case a.ErasureCompleted:
		return persistence.ErasureCompleted
	case a.Erased:
		return persistence.ErasurePending
	}
	return persistence.NotErased
}

// guestForgotten takes the guest out of the rows of a restaurant, also of those that the engine has let go.
func (t *tx) guestForgotten(h *head, e *enginepb.GuestForgotten) error {
	guest, err := t.head(engine.AggregateID(e.GetGuest()))
	if err != nil {
		return err
	}
	for i := range t.made {
		if r := &t.made[i]; r.restaurant == h.n && r.guest == any(guest.n) {
			r.guest, r.requests = nil, ""
			r.version++
			if err := t.exec(t.stmts.forgetComment, h.n, r.own); err != nil {
				return err
			}
		}
	}
	// What he wrote goes with him, the rating stays. The reservations still name him here.
	if err := t.exec(t.stmts.forgetComments, h.n, guest.n); err != nil {
		return err
	}
	return t.exec(t.stmts.forgetGuest, guest.n, h.n)
}

// scrubLog copies the write-ahead log into the database and empties it once an erasure is complete: secure_delete overwrites
// what is erased in the database, but the log keeps older pages. A reader may be in the way: then the next transaction tries
// again. Close does it in any case, and so does Open after a kill: migrate closes what is then the only connection.
func (t *tx) scrubLog() {
	if !t.scrub {
		return
	}
	wait := func(millis int) error {
		_, err := t.conn.ExecContext(t.ctx, "PRAGMA busy_timeout = "+strconv.Itoa(millis))
		return err
	}
	var busy, log, done int
	err := wait(0) // for no reader: the next transaction comes within half a second
	if err == nil {
		err = t.conn.QueryRowContext(t.ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &done)
	}
	err = errors.Join(err, wait(busyMillis))
	t.scrub = err != nil || busy != 0
}

// PendingErasures implements persistence.Store.
func (s *Store) PendingErasures(ctx context.Context, limit int) ([]engine.AccountID, error) {
	ids, err := column[engine.AccountID](ctx, s, selectErasing,
		min(max(limit, 1), maxHistory))
	if err != nil {
		return nil, fmt.Errorf("sqlite: list erasures: %w", err)
	}
	return ids, nil
}

// RestaurantsOf implements persistence.Store.
func (s *Store) RestaurantsOf(ctx context.Context, guest engine.AccountID, limit int) ([]engine.RestaurantID, error) {
	ids, err := column[engine.RestaurantID](ctx, s, selectRestaurantsOf, string(guest), min(max(limit, 1), maxHistory))
	if err != nil {
		return nil, fmt.Errorf("sqlite: list the restaurants of a guest: %w", err)
	}
	return ids, nil
}

// OwnsRestaurant implements persistence.Store.
func (s *Store) OwnsRestaurant(ctx context.Context, account engine.AccountID) (owns bool, err error) {
	err = s.read.QueryRowContext(ctx, selectOwns,
		string(account)).Scan(&owns)
	if err != nil {
		return false, fmt.Errorf("sqlite: look for restaurants of an owner: %w", err)
	}
	return owns, nil
}

// column reads a query's only column.
func column[T ~string](ctx context.Context, s *Store, query string, args ...any) (out []T, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
