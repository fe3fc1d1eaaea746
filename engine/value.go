package engine

// Day is a service day: days since 1970-01-01 of the shift's local date.
type Day int32

// When names a start time: by service day and local minutes, or by instant, or (redundantly) both.
type When struct {
	HasLocal bool
	Day      Day
	LocalMin int   // minutes after local midnight of the service day; a shift past midnight goes beyond 1440 internally only
	StartsAt int64 // Unix seconds; 0 = not given
}

// Contact is how to reach a guest.
type Contact struct{ Name, Phone, Email string }

// Reservation is one party, one time, its tables and status. Immutable: a change makes a new one.
type Reservation struct {
	ID              ReservationID
	Guest           AccountID
	Tables          []TableID
	Day             Day
	LocalMin        int   // minutes after local midnight of Day
	StartsAt        int64 // Unix seconds
	EndsAt          int64 // Unix seconds, exclusive
	GuestsCount     int
	SpecialRequests string
	Contact         Contact
	Status          Status
	Version         Version
	BufferMin       int    // minutes after EndsAt for which its tables stay free
	Area            string // where the guest wants to sit: the Location of the tables; empty = anywhere
	Key, Payload    Hash   // of the create; zero = none
	Reviewed        bool
	Created         Instant
	Updated         Instant
	HoldUntil       Instant // of what is or was held; 0 = never
	Policy          Policy
	FeeDue          int       // of the guest, in minor units of the policy's currency
	Waiting         *Waiting  // of who is or was on the waitlist
	Override        *Override // for its present time and tables; nil = none
	Note            string    // of staff for staff
}

// TableSpec describes a table.
type TableSpec struct {
	Number      string
	Capacity    int // guests, 1–100
	MinCapacity int // guests, 1–Capacity
	Location    string
	InService   bool
	Channel     Channel
	Blocks      []Block // by start
}

// Block is a time in which a table is out of service. Who has it already keeps it.
type Block struct{ From, Until int64 } // Unix seconds, half-open

// Table is a table of a restaurant. Immutable.
type Table struct {
	ID      TableID
	Version Version
	TableSpec
}

// TableChange changes what is not nil.
type TableChange struct {
	Number      *string
	Capacity    *int
	MinCapacity *int
	Location    *string
	InService   *bool
	Channel     *Channel
	Blocks      *[]Block
}

// OpeningHours is one shift on some weekdays. Minutes count from local midnight of the service day.
type OpeningHours struct {
	Days        uint8 // bit 0 = Monday … bit 6 = Sunday
	Open        int   // 0–1439
	Close       int   // beyond 1440 when the shift ends after midnight; at most Open+1440
	LastSeating int   // last start time, included; Open ≤ LastSeating < Close
	Name        string
	GridMin     int // minutes between start times, 5–60 by 5; 0 = the restaurant's
}

// Details is what an owner says of a restaurant.
type Details struct {
	Name, Address, City, Country, CuisineType, Description, Phone, Email string
	TimeZone                                                             string // IANA
	Latitude, Longitude                                                  float64
	OpeningHours                                                         []OpeningHours
	GridMin                                                              int // minutes between start times, 5–60 by 5; 0 = 15
}

// DetailsChange changes what is not nil.
type DetailsChange struct {
	Name, Address, City, Country, CuisineType, Description, Phone, Email *string
	TimeZone                                                             *string
	Latitude, Longitude                                                  *float64
	OpeningHours                                                         *[]OpeningHours
	GridMin                                                              *int
}

// Restaurant is a restaurant as readers see it. Immutable.
type Restaurant struct {
	ID      RestaurantID
	Owner   AccountID
	Version Version // of the details: its ETag
	Ratings Ratings // not part of the version: a review must not spoil an owner's change
	Details
}

// Ratings sums up the reviews of a restaurant.
type Ratings struct{ Sum, Count int64 }

// Average is the mean rating, 1–5; 0 when there is none.
func (r Ratings) Average() float64 {
	if r.Count == 0 {
		return 0
	}
	return float64(r.Sum) / float64(r.Count)
}

// Member is one of a restaurant's staff. Immutable.
type Member struct {
	Account AccountID
	Role    Role // RoleManager or RoleHost
	Since   Instant
	Version Version
}

// Profile is a new account.
type Profile struct {
	ID                                AccountID
	Email, FirstName, LastName, Phone string
	Role                              Role
	PasswordHash                      string // PHC string
}

// ProfileChange changes what is not nil.
type ProfileChange struct{ FirstName, LastName, Phone, PasswordHash *string }

// AccountInfo is an account as readers see it. Immutable.
type AccountInfo struct {
	Profile
	Created Instant
	Version Version
}

// Action is a transition that a caller asks for.
type Action uint8

// The actions of POST /reservations/{id}/<action>.
const (
	ActionCancel Action = iota + 1
	ActionConfirm
	ActionDecline
	ActionSeat
	ActionComplete
	ActionNoShow
	ActionReinstate
	ActionRelease // a hold, and nothing that was made of it: DELETE /holds/{id}
)

// Start is one start time of a day's availability.
type Start struct {
	Day      Day
	LocalMin int   // minutes after local midnight of Day (≥ 1440 after midnight)
	StartsAt int64 // Unix seconds
	Free     int   // tables that could seat the party
}
