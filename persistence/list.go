package persistence

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// ErrBadPlace says that ListFilter.After is not what a page of this list gave as Next.
var ErrBadPlace = errors.New("persistence: unreadable place in a list")

// MaxPage is the most rows of a page of any list.
const MaxPage = 100

// AggregateState is the state of one aggregate at a version, as the read model takes it from a base.
type AggregateState struct {
	ID                engine.AggregateID
	Version           engine.Version // of the aggregate
	Restaurant        *enginepb.Restaurant
	RestaurantVersion engine.Version  // of the details
	Rules             *enginepb.Rules // nil = never set
	Tables            []*enginepb.Table
	Staff             []*enginepb.Member
	Ratings           engine.Ratings
	Reservations      []*enginepb.Reservation
	Reviews           []StoredReview // in no base: only from a store
	Account           *enginepb.Account
	Erased            bool
	ErasureCompleted  bool
}

// Rebuildable is a store that can be made anew.
type Rebuildable interface {
	Store
	Dumper
	// Reset removes every row, the audit and the cursor, in one transaction.
	Reset(ctx context.Context) error
	// Load puts the states of aggregates that the store does not have yet, in one transaction, and leaves the cursor.
	Load(ctx context.Context, states []AggregateState) error
	// States reads what the store knows of aggregates, in the order of their ids, as Load takes it: one page is of one moment. next is
	// where the following page begins (StatesFilter.After); empty = this is the last one.
	States(ctx context.Context, f StatesFilter) (states []AggregateState, next engine.AggregateID, err error)
}

// Dumper prints what a store holds as lines, the same for equal contents whatever the layout:
//
//	cursor, account, head, member, ratings, reservation, restaurant, table: the read model
//	event, review: what no base holds, the audit and what guests wrote
type Dumper interface {
	// Lines calls fn with each line, in no order and as of one cursor. fn may keep it.
	Lines(ctx context.Context, fn func(line []byte)) error
}

// Dump prints the lines of a store in their order. It holds everything in memory: for tests and small stores.
func Dump(ctx context.Context, d Dumper, w io.Writer) error {
	var lines [][]byte
	if err := d.Lines(ctx, func(line []byte) { lines = append(lines, line) }); err != nil {
		return err
	}
	slices.SortFunc(lines, slices.Compare)
	for _, l := range lines {
		if _, err := w.Write(l); err != nil {
			return err
		}
	}
	return nil
}

// AccountRow is an account as the store knows it.
type AccountRow struct {
	ID        engine.AccountID
	Role      engine.Role
	CreatedMs int64
	Erased    Erasure
}

// Erasure is how far the erasure of an account is. The numbers are stored.
type Erasure int64

// The steps of an erasure.
const (
	NotErased        Erasure = iota
	ErasurePending           // the profile is gone, restaurants may still know the guest
	ErasureCompleted         // nobody knows the guest
)

// AppendCursor appends the line of a cursor.
func AppendCursor(dst []byte, p Position) []byte {
	return line(dst, "cursor", p.Journal, unsigned(p.Seq))
}

// AppendHead appends the line of an aggregate's version.
func AppendHead(dst []byte, id engine.AggregateID, v engine.Version) []byte {
	return line(dst, "head", string(id), unsigned(v))
}

// AppendAudited appends the line of an audited event.
func AppendAudited(dst []byte, c *Committed, event []byte) []byte {
	return line(dst, "event", unsigned(c.Seq), strconv.Itoa(c.Index), string(c.Aggregate), unsigned(c.Version), string(event))
}

// AppendAccount appends the line of an account.
func AppendAccount(dst []byte, a *AccountRow) []byte {
	return line(dst, "account", string(a.ID), a.Role.String(), strconv.FormatInt(a.CreatedMs, 10), strconv.FormatInt(int64(a.Erased), 10))
}

// AppendRestaurant appends the line of a restaurant.
func AppendRestaurant(dst []byte, r *enginepb.Restaurant, v engine.Version) []byte {
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	fields := []string{r.GetId(), unsigned(v), r.GetOwner(), r.GetName(), r.GetAddress(), r.GetCity(), r.GetCountry(), r.GetCuisineType(),
		r.GetDescription(), r.GetPhone(), r.GetEmail(), r.GetTimeZone(), f(r.GetLatitude()), f(r.GetLongitude()), integer(r.GetGridMin())}
	for _, o := range r.GetOpeningHours() {
		fields = append(fields, unsigned(o.GetDays()), integer(o.GetOpenMin()), integer(o.GetCloseMin()), integer(o.GetLastSeatingMin()))
		if o.GetGridMin() != 0 || o.GetName() != "" {
			fields = append(fields, integer(o.GetGridMin()), o.GetName())
		}
	}
	return line(dst, "restaurant", fields...)
}

// AppendRules appends the line of a restaurant's rules.
func AppendRules(dst []byte, r engine.RestaurantID, rules []byte) []byte {
	return line(dst, "rules", string(r), string(rules))
}

// AppendTable appends the line of a table.
func AppendTable(dst []byte, r engine.RestaurantID, t *enginepb.Table) []byte {
	blocks, _ := Blocks(t.GetBlocks()) // numbers are always JSON
	return line(dst, "table", string(r), t.GetId(), unsigned(t.GetVersion()), t.GetTableNumber(), integer(t.GetCapacity()),
		integer(t.GetMinCapacity()), t.GetLocation(), strconv.FormatBool(t.GetInService()), t.GetChannel().String(), blocks)
}

// AppendReservation appends the line of a reservation.
func AppendReservation(dst []byte, r *ReservationRow) []byte {
	fields := []string{string(r.ID), string(r.Restaurant), r.RestaurantName, string(r.Guest), integer(r.ServiceDay), integer(r.LocalMin),
		strconv.FormatInt(r.StartsAt.Unix(), 10), strconv.FormatInt(r.EndsAt.Unix(), 10), r.TimeZone, integer(r.GuestsCount),
		r.SpecialRequests, r.Status.String(), unsigned(r.Version), integer(r.BufferMin), strconv.FormatInt(r.HoldUntilMs, 10)}
	for _, t := range r.Tables {
		fields = append(fields, string(t))
	}
	return line(dst, "reservation", fields...)
}

func line(dst []byte, kind string, fields ...string) []byte {
	dst = append(dst, kind...)
	for _, f := range fields {
		dst = strconv.AppendQuote(append(dst, ' '), f)
	}
	return append(dst, '\n')
}

func unsigned[T ~uint64 | ~uint32](v T) string { return strconv.FormatUint(uint64(v), 10) }

func integer(v int32) string { return strconv.FormatInt(int64(v), 10) }
