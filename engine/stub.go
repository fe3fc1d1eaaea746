package engine

// The signatures below are the contract; the bodies are being written.

// NewAggregate makes the empty aggregate that id names (a restaurant or an account), version 0.
func NewAggregate(id AggregateID) Aggregate { panic("stub") }

// OpenBase reads what AppendBase wrote.
func OpenBase(id AggregateID, base []byte) (Aggregate, error) { panic("stub") }

// RestaurantView is the view of a restaurant.
type RestaurantView struct{}

// Version implements View.
func (v *RestaurantView) Version() Version { panic("stub") }

// Next implements View.
func (v *RestaurantView) Next(events []*Event) View { panic("stub") }

// Restaurant is nil while the restaurant does not exist.
func (v *RestaurantView) Restaurant() *Restaurant { panic("stub") }

// Tables lists the tables in a stable order. Read-only.
func (v *RestaurantView) Tables() []*Table { panic("stub") }

// Table finds a table; nil when unknown.
func (v *RestaurantView) Table(id TableID) *Table { panic("stub") }

// Reservation finds a reservation; nil when unknown.
func (v *RestaurantView) Reservation(id ReservationID) *Reservation { panic("stub") }

// DayVersion changes whenever an answer of Availability or DaySheet for day may change; not with time alone.
func (v *RestaurantView) DayVersion(day Day) Version { panic("stub") }

// DaySheet appends the reservations of a service day in order of start.
func (v *RestaurantView) DaySheet(day Day, dst []*Reservation) []*Reservation { panic("stub") }

// Availability appends every start time that the shifts of day offer to a party of guests, with the number of free tables
// (0 = taken or past).
func (v *RestaurantView) Availability(now Instant, day Day, guests int, dst []Start) []Start {
	panic("stub")
}

// AccountView is the view of an account.
type AccountView struct{}

// Version implements View.
func (v *AccountView) Version() Version { panic("stub") }

// Next implements View.
func (v *AccountView) Next(events []*Event) View { panic("stub") }

// Info is nil while the account does not exist or after it was erased.
func (v *AccountView) Info() *AccountInfo { panic("stub") }

// AppendEvent appends the event's protobuf encoding.
func AppendEvent(dst []byte, e *Event) []byte { panic("stub") }

// DecodeEvent reads what AppendEvent wrote. The event keeps no reference to b.
func DecodeEvent(b []byte) (*Event, error) { panic("stub") }
