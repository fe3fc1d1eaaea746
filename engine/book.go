package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// book is the state of one restaurant that decisions and readers share. It is persistent: a copy of the struct is a
// snapshot, and whoever holds an edit changes only what that edit made. The aggregate and the views fold events with the
// same apply.
type book struct {
	id   RestaurantID
	own  *edit   // nil: frozen
	led  *ledger // nil in views
	info *Restaurant
	zone *zone

	rules *Rules

	members []*Member // by account

	floor  *floor
	combos []combo            // of rules and floor
	resv   trie[*Reservation] // by the own part of the id
	sheets trie[*sheet]       // by service day
	busy   trie[*chunk]       // by tick / chunkTicks

	holds []*Reservation // by expiry
	waits []*Reservation // by joining
	owing bool           // more could be offered to them than the last command did

	version  Version // events applied
	everyDay Version // version of the last event that touched every day
	last     Instant // time of the last event
	live     int     // reservations that block
	late     []farewell
}

// sheet is the reservations of one service day in order of start and id.
type sheet struct {
	own     *edit
	version Version // of the book, when an event touched the day
	list    []*Reservation
}

// farewell is a final reservation that the pass over its service day has missed or will miss.
type farewell struct {
	due Day
	key uint64
}

var emptyFloor = &floor{}

func newBook(id RestaurantID) book {
	return book{id: id, own: new(edit), floor: emptyFloor, rules: neverSet}
}

// freeze is a snapshot that nobody can change.
func (b *book) freeze() book {
	c := *b
	c.own, c.led = nil, nil
	c.late = slices.Clip(c.late)
	return c
}

// apply changes the state by one event. It is the one place that knows what events mean. made is the reservation after e if
// somebody has made it already: then it is shared, not made again; nil otherwise.
func (b *book) apply(e *Event, made *Reservation) {
	assert(b.own != nil, "a frozen book is changed")
	assert(len(e.Sealed) == 0, "I5: a sealed event is applied")
	assert(Instant(e.AtMs) >= b.last, "I6: time goes backwards")
	assert((b.version == 0) == (e.GetRestaurantCreated() != nil), "I5: the first event makes the restaurant, no other does")
	before := b.last
	b.version++
	b.last, b.owing = Instant(e.AtMs), e.Owing
	switch body := e.Body.(type) {
	case *enginepb.Event_RestaurantCreated:
		b.setInfo(restaurantFrom(body.RestaurantCreated.Restaurant, 1))
	case *enginepb.Event_RestaurantChanged:
		b.setInfo(restaurantFrom(body.RestaurantChanged.Restaurant, b.info.Version+1))
	case *enginepb.Event_RulesSet:
		b.setRules(rulesFrom(body.RulesSet.Rules))
	case *enginepb.Event_TableAdded:
		b.setTable(nil, tableFrom(body.TableAdded.Table))
	case *enginepb.Event_TableChanged:
		old := b.floor.table(TableID(body.TableChanged.Table.GetId()))
		assert(old != nil, "I5: change of an unknown table")
		b.setTable(old, tableFrom(body.TableChanged.Table))
	case *enginepb.Event_TableRemoved:
		id := TableID(body.TableRemoved.TableId)
		assert(b.floor.slot(id) >= 0, "I5: removal of an unknown table")
		b.floor, b.everyDay = b.floor.without(id), b.version
		b.arrange()
	case *enginepb.Event_StaffSet:
		b.setMember(memberFrom(body.StaffSet.Member))
	case *enginepb.Event_StaffRemoved:
		b.removeMember(AccountID(body.StaffRemoved.Account))
	case *enginepb.Event_GuestForgotten:
		b.dropGuest(e, AccountID(body.GuestForgotten.Guest))
	default:
		if r := e.GetReviewAdded(); r != nil {
			b.rate(r.Rating)
		}
		id := reservationOf(e)
		old := b.find(id)
		if made == nil {
			made = evolve(old, e)
		}
		assert(made.ID == id && made.Version == after(old), "I4: what was made is not what the event makes")
		b.replace(old, made)
	}
	if b.version > 1 {
		b.forget(before)
	}
}

// after is the version that follows old; nil = there is none.
func after(old *Reservation) Version {
	if old == nil {
		return 1
	}
	return old.Version + 1
}

