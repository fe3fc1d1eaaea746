package engine

import "slices"

// RestaurantView is the view of a restaurant: a frozen book.
type RestaurantView struct{ book }

// Version implements View.
func (v *RestaurantView) Version() Version { return v.version }

// Next implements View.
func (v *RestaurantView) Next(events []*Event) View {
	if len(events) == 0 {
		return v
	}
	facts := make([]Fact, len(events))
	for i, e := range events {
		facts[i].Event = e
	}
	return v.NextFacts(facts)
}

// NextFacts implements View.
func (v *RestaurantView) NextFacts(facts []Fact) View {
	if len(facts) == 0 {
		return v
	}
	next := &RestaurantView{v.book}
	next.own = new(edit)
	for _, f := range facts {
		next.apply(f.Event, f.Made)
	}
	next.own = nil
	next.late = slices.Clip(next.late)
	return next
}

// Restaurant is nil while the restaurant does not exist.
func (v *RestaurantView) Restaurant() *Restaurant { return v.info }

// Rules are what the house says of its book. Never nil.
func (v *RestaurantView) Rules() *Rules { return v.rules }

// Tables lists the tables by number, natural order ("T2" before "T10"). Read-only.
func (v *RestaurantView) Tables() []*Table { return v.floor.list }

// Table finds a table; nil when unknown.
func (v *RestaurantView) Table(id TableID) *Table { return v.floor.table(id) }

// Reservation finds a reservation; nil when unknown.
func (v *RestaurantView) Reservation(id ReservationID) *Reservation { return v.find(id) }

// DayVersion changes whenever an answer of Availability or DaySheet for day may change; not with time alone.
func (v *RestaurantView) DayVersion(day Day) Version { return v.dayVersion(day) }

// DaySheet appends the reservations of a service day in order of start.
func (v *RestaurantView) DaySheet(day Day, dst []*Reservation) []*Reservation {
	if s, ok := v.sheets.get(dayKey(day)); ok {
		dst = append(dst, s.list...)
	}
	return dst
}

// Availability appends every start time that the shifts of day offer to a party of guests, with the number of free tables (0 = taken,
// paused, or beyond notice, horizon or pacing), as guests see it. now is raised to the time of the last event, as in Decide.
func (v *RestaurantView) Availability(now Instant, day Day, guests int, dst []Start) []Start {
	return v.AvailabilityIn(now, day, guests, "", "", dst)
}

// AvailabilityIn is Availability of the tables whose Location is area (empty = of all), as who has a hold sees it (empty = nobody's).
func (v *RestaurantView) AvailabilityIn(now Instant, day Day, guests int, area string, own ReservationID, dst []Start) []Start {
	b, _ := v.at(max(now, v.last))
	q := search{now: max(now, v.last), guests: guests, area: area}
	if own != "" {
		if r := b.find(own); r != nil && r.Status == StatusHeld {
			q.skip = new(b.holdOf(r))
		}
	}
	return b.availability(q, day, dst)
}
