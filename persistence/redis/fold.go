package redis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// ErrGap says that an event does not follow what is in Redis: something is missing there. The next Cursor loads it anew.
var ErrGap = errors.New("redis: an event does not follow what is there")

// fold is the change of one restaurant by events: from what its keys say to what they are to say.
type fold struct {
	id      engine.AggregateID
	was     string             // maitred:{id}:v as read; empty = none
	head    position           // after the events so far
	records map[string]*record // by reservation; nil = none there

	moved map[string]bool            // records to write
	days  map[int32]map[string]*stay // fields to set; nil = to drop
	at    map[int32]position         // of those days
	floor map[string]*tableJSON      // fields to set; nil = to drop
	about *detailsJSON               // nil = as before
	rules []byte                     // nil = as before
	anew  []string                   // keys that go before anything is written
	whole position                   // of the newest event after which every day may be another; zero = there is none
}

func newFold(id engine.AggregateID) *fold {
	return &fold{id: id, records: map[string]*record{}, moved: map[string]bool{}, days: map[int32]map[string]*stay{},
		at: map[int32]position{}, floor: map[string]*tableJSON{}}
}

// aboutRestaurant tells whether an aggregate is of interest.
func aboutRestaurant(id engine.AggregateID) bool { return !engine.IsAccountID(string(id)) }