func (b *book) setInfo(r *Restaurant) {
	assert(r.ID == b.id, "I5: the event belongs to another restaurant")
	assert(r.gridMin() >= MinGridMin && len(r.OpeningHours) <= MaxShifts, "I9: opening hours beyond the bounds")
	if b.zone == nil || b.zone.name != r.TimeZone {
		b.zone = openZone(r.TimeZone)
	}
	assert(b.zone != nil, "I5: an unknown time zone was journaled")
	if b.info != nil {
		r.Ratings = b.info.Ratings
	}
	b.info, b.everyDay = r, b.version
}

func (b *book) setRules(r *Rules) {
	assert(r.Version == b.rules.Version+1, "I4: versions of the rules are contiguous")
	assert(len(r.TurnTimes) <= MaxTurnTimes && len(r.SpecialDays) <= MaxSpecialDays, "I9: rules beyond the bounds")
	anew := r.NoShowMin != b.rules.NoShowMin
	b.rules, b.everyDay = r, b.version
	b.arrange()
	if b.led != nil && anew {
		b.led.due.fill(b)
	}
}

func (b *book) setTable(old, next *Table) {
	assert(old == nil || next.Version == old.Version+1, "I4: versions of a table are contiguous")
	assert(old != nil || (next.Version == 1 && b.floor.slot(next.ID) < 0), "I4: a table begins with version 1")
	b.floor, b.everyDay = b.floor.with(next), b.version
	b.arrange()
}

// find is the reservation of that id; nil when there is none.
func (b *book) find(id ReservationID) *Reservation {
	key, ok := ownPart(string(id))
	if !ok {
		return nil
	}
	r, _ := b.resv.get(key)
	if r == nil || r.ID != id {
		return nil
	}
	return r
}

// blocks reports whether a reservation of that status holds its tables.
func blocks(s Status) bool {
	switch s {
	case StatusHeld, StatusPending, StatusConfirmed, StatusSeated:
		return true
	}
	return false
}

// replace puts next in the place of old; nil = there is none. Occupancy, day sheets and the ledger follow.
func (b *book) replace(old, next *Reservation) {
	assert(old != nil || next != nil, "I5: an event about nothing")
	if old != nil && blocks(old.Status) {
		b.occupy(old, false)
		b.live--
	}
	if next != nil && blocks(next.Status) {
		b.occupy(next, true)
		b.live++
	}
	b.enter(old, next)
	b.keepLists(old, next)
	if next == nil {
		b.resv.remove(b.own, mustOwnPart(old.ID))
	} else {
		b.resv.set(b.own, mustOwnPart(next.ID), next)
		b.rememberLate(old, next)
	}
	if b.led != nil {
		b.led.replace(b, old, next)
	}
}

// enter keeps the day sheets.
func (b *book) enter(old, next *Reservation) {
	if old != nil {
		s := b.sheet(old.Day)
		i, found := slices.BinarySearchFunc(s.list, old, byStart)
		assert(found, "I7: a reservation is not on its day sheet")
		if next != nil && next.Day == old.Day && next.StartsAt == old.StartsAt {
			s.list[i] = next
			return
		}
		s.list = slices.Delete(s.list, i, i+1)
		if len(s.list) == 0 && (next == nil || next.Day != old.Day) {
			b.sheets.remove(b.own, dayKey(old.Day))
			b.everyDay = b.version
		}
	}
	if next != nil {
		s := b.sheet(next.Day)
		i, found := slices.BinarySearchFunc(s.list, next, byStart)
		assert(!found, "I7: a reservation is on its day sheet twice")
		s.list = slices.Insert(s.list, i, next)
	}
}

// sheet is the day's sheet, made ours to change and marked as touched.
func (b *book) sheet(day Day) *sheet {
	s, ok := b.sheets.get(dayKey(day))
	if !ok {
		s = &sheet{own: b.own}
		b.sheets.set(b.own, dayKey(day), s)
	} else if s.own != b.own {
		s = &sheet{own: b.own, list: append(make([]*Reservation, 0, len(s.list)+4), s.list...)}
		b.sheets.set(b.own, dayKey(day), s)
	}
	s.version = b.version
	return s
}

func dayKey(d Day) uint64 { return uint64(uint32(d)) }

func byStart(a, b *Reservation) int {
	if c := cmp.Compare(a.StartsAt, b.StartsAt); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// dayVersion is the newest version of an event that may have changed what can be said of day. A shift past midnight and a
// long turn reach two days far.
func (b *book) dayVersion(day Day) Version {
	v := b.everyDay
	for d := day - 2; d <= day+2; d++ {
		if s, ok := b.sheets.get(dayKey(d)); ok {
			v = max(v, s.version)
		}
	}
	return v
}
