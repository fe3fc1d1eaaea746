package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// States implements persistence.Rebuildable.
func (s *Store) States(ctx context.Context, f persistence.StatesFilter) (states []persistence.AggregateState, next engine.AggregateID, err error) {
	limit := min(max(f.Limit, 1), persistence.MaxStates)
	err = s.viewPrimary(ctx, func(db pgx.Tx) error {
		p, err := statePageOf(ctx, db, &f, limit)
		if err != nil {
			return err
		}
		states, next = p.states, p.next
		return p.read(ctx, db, &f)
	})
	if err != nil {
		return nil, "", fmt.Errorf("postgres: read the states: %w", err)
	}
	return states, next, nil
}

// statePage is the aggregates of a page while their rows are read.
type statePage struct {
	states []persistence.AggregateState
	next   engine.AggregateID
	at     map[string]*persistence.AggregateState
	ids    []string
}

// statePageOf chooses as many aggregates as a page may have, by the number of their reservations.
func statePageOf(ctx context.Context, db querier, f *persistence.StatesFilter, limit int) (p *statePage, err error) {
	p = &statePage{at: map[string]*persistence.AggregateState{}}
	rows := 0
	err = each(ctx, db, `SELECT aggregate, version, (SELECT count(*) FROM reservations WHERE restaurant_id = aggregate AND service_date >= date '1970-01-01' + $4::int)
 FROM heads WHERE aggregate > $1 AND aggregate < $2 AND version > 0 ORDER BY aggregate LIMIT $3`,
		[]any{f.From(), f.To(), limit + 1, f.FromDay}, func(row pgx.Rows) error {
			var a persistence.AggregateState
			var n int
			if err := row.Scan(&a.ID, &a.Version, &n); err != nil {
				return err
			}
			if p.next != "" {
				return nil
			}
			if len(p.states) == limit || len(p.states) > 0 && rows+n > persistence.MaxStateRows {
				p.next = p.states[len(p.states)-1].ID
				return nil
			}
			rows += n
			p.states, p.ids = append(p.states, a), append(p.ids, string(a.ID))
			return nil
		})
	for i := range p.states {
		p.at[p.ids[i]] = &p.states[i]
	}
	return p, err
}

func (p *statePage) read(ctx context.Context, db querier, f *persistence.StatesFilter) error {
	err := readUsers(ctx, db, " AND id = ANY($1)", []any{p.ids}, func(a *persistence.AccountRow) { p.at[string(a.ID)].PutAccount(a) })
	if err != nil {
		return err
	}
	var unreadable error
	err = readRestaurants(ctx, db, " WHERE id = ANY($1)", []any{p.ids}, func(r *enginepb.Restaurant, v engine.Version, ratings engine.Ratings, rules []byte) {
		a := p.at[r.Id]
		a.Restaurant, a.RestaurantVersion, a.Ratings = r, v, ratings
		unreadable = errors.Join(unreadable, a.PutRules(rules))
	})
	if err := errors.Join(err, unreadable); err != nil {
		return err
	}
	err = readTables(ctx, db, " AND restaurant_id = ANY($1) ORDER BY id", []any{p.ids}, func(r engine.RestaurantID, t *enginepb.Table) {
		a := p.at[string(r)]
		a.Tables = append(a.Tables, t)
	})
	if err != nil {
		return err
	}
	err = readStaff(ctx, db, " WHERE restaurant_id = ANY($1) ORDER BY user_id", []any{p.ids}, func(r engine.RestaurantID, m *enginepb.Member) {
		a := p.at[string(r)]
		a.Staff = append(a.Staff, m)
	})
	if err != nil {
		return err
	}
	rows, err := reservations(ctx, db, selectReservation+" WHERE v.restaurant_id = ANY($1) AND v.service_date >= date '1970-01-01' + $2::int ORDER BY v.starts_at, v.id",
		[]any{p.ids, f.FromDay})
	if err != nil {
		return err
	}
	for i := range rows {
		a := p.at[string(rows[i].Restaurant)]
		a.Reservations = append(a.Reservations, rows[i].Proto())
	}
	if f.FromDay != 0 {
		return nil
	}
	return p.readReviews(ctx, db)
}

