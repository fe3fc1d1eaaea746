package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// readTimeout bounds one read.
const readTimeout = time.Second

// Table is a table of the floor.
type Table struct {
	ID          engine.TableID
	Number      string
	Capacity    int // guests
	MinCapacity int // guests
	InService   bool
	Location    string
	Channel     engine.Channel
	Blocks      []*enginepb.Block
}

// Floor is what a restaurant offers.
type Floor struct {
	Name         string
	TimeZone     string // IANA
	GridMin      int    // minutes between start times
	OpeningHours []engine.OpeningHours
	Rules        *enginepb.Rules // nil = never set
	Tables       []Table         // by id
}

// Stay is a reservation that holds tables, or did.
type Stay struct {
	ID       engine.ReservationID
	Tables   []engine.TableID
	StartsAt int64 // Unix seconds
	EndsAt   int64 // Unix seconds, exclusive
	Guests   int

	BufferMin int            // minutes after EndsAt for which the tables stay free
	LocalMin  int            // minutes after midnight of the day
	Online    bool           // booked by the guest
	Over      bool           // has left
	HoldUntil engine.Instant // when it ends by itself; 0 = it does not
}

// DayState is a service day of a restaurant as Redis has it.
type DayState struct {
	Floor   Floor
	Stays   []Stay         // by start, then id
	Version engine.Version // of the restaurant
	Changed engine.Version // of the restaurant, when the day's occupancy last changed; 0 = nobody was ever there
	// AsOf is a time at which nothing durable was missing of the restaurant, but for the skew of the nodes' clocks.
	AsOf time.Time
}

// restaurantState is a restaurant with some of its days.
type restaurantState struct {
	head  position
	asOf  int64
	floor Floor
	days  []dayState
}

type dayState struct {
	day     engine.Day
	changed engine.Version
	stays   []Stay
}

// Day reads a service day of a restaurant: all of it is of one version. persistence.ErrNotFound when Redis does not know the
// restaurant, which it may be told of later. At most 1 s.
func (c *Client) Day(ctx context.Context, id engine.RestaurantID, day engine.Day) (DayState, error) {
	r, err := c.read(ctx, id, day, day)
	if err != nil {
		return DayState{}, fmt.Errorf("redis: read %s of %s: %w", dateOf(int32(day)), id, err)
	}
	d := r.days[0]
	return DayState{Floor: r.floor, Stays: d.stays, Version: r.head.Version, Changed: d.changed, AsOf: time.UnixMilli(r.asOf)}, nil
}

// reach is how many days away a reservation can be that holds a table within a day: a shift past midnight and a long turn.
const reach = 2

// Availability lists the start times of a service day for a party, as engine.RestaurantView does, by the engine's own rules:
// Start.Free is the number of tables. AsOf is DayState.AsOf. Errors and bounds are those of Day.
func (c *Client) Availability(ctx context.Context, now engine.Instant, id engine.RestaurantID, day engine.Day, guests int) (a persistence.Availability, err error) {
	r, err := c.read(ctx, id, day-reach, day+reach)
	if err == nil {
		a.Starts, a.Terms, err = r.availability(now, id, day, guests)
	}
	if err != nil {
		return persistence.Availability{}, fmt.Errorf("redis: availability of %s on %s: %w", id, dateOf(int32(day)), err)
	}
	a.TimeZone, a.AsOf = r.floor.TimeZone, time.UnixMilli(r.asOf)
	return a, nil
}

// availability asks a restaurant of the engine that is opened from what was read.
func (r *restaurantState) availability(now engine.Instant, id engine.RestaurantID, day engine.Day, guests int) ([]engine.Start, engine.Terms, error) {
	pb := &enginepb.RestaurantBase{Version: uint64(r.head.Version), RestaurantVersion: 1, LastMs: r.head.AsOf,
		Rules:      r.floor.Rules,
		Restaurant: &enginepb.Restaurant{Id: string(id), Name: r.floor.Name, TimeZone: r.floor.TimeZone, GridMin: int32(r.floor.GridMin)}}
	for _, h := range r.floor.OpeningHours {
		pb.Restaurant.OpeningHours = append(pb.Restaurant.OpeningHours, &enginepb.OpeningHours{
			Days: uint32(h.Days), OpenMin: int32(h.Open), CloseMin: int32(h.Close), LastSeatingMin: int32(h.LastSeating),
			Name: h.Name, GridMin: int32(h.GridMin)})
	}
	for _, t := range r.floor.Tables {
		pb.Tables = append(pb.Tables, &enginepb.Table{Id: string(t.ID), TableNumber: t.Number, Capacity: int32(t.Capacity),
			MinCapacity: int32(t.MinCapacity), InService: t.InService, Version: 1, Location: t.Location, Channel: t.Channel, Blocks: t.Blocks})
	}
	for _, d := range r.days {
		for _, s := range d.stays {
			v := &enginepb.Reservation{Id: string(s.ID), ServiceDay: int32(d.day), StartsAt: s.StartsAt, EndsAt: s.EndsAt,
				GuestsCount: int32(s.Guests), Status: engine.StatusConfirmed, Version: 1, BufferMin: int32(s.BufferMin), LocalMin: int32(s.LocalMin)}
			if s.Online {
				v.Guest = "online"
			}
			if s.HoldUntil != 0 {
				v.Status, v.HoldUntilMs = engine.StatusHeld, int64(s.HoldUntil)
			}
			if s.Over {
				v.Status, v.UpdatedMs = engine.StatusCompleted, pb.LastMs
			}
			for _, t := range s.Tables {
				v.TableIds = append(v.TableIds, string(t))
			}
			pb.Reservations = append(pb.Reservations, v)
		}
	}
	b, err := pb.MarshalVT()
	if err != nil {
		return nil, engine.Terms{}, err
	}
	a, err := engine.OpenBase(engine.AggregateID(id), b)
	if err != nil {
		return nil, engine.Terms{}, err
	}
	v := a.View().(*engine.RestaurantView)
	return v.Availability(now, day, guests, nil), v.Terms(guests), nil
}

