package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// evolve is the reservation after e; old is nil before the first. Decide uses it to answer, apply to remember.
func evolve(old *Reservation, e *Event) *Reservation {
	switch body := e.Body.(type) {
	case *enginepb.Event_ReservationCreated:
		assert(old == nil, "I5: a reservation is created twice")
		r := reservationFrom(body.ReservationCreated.Reservation)
		assert(r.Version == 1 && r.Created == Instant(e.AtMs), "I4: a reservation begins with version 1")
		return r
	case *enginepb.Event_ReservationRescheduled:
		assert(old != nil, "I5: an unknown reservation is rescheduled")
		next, p := *old, body.ReservationRescheduled
		next.Tables = tableIDs(p.TableIds)
		next.Day, next.LocalMin = Day(p.ServiceDay), int(p.LocalMin)
		next.StartsAt, next.EndsAt, next.BufferMin = p.StartsAt, p.EndsAt, int(p.BufferMin)
		next.Area = p.Area
		next.GuestsCount, next.SpecialRequests = int(p.GuestsCount), p.SpecialRequests
		stays := next.StartsAt == old.StartsAt && slices.Equal(next.Tables, old.Tables)
		next.Override = old.Override.after(overrideFrom(p.Override), stays)
		return next.touched(e)
	case *enginepb.Event_ReservationOffered:
		assert(old != nil && old.Status == StatusWaiting, "I5: an offer to who does not wait")
		next, p := *old, body.ReservationOffered
		next.Status, next.Tables, next.HoldUntil = StatusHeld, tableIDs(p.TableIds), Instant(p.HoldUntilMs)
		next.LocalMin, next.StartsAt, next.EndsAt, next.BufferMin = int(p.LocalMin), p.StartsAt, p.EndsAt, int(p.BufferMin)
		return next.touched(e)
	case *enginepb.Event_ReservationReminded:
		assert(old != nil, "I5: an unknown reservation is reminded of")
		next := *old
		return next.touched(e)
	case *enginepb.Event_ReservationStatusChanged:
		assert(old != nil, "I5: an unknown reservation changes its status")
		next := *old
		next.Status, next.FeeDue = body.ReservationStatusChanged.Status, int(body.ReservationStatusChanged.FeeDue)
		assert(StatusName(next.Status) != "", "I5: an unknown status")
		return next.touched(e)
	case *enginepb.Event_ReservationNoted:
		assert(old != nil, "I5: a note on an unknown reservation")
		next := *old
		next.Note = body.ReservationNoted.Note
		next.Version++ // and not touched: what staff note for themselves is no change, and puts off no reminder
		return &next
	case *enginepb.Event_ReviewAdded:
		assert(old != nil && !old.Reviewed, "I5: a review of nothing, or a second one")
		next := *old
		next.Reviewed = true
		return next.touched(e)
	}
	panic("engine: I5: an event that a restaurant does not know")
}

func (r *Reservation) touched(e *Event) *Reservation {
	r.Version++
	r.Updated = Instant(e.AtMs)
	return r
}

// reservationOf is the id that an event is about; empty when it is not about one.
func reservationOf(e *Event) ReservationID {
	switch body := e.Body.(type) {
	case *enginepb.Event_ReservationCreated:
		return ReservationID(body.ReservationCreated.Reservation.GetId())
	case *enginepb.Event_ReservationRescheduled:
		return ReservationID(body.ReservationRescheduled.Id)
	case *enginepb.Event_ReservationStatusChanged:
		return ReservationID(body.ReservationStatusChanged.Id)
	case *enginepb.Event_ReservationOffered:
		return ReservationID(body.ReservationOffered.Id)
	case *enginepb.Event_ReservationReminded:
		return ReservationID(body.ReservationReminded.Id)
	case *enginepb.Event_ReservationNoted:
		return ReservationID(body.ReservationNoted.Id)
	case *enginepb.Event_ReviewAdded:
		return ReservationID(body.ReviewAdded.Reservation)
	}
	return ""
}

func tableIDs(ids []string) []TableID {
	if len(ids) == 0 {
		return nil // of who waits
	}
	out := make([]TableID, len(ids))
	for i, id := range ids {
		out[i] = TableID(id)
	}
	return out
}

