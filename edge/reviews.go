package edge

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

const maxComment = 2_000 // runes of a review; four bytes each fit into engine.MaxReviewComment

type reviewRequest struct {
	Rating  *int   `json:"rating"`
	Comment string `json:"comment"`
}

type reviewJSON struct {
	ID            string `json:"id"`
	RestaurantID  string `json:"restaurant_id"`
	ReservationID string `json:"reservation_id,omitempty"` // only to the guest who wrote it
	Rating        int    `json:"rating"`
	Comment       string `json:"comment"`
	Created       string `json:"created_at"`
}

type reviewsJSON struct {
	Items []reviewJSON `json:"items"`
	pageJSON
}

// pageJSON ends a list from the store.
type pageJSON struct {
	Next *string `json:"next_cursor"` // null: the last page
	AsOf string  `json:"as_of"`       // how fresh the store is
}

// postReview takes the guest's word on a completed reservation, once.
func (s *Server) postReview(x *exchange) {
	restaurant, ok := innerID(x.param, "rsv_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	reservation := engine.ReservationID(strings.Clone(x.param))
	var w reviewRequest
	t := decode(x.body(), &w)
	if t == nil && (w.Rating == nil || *w.Rating < engine.MinRating || *w.Rating > engine.MaxRating) {
		t = wrong("rating", "1 to 5")
	}
	if t == nil {
		t = checkText("comment", w.Comment, maxComment, true)
	}
	cmd := x.command(t, string(restaurant), string(reservation), &w, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.AddReview{ID: engine.MakeReviewID(restaurant, s.mint.uint64()), Reservation: reservation, Rating: *w.Rating, Comment: w.Comment}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		at := time.UnixMilli(int64(out.Reservation.Updated)).UTC() // nothing changes a reservation that is over and reviewed
		x.send(201, reviewJSON{
			ID: string(out.Review), RestaurantID: string(restaurant), ReservationID: string(reservation),
			Rating: *w.Rating, Comment: w.Comment, Created: at.Format(time.RFC3339),
		})
	}
}

// getReviews lists what guests wrote, newest first, from the store, without their names.
func (s *Server) getReviews(x *exchange) {
	id, ok := x.pathRestaurant()
	if !ok {
		return
	}
	f, scope, t := x.reviewFilter()
	if t != nil {
		x.trouble(t)
		return
	}
	if x.restaurant(id) == nil {
		return
	}
	ctx, cancel := x.listing()
	if ctx == nil {
		return
	}
	defer cancel()
	page, err := s.cfg.Lists.ReviewsOf(ctx, id, f)
	if err != nil {
		x.storeFault(err)
		return
	}
	out := reviewsJSON{Items: []reviewJSON{}, pageJSON: x.page(page.Next, scope, page.AsOf)}
	for i := range page.Rows {
		out.Items = append(out.Items, reviewOfRow(&page.Rows[i]))
	}
	x.send(200, out)
}

func (x *exchange) reviewFilter() (f persistence.ReviewFilter, scope string, t *trouble) {
	rating := string(x.ctx.QueryArgs().Peek("rating"))
	if rating != "" {
		n, err := strconv.ParseInt(rating, 10, 32)
		if err != nil || n < engine.MinRating || n > engine.MaxRating {
			return f, "", wrong("rating", "1 to 5")
		}
		f.Rating = int32(n)
	}
	scope = x.param + "," + rating
	f.Limit, f.After, t = x.pageQuery(scope, "rating")
	return f, scope, t
}

func reviewOfRow(r *persistence.ReviewRow) reviewJSON {
	return reviewJSON{
		ID: string(r.ID), RestaurantID: string(r.Restaurant), Rating: int(r.Rating), Comment: r.Comment, Created: r.At.Format(time.RFC3339),
	}
}

// averageOf is the mean rating to two decimals; nil when nobody has reviewed.
func averageOf(r engine.Ratings) *float64 {
	if r.Count == 0 {
		return nil
	}
	mean := math.Round(r.Average()*100) / 100
	return &mean
}

// pageQuery reads limit and cursor of a list; other parameters than those and also are refused.
func (x *exchange) pageQuery(scope string, also ...string) (limit int, after string, t *trouble) {
	if t = x.query(append(also, "limit", "cursor")...); t != nil {
		return
	}
	if limit, t = x.limit(); t != nil {
		return
	}
	after, t = x.readCursor(string(x.ctx.QueryArgs().Peek("cursor")), scope)
	return
}

func (x *exchange) page(next, scope string, asOf time.Time) pageJSON {
	p := pageJSON{AsOf: asOf.UTC().Format(time.RFC3339)}
	if next != "" {
		cursor := x.signCursor(next, scope)
		p.Next = &cursor
	}
	return p
}

// listing is the context of a question to the store; nil when there is none and it has answered.
func (x *exchange) listing() (context.Context, context.CancelFunc) {
	if x.s.cfg.Lists == nil {
		x.fail(kindStoreAway)
		return nil, nil
	}
	return context.WithTimeout(context.Background(), listTimeout)
}

func (x *exchange) storeFault(err error) {
	x.s.log.Warn("the store did not answer", "endpoint", x.endpoint.pattern, "error", err)
	x.fail(kindStoreAway)
}