// read reads a restaurant with its days from..to in one piece. The markers come first: what they say is in what follows.
func (c *Client) read(ctx context.Context, rid engine.RestaurantID, from, to engine.Day) (*restaurantState, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	asOf, err := c.wholeAsOf(ctx)
	if err != nil {
		return nil, err
	}
	id := engine.AggregateID(rid)
	var head *goredis.StringCmd
	var floor *goredis.MapStringStringCmd
	var days []*goredis.MapStringStringCmd
	_, err = c.db.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		head, floor, days = p.Get(ctx, versionKey(id)), p.HGetAll(ctx, floorKey(id)), nil
		for d := from; d <= to; d++ {
			days = append(days, p.HGetAll(ctx, dayKey(id, dateOf(int32(d)))))
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	f, err := foldOf(id, head)
	if err != nil {
		return nil, err
	}
	if f.was == "" {
		return nil, persistence.ErrNotFound
	}
	r := &restaurantState{head: f.head, asOf: max(asOf, f.head.AsOf)}
	if r.floor, err = readFloor(floorKey(id), floor.Val()); err != nil {
		return nil, err
	}
	for i, cmd := range days {
		d, err := readDay(dayKey(id, dateOf(int32(from)+int32(i))), from+engine.Day(i), cmd.Val())
		if err != nil {
			return nil, err
		}
		r.days = append(r.days, d)
	}
	return r, nil
}

// wholeAsOf is as_of of the markers, in Unix ms; 0 when one is missing or a load runs.
func (c *Client) wholeAsOf(ctx context.Context) (int64, error) {
	keys, err := c.knownMarkerKeys(ctx)
	if err != nil {
		return 0, err
	}
	markers, err := c.markers(ctx, keys)
	if err != nil {
		return 0, err
	}
	asOf := markers[0].asOf
	for _, m := range markers {
		if !m.there || m.loading {
			return 0, nil
		}
		asOf = min(asOf, m.asOf)
	}
	return asOf, nil
}

func readFloor(key string, fields map[string]string) (f Floor, err error) {
	about, err := decode[detailsJSON](key, fields[fieldDetails])
	if err != nil {
		return f, err
	}
	f.Name, f.TimeZone, f.GridMin = about.Name, about.TimeZone, int(about.GridMinutes)
	for _, h := range about.OpeningHours {
		f.OpeningHours = append(f.OpeningHours, engine.OpeningHours{
			Days: uint8(h.Days), Open: int(h.Open), Close: int(h.Close), LastSeating: int(h.LastSeating), Name: h.Name, GridMin: int(h.GridMinutes)})
	}
	if rules := fields[fieldRules]; rules != "" {
		f.Rules = new(enginepb.Rules)
		if err := f.Rules.UnmarshalVT([]byte(rules)); err != nil {
			return f, fmt.Errorf("%s: %w: %w", key, errNotOurs, err)
		}
	}
	for id, text := range fields {
		if strings.HasPrefix(id, fieldPosition) {
			continue
		}
		t, err := decode[tableJSON](key, text)
		if err != nil {
			return f, err
		}
		var blocks []*enginepb.Block
		if t.Blocks != "" {
			if blocks, err = persistence.ParseBlocks(t.Blocks); err != nil {
				return f, fmt.Errorf("%s: %w: %w", key, errNotOurs, err)
			}
		}
		f.Tables = append(f.Tables, Table{engine.TableID(id), t.Number, int(t.Capacity), int(t.MinCapacity), t.InService, t.Location, engine.Channel(t.Channel), blocks})
	}
	slices.SortFunc(f.Tables, func(a, b Table) int { return cmp.Compare(a.ID, b.ID) })
	return f, nil
}

func readDay(key string, day engine.Day, fields map[string]string) (d dayState, err error) {
	d.day = day
	for id, text := range fields {
		if id == fieldPosition {
			p, err := decode[position](key, text)
			if err != nil {
				return d, err
			}
			d.changed = p.Version
			continue
		}
		s, err := decode[stay](key, text)
		if err != nil {
			return d, err
		}
		v := Stay{ID: engine.ReservationID(id), StartsAt: s.Start, EndsAt: s.End, Guests: int(s.Guests),
			BufferMin: int(s.Buffer), LocalMin: int(s.Local), Online: s.Online, Over: s.Over, HoldUntil: engine.Instant(s.Until)}
		for _, t := range s.Tables {
			v.Tables = append(v.Tables, engine.TableID(t))
		}
		d.stays = append(d.stays, v)
	}
	slices.SortFunc(d.stays, func(a, b Stay) int { return cmp.Or(cmp.Compare(a.StartsAt, b.StartsAt), cmp.Compare(a.ID, b.ID)) })
	return d, nil
}