func tableStrings(ids []TableID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

func reservationFrom(p *enginepb.Reservation) *Reservation {
	assert(p != nil, "I5: a reservation without content")
	r := &Reservation{
		ID: ReservationID(p.Id), Guest: AccountID(p.Guest), Tables: tableIDs(p.TableIds),
		Day: Day(p.ServiceDay), LocalMin: int(p.LocalMin), StartsAt: p.StartsAt, EndsAt: p.EndsAt,
		GuestsCount: int(p.GuestsCount), SpecialRequests: p.SpecialRequests,
		Contact: contactFrom(p.Contact),
		Status:  p.Status, Version: Version(p.Version), Key: hashFrom(p.Key), Payload: hashFrom(p.Body),
		Created: Instant(p.CreatedMs), Updated: Instant(p.UpdatedMs), Reviewed: p.Reviewed, BufferMin: int(p.BufferMin), Area: p.Area,
		HoldUntil: Instant(p.HoldUntilMs), FeeDue: int(p.FeeDue), Waiting: waitingFrom(p.Waiting), Override: overrideFrom(p.Override), Note: p.Note,
	}
	set(&r.Policy, policyFrom(p.Policy))
	return r
}

func (r *Reservation) proto() *enginepb.Reservation {
	p := &enginepb.Reservation{
		Id: string(r.ID), Guest: string(r.Guest), TableIds: tableStrings(r.Tables),
		ServiceDay: int32(r.Day), LocalMin: int32(r.LocalMin), StartsAt: r.StartsAt, EndsAt: r.EndsAt,
		GuestsCount: int32(r.GuestsCount), SpecialRequests: r.SpecialRequests, Status: r.Status,
		Version: uint64(r.Version), Key: hashBytes(r.Key), Body: hashBytes(r.Payload),
		CreatedMs: int64(r.Created), UpdatedMs: int64(r.Updated), Reviewed: r.Reviewed, BufferMin: int32(r.BufferMin), Area: r.Area,
		HoldUntilMs: int64(r.HoldUntil), Policy: r.Policy.proto(), FeeDue: int64(r.FeeDue), Waiting: r.Waiting.proto(),
		Override: r.Override.proto(), Note: r.Note,
	}
	p.Contact = r.Contact.proto()
	return p
}

func hashFrom(b []byte) (h Hash) {
	copy(h[:], b)
	return h
}

func hashBytes(h Hash) []byte {
	if h == (Hash{}) {
		return nil
	}
	return h[:]
}

func restaurantFrom(p *enginepb.Restaurant, version Version) *Restaurant {
	assert(p != nil, "I5: a restaurant without content")
	r := &Restaurant{ID: RestaurantID(p.Id), Owner: AccountID(p.Owner), Version: version, Details: Details{
		Name: p.Name, Address: p.Address, City: p.City, Country: p.Country, CuisineType: p.CuisineType,
		Description: p.Description, Phone: p.Phone, Email: p.Email, TimeZone: p.TimeZone,
		Latitude: p.Latitude, Longitude: p.Longitude, GridMin: int(p.GridMin),
	}}
	for _, h := range p.OpeningHours {
		r.OpeningHours = append(r.OpeningHours, OpeningHours{
			Days: uint8(h.Days), Open: int(h.OpenMin), Close: int(h.CloseMin), LastSeating: int(h.LastSeatingMin),
			Name: h.Name, GridMin: int(h.GridMin)})
	}
	r.OpeningHours = slices.Clip(r.OpeningHours)
	return r
}

func (r *Restaurant) proto() *enginepb.Restaurant {
	p := &enginepb.Restaurant{
		Id: string(r.ID), Owner: string(r.Owner), Name: r.Name, Address: r.Address, City: r.City, Country: r.Country,
		CuisineType: r.CuisineType, Description: r.Description, Phone: r.Phone, Email: r.Email, TimeZone: r.TimeZone,
		Latitude: r.Latitude, Longitude: r.Longitude, GridMin: int32(r.GridMin),
	}
	for _, h := range r.OpeningHours {
		p.OpeningHours = append(p.OpeningHours, &enginepb.OpeningHours{
			Days: uint32(h.Days), OpenMin: int32(h.Open), CloseMin: int32(h.Close), LastSeatingMin: int32(h.LastSeating),
			Name: h.Name, GridMin: int32(h.GridMin)})
	}
	return p
}

func tableFrom(p *enginepb.Table) *Table {
	assert(p != nil, "I5: a table without content")
	return &Table{ID: TableID(p.Id), Version: Version(p.Version), TableSpec: TableSpec{
		Number: p.TableNumber, Capacity: int(p.Capacity), MinCapacity: int(p.MinCapacity), Location: p.Location, InService: p.InService,
		Channel: p.Channel, Blocks: blocksFrom(p.Blocks)}}
}

func (t *Table) proto() *enginepb.Table {
	return &enginepb.Table{Id: string(t.ID), TableNumber: t.Number, Capacity: int32(t.Capacity),
		MinCapacity: int32(t.MinCapacity), Location: t.Location, InService: t.InService, Version: uint64(t.Version), Channel: t.Channel, Blocks: blocksProto(t.Blocks)}
}
