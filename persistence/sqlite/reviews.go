package sqlite

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

func (t *tx) member(h *head, m *enginepb.Member) error {
	account, err := t.head(engine.AggregateID(m.GetAccount()))
	if err != nil {
		return err
	}
	return t.exec(t.stmts.member, h.n, account.n, int64(m.GetRole()), m.GetSinceMs(), int64(m.GetVersion()))
}

func (t *tx) dismiss(h *head, account string) error {
	a, err := t.head(engine.AggregateID(account))
	if err != nil {
		return err
	}
	return t.must("dismiss the member", t.stmts.dropMember, h.n, a.n)
}

// reviewed adds a review; the reservation's version counts it.
func (t *tx) reviewed(h *head, r engine.RestaurantID, e *persistence.StoredReview) error {
	own := ownKey(r, engine.ReservationID(e.GetReservation()))
	if row := t.pending(r, e.GetReservation()); row != nil {
		row.version++
	} else if err := t.must("count the review", t.stmts.touch, h.n, own); err != nil {
		return err
	}
	if err := t.must("rate the restaurant", t.stmts.rate, int64(e.GetRating()), h.n); err != nil {
		return err
	}
	return t.putReview(h, r, e)
}

func (t *tx) putReview(h *head, r engine.RestaurantID, e *persistence.StoredReview) error {
	own := ownKey(r, engine.ReservationID(e.GetReservation()))
	return t.exec(t.stmts.review, h.n, own, reviewKey(r, engine.ReviewID(e.GetId())), int64(e.GetRating()), orNull(e.GetComment()), e.AtMs, int64(e.Order))
}

const selectReview = `SELECT v.n, rn.id, v.own, v.id, v.rating, coalesce(v.comment, ''), v.at_ms FROM reviews v JOIN names rn ON rn.n = v.restaurant`

// ReviewsOf implements persistence.Store.
func (s *Store) ReviewsOf(ctx context.Context, r engine.RestaurantID, f persistence.ReviewFilter) (persistence.ReviewPage, error) {
	var page persistence.ReviewPage
	before, err := parseRow(f.After, 1<<62)
	if err != nil {
		return page, err
	}
	limit := min(max(f.Limit, 1), persistence.MaxPage)
	err = s.view(ctx, func(q querier) (err error) {
		if page.AsOf, err = asOf(ctx, q); err != nil {
			return err
		}
		page.Rows, page.Next, err = reviews(ctx, q, limit, selectReview+` WHERE v.restaurant = (SELECT n FROM names WHERE id = ?) AND v.n < ?
 AND (? = 0 OR v.rating = ?) ORDER BY v.n DESC LIMIT ?`, string(r), before, f.Rating, f.Rating, limit+1)
		return err
	})
	if err != nil {
		return persistence.ReviewPage{}, fmt.Errorf("sqlite: list reviews: %w", err)
	}
	return page, nil
}

// reviews reads at most limit rows; next is the place of the last one when there are more.
func reviews(ctx context.Context, q querier, limit int, query string, args ...any) (out []persistence.ReviewRow, next string, err error) {
	var last int64
	err = eachReview(ctx, q, query, args, func(n int64, v persistence.ReviewRow) {
		if len(out) == limit {
			next = formatRow(last)
			return
		}
		out, last = append(out, v), n
	})
	return out, next, err
}

// eachReview calls fn with each row of a query of selectReview, and its number.
func eachReview(ctx context.Context, q querier, query string, args []any, fn func(int64, persistence.ReviewRow)) error {
	var n, atMs int64
	var own, key any
	var v persistence.ReviewRow
	return each(ctx, q, query, []any{&n, &v.Restaurant, &own, &key, &v.Rating, &v.Comment, &atMs}, func() (err error) {
		v.ID, err = reviewID(v.Restaurant, key, own)
		v.At = time.UnixMilli(atMs).UTC()
		fn(n, v)
		return err
	}, args...)
}

// PlacesOf implements persistence.Store.
func (s *Store) PlacesOf(ctx context.Context, a engine.AccountID, after string, limit int) (persistence.PlacePage, error) {
	var page persistence.PlacePage
	from, err := parseRow(after, -1)
	if err != nil {
		return page, err
	}
	limit = min(max(limit, 1), persistence.MaxPage)
	err = s.view(ctx, func(q querier) (err error) {
		if page.AsOf, err = asOf(ctx, q); err != nil {
			return err
		}
		page.Rows, page.Next, err = places(ctx, q, limit, a, from)
		return err
	})
	if err != nil {
		return persistence.PlacePage{}, fmt.Errorf("sqlite: list restaurants of an account: %w", err)
	}
	return page, nil
}

func places(ctx context.Context, q querier, limit int, a engine.AccountID, from int64) (out []persistence.PlaceRow, next string, err error) {
	rows, err := q.QueryContext(ctx, `WITH me AS (SELECT n FROM names WHERE id = ?)
 SELECT p.n, i.id, r.name, r.city, min(p.role) FROM (
  SELECT n, ? AS role FROM restaurants WHERE owner = (SELECT n FROM me)
  UNION ALL SELECT restaurant, role FROM staff WHERE account = (SELECT n FROM me)
 ) p JOIN restaurants r ON r.n = p.n JOIN names i ON i.n = p.n WHERE p.n > ? GROUP BY p.n ORDER BY p.n LIMIT ?`,
		string(a), int64(engine.RoleOwner), from, limit+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var n int64
	for rows.Next() {
		if len(out) == limit {
			return out, formatRow(n), nil
		}
		var p persistence.PlaceRow
		if err := rows.Scan(&n, &p.Restaurant, &p.Name, &p.City, &p.Role); err != nil {
			return nil, "", err
		}
		out = append(out, p)
	}
	return out, "", rows.Err()
}

func asOf(ctx context.Context, q querier) (time.Time, error) {
	_, ms, err := readCursor(ctx, q)
	return time.UnixMilli(ms).UTC(), err
}

// formatRow is the place behind row n in a list that is ordered by row.
func formatRow(n int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendVarint(nil, n))
}

// parseRow reads what formatRow wrote; missing when s is empty.
func parseRow(s string, missing int64) (int64, error) {
	if s == "" {
		return missing, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	n, used := binary.Varint(b)
	if err != nil || used <= 0 || used != len(b) {
		return 0, fmt.Errorf("sqlite: %w", persistence.ErrBadPlace)
	}
	return n, nil
}

func dumpReviews(ctx context.Context, q querier, add func([]byte)) error {
	return eachReview(ctx, q, selectReview, nil, func(_ int64, v persistence.ReviewRow) { add(persistence.AppendReview(nil, &v)) })
}
