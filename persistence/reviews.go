package persistence

import (
	"strconv"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// ReviewRow is a review as the store knows it.
type ReviewRow struct {
	ID         engine.ReviewID
	Restaurant engine.RestaurantID
	Rating     int32 // 1–5
	Comment    string
	At         time.Time
}

// ReviewFilter bounds a list of reviews.
type ReviewFilter struct {
	Rating int32  // 1–5; 0 = all
	After  string // opaque place to go on from; empty = first page
	Limit  int    // 1–100
}

// ReviewPage is a part of a list of reviews.
type ReviewPage struct {
	Rows []ReviewRow
	Next string // empty = last page
	AsOf time.Time
}

// PlaceRow is a restaurant where an account owns or works.
type PlaceRow struct {
	Restaurant engine.RestaurantID
	Name, City string
	Role       engine.Role // owner, manager or host
}

// PlacePage is a part of a list of restaurants.
type PlacePage struct {
	Rows []PlaceRow
	Next string // empty = last page
	AsOf time.Time
}

// AppendMember appends the line of one of a restaurant's staff.
func AppendMember(dst []byte, r engine.RestaurantID, m *enginepb.Member) []byte {
	return line(dst, "member", string(r), m.GetAccount(), m.GetRole().String(), strconv.FormatInt(m.GetSinceMs(), 10), unsigned(m.GetVersion()))
}

// AppendRatings appends the line of a restaurant's ratings.
func AppendRatings(dst []byte, r engine.RestaurantID, ratings engine.Ratings) []byte {
	return line(dst, "ratings", string(r), strconv.FormatInt(ratings.Sum, 10), strconv.FormatInt(ratings.Count, 10))
}

// AppendReview appends the line of a review. Like the audit it is nowhere but in the store once the journal is purged.
func AppendReview(dst []byte, r *ReviewRow) []byte {
	return line(dst, "review", string(r.ID), string(r.Restaurant), integer(r.Rating), r.Comment, strconv.FormatInt(r.At.UnixMilli(), 10))
}
