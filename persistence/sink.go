package persistence

import (
	"context"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// Position is where a reader of the journal stands.
type Position struct {
	Journal string // journal id of the genesis
	Seq     Seq
}

// Committed is one durable event with its place, as sinks and views get it.
type Committed struct {
	Seq       Seq
	Index     int // place within the frame
	Aggregate engine.AggregateID
	Version   engine.Version
	Event     *enginepb.Event // read-only
}

// Sink is a follower of the journal that keeps its own cursor. It never talks back.
type Sink interface {
	// Cursor reads the position up to which everything is in the sink; zero when it is new.
	Cursor(ctx context.Context) (Position, error)
	// Write makes the effect of events and moves the cursor from old to next, in one transaction that is conditional on the
	// cursor being old (ErrConflict). Writing what is there already changes nothing. Without events it says that nothing was missing
	// when it was read, which was after the call before.
	Write(ctx context.Context, old, next Position, events []Committed) error
}

// Availability is the start times of a service day as a copy has them, which may be behind the restaurant.
type Availability struct {
	TimeZone string // IANA
	Starts   []engine.Start
	Terms    engine.Terms
	AsOf     time.Time // a time at which nothing durable was missing
}

// ReservationRow is a reservation as the store knows it.
type ReservationRow struct {
	ID              engine.ReservationID
	Restaurant      engine.RestaurantID
	RestaurantName  string
	Guest           engine.AccountID
	Tables          []engine.TableID
	ServiceDay      int32
	LocalMin        int32
	StartsAt        time.Time
	EndsAt          time.Time
	TimeZone        string
	GuestsCount     int32
	SpecialRequests string
	Status          enginepb.Status
	Version         engine.Version
	BufferMin       int32 // minutes after EndsAt for which the tables stay free
	HoldUntilMs     int64 // Unix ms, of what is or was held; 0 = never
}

// ListFilter bounds a list. Zero fields do not filter. Limit is 1–100.
type ListFilter struct {
	Status   enginepb.Status
	From, To int32  // service days, inclusive; 0 = open
	After    string // opaque place to go on from; empty = first page
	Limit    int
}

// Page is a part of a list with the position that the store had reached.
type Page struct {
	Rows []ReservationRow
	Next string // empty = last page
	AsOf time.Time
}

// Store is the read model: lists, search and the audit. Nothing opens from it.
type Store interface {
	Sink
	// ReservationsOf lists the reservations of a guest, newest start first.
	ReservationsOf(ctx context.Context, guest engine.AccountID, f ListFilter) (Page, error)
	// ReviewsOf lists the reviews of a restaurant, newest first.
	ReviewsOf(ctx context.Context, r engine.RestaurantID, f ReviewFilter) (ReviewPage, error)
	// PlacesOf lists the restaurants that an account owns or works at, in an order that stays. Limit is 1–100.
	PlacesOf(ctx context.Context, a engine.AccountID, after string, limit int) (PlacePage, error)
	// Search finds restaurants.
	Search(ctx context.Context, f SearchFilter) (SearchPage, error)
	Audit
	// Heads calls fn with the version of every aggregate that the store has seen, in no order.
	Heads(ctx context.Context, fn func(engine.AggregateID, engine.Version) error) error
	// PendingErasures lists at most limit (1–10,000) accounts that are erased and whose guest restaurants may still know.
	PendingErasures(ctx context.Context, limit int) ([]engine.AccountID, error)
	// RestaurantsOf lists at most limit (1–10,000) restaurants where the account is the guest of a reservation, or works.
	RestaurantsOf(ctx context.Context, guest engine.AccountID, limit int) ([]engine.RestaurantID, error)
	// OwnsRestaurant reports whether the account owns a restaurant.
	OwnsRestaurant(ctx context.Context, account engine.AccountID) (bool, error)
	// Close ends the store's use. Idempotent.
	Close() error
}

// Audit is the events that a store keeps, without personal strings.
type Audit interface {
	// History lists the newest events of an aggregate, newest first, at most limit (1–10,000).
	History(ctx context.Context, id engine.AggregateID, limit int) ([]Committed, error)
	// Events reads whole frames after a sequence in stream order, about limit events (1–10,000), and the sequence they reach: for
	// sinks that fell below the journal.
	Events(ctx context.Context, after Seq, limit int) ([]Committed, Seq, error)
	// Recent calls fn with events, newest first, until it returns false.
	Recent(ctx context.Context, fn func(Committed) bool) error
}
