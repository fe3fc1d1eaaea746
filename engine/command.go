package engine

// Caller is who asks. The edge has authenticated it.
type Caller struct {
	Account AccountID // empty for the system and for strangers
	Role    Role
	From    string // address, textual, at most MaxFrom bytes: kept with the events of privileged acts
}

// from is the address as it is journaled: what cannot be an address is nothing.
func (c *Caller) from() string {
	if !text(c.From, MaxFrom) {
		return ""
	}
	return c.From
}

// Hash is the first 16 bytes of a SHA-256, made at the edge.
type Hash [16]byte

// Command is one wish of a caller to one aggregate. Body decides which; the other fields are the same for all.
type Command struct {
	Caller  Caller
	Key     Hash    // of (caller, route, restaurant, Idempotency-Key); zero = none
	Payload Hash    // of the canonical request body; meaningless without Key
	IfMatch Version // expected version of the subject; 0 = not asked
	Silent  bool    // no reminder is written: a node of the cluster would not understand it. The owner's; it does not travel
	Body    Body
}

// Body is the part of a Command that differs from kind to kind.
type Body interface{ isBody() }

// Commands to a restaurant.
type (
	// CreateRestaurant makes the aggregate. Owner is the caller.
	CreateRestaurant struct {
		ID      RestaurantID
		Details Details
	}
	// ChangeRestaurant replaces the details; nil fields of the PATCH were filled in by Merge.
	ChangeRestaurant struct{ Change DetailsChange }
	// SetRules changes what is not nil of the rules.
	SetRules struct{ Change RulesChange }
	// AddTable adds a table under an id made at the edge.
	AddTable struct {
		ID    TableID
		Table TableSpec
	}
	// ChangeTable changes what is not nil.
	ChangeTable struct {
		ID     TableID
		Change TableChange
	}
	// RemoveTable takes a table away for good; refused while it has live reservations.
	RemoveTable struct{ ID TableID }
	// CreateReservation asks for a table. Exactly one of (Date, Time) and StartsAt may be zero; both and different is nonsense.
	CreateReservation struct {
		ID              ReservationID
		Want            When
		GuestsCount     int
		SpecialRequests string
		Table           TableID // a wish; empty = any
		Area            string  // the Location of the tables; empty = any
		Contact         Contact
		Override        string // of staff: why rules do not hold for this party; empty = they do
	}
	// SeatWalkIn seats a party now.
	SeatWalkIn struct {
		ID              ReservationID
		GuestsCount     int
		SpecialRequests string
		Table           TableID // that one or none; empty = any
		Area            string  // the Location of the tables; empty = any
		Contact         Contact
	}
	// Hold keeps tables for a guest for some minutes. Replaces is a hold of the same guest that ends with it; empty = none.
	Hold struct {
		ID          ReservationID
		Want        When
		GuestsCount int
		Table       TableID // a wish; empty = any
		Area        string  // the Location of the tables; empty = any
		Contact     Contact
		Replaces    ReservationID
	}
	// ConfirmHold makes a booking of a hold.
	ConfirmHold struct {
		ID              ReservationID
		SpecialRequests *string
	}
	// Reschedule changes what is not nil. The reservation itself never stands in its own way.
	Reschedule struct {
		ID              ReservationID
		Want            *When
		GuestsCount     *int
		SpecialRequests *string
		Table           *TableID
		Area            *string
		Override        string // of staff: why rules do not hold for this party; empty = they do
	}
	// Transition moves a reservation to another status (cancel, seat, complete, no-show, reinstate, confirm, decline).
	Transition struct {
		ID     ReservationID
		Action Action
		Reason string
	}
	// AddStaff makes an account manager or host of the restaurant.
	AddStaff struct {
		Account AccountID
		Role    Role
	}
	// ChangeStaff gives a member another role.
	ChangeStaff struct {
		Account AccountID
		Role    Role
	}
	// RemoveStaff dismisses a member.
	RemoveStaff struct{ Account AccountID }
	// AddReview is the guest's word on a completed reservation, once, under an id made at the edge.
	AddReview struct {
		ID          ReviewID
		Reservation ReservationID
		Rating      int // 1–5
		Comment     string
	}
	// Sweep fires the timers that are due (no-shows). Sent by the actors, as the system.
	Sweep struct{}
)

// Commands to an account.
type (
	// Register makes the account, and opens its first session unless Session is nil.
	Register struct {
		Profile Profile
		Session *OpenSession
	}
	// ChangeProfile changes what is not nil. A new password ends every session that the old one opened.
	ChangeProfile struct{ Change ProfileChange }
	// OpenSession records a refresh token family after a login whose password the edge has verified. An account with an
	// active second factor wants a time step, later than the last one, or the hash of a recovery code that is left.
	OpenSession struct {
		Password string // the hash that was verified; when it is another by now, CodeUnauthorized. Empty = not asked
		Family   string
		Refresh  Hash32
		Expires  Instant
		Step     int64
		Recovery Hash32
	}
	// RotateSession exchanges a refresh token; a token seen before revokes the family.
	RotateSession struct {
		Old, New Hash32
	}
	// RevokeSession ends the family that the refresh token belongs to; All ends every one.
	RevokeSession struct {
		Refresh Hash32
		All     bool
	}
)

// Hash32 is a SHA-256.
type Hash32 [32]byte

func (*CreateRestaurant) isBody()  {}
func (*ChangeRestaurant) isBody()  {}
func (*SetRules) isBody()          {}
func (*AddTable) isBody()          {}
func (*ChangeTable) isBody()       {}
func (*RemoveTable) isBody()       {}
func (*CreateReservation) isBody() {}
func (*SeatWalkIn) isBody()        {}
func (*Hold) isBody()              {}
func (*ConfirmHold) isBody()       {}
func (*Reschedule) isBody()        {}
func (*Transition) isBody()        {}
func (*Sweep) isBody()             {}
func (*AddStaff) isBody()          {}
func (*ChangeStaff) isBody()       {}
func (*RemoveStaff) isBody()       {}
func (*AddReview) isBody()         {}
func (*Register) isBody()          {}
func (*ChangeProfile) isBody()     {}
func (*OpenSession) isBody()       {}
func (*RotateSession) isBody()     {}
func (*RevokeSession) isBody()     {}
