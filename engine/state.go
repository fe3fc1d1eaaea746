package engine

import (
	"cmp"
	"fmt"
	"slices"

	"maitred/engine/enginepb"
)

// AppendBase implements Aggregate. Equal states give equal bytes: everything is sorted.
func (r *restaurant) AppendBase(dst []byte) []byte {
	base := &enginepb.RestaurantBase{
		Owing:  r.owing,
		LastMs: int64(r.last), Version: uint64(r.version), Receipts: r.led.receipts.proto(),
		Tables: make([]*enginepb.Table, 0, len(r.floor.list)), Reservations: make([]*enginepb.Reservation, 0, r.resv.len()),
	}
	if r.info != nil {
		base.Restaurant, base.RestaurantVersion = r.info.proto(), uint64(r.info.Version)
		base.RatingSum, base.RatingCount = r.info.Ratings.Sum, r.info.Ratings.Count
	}
	if r.rules.Version > neverSet.Version {
		base.Rules = r.rules.proto()
	}
	for _, m := range r.members {
		base.Staff = append(base.Staff, m.proto())
	}
	for _, t := range r.floor.list {
		base.Tables = append(base.Tables, t.proto())
	}
	r.resv.walk(func(_ uint64, v *Reservation) { base.Reservations = append(base.Reservations, v.proto()) })
	slices.SortFunc(base.Reservations, func(a, b *enginepb.Reservation) int { return cmp.Compare(a.Id, b.Id) })
	return appendMessage(dst, base)
}

// Digest implements Aggregate.
func (r *restaurant) Digest() uint64 { return digest(r.AppendBase(nil)) }

func openRestaurant(id RestaurantID, b []byte) (*restaurant, error) {
	base := new(enginepb.RestaurantBase)
	if err := base.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w of %s: %w", ErrBase, id, err)
	}
	r := newRestaurant(id)
	r.version, r.last, r.owing = Version(base.Version), Instant(base.LastMs), base.Owing
	assert((r.version == 0) == (base.Restaurant == nil), "I5: a base without its restaurant")
	if base.Restaurant == nil {
		return r, nil
	}
	r.setInfo(restaurantFrom(base.Restaurant, Version(base.RestaurantVersion)))
	r.info.Ratings = Ratings{base.RatingSum, base.RatingCount}
	assert(r.info.Ratings.possible(), "I5: a base has impossible ratings")
	if base.Rules != nil {
		r.rules = rulesFrom(base.Rules)
		assert(r.rules.Version > neverSet.Version && len(r.rules.TurnTimes) <= MaxTurnTimes && len(r.rules.SpecialDays) <= MaxSpecialDays,
			"I9: a base has impossible rules")
	}
	r.loadStaff(base.Staff)
	r.loadFloor(base.Tables)
	for _, p := range base.Reservations {
		v := reservationFrom(p)
		assert(r.find(v.ID) == nil, "I5: a base has a reservation twice")
		assert(StatusName(v.Status) != "" && v.Version >= 1, "I4: a base has an impossible reservation")
		r.load(v)
	}
	slices.SortStableFunc(r.late, func(a, b farewell) int { return cmp.Compare(a.due, b.due) })
	assert(len(base.Receipts) <= MaxReceipts, "I9: a base has too many receipts")
	r.led.receipts.load(base.Receipts)
	return r, nil
}

// loadFloor is the sum of the events that made the tables.
func (r *restaurant) loadFloor(tables []*enginepb.Table) {
	f := &floor{}
	for _, p := range tables {
		t := tableFrom(p)
		assert(f.slot(t.ID) < 0 && t.Version >= 1, "I4: a base has an impossible table")
		f.slots = append(f.slots, t)
	}
	f.arrange()
	r.floor = f
	r.arrange()
}

func (r *restaurant) loadStaff(staff []*enginepb.Member) {
	assert(len(staff) <= MaxStaff, "I9: a base has too many staff")
	for _, p := range staff {
		m := memberFrom(p)
		assert(m.Version >= 1 && hirable(m.Role), "I4: a base has an impossible member")
		assert(len(r.members) == 0 || r.members[len(r.members)-1].Account < m.Account, "I5: the staff of a base is out of order")
		r.members = append(r.members, m)
	}
}

// load is replace without the order that events have.
func (r *restaurant) load(v *Reservation) {
	late := r.late
	r.late = nil
	r.replace(nil, v)
	r.late = append(late, r.late...)
}
