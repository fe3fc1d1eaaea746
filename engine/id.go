package engine

// Ids are opaque strings of at most MaxIDLen characters with a prefix that names their kind. Those of things inside a
// restaurant carry the restaurant's part, so that they route themselves:
//
//	rst_<13>             a restaurant
//	usr_<26>             an account: keyed hash of the normalised e-mail
//	tbl_<13><13>         a table:       restaurant part, own part
//	rsv_<13><13>         a reservation: restaurant part, own part
//	rev_<13><13>         a review:      restaurant part, own part
//	key_<13>             an API key, within its account
//
// Each part is random (made outside: the engine has no randomness) in lower-case Crockford base 32.
type (
	// AggregateID names what is decided by one writer: a restaurant or an account.
	AggregateID string
	// RestaurantID is the AggregateID of a restaurant.
	RestaurantID string
	// AccountID is the AggregateID of an account.
	AccountID string
	// TableID names a table.
	TableID string
	// ReservationID names a reservation.
	ReservationID string
	// ReviewID names the review of a reservation.
	ReviewID string
)

// Version counts the events of one aggregate (or of one reservation, table, restaurant: its ETag). 0 = does not exist.
type Version uint64

// Instant is a time in Unix milliseconds.
type Instant int64
