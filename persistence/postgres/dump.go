package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Dump implements persistence.Dumper. It holds everything in memory: for tests and small stores.
func (s *Store) Dump(ctx context.Context, w io.Writer) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("postgres: dump: %w", err)
	}
	var lines [][]byte
	add := func(line []byte) { lines = append(lines, line) }
	err := s.view(ctx, func(db pgx.Tx) error {
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
		return fmt.Errorf("postgres: dump: %w", err)
	}
	slices.SortFunc(lines, slices.Compare)
	for _, l := range lines {
		if _, err := w.Write(l); err != nil {
			return err
		}
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
	return each(ctx, db, "SELECT id, coalesce(role, 'unspecified'), created_at, erased FROM users WHERE created_at IS NOT NULL OR erased > 0", nil, func(row pgx.Rows) error {
		var a persistence.AccountRow
		var role string
		var created *time.Time
		err := row.Scan(&a.ID, &role, &created, &a.Erased)
		if err != nil {
			return err
		}
		if created != nil {
			a.CreatedMs = created.UnixMilli()
		}
		a.Role, err = parseRole(role)
		add(persistence.AppendAccount(nil, &a))
		return err
	})
}

func dumpRestaurants(ctx context.Context, db querier, add func([]byte)) error {
	return each(ctx, db, `SELECT id, version, owner_id, name, address, city, country, cuisine_type, description, phone, email, time_zone, latitude,
 longitude, grid_minutes, opening_hours, rating_sum, total_reviews FROM restaurants`, nil, func(row pgx.Rows) error {
		var r enginepb.Restaurant
		var v engine.Version
		var ratings engine.Ratings
		var hours string
		err := row.Scan(&r.Id, &v, &r.Owner, &r.Name, &r.Address, &r.City, &r.Country, &r.CuisineType, &r.Description, &r.Phone, &r.Email, &r.TimeZone,
			&r.Latitude, &r.Longitude, &r.GridMin, &hours, &ratings.Sum, &ratings.Count)
		if err != nil {
			return err
		}
		var shifts [][4]int32
		if err := json.Unmarshal([]byte(hours), &shifts); err != nil {
			return err
		}
		for _, o := range shifts {
			r.OpeningHours = append(r.OpeningHours, &enginepb.OpeningHours{Days: uint32(o[0]), OpenMin: o[1], CloseMin: o[2], LastSeatingMin: o[3]})
		}
		add(persistence.AppendRestaurant(nil, &r, v))
		if ratings.Count > 0 {
			add(persistence.AppendRatings(nil, engine.RestaurantID(r.Id), ratings))
		}
		return nil
	})
}

func dumpTables(ctx context.Context, db querier, add func([]byte)) error {
	return each(ctx, db, "SELECT restaurant_id, id, version, number, capacity, min_capacity, location, in_service FROM tables WHERE NOT removed", nil, func(row pgx.Rows) error {
		var r engine.RestaurantID
		var t enginepb.Table
		err := row.Scan(&r, &t.Id, &t.Version, &t.TableNumber, &t.Capacity, &t.MinCapacity, &t.Location, &t.InService)
		add(persistence.AppendTable(nil, r, &t))
		return err
	})
}

func dumpStaff(ctx context.Context, db querier, add func([]byte)) error {
	return each(ctx, db, "SELECT restaurant_id, user_id, role, since, version FROM staff", nil, func(row pgx.Rows) error {
		var r engine.RestaurantID
		var m enginepb.Member
		var role string
		var since time.Time
		err := row.Scan(&r, &m.Account, &role, &since, &m.Version)
		if err != nil {
			return err
		}
		m.SinceMs = since.UnixMilli()
		m.Role, err = parseRole(role)
		add(persistence.AppendMember(nil, r, &m))
		return err
	})
}

func dumpReservations(ctx context.Context, db querier, add func([]byte)) error {
	rows, err := reservations(ctx, db, selectReservation, nil)
	for i := range rows {
		add(persistence.AppendReservation(nil, &rows[i]))
	}
	return err
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
