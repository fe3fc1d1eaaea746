package engine

// Terms are what a guest who books now agrees to.
type Terms struct {
	Policy Policy
	Waits  bool // the booking waits for the house
}

// Terms are those of a guest's booking for so many.
func (v *RestaurantView) Terms(guests int) Terms {
	return Terms{v.rules.Cancellation, v.rules.waits(guests)}
}

// WaitsFor reports whether a hold will wait for the house when its guest confirms it.
func (v *RestaurantView) WaitsFor(r *Reservation) bool { return v.asks(r) }

// asks is WaitsFor by the rules of now. A booking of staff never waits.
func (b *book) asks(r *Reservation) bool {
	return r.Status == StatusHeld && r.Guest != "" && b.rules.waits(r.GuestsCount)
}
