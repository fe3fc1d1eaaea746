package sqlite

import (
	"context"
	"errors"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

var (
	_ persistence.Rebuildable = (*Store)(nil)
	_ persistence.Dumper      = (*Store)(nil)
)

var errLoaded = errors.New("sqlite: the aggregate is in the store already")

// Reset implements persistence.Rebuildable.
func (s *Store) Reset(ctx context.Context) error {
	err := s.transact(ctx, func(t *tx) error {
		for _, table := range []string{"search", "search_words", "terms", "places", "events", "reviews", "staff", "reservations", "accounts", "tables", "restaurants", "heads", "names", "cursor"} {
			if err := t.step(); err != nil {
				return err
			}
			if _, err := s.conn.ExecContext(t.ctx, "DELETE FROM "+table); err != nil { // #nosec G202 -- names of ours
				return fmt.Errorf("empty %s: %w", table, err)
			}
		}
		if _, err := s.conn.ExecContext(t.ctx, "INSERT INTO term_trigrams (term_trigrams) VALUES ('delete-all')"); err != nil {
			return fmt.Errorf("empty term_trigrams: %w", err)
		}
		clear(s.known)
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: reset: %w", err)
	}
	return nil
}

// Load implements persistence.Rebuildable.
func (s *Store) Load(ctx context.Context, states []persistence.AggregateState) error {
	err := s.transact(ctx, func(t *tx) error {
		for i := range states {
			if err := t.load(&states[i]); err != nil {
				return fmt.Errorf("%s: %w", states[i].ID, err)
			}
		}
		return t.flush()
	})
	if err != nil {
		return fmt.Errorf("sqlite: load: %w", err)
	}
	return nil
}

func (t *tx) load(a *persistence.AggregateState) error {
	h, err := t.head(a.ID)
	if err != nil {
		return err
	}
	if h.version != 0 {
		return errLoaded
	}
	h.version = a.Version
	t.touch(h)
	if a.Account != nil || a.Erased {
		if err := t.account(h, a.Account, erasureOf(a)); err != nil {
			return err
		}
	}
	if a.Restaurant == nil {
		return nil
	}
	if err := t.restaurant(h, a.Restaurant, a.RestaurantVersion); err != nil {
		return err
	}
	if a.Rules != nil {
		if err := t.rules(h, a.Rules); err != nil {
			return err
		}
	}
	for _, table := range a.Tables {
		if err := t.table(h, table); err != nil {
			return err
		}
	}
	for _, m := range a.Staff {
		if err := t.member(h, m); err != nil {
			return err
		}
	}
	if a.Ratings != (engine.Ratings{}) {
		if err := t.must("load the ratings", t.stmts.ratings, a.Ratings.Sum, a.Ratings.Count, h.n); err != nil {
			return err
		}
	}
	for _, r := range a.Reservations {
		if err := t.created(h, engine.RestaurantID(a.ID), r); err != nil {
			return err
		}
	}
	for i := range a.Reviews { // counted already, in the ratings and in the reservation
		if err := t.putReview(h, engine.RestaurantID(a.ID), &a.Reviews[i]); err != nil {
			return err
		}
	}
	return nil
}

// Lines implements persistence.Dumper.
func (s *Store) Lines(ctx context.Context, add func(line []byte)) error {
	err := s.view(ctx, func(q querier) error {
		at, _, err := readCursor(ctx, q)
		if err != nil {
			return err
		}
		add(persistence.AppendCursor(nil, at))
		for _, part := range []func(context.Context, querier, func([]byte)) error{
			dumpHeads, dumpStaff, dumpReviews, dumpRestaurants, dumpTables, dumpAccounts, dumpReservations, dumpEvents,
		} {
			if err := part(ctx, q, add); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: read everything: %w", err)
	}
	return nil
}

// each scans the rows of a query into dst and calls fn after each.
func each(ctx context.Context, q querier, query string, dst []any, fn func() error, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dst...); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func dumpHeads(ctx context.Context, q querier, add func([]byte)) error {
	return heads(ctx, q, func(id engine.AggregateID, v engine.Version) error {
		add(persistence.AppendHead(nil, id, v))
		return nil
	})
}

func heads(ctx context.Context, q querier, fn func(engine.AggregateID, engine.Version) error) error {
	var id engine.AggregateID
	var v engine.Version
	return each(ctx, q, "SELECT id, version FROM heads JOIN names USING (n) WHERE version > 0", []any{&id, &v}, func() error {
		return fn(id, v)
	})
}

// Heads implements persistence.Store.
func (s *Store) Heads(ctx context.Context, fn func(engine.AggregateID, engine.Version) error) error {
	if err := s.view(ctx, func(q querier) error { return heads(ctx, q, fn) }); err != nil {
		return fmt.Errorf("sqlite: read the heads: %w", err)
	}
	return nil
}

func dumpRestaurants(ctx context.Context, q querier, add func([]byte)) error {
	return readRestaurants(ctx, q, "", func(r *enginepb.Restaurant, v engine.Version, ratings engine.Ratings, rules []byte) {
		add(persistence.AppendRestaurant(nil, r, v))
		if rules != nil {
			add(persistence.AppendRules(nil, engine.RestaurantID(r.Id), rules))
		}
		if ratings.Count > 0 {
			add(persistence.AppendRatings(nil, engine.RestaurantID(r.Id), ratings))
		}
	})
}

func dumpTables(ctx context.Context, q querier, add func([]byte)) error {
	return readTables(ctx, q, "", func(r engine.RestaurantID, t *enginepb.Table) { add(persistence.AppendTable(nil, r, t)) })
}

func dumpStaff(ctx context.Context, q querier, add func([]byte)) error {
	return readStaff(ctx, q, "", func(r engine.RestaurantID, m *enginepb.Member) { add(persistence.AppendMember(nil, r, m)) })
}

func dumpAccounts(ctx context.Context, q querier, add func([]byte)) error {
	return readAccounts(ctx, q, "", func(a *persistence.AccountRow) { add(persistence.AppendAccount(nil, a)) })
}

func dumpReservations(ctx context.Context, q querier, add func([]byte)) error {
	return eachReservation(ctx, q, selectReservation, nil, func(_ place, r *persistence.ReservationRow) { add(persistence.AppendReservation(nil, r)) })
}

func dumpEvents(ctx context.Context, q querier, add func([]byte)) error {
	names := map[int64]engine.AggregateID{}
	var seq persistence.Seq
	var body []byte
	return each(ctx, q, "SELECT seq, body FROM events", []any{&seq, &body}, func() error {
		return readAudit(seq, body, func(a audited, event []byte) (err error) {
			if a.Aggregate, err = nameOf(ctx, q, names, a.n); err != nil {
				return err
			}
			add(persistence.AppendAudited(nil, &a.Committed, event))
			return nil
		})
	})
}
