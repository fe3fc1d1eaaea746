package main

import (
	"fmt"
	"slices"
	"strconv"

	"maitred/engine"
)

// stay is a party at its tables, in minutes after midnight, half-open.
type stay struct {
	guests   int
	tables   []int // places in the floor's list
	from, to int
}

// seater gives parties tables, one after the other. nil = there is none.
type seater interface {
	seat(p *party, at int) (*stay, error)
}

// seated is what came of an evening.
type seated struct {
	stays           []stay
	covers, refused int // guests seated; parties sent away
}

// hold lets the parties ask in their order. With exact they ask for their own time only.
func hold(s seater, parties []party, exact bool) (out seated, err error) {
	for i := range parties {
		wishes := parties[i].wishes()
		if exact {
			wishes = wishes[:1]
		}
		got, err := firstGranted(s, &parties[i], wishes)
		if err != nil {
			return out, err
		}
		if got == nil {
			out.refused++
			continue
		}
		out.stays = append(out.stays, *got)
		out.covers += got.guests
	}
	return out, nil
}

func firstGranted(s seater, p *party, wishes []int) (*stay, error) {
	for _, at := range wishes {
		if got, err := s.seat(p, at); got != nil || err != nil {
			return got, err
		}
	}
	return nil, nil
}

// firstFit gives the first free spot of a list. Of the floor's own list that is the first table by number, else the first combination.
type firstFit struct {
	spots []spot
	stays []stay
}

func (h *firstFit) seat(p *party, at int) (*stay, error) {
	for i := range h.spots {
		s := stay{p.guests, h.spots[i].tables, at, at + p.turn()}
		if h.spots[i].suits(p) && h.free(&s) {
			h.stays = append(h.stays, s)
			return &s, nil
		}
	}
	return nil, nil
}

func (h *firstFit) free(s *stay) bool { return !slices.ContainsFunc(h.stays, s.meets) }

// meets reports whether two parties would have one table at one time.
func (s *stay) meets(o stay) bool {
	return s.from < o.to && o.from < s.to && slices.ContainsFunc(s.tables, func(t int) bool { return slices.Contains(o.tables, t) })
}

// eveningHouse is the real engine, asked by guests online.
type eveningHouse struct {
	book engine.Aggregate
	id   engine.RestaurantID
	own  uint64                 // the next own part of an id
	at   map[engine.TableID]int // places in the floor's list
}

const (
	eveningDay  = engine.Day(20_882) // a Friday, 2027-03-05
	minuteMs    = 60_000
	eveningYear = 366 // days of horizon: the profile's earliest requests are made 136 days before
)

// eveningInstant is a minute of the evening's scale in the engine's time.
func eveningInstant(minute int) engine.Instant {
	return engine.Instant(int64(eveningDay)*24*60+int64(minute)) * minuteMs
}

func openEveningHouse(f *eveningFloor) (seater, error) {
	h := &eveningHouse{id: engine.MakeRestaurantID(1), at: map[engine.TableID]int{}}
	h.book = engine.NewAggregate(engine.AggregateID(h.id))
	hours := engine.OpeningHours{Days: 1<<7 - 1, Open: eveningOpen, LastSeating: eveningLast, Close: eveningLast + 180}
	if err := h.furnish(&engine.CreateRestaurant{ID: h.id, Details: engine.Details{Name: f.name, TimeZone: "UTC",
		OpeningHours: []engine.OpeningHours{hours}, GridMin: eveningStep}}); err != nil {
		return nil, err
	}
	var ids []engine.TableID
	for i, t := range f.tables {
		id := engine.MakeTableID(h.id, h.next())
		ids, h.at[id] = append(ids, id), i
		if err := h.furnish(&engine.AddTable{ID: id, Table: engine.TableSpec{Number: strconv.Itoa(i + 1), Capacity: t.most, MinCapacity: t.least,
			Location: t.area, InService: true}}); err != nil {
			return nil, err
		}
	}
	return h, h.furnish(&engine.SetRules{Change: eveningRules(f, ids)})
}

func eveningRules(f *eveningFloor, ids []engine.TableID) engine.RulesChange {
	var list []engine.Combination
	for _, c := range f.combos {
		one := engine.Combination{MinParty: c.least, MaxParty: c.most}
		for _, t := range c.tables {
			one.Tables = append(one.Tables, ids[t])
		}
		list = append(list, one)
	}
	horizon := eveningYear
	return engine.RulesChange{HorizonDays: &horizon, Combinations: &list}
}

func (h *eveningHouse) next() uint64 { h.own++; return h.own }

// furnish is what the owner does, a year before the evening.
func (h *eveningHouse) furnish(body engine.Body) error {
	owner := engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
	if out := h.do(-eveningYear*24*60, owner, body); out.Code.Refused() {
		return fmt.Errorf("furnish the evening's house: code %d, %s", out.Code, out.Field)
	}
	return nil
}

func (h *eveningHouse) do(minute int, who engine.Caller, body engine.Body) engine.Outcome {
	out, events := h.book.Decide(eveningInstant(minute), &engine.Command{Caller: who, Body: body})
	for _, e := range events {
		h.book.Apply(e)
	}
	return out
}

func (h *eveningHouse) seat(p *party, at int) (*stay, error) {
	guest := engine.Caller{Account: engine.MakeAccountID([16]byte{2}), Role: engine.RoleCustomer}
	out := h.do(p.asked, guest, &engine.CreateReservation{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: p.guests, Area: p.area,
		Want: engine.When{HasLocal: true, Day: eveningDay, LocalMin: at}})
	switch out.Code {
	case engine.CodeCreated:
		return h.stayOf(out.Reservation), nil
	case engine.CodeSlotUnavailable, engine.CodePartyTooLarge:
		return nil, nil
	}
	return nil, fmt.Errorf("a request for %d at minute %d: code %d, %s", p.guests, at, out.Code, out.Field)
}

func (h *eveningHouse) stayOf(r *engine.Reservation) *stay {
	s := &stay{guests: r.GuestsCount, from: r.LocalMin, to: r.LocalMin + int(r.EndsAt-r.StartsAt)/60}
	for _, id := range r.Tables {
		s.tables = append(s.tables, h.at[id])
	}
	return s
}
