package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// rows are what a transaction touches, as it will be.
type rows struct {
	users        map[string]*user
	mentioned    map[string]struct{} // accounts that others name: they need a row
	restaurants  map[string]*restaurant
	said         map[string]struct{} // terms that restaurants had before they changed
	tables       map[string]*table
	staff        map[staffKey]*enginepb.Member // nil = dismissed
	reservations map[string]*reservation
	reviews      map[string]*review // by reservation
	forgotten    []string           // reservations whose review in the store loses its words
}

type user struct {
	role    *string
	created *time.Time
	erased  persistence.Erasure
}

// restaurant is the change of a row.
type restaurant struct {
	details *enginepb.Restaurant // nil = as they are
	made    bool
	version int64 // when made, else what is to be added
	ratings engine.Ratings
	rules   *enginepb.Rules // nil = as they are
}

// rated tells whether there are reviews to be counted.
func (r *restaurant) rated() bool { return r.ratings != (engine.Ratings{}) }

type table struct {
	restaurant string
	details    *enginepb.Table // nil = as they are
	removed    bool
}

type staffKey struct{ restaurant, user string }

type review struct {
	*enginepb.ReviewAdded
	restaurant string
	version    engine.Version
	user       *string
	comment    *string
	at         time.Time
}

// reservation is a whole row.
type reservation struct {
	id, restaurant string
	user           *string
	tables         []string
	day, local     int32
	starts, ends   time.Time
	guests         int32
	requests       *string
	status         enginepb.Status
	version        int64
	buffer         int32
	holdUntil      *time.Time

	made, placed, settled bool // new; its tables or times changed; whether it occupies them changed
	dirty                 bool
}

func newRows() *rows {
	return &rows{
		users: map[string]*user{}, mentioned: map[string]struct{}{}, restaurants: map[string]*restaurant{}, said: map[string]struct{}{}, tables: map[string]*table{},
		staff: map[staffKey]*enginepb.Member{}, reservations: map[string]*reservation{}, reviews: map[string]*review{},
	}
}

// occupies says whether a reservation of a status keeps others off its tables.
func occupies(s enginepb.Status) bool {
	switch s {
	case enginepb.Status_STATUS_HELD, enginepb.Status_STATUS_PENDING, enginepb.Status_STATUS_CONFIRMED, enginepb.Status_STATUS_SEATED:
		return true
	}
	return false
}

const selectRows = `SELECT r.id, r.restaurant_id, r.user_id, (SELECT array_agg(t.table_id ORDER BY t.position) FROM reservation_tables t
 WHERE t.reservation_id = r.id), r.service_date - date '1970-01-01', r.local_minutes, r.starts_at, r.ends_at, r.guests_count,
 r.special_requests, r.status, r.version, r.buffer_minutes, r.hold_until FROM reservations r`

