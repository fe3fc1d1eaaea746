package engine

import "maitred/engine/enginepb"

// addReview takes the guest's word on a completed reservation, once. The state keeps the sum and the number of ratings; what
// was written is the read model's.
func (d *decision) addReview(c *AddReview) Outcome {
	old := d.subject(c.Reservation)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case old.Guest == "" || old.Guest != d.cmd.Caller.Account:
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Reservation: old}
	case old.Reviewed:
		return Outcome{Code: CodeExists, Reservation: old}
	case old.Status != StatusCompleted:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	case !d.inside(string(c.ID), isReview):
		return invalid("id")
	case c.Rating < MinRating || c.Rating > MaxRating:
		return invalid("rating")
	case !text(c.Comment, MaxReviewComment):
		return invalid("comment")
	}
	e := d.emit(&enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{
		Id: string(c.ID), Reservation: string(c.Reservation), Rating: int32(c.Rating), Comment: c.Comment}})
	attach(d.cmd, d.events, string(c.ID), CodeCreated)
	return Outcome{Code: CodeCreated, Reservation: evolve(old, e), Review: c.ID}
}

// possible reports whether that many ratings can have that sum.
func (r Ratings) possible() bool {
	return r.Count >= 0 && r.Sum >= r.Count*MinRating && r.Sum <= r.Count*MaxRating
}

// rate adds a rating to the restaurant's, whose version stays.
func (b *book) rate(rating int32) {
	assert(rating >= MinRating && rating <= MaxRating, "I5: a rating beyond the bounds")
	next := *b.info
	next.Ratings.Sum += int64(rating)
	next.Ratings.Count++
	b.info = &next
}
