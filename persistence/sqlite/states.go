package sqlite

import (
	"context"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// States implements persistence.Rebuildable.
func (s *Store) States(ctx context.Context, f persistence.StatesFilter) (states []persistence.AggregateState, next engine.AggregateID, err error) {
	limit := min(max(f.Limit, 1), persistence.MaxStates)
	err = s.view(ctx, func(q querier) error {
		found, ns, err := stateHeads(ctx, q, &f, limit+1)
		if err != nil {
			return err
		}
		rows := 0
		for i := range found {
			if i == limit || rows >= persistence.MaxStateRows {
				next = found[i-1].ID
				return nil
			}
			if err := readState(ctx, q, &found[i], ns[i], f.FromDay); err != nil {
				return fmt.Errorf("%s: %w", found[i].ID, err)
			}
			states = append(states, found[i])
			rows += len(found[i].Reservations) + len(found[i].Reviews)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("sqlite: read the states: %w", err)
	}
	return states, next, nil
}

func stateHeads(ctx context.Context, q querier, f *persistence.StatesFilter, limit int) (found []persistence.AggregateState, ns []int64, err error) {
	rows, err := q.QueryContext(ctx, "SELECT n, id, version FROM names JOIN heads USING (n) WHERE version > 0 AND id > ? AND id < ? ORDER BY id LIMIT ?",
		f.From(), f.To(), limit)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a persistence.AggregateState
		var n int64
		if err := rows.Scan(&n, &a.ID, &a.Version); err != nil {
			return nil, nil, err
		}
		found, ns = append(found, a), append(ns, n)
	}
	return found, ns, rows.Err()
}

func readState(ctx context.Context, q querier, a *persistence.AggregateState, n int64, fromDay int32) error {
	if engine.IsAccountID(string(a.ID)) {
		return readAccounts(ctx, q, fmt.Sprintf(" WHERE n = %d", n), func(row *persistence.AccountRow) { a.PutAccount(row) })
	}
	where := func(column string) string { return fmt.Sprintf(" WHERE %s = %d", column, n) }
	var rules []byte
	err := readRestaurants(ctx, q, where("r.n"), func(r *enginepb.Restaurant, v engine.Version, ratings engine.Ratings, set []byte) {
		a.Restaurant, a.RestaurantVersion, a.Ratings, rules = r, v, ratings, set
	})
	if err == nil {
		err = a.PutRules(rules)
	}
	if err != nil {
		return err
	}
	if err := readTables(ctx, q, where("t.restaurant"), func(_ engine.RestaurantID, t *enginepb.Table) { a.Tables = append(a.Tables, t) }); err != nil {
		return err
	}
	if err := readStaff(ctx, q, where("s.restaurant"), func(_ engine.RestaurantID, m *enginepb.Member) { a.Staff = append(a.Staff, m) }); err != nil {
		return err
	}
	rows, _, err := reservations(ctx, q, selectReservation+where("v.restaurant")+" AND v.service_day >= ? ORDER BY v.n", []any{fromDay}, 0)
	if err != nil {
		return err
	}
	for i := range rows {
		a.Reservations = append(a.Reservations, rows[i].Proto())
	}
	if fromDay != 0 {
		return nil
	}
	return readReviews(ctx, q, where("v.restaurant"), a)
}

// readReviews reads the reviews of a restaurant. Who wrote one is the guest of its reservation.
func readReviews(ctx context.Context, q querier, where string, a *persistence.AggregateState) error {
	var of engine.RestaurantID
	var own, key any
	var v persistence.StoredReview
	var rating int32
	var comment, guest string
	return each(ctx, q, `SELECT rn.id, v.own, v.id, v.rating, coalesce(v.comment, ''), v.at_ms, coalesce(v.version, 0), coalesce(gn.id, '') FROM reviews v
 JOIN names rn ON rn.n = v.restaurant LEFT JOIN reservations b ON b.restaurant = v.restaurant AND b.own = v.own LEFT JOIN names gn ON gn.n = b.guest`+where+" ORDER BY v.n",
		[]any{&of, &own, &key, &rating, &comment, &v.AtMs, &v.Order, &guest}, func() error {
			id, err := reviewID(of, key, own)
			if err != nil {
				return err
			}
			reservation, err := reservationID(of, own)
			if err != nil {
				return err
			}
			if v.Order == 0 { // of before the store kept it; a restaurant's version is never less than its reviews are many
				v.Order = engine.Version(len(a.Reviews) + 1)
			}
			a.Reviews = append(a.Reviews, persistence.StoredReview{AtMs: v.AtMs, Guest: guest, Order: v.Order,
				ReviewAdded: &enginepb.ReviewAdded{Id: string(id), Reservation: string(reservation), Rating: rating, Comment: comment}})
			return nil
		})
}

func readRestaurants(ctx context.Context, q querier, where string, fn func(*enginepb.Restaurant, engine.Version, engine.Ratings, []byte)) error {
	var r *enginepb.Restaurant
	rows, err := q.QueryContext(ctx, `SELECT i.id, r.version, o.id, name, address, city, country, cuisine_type, description, phone, email, time_zone,
 latitude, longitude, grid_min, opening_hours, rating_sum, rating_count, rules FROM restaurants r JOIN names i ON i.n = r.n JOIN names o ON o.n = r.owner`+where)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r = &enginepb.Restaurant{}
		var v engine.Version
		var hours string
		var ratings engine.Ratings
		var rules []byte
		err := rows.Scan(&r.Id, &v, &r.Owner, &r.Name, &r.Address, &r.City, &r.Country, &r.CuisineType, &r.Description, &r.Phone, &r.Email,
			&r.TimeZone, &r.Latitude, &r.Longitude, &r.GridMin, &hours, &ratings.Sum, &ratings.Count, &rules)
		if err != nil {
			return err
		}
		if r.OpeningHours, err = persistence.ParseHours(hours); err != nil {
			return err
		}
		fn(r, v, ratings, rules)
	}
	return rows.Err()
}

func readTables(ctx context.Context, q querier, where string, fn func(engine.RestaurantID, *enginepb.Table)) error {
	var r engine.RestaurantID
	var id, number, location, blocks string
	var version uint64
	var capacity, least int32
	var inService bool
	var channel engine.Channel
	return each(ctx, q, `SELECT i.id, t.id, version, number, capacity, min_capacity, location, in_service, channel, blocks FROM tables t JOIN names i ON i.n = t.restaurant`+where,
		[]any{&r, &id, &version, &number, &capacity, &least, &location, &inService, &channel, &blocks}, func() error {
			list, err := persistence.ParseBlocks(blocks)
			if err != nil {
				return err
			}
			fn(r, &enginepb.Table{Id: id, Version: version, TableNumber: number, Capacity: capacity, MinCapacity: least, Location: location, InService: inService, Channel: channel, Blocks: list})
			return nil
		})
}

func readStaff(ctx context.Context, q querier, where string, fn func(engine.RestaurantID, *enginepb.Member)) error {
	var r engine.RestaurantID
	var account string
	var role enginepb.Role
	var since int64
	var version uint64
	return each(ctx, q, `SELECT i.id, a.id, role, since_ms, version FROM staff s JOIN names i ON i.n = s.restaurant JOIN names a ON a.n = s.account`+where,
		[]any{&r, &account, &role, &since, &version}, func() error {
			fn(r, &enginepb.Member{Account: account, Role: role, SinceMs: since, Version: version})
			return nil
		})
}

func readAccounts(ctx context.Context, q querier, where string, fn func(*persistence.AccountRow)) error {
	var a persistence.AccountRow
	return each(ctx, q, "SELECT id, role, created_ms, erased FROM accounts JOIN names USING (n)"+where,
		[]any{&a.ID, &a.Role, &a.CreatedMs, &a.Erased}, func() error {
			fn(&a)
			return nil
		})
}