// load reads the reservations that events change and do not make.
func (w *rows) load(ctx context.Context, q querier, events []*persistence.Committed) error {
	made := map[string]bool{}
	var ids, restaurants, guests, changing []string
	for _, c := range events {
		switch e := c.Event.GetBody().(type) {
		case *enginepb.Event_ReservationCreated:
			made[e.ReservationCreated.GetReservation().GetId()] = true
		case *enginepb.Event_RestaurantChanged:
			changing = append(changing, string(c.Aggregate))
		case *enginepb.Event_GuestForgotten:
			restaurants, guests = append(restaurants, string(c.Aggregate)), append(guests, e.GuestForgotten.GetGuest())
		default:
			if id := changed(c.Event); id != "" && !made[id] {
				made[id], ids = true, append(ids, id)
			}
		}
	}
	if len(ids) > 0 {
		if err := w.read(ctx, q, selectRows+" WHERE r.id = ANY($1)", ids); err != nil {
			return err
		}
	}
	if len(changing) > 0 {
		if err := w.readTerms(ctx, q, changing); err != nil {
			return err
		}
	}
	if len(guests) > 0 {
		return w.read(ctx, q, selectRows+` WHERE (r.restaurant_id, r.user_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, restaurants, guests)
	}
	return nil
}

// readTerms reads what restaurants say before they change.
func (w *rows) readTerms(ctx context.Context, q querier, restaurants []string) error {
	words, err := column[string](ctx, q, "SELECT words FROM restaurants WHERE id = ANY($1)", restaurants)
	if err != nil {
		return fmt.Errorf("load words: %w", err)
	}
	for _, all := range words {
		for _, word := range strings.Fields(all) {
			if persistence.Typos(word) > 0 {
				w.said[word] = struct{}{}
			}
		}
	}
	return nil
}

// changed is the reservation that an event changes; empty = none.
func changed(e *enginepb.Event) string {
	switch e := e.GetBody().(type) {
	case *enginepb.Event_ReservationRescheduled:
		return e.ReservationRescheduled.GetId()
	case *enginepb.Event_ReservationStatusChanged:
		return e.ReservationStatusChanged.GetId()
	case *enginepb.Event_ReservationOffered:
		return e.ReservationOffered.GetId()
	case *enginepb.Event_ReservationReminded:
		return e.ReservationReminded.GetId()
	case *enginepb.Event_ReservationNoted:
		return e.ReservationNoted.GetId()
	case *enginepb.Event_ReviewAdded:
		return e.ReviewAdded.GetReservation()
	}
	return ""
}

func (w *rows) read(ctx context.Context, q querier, query string, args ...any) error {
	err := each(ctx, q, query, args, func(row pgx.Rows) error {
		var r reservation
		var status string
		err := row.Scan(&r.id, &r.restaurant, &r.user, &r.tables, &r.day, &r.local, &r.starts, &r.ends, &r.guests, &r.requests, &status, &r.version, &r.buffer, &r.holdUntil)
		if err != nil {
			return err
		}
		if r.status, err = parseStatus(status); err != nil {
			return err
		}
		w.reservations[r.id] = &r
		return nil
	})
	if err != nil {
		return fmt.Errorf("load reservations: %w", err)
	}
	return nil
}

// apply folds the next event of an aggregate. Events that the read model has no place for change nothing.
func (w *rows) apply(c *persistence.Committed) error {
	id := string(c.Aggregate)
	switch e := c.Event.GetBody().(type) {
	case *enginepb.Event_ReservationCreated:
		w.create(id, e.ReservationCreated.GetReservation())
	case *enginepb.Event_ReservationRescheduled:
		return w.change(e.ReservationRescheduled.GetId(), func(r *reservation) { r.reschedule(e.ReservationRescheduled) })
	case *enginepb.Event_ReservationStatusChanged:
		return w.change(e.ReservationStatusChanged.GetId(), func(r *reservation) {
			r.settled = r.settled || occupies(r.status) != occupies(e.ReservationStatusChanged.GetStatus())
			r.status = e.ReservationStatusChanged.GetStatus()
		})
	case *enginepb.Event_ReservationOffered:
		return w.change(e.ReservationOffered.GetId(), func(r *reservation) { r.offer(e.ReservationOffered) })
	case *enginepb.Event_ReservationReminded:
		return w.change(e.ReservationReminded.GetId(), func(*reservation) {})
	case *enginepb.Event_ReservationNoted:
		return w.change(e.ReservationNoted.GetId(), func(*reservation) {}) // a version more: the words are for the view of its owner
	case *enginepb.Event_ReviewAdded:
		return w.review(c, e.ReviewAdded)
	case *enginepb.Event_GuestForgotten:
		w.forget(id, e.GuestForgotten.GetGuest())
	case *enginepb.Event_RestaurantCreated:
		w.restaurants[id] = &restaurant{details: e.RestaurantCreated.GetRestaurant(), made: true, version: 1}
		w.mention(e.RestaurantCreated.GetRestaurant().GetOwner())
	case *enginepb.Event_RestaurantChanged:
		r := w.restaurant(id)
		r.details = e.RestaurantChanged.GetRestaurant()
		r.version++
		w.mention(r.details.GetOwner())
	case *enginepb.Event_RulesSet:
		w.restaurant(id).rules = e.RulesSet.GetRules()
	case *enginepb.Event_TableAdded:
		w.tables[e.TableAdded.GetTable().GetId()] = &table{restaurant: id, details: e.TableAdded.GetTable()}
	case *enginepb.Event_TableChanged:
		w.tables[e.TableChanged.GetTable().GetId()] = &table{restaurant: id, details: e.TableChanged.GetTable()}
	case *enginepb.Event_TableRemoved:
		w.remove(id, e.TableRemoved.GetTableId())
	case *enginepb.Event_StaffSet:
		w.staff[staffKey{id, e.StaffSet.GetMember().GetAccount()}] = e.StaffSet.GetMember()
		w.mention(e.StaffSet.GetMember().GetAccount())
	case *enginepb.Event_StaffRemoved:
		w.staff[staffKey{id, e.StaffRemoved.GetAccount()}] = nil
	default:
		w.account(id, c.Event)
	}
	return nil
}

func (w *rows) account(id string, event *enginepb.Event) {
	switch e := event.GetBody().(type) {
	case *enginepb.Event_AccountRegistered:
		w.registered(id, e.AccountRegistered.GetAccount())
	case *enginepb.Event_AccountChanged:
		w.registered(id, e.AccountChanged.GetAccount())
	case *enginepb.Event_AccountErased:
		w.users[id] = &user{erased: persistence.ErasurePending}
	case *enginepb.Event_AccountErasureCompleted:
		w.users[id] = &user{erased: persistence.ErasureCompleted}
	}
}

func (w *rows) registered(id string, pb *enginepb.Account) {
	role, created := roleText(pb.GetRole()), time.UnixMilli(pb.GetCreatedMs())
	w.users[id] = &user{role: &role, created: &created}
}

func (w *rows) mention(account string) { w.mentioned[account] = struct{}{} }

func (w *rows) restaurant(id string) *restaurant {
	r := w.restaurants[id]
	if r == nil {
		r = &restaurant{}
		w.restaurants[id] = r
	}
	return r
}

func (w *rows) remove(restaurant, id string) {
	if t := w.tables[id]; t != nil {
		t.removed = true
		return
	}
	w.tables[id] = &table{restaurant: restaurant, removed: true}
}

func (w *rows) create(restaurant string, pb *enginepb.Reservation) {
	r := &reservation{
		id: pb.GetId(), restaurant: restaurant, user: orNil(pb.GetGuest()), guests: pb.GetGuestsCount(), requests: orNil(pb.GetSpecialRequests()),
		status: pb.GetStatus(), version: int64(max(1, pb.GetVersion())), made: true, buffer: pb.GetBufferMin(),
	}
	if r.user != nil {
		w.mention(*r.user)
	}
	if until := pb.GetHoldUntilMs(); until != 0 {
		r.holdUntil = new(time.UnixMilli(until))
	}
	r.place(pb.GetTableIds(), pb.GetServiceDay(), pb.GetLocalMin(), pb.GetStartsAt(), pb.GetEndsAt())
	w.reservations[r.id] = r
}

func (r *reservation) place(tables []string, day, local int32, starts, ends int64) {
	r.tables, r.day, r.local, r.starts, r.ends = tables, day, local, time.Unix(starts, 0), time.Unix(ends, 0)
	r.placed = true
}

func (r *reservation) reschedule(e *enginepb.ReservationRescheduled) {
	r.place(e.GetTableIds(), e.GetServiceDay(), e.GetLocalMin(), e.GetStartsAt(), e.GetEndsAt())
	r.guests, r.requests, r.buffer = e.GetGuestsCount(), orNil(e.GetSpecialRequests()), e.GetBufferMin()
}

// change is one more version of a reservation.
func (w *rows) change(id string, fn func(*reservation)) error {
	r := w.reservations[id]
	if r == nil {
		return fmt.Errorf("reservation %s is not here: %w", id, errGone)
	}
	fn(r)
	r.version++
	r.dirty = true
	return nil
}

func (w *rows) review(c *persistence.Committed, e *enginepb.ReviewAdded) error {
	ratings := &w.restaurant(string(c.Aggregate)).ratings
	ratings.Sum += int64(e.GetRating())
	ratings.Count++
	v := &review{ReviewAdded: e, restaurant: string(c.Aggregate), version: c.Version, comment: orNil(e.GetComment()), at: time.UnixMilli(c.Event.GetAtMs())}
	w.reviews[e.GetReservation()] = v
	return w.change(e.GetReservation(), func(r *reservation) { v.user = r.user })
}

// forget takes a guest out of all his reservations at a restaurant, and his words out of the reviews.
func (w *rows) forget(restaurant, guest string) {
	for id, r := range w.reservations {
		if r.restaurant != restaurant || r.user == nil || *r.user != guest {
			continue
		}
		r.user, r.requests, r.dirty = nil, nil, true
		r.version++
		w.forgotten = append(w.forgotten, id)
		if v := w.reviews[id]; v != nil {
			v.user, v.comment = nil, nil
		}
	}
}

// sorted is the values of a map in the order of their keys: statements come in the same order each time, so that two that
// block each other are never waiting for one another.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (r *reservation) offer(e *enginepb.ReservationOffered) {
	r.place(e.GetTableIds(), r.day, e.GetLocalMin(), e.GetStartsAt(), e.GetEndsAt())
	r.buffer, r.holdUntil, r.status = e.GetBufferMin(), new(time.UnixMilli(e.GetHoldUntilMs())), engine.StatusHeld
}
