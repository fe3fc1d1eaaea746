package sqlite

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

const daySeconds = 86_400

const selectReservation = `SELECT v.n, rn.id, r.name, r.time_zone, v.own, coalesce(g.id, ''), v.tables, v.service_day, v.local_min,
 v.starts_at, v.ends_at, v.guests_count, coalesce(v.special_requests, ''), v.status, v.version, v.buffer_min, coalesce(v.hold_until_ms, 0)
 FROM reservations v JOIN names rn ON rn.n = v.restaurant JOIN restaurants r ON r.n = v.restaurant
 LEFT JOIN names g ON g.n = v.guest`

// ReservationsOf implements persistence.Store.
func (s *Store) ReservationsOf(ctx context.Context, guest engine.AccountID, f persistence.ListFilter) (persistence.Page, error) {
	// A service day begins at most 14 h before and ends at most 12 h + 24 h + 24 h after midnight UTC of its date.
	return s.page(ctx, f, selectReservation+` WHERE v.guest = (SELECT n FROM names WHERE id = ?)
 AND v.starts_at >= ? AND v.starts_at < ?
 AND (? = 0 OR v.status = ?) AND (? = 0 OR v.service_day >= ?) AND (? = 0 OR v.service_day <= ?)
 AND (? = 0 OR (v.starts_at, v.n) < (?, ?))
 ORDER BY v.starts_at DESC, v.n DESC LIMIT ?`, func(p place) []any {
		from, to := int64(-1<<62), int64(1<<62)
		if f.From != 0 {
			from = (int64(f.From) - 1) * daySeconds
		}
		if f.To != 0 {
			to = (int64(f.To) + 4) * daySeconds
		}
		return []any{string(guest), from, min(to, p.before()), int64(f.Status), int64(f.Status), f.From, f.From, f.To, f.To,
			p.set, p.startsAt, p.n}
	})
}

// place is where a list goes on.
type place struct {
	set         bool
	startsAt, n int64
}

// before is a bound for an index range: starts_at of the place, included.
func (p place) before() int64 {
	if !p.set {
		return 1 << 62
	}
	return p.startsAt + 1
}

func (p place) String() string {
	b := binary.AppendVarint(nil, p.startsAt)
	return base64.RawURLEncoding.EncodeToString(binary.AppendVarint(b, p.n))
}

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return place{}, fmt.Errorf("sqlite: %w", persistence.ErrBadPlace)
	}
	startsAt, n := binary.Varint(b)
	if n <= 0 {
		return place{}, fmt.Errorf("sqlite: %w", persistence.ErrBadPlace)
	}
	row, m := binary.Varint(b[n:])
	if m <= 0 || n+m != len(b) {
		return place{}, fmt.Errorf("sqlite: %w", persistence.ErrBadPlace)
	}
	return place{set: true, startsAt: startsAt, n: row}, nil
}

func (s *Store) page(ctx context.Context, f persistence.ListFilter, query string, args func(place) []any) (persistence.Page, error) {
	from, err := parsePlace(f.After)
	if err != nil {
		return persistence.Page{}, err
	}
	limit := min(max(f.Limit, 1), persistence.MaxPage)
	var page persistence.Page
	err = s.view(ctx, func(q querier) error {
		_, asOf, err := readCursor(ctx, q)
		if err != nil {
			return err
		}
		page.AsOf = time.UnixMilli(asOf).UTC()
		var last place
		page.Rows, last, err = reservations(ctx, q, query, append(args(from), limit+1), limit)
		if last.set {
			page.Next = last.String()
		}
		return err
	})
	if err != nil {
		return persistence.Page{}, fmt.Errorf("sqlite: list reservations: %w", err)
	}
	return page, nil
}

// reservations reads at most limit rows (0 = all); last is the place of the last one when there are more.
func reservations(ctx context.Context, q querier, query string, args []any, limit int) (out []persistence.ReservationRow, last place, err error) {
	var at place
	err = eachReservation(ctx, q, query, args, func(p place, r *persistence.ReservationRow) {
		if limit > 0 && len(out) == limit {
			last = at
			return
		}
		at, out = p, append(out, *r)
	})
	return out, last, err
}

// eachReservation calls fn with each row of a query of selectReservation, and its place in lists.
func eachReservation(ctx context.Context, q querier, query string, args []any, fn func(place, *persistence.ReservationRow)) error {
	var n, starts, ends int64
	var own, tables any
	var r persistence.ReservationRow
	into := []any{&n, &r.Restaurant, &r.RestaurantName, &r.TimeZone, &own, &r.Guest, &tables, &r.ServiceDay, &r.LocalMin,
		&starts, &ends, &r.GuestsCount, &r.SpecialRequests, &r.Status, &r.Version, &r.BufferMin, &r.HoldUntilMs}
	return each(ctx, q, query, into, func() (err error) {
		if r.ID, err = reservationID(r.Restaurant, own); err != nil {
			return err
		}
		if r.Tables, err = tableIDs(r.Restaurant, tables); err != nil {
			return err
		}
		r.StartsAt, r.EndsAt = time.Unix(starts, 0).UTC(), time.Unix(ends, 0).UTC()
		fn(place{set: true, startsAt: starts, n: n}, &r)
		return nil
	}, args...)
}