func (p *statePage) readReviews(ctx context.Context, db querier) error {
	return each(ctx, db, `SELECT restaurant_id, id, reservation_id, coalesce(user_id, ''), version, rating, coalesce(comment, ''), created_at FROM reviews
 WHERE restaurant_id = ANY($1) ORDER BY restaurant_id, version`, []any{p.ids}, func(row pgx.Rows) error {
		var restaurant string
		var at time.Time
		v := persistence.StoredReview{ReviewAdded: &enginepb.ReviewAdded{}}
		err := row.Scan(&restaurant, &v.Id, &v.Reservation, &v.Guest, &v.Order, &v.Rating, &v.Comment, &at)
		if err != nil {
			return err
		}
		v.AtMs = at.UnixMilli()
		a := p.at[restaurant]
		a.Reviews = append(a.Reviews, v)
		return nil
	})
}

func readUsers(ctx context.Context, db querier, where string, args []any, fn func(*persistence.AccountRow)) error {
	return each(ctx, db, "SELECT id, coalesce(role, 'unspecified'), created_at, erased FROM users WHERE (created_at IS NOT NULL OR erased > 0)"+where, args, func(row pgx.Rows) error {
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
		fn(&a)
		return err
	})
}

func readRestaurants(ctx context.Context, db querier, where string, args []any, fn func(*enginepb.Restaurant, engine.Version, engine.Ratings, []byte)) error {
	return each(ctx, db, `SELECT id, version, owner_id, name, address, city, country, cuisine_type, description, phone, email, time_zone, latitude,
 longitude, grid_minutes, opening_hours, rating_sum, total_reviews, rules FROM restaurants`+where, args, func(row pgx.Rows) error {
		r := &enginepb.Restaurant{}
		var v engine.Version
		var ratings engine.Ratings
		var rules []byte
		var hours string
		err := row.Scan(&r.Id, &v, &r.Owner, &r.Name, &r.Address, &r.City, &r.Country, &r.CuisineType, &r.Description, &r.Phone, &r.Email, &r.TimeZone,
			&r.Latitude, &r.Longitude, &r.GridMin, &hours, &ratings.Sum, &ratings.Count, &rules)
		if err != nil {
			return err
		}
		if r.OpeningHours, err = persistence.ParseHours(hours); err != nil {
			return err
		}
		fn(r, v, ratings, rules)
		return nil
	})
}

func readTables(ctx context.Context, db querier, where string, args []any, fn func(engine.RestaurantID, *enginepb.Table)) error {
	return each(ctx, db, "SELECT restaurant_id, id, version, number, capacity, min_capacity, location, in_service, channel, blocks FROM tables WHERE NOT removed"+where, args, func(row pgx.Rows) error {
		var r engine.RestaurantID
		t := &enginepb.Table{}
		var channel, blocks string
		err := row.Scan(&r, &t.Id, &t.Version, &t.TableNumber, &t.Capacity, &t.MinCapacity, &t.Location, &t.InService, &channel, &blocks)
		if err != nil {
			return err
		}
		t.Channel, _ = engine.ParseChannel(channel)
		t.Blocks, err = persistence.ParseBlocks(blocks)
		fn(r, t)
		return err
	})
}

func readStaff(ctx context.Context, db querier, where string, args []any, fn func(engine.RestaurantID, *enginepb.Member)) error {
	return each(ctx, db, "SELECT restaurant_id, user_id, role, since, version FROM staff"+where, args, func(row pgx.Rows) error {
		var r engine.RestaurantID
		m := &enginepb.Member{}
		var role string
		var since time.Time
		err := row.Scan(&r, &m.Account, &role, &since, &m.Version)
		if err != nil {
			return err
		}
		m.SinceMs = since.UnixMilli()
		m.Role, err = parseRole(role)
		fn(r, m)
		return err
	})
}
