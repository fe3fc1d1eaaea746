package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/persistence"
)

// after is where a list goes on: behind the row of an id, in lists that are ordered by it last.
type after struct {
	At      time.Time      `json:"a,omitzero"`
	Version engine.Version `json:"v,omitzero"`
	ID      string         `json:"i"`
}

func (a after) String() string {
	b, _ := json.Marshal(a)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseAfter(s string) (a after, err error) {
	if s == "" {
		return a, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil || a.ID == "" {
		return after{}, fmt.Errorf("postgres: %w", persistence.ErrBadPlace)
	}
	return a, nil
}

// arguments collects the arguments of a statement.
type arguments []any

// add is the placeholder of one more argument.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

const selectReservation = `SELECT v.id, v.restaurant_id, r.name, r.time_zone, coalesce(v.user_id, ''),
 (SELECT array_agg(t.table_id ORDER BY t.position) FROM reservation_tables t WHERE t.reservation_id = v.id),
 v.service_date - date '1970-01-01', v.local_minutes, v.starts_at, v.ends_at, v.guests_count, coalesce(v.special_requests, ''), v.status, v.version, v.buffer_minutes, v.hold_until
 FROM reservations v JOIN restaurants r ON r.id = v.restaurant_id`

// ReservationsOf implements persistence.Store.
func (s *Store) ReservationsOf(ctx context.Context, guest engine.AccountID, f persistence.ListFilter) (page persistence.Page, err error) {
	from, err := parseAfter(f.After)
	if err != nil {
		return page, err
	}
	limit := min(max(f.Limit, 1), persistence.MaxPage)
	var args arguments
	query := selectReservation + " WHERE v.user_id = " + args.add(string(guest))
	if f.Status != 0 {
		query += " AND v.status = " + args.add(statusText(f.Status))
	}
	if f.From != 0 {
		query += " AND v.service_date >= date '1970-01-01' + " + args.add(f.From) + "::int"
	}
	if f.To != 0 {
		query += " AND v.service_date <= date '1970-01-01' + " + args.add(f.To) + "::int"
	}
	if from.ID != "" {
		query += " AND (v.starts_at, v.id) < (" + args.add(from.At) + ", " + args.add(from.ID) + ")"
	}
	query += " ORDER BY v.starts_at DESC, v.id DESC LIMIT " + args.add(limit+1)
	err = s.list(ctx, func(ctx context.Context, db pgx.Tx, asOf time.Time) (err error) {
		page = persistence.Page{AsOf: asOf}
		page.Rows, err = reservations(ctx, db, query, args)
		return err
	})
	if err != nil {
		return persistence.Page{}, fmt.Errorf("postgres: list reservations: %w", err)
	}
	if len(page.Rows) > limit {
		page.Rows = page.Rows[:limit]
		last := &page.Rows[limit-1]
		page.Next = after{At: last.StartsAt, ID: string(last.ID)}.String()
	}
	return page, nil
}

func reservations(ctx context.Context, db querier, query string, args []any) (out []persistence.ReservationRow, err error) {
	err = eachReservation(ctx, db, query, args, func(r *persistence.ReservationRow) { out = append(out, *r) })
	return out, err
}

// eachReservation calls fn with each row of a query of selectReservation.
func eachReservation(ctx context.Context, db querier, query string, args []any, fn func(*persistence.ReservationRow)) error {
	return each(ctx, db, query, args, func(row pgx.Rows) error {
		var r persistence.ReservationRow
		var status string
		var until *time.Time
		err := row.Scan(&r.ID, &r.Restaurant, &r.RestaurantName, &r.TimeZone, &r.Guest, &r.Tables, &r.ServiceDay, &r.LocalMin, &r.StartsAt,
			&r.EndsAt, &r.GuestsCount, &r.SpecialRequests, &status, &r.Version, &r.BufferMin, &until)
		if err != nil {
			return err
		}
		r.StartsAt, r.EndsAt = r.StartsAt.UTC(), r.EndsAt.UTC()
		if until != nil {
			r.HoldUntilMs = until.UnixMilli()
		}
		r.Status, err = parseStatus(status)
		fn(&r)
		return err
	})
}

const selectReview = "SELECT id, restaurant_id, version, rating, coalesce(comment, ''), created_at FROM reviews"

// ReviewsOf implements persistence.Store.
func (s *Store) ReviewsOf(ctx context.Context, r engine.RestaurantID, f persistence.ReviewFilter) (page persistence.ReviewPage, err error) {
	from, err := parseAfter(f.After)
	if err != nil {
		return page, err
	}
	limit := min(max(f.Limit, 1), persistence.MaxPage)
	var args arguments
	query := selectReview + " WHERE restaurant_id = " + args.add(string(r))
	if f.Rating != 0 {
		query += " AND rating = " + args.add(f.Rating)
	}
	if from.ID != "" {
		query += " AND version < " + args.add(int64(from.Version))
	}
	query += " ORDER BY version DESC LIMIT " + args.add(limit+1)
	var last after
	err = s.list(ctx, func(ctx context.Context, db pgx.Tx, asOf time.Time) error {
		page = persistence.ReviewPage{AsOf: asOf}
		return reviews(ctx, db, query, args, func(v persistence.ReviewRow, version engine.Version) {
			if len(page.Rows) == limit {
				page.Next = last.String()
				return
			}
			page.Rows, last = append(page.Rows, v), after{Version: version, ID: string(v.ID)}
		})
	})
	if err != nil {
		return persistence.ReviewPage{}, fmt.Errorf("postgres: list reviews: %w", err)
	}
	return page, nil
}

func reviews(ctx context.Context, db querier, query string, args []any, add func(persistence.ReviewRow, engine.Version)) error {
	return each(ctx, db, query, args, func(row pgx.Rows) error {
		var v persistence.ReviewRow
		var version engine.Version
		err := row.Scan(&v.ID, &v.Restaurant, &version, &v.Rating, &v.Comment, &v.At)
		v.At = v.At.UTC()
		add(v, version)
		return err
	})
}

// PlacesOf implements persistence.Store.
func (s *Store) PlacesOf(ctx context.Context, a engine.AccountID, place string, limit int) (page persistence.PlacePage, err error) {
	from, err := parseAfter(place)
	if err != nil {
		return page, err
	}
	limit = min(max(limit, 1), persistence.MaxPage)
	err = s.list(ctx, func(ctx context.Context, db pgx.Tx, asOf time.Time) error {
		page = persistence.PlacePage{AsOf: asOf}
		return each(ctx, db, `SELECT r.id, r.name, r.city, CASE WHEN r.owner_id = $1 THEN 'owner' ELSE s.role END FROM (
  SELECT id FROM restaurants WHERE owner_id = $1 UNION SELECT restaurant_id FROM staff WHERE user_id = $1
 ) p JOIN restaurants r USING (id) LEFT JOIN staff s ON s.restaurant_id = r.id AND s.user_id = $1 WHERE r.id > $2 ORDER BY r.id LIMIT $3`,
			[]any{string(a), from.ID, limit + 1}, func(row pgx.Rows) error {
				var p persistence.PlaceRow
				var role string
				if err := row.Scan(&p.Restaurant, &p.Name, &p.City, &role); err != nil {
					return err
				}
				p.Role, err = parseRole(role)
				page.Rows = append(page.Rows, p)
				return err
			})
	})
	if err != nil {
		return persistence.PlacePage{}, fmt.Errorf("postgres: list restaurants of an account: %w", err)
	}
	if len(page.Rows) > limit {
		page.Rows = page.Rows[:limit]
		page.Next = after{ID: string(page.Rows[limit-1].Restaurant)}.String()
	}
	return page, nil
}
