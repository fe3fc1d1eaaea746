package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Lines implements persistence.Dumper.
func (s *Store) Lines(ctx context.Context, add func(line []byte)) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("postgres: read everything: %w", err)
	}
	err := s.viewPrimary(ctx, func(db pgx.Tx) error {
		var at persistence.Position
		if err := db.QueryRow(ctx, "SELECT journal, seq FROM cursors WHERE sink = 'store'").Scan(&at.Journal, &at.Seq); err != nil {
			return err
		}
		add(persistence.AppendCursor(nil, at))
		for _, part := range []func(context.Context, querier, func([]byte)) error{
			dumpHeads, dumpUsers, dumpRestaurants, dumpTables, dumpStaff, dumpReservations, dumpReviews, dumpEvents,
		} {
			if err := part(ctx, db, add); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("postgres: read everything: %w", err)
	}
	return nil
}

func heads(ctx context.Context, db querier, fn func(engine.AggregateID, engine.Version) error) error {
	return each(ctx, db, "SELECT aggregate, version FROM heads", nil, func(row pgx.Rows) error {
		var id engine.AggregateID
		var v engine.Version
		if err := row.Scan(&id, &v); err != nil {
			return err
		}
		return fn(id, v)
	})
}

func dumpHeads(ctx context.Context, db querier, add func([]byte)) error {
	return heads(ctx, db, func(id engine.AggregateID, v engine.Version) error {
		add(persistence.AppendHead(nil, id, v))
		return nil
	})
}

func dumpUsers(ctx context.Context, db querier, add func([]byte)) error {
	return readUsers(ctx, db, "", nil, func(a *persistence.AccountRow) { add(persistence.AppendAccount(nil, a)) })
}

func dumpRestaurants(ctx context.Context, db querier, add func([]byte)) error {
	return readRestaurants(ctx, db, "", nil, func(r *enginepb.Restaurant, v engine.Version, ratings engine.Ratings, rules []byte) {
		add(persistence.AppendRestaurant(nil, r, v))
		if rules != nil {
			add(persistence.AppendRules(nil, engine.RestaurantID(r.Id), rules))
		}
		if ratings.Count > 0 {
			add(persistence.AppendRatings(nil, engine.RestaurantID(r.Id), ratings))
		}
	})
}

func dumpTables(ctx context.Context, db querier, add func([]byte)) error {
	return readTables(ctx, db, "", nil, func(r engine.RestaurantID, t *enginepb.Table) { add(persistence.AppendTable(nil, r, t)) })
}

func dumpStaff(ctx context.Context, db querier, add func([]byte)) error {
	return readStaff(ctx, db, "", nil, func(r engine.RestaurantID, m *enginepb.Member) { add(persistence.AppendMember(nil, r, m)) })
}

func dumpReservations(ctx context.Context, db querier, add func([]byte)) error {
	return eachReservation(ctx, db, selectReservation, nil, func(r *persistence.ReservationRow) { add(persistence.AppendReservation(nil, r)) })
}

func dumpReviews(ctx context.Context, db querier, add func([]byte)) error {
	return reviews(ctx, db, selectReview, nil, func(v persistence.ReviewRow, _ engine.Version) { add(persistence.AppendReview(nil, &v)) })
}

func dumpEvents(ctx context.Context, db querier, add func([]byte)) error {
	return each(ctx, db, selectEvents, nil, func(row pgx.Rows) error {
		var c persistence.Committed
		var body []byte
		err := row.Scan(&c.Seq, &c.Index, &c.Aggregate, &c.Version, &body)
		add(persistence.AppendAudited(nil, &c, body))
		return err
	})
}