// needs are the reservations whose records apply looks at.
func needs(events []*persistence.Committed) []string {
	ids := map[string]bool{}
	for _, c := range events {
		switch e := c.Event.Body.(type) {
		case *enginepb.Event_ReservationRescheduled:
			ids[e.ReservationRescheduled.Id] = true
		case *enginepb.Event_ReservationStatusChanged:
			ids[e.ReservationStatusChanged.Id] = true
		case *enginepb.Event_ReservationOffered:
			ids[e.ReservationOffered.Id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// apply folds those events that are not here yet.
func (f *fold) apply(events []*persistence.Committed) error {
	for _, c := range events {
		if c.Version <= f.head.Version {
			continue
		}
		if c.Version != f.head.Version+1 {
			return fmt.Errorf("%s: version %d after %d at %d: %w", f.id, c.Version, f.head.Version, c.Seq, ErrGap)
		}
		f.head = position{c.Version, c.Event.GetAtMs()}
		f.event(c.Event)
	}
	return nil
}

func (f *fold) event(event *enginepb.Event) {
	switch e := event.Body.(type) {
	case *enginepb.Event_RestaurantCreated:
		f.describe(e.RestaurantCreated.GetRestaurant())
	case *enginepb.Event_RestaurantChanged:
		f.describe(e.RestaurantChanged.GetRestaurant())
	case *enginepb.Event_RulesSet:
		f.setRules(e.RulesSet.GetRules())
	case *enginepb.Event_TableAdded:
		f.table(e.TableAdded.GetTable())
	case *enginepb.Event_TableChanged:
		f.table(e.TableChanged.GetTable())
	case *enginepb.Event_TableRemoved:
		f.floor[e.TableRemoved.TableId], f.whole = nil, f.head
	case *enginepb.Event_ReservationCreated:
		f.reserve(e.ReservationCreated.GetReservation())
	case *enginepb.Event_ReservationRescheduled:
		c := e.ReservationRescheduled
		old := f.records[c.Id]
		// Without a record its day is over. It holds tables all the same: no other is moved, but one that is reinstated next.
		next := &record{Day: c.ServiceDay, Counts: old == nil || old.Counts,
			Stay: stay{Tables: c.TableIds, Start: c.StartsAt, End: c.EndsAt, Guests: c.GuestsCount, Buffer: c.BufferMin, Local: c.LocalMin}}
		if old != nil {
			next.Stay.Online, next.Stay.Over, next.Stay.Until = old.Stay.Online, old.Stay.Over, old.Stay.Until
		}
		f.place(c.Id, next)
	case *enginepb.Event_ReservationOffered:
		c := e.ReservationOffered
		if old := f.records[c.Id]; old != nil { // else its day is over
			f.place(c.Id, &record{Day: old.Day, Counts: true, Stay: stay{Tables: c.TableIds, Start: c.StartsAt, End: c.EndsAt, Guests: c.GuestsCount,
				Buffer: c.BufferMin, Local: c.LocalMin, Until: c.HoldUntilMs, Online: old.Stay.Online}})
		}
	case *enginepb.Event_ReservationStatusChanged:
		c := e.ReservationStatusChanged
		if old := f.records[c.Id]; old != nil { // else its day is over
			next := &record{Day: old.Day, Counts: counts(c.Status), Stay: old.Stay}
			if next.Stay.Over = c.Status == engine.StatusCompleted; c.Status != engine.StatusHeld {
				next.Stay.Until = 0
			}
			f.place(c.Id, next)
		}
	}
}

// counts tells whether a reservation of that status holds its tables, or did and counts for the pace.
func counts(s enginepb.Status) bool {
	switch s {
	case enginepb.Status_STATUS_HELD, enginepb.Status_STATUS_PENDING, engine.StatusConfirmed, engine.StatusSeated, engine.StatusCompleted:
		return true
	}
	return false
}

func (f *fold) describe(pb *enginepb.Restaurant) {
	about := &detailsJSON{Name: pb.GetName(), TimeZone: pb.GetTimeZone(), GridMinutes: pb.GetGridMin(), OpeningHours: []hoursJSON{}}
	if about.GridMinutes == 0 {
		about.GridMinutes = engine.DefaultGridMin
	}
	for _, h := range pb.GetOpeningHours() {
		about.OpeningHours = append(about.OpeningHours, hoursJSON{h.GetDays(), h.GetOpenMin(), h.GetCloseMin(), h.GetLastSeatingMin(), h.GetName(), h.GetGridMin()})
	}
	f.about, f.whole = about, f.head
}

func (f *fold) setRules(pb *enginepb.Rules) {
	rules, err := pb.MarshalVT()
	if err != nil { // only of strings that are not UTF-8, which the engine does not take
		panic("redis: encode the rules: " + err.Error())
	}
	f.rules, f.whole = rules, f.head
}

func (f *fold) table(pb *enginepb.Table) {
	blocks := ""
	if len(pb.GetBlocks()) > 0 {
		blocks, _ = persistence.Blocks(pb.GetBlocks()) // numbers are always JSON
	}
	f.floor[pb.GetId()] = &tableJSON{pb.GetTableNumber(), pb.GetCapacity(), pb.GetMinCapacity(), pb.GetInService(), pb.GetLocation(), int32(pb.GetChannel()), blocks}
	f.whole = f.head
}

func (f *fold) reserve(pb *enginepb.Reservation) {
	until := int64(0)
	if pb.GetStatus() == engine.StatusHeld {
		until = pb.GetHoldUntilMs()
	}
	f.place(pb.GetId(), &record{Day: pb.GetServiceDay(), Counts: counts(pb.GetStatus()), Stay: stay{
		Tables: pb.GetTableIds(), Start: pb.GetStartsAt(), End: pb.GetEndsAt(), Guests: pb.GetGuestsCount(), Buffer: pb.GetBufferMin(),
		Local: pb.GetLocalMin(), Until: until, Online: pb.GetGuest() != "", Over: pb.GetStatus() == engine.StatusCompleted}})
}

// place puts next in the place of the reservation's record; the days follow.
func (f *fold) place(id string, next *record) {
	if next.Stay.Tables == nil {
		next.Stay.Tables = []string{}
	}
	old := f.records[id]
	f.records[id], f.moved[id] = next, true
	had, has := old != nil && old.Counts, next.Counts
	if had && has && old.Day == next.Day && same(&old.Stay, &next.Stay) {
		return
	}
	if had && (!has || old.Day != next.Day) {
		f.touch(old.Day)[id] = nil
	}
	if has {
		f.touch(next.Day)[id] = &next.Stay
	}
}

func same(a, b *stay) bool {
	return a.Start == b.Start && a.End == b.End && a.Guests == b.Guests && a.Buffer == b.Buffer && a.Local == b.Local && a.Until == b.Until &&
		a.Online == b.Online && a.Over == b.Over && slices.Equal(a.Tables, b.Tables)
}

// touch is the fields of a day that the present event changes.
func (f *fold) touch(day int32) map[string]*stay {
	if f.days[day] == nil {
		f.days[day] = map[string]*stay{}
	}
	f.at[day] = f.head
	return f.days[day]
}

// load makes f the restaurant as a state has it, without the days that are over. asOf is not known: the newest time that the state
// names is not later.
func (f *fold) load(a *persistence.AggregateState, over func(day int32) bool) {
	f.head = position{Version: a.Version}
	for _, r := range a.Reservations {
		f.head.AsOf = max(f.head.AsOf, r.GetCreatedMs(), r.GetUpdatedMs())
	}
	f.describe(a.Restaurant)
	if a.Rules != nil {
		f.setRules(a.Rules)
	}
	for _, t := range a.Tables {
		f.table(t)
	}
	for _, r := range a.Reservations {
		if !over(r.GetServiceDay()) {
			f.reserve(r)
		}
	}
}

// dayEnds is the Unix second at which everything about a service day expires.
func dayEnds(day int32, retain time.Duration) int64 {
	return (int64(day)+1)*daySeconds + int64(retain/time.Second)
}
