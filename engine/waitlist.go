package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// The waitlist. Who waits is a reservation without tables (StatusWaiting). Whatever frees tables offers them at once, in the same decision, to
// who joined first of those whom they suit: a guest who looks later never takes them away. An offer is a hold, and ends like one.

// Waiting is what the waitlist knows of a party. Its StartsAt is the earliest start that suits, until a table is offered.
type Waiting struct {
	Since     Instant // when it joined; nobody else's is the same
	Until     int64   // the latest start that suits, Unix seconds
	QuotedMin int     // what it was told when it joined: minutes after the wished start; -1 = that day has no table for it
}

// Commands of the waitlist.
type (
	// JoinWaitlist puts a party on the waitlist of a day. When a table is free for it already, it is offered that at once.
	JoinWaitlist struct {
		ID              ReservationID
		Want            When // the earliest start that suits; zero = now
		Until           When // the latest one; zero = Want, and for now three hours from now
		GuestsCount     int
		SpecialRequests string
		Area            string // the Location of the tables; empty = any
		Contact         Contact
	}
	// OfferTable offers a table to a party before its turn. Staff's.
	OfferTable struct{ ID ReservationID }
)

func (*JoinWaitlist) isBody() {}
func (*OfferTable) isBody()   {}

func (d *decision) joinWaitlist(c *JoinWaitlist) Outcome {
	staff := d.staff()
	switch {
	case !staff && d.cmd.Caller.Account == "":
		return refuse(CodeForbidden)
	case d.find(c.ID) != nil:
		return refuse(CodeExists)
	case d.stale(0):
		return refuse(CodeStale)
	case !d.inside(string(c.ID), isReservation):
		return invalid("id")
	}
	r := &Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Policy: d.rules.Cancellation, Status: StatusWaiting, Version: 1, Created: d.now, Updated: d.now, Waiting: new(Waiting)}
	if !staff {
		r.Guest = d.cmd.Caller.Account
	}
	if out := d.prepare(r); out.Code != CodeOK {
		return out
	}
	if out := d.await(r, c.Want, c.Until); out.Code != CodeOK {
		return out
	}
	if out := d.roomToWait(r); out.Code != CodeOK {
		return out
	}
	r.Waiting.Since = d.now
	if n := len(d.waits); n > 0 {
		r.Waiting.Since = max(d.now, d.waits[n-1].Waiting.Since+1)
	}
	r.Waiting.QuotedMin = d.quote(r)
	return d.begin(r)
}

// await gives r the times between which it waits for a start.
func (d *decision) await(r *Reservation, want, until When) Outcome {
	p, out := d.wishedStart(want)
	if out.Code == CodeOK {
		r.Waiting.Until, out = d.lastStart(p, want, until)
	}
	if out.Code != CodeOK {
		return out
	}
	q := r.waits(d.now)
	code := d.judge(&q, p)
	if code == CodeOK && p.at*msPerSec > d.rules.horizon(d.now) {
		code = CodeTooEarly
	}
	switch {
	case !q.staff && d.now < d.rules.PausedUntil:
		return refuse(CodePaused)
	case r.Waiting.Until < p.at || r.Waiting.Until > p.at+maxWaitSec:
		return invalid("until")
	case code != CodeOK:
		return Outcome{Code: code, Alternatives: d.alternatives(search{now: d.now, guests: r.GuestsCount, staff: q.staff, area: r.Area}, p)}
	case !d.everFits(r.GuestsCount):
		return refuse(CodePartyTooLarge)
	}
	r.Day, r.LocalMin, r.StartsAt, r.BufferMin = p.day, p.local, p.at, d.rules.BufferMin
	r.EndsAt, _ = d.stay(p, r.GuestsCount)
	return Outcome{}
}

// wishedStart is the start that a party wants, or the next one of the day for who stands at the door.
func (d *decision) wishedStart(want When) (place, Outcome) {
	if want != (When{}) {
		p, code, field := d.locate(want)
		return p, Outcome{Code: code, Field: field}
	}
	here := d.locateInstant(int64(d.now) / msPerSec)
	for p, ok := d.startAfter(here.day, here.local-1); ok; p, ok = d.startAfter(here.day, p.local) {
		if p.at*msPerSec >= int64(d.now) {
			return p, Outcome{}
		}
	}
	return place{}, refuse(CodeClosed)
}

// lastStart is the latest start that suits, Unix seconds.
func (d *decision) lastStart(first place, want, until When) (int64, Outcome) {
	switch {
	case until != (When{}):
		p, code, _ := d.locate(until)
		if code != CodeOK {
			return 0, invalid("until")
		}
		return p.at, Outcome{}
	case want == (When{}):
		return first.at + waitFromNowSec, Outcome{}
	}
	return first.at, Outcome{}
}

// roomToWait bounds the waitlist of the house, of a day, and of a guest, for whom holds count too: what waits may become one at any moment.
func (d *decision) roomToWait(r *Reservation) Outcome {
	mine, day := d.holdsOf(r.Guest), 0
	for _, w := range d.waits {
		if r.Guest != "" && w.Guest == r.Guest {
			mine++
		}
		if w.Day == r.Day {
			day++
		}
	}
	if mine >= MaxWaitingPerGuest || day >= MaxWaitingADay || len(d.waits) >= MaxWaiting {
		return Outcome{Code: CodeLimit, Field: "waitlist"}
	}
	return d.room()
}

// holdsOf counts the holds of a guest; nobody has none.
func (b *book) holdsOf(guest AccountID) (n int) {
	for _, h := range b.holds {
		if guest != "" && h.Guest == guest {
			n++
		}
	}
	return n
}

func byJoining(a, b *Reservation) int {
	return cmp.Or(cmp.Compare(a.Waiting.Since, b.Waiting.Since), cmp.Compare(a.ID, b.ID))
}

// waits is what a waiting party looks for: what staff wrote in may have the tables that the house keeps. Horizon and pause are for new guests.
func (r *Reservation) waits(now Instant) search {
	return search{now: now, guests: r.GuestsCount, staff: r.Guest == "", waited: true, area: r.Area}
}

// firstFree is the first start from r's on, until a time, at which the party would be seated, and where; nil = there is none that day. It must
// have a minute to say yes.
func (b *book) firstFree(q *search, r *Reservation, until int64) (place, []TableID) {
	fits := b.floor.fitting(q)
	var together suitable
	b.suitable(q, &together)
	var count pace
	paced := b.rules.Pacing.bounds()
	if paced {
		b.paceOf(r.Day, "", &count)
	}
	from := max(r.StartsAt, int64(q.now)/msPerSec+minAnswerSec)
	for p, ok := b.startAfter(r.Day, b.before(r)); ok; p, ok = b.startAfter(r.Day, p.local) {
		if p.at > until {
			break
		}
		if p.at < from || b.judge(q, p) != CodeOK || paced && !b.rules.Pacing.admits(&count, p.local, q.guests, q.staff) {
			continue
		}
		_, held := b.stay(p, q.guests)
		taken := b.taken(held, nil)
		if fits.countWithout(&taken)+b.freeCombos(&together, &taken) == 0 {
			continue
		}
		if tables := b.seat(q, wish{span: held, table: -1}); tables != nil {
			return p, tables
		}
	}
	return place{}, nil
}

// before is a minute of r's day after which its start comes, also when the zone is another one since.
func (b *book) before(r *Reservation) int {
	day, minute, _ := b.zone.local(r.StartsAt)
	if day < r.Day {
		return -1
	}
	return int(day-r.Day)*minutesPerDay + minute - 1
}

// need is what parties have in common that look for the same.
type need struct {
	day          Day
	guests       int
	staff        bool
	area         string
	start, until int64
}

// promote offers what is free to those who wait, in order of joining; who can have nothing is passed over. At most so many offers; cut reports
// that there is more to offer. Offers only take: what nobody finds once is not looked for again.
func (b *book) promote(now Instant, most int) (events []*Event, cut bool) {
	vain := map[need]bool{}
	for _, r := range b.waits {
		if len(b.holds) >= MaxHolds || b.live >= MaxLive {
			break
		}
		q := r.waits(now)
		same := need{r.Day, r.GuestsCount, q.staff, r.Area, r.StartsAt, r.Waiting.Until}
		if vain[same] || b.holdsOf(r.Guest) >= MaxHoldsPerGuest {
			continue
		}
		body := b.offer(&q, r)
		if body == nil {
			vain[same] = true
			continue
		}
		if len(events) == most {
			return events, true
		}
		e := &Event{AtMs: int64(now), ByRole: RoleSystem, Body: body}
		b.apply(e, nil)
		events = append(events, e)
	}
	return events, false
}

// offer is what holds the first tables that suit; nil = none does.
func (b *book) offer(q *search, r *Reservation) enginepb.EventBody {
	p, tables := b.firstFree(q, r, r.Waiting.Until)
	if tables == nil {
		return nil
	}
	endsAt, _ := b.stay(p, q.guests)
	return &enginepb.Event_ReservationOffered{ReservationOffered: &enginepb.ReservationOffered{Id: string(r.ID), TableIds: tableStrings(tables),
		LocalMin: int32(p.local), StartsAt: p.at, EndsAt: endsAt, BufferMin: int32(b.rules.BufferMin), HoldUntilMs: min(int64(q.now)+b.rules.offerMs(), p.at*msPerSec),
		ServiceDay: int32(r.Day), GuestsCount: int32(r.GuestsCount)}}
}

// offerFreed goes on with what the command has freed, and with what earlier ones have left.
func (d *decision) offerFreed(done []*Event, out *Outcome) {
	if len(d.waits) == 0 && !slices.ContainsFunc(done, joins) || !d.owing && !slices.ContainsFunc(done, frees) {
		return
	}
	next := d.freeze()
	next.own = new(edit)
	for _, e := range done {
		next.apply(e, nil)
	}
	offers, cut := next.promote(d.now, MaxEvents-len(d.events))
	for _, e := range offers {
		d.events = append(d.events, e)
		if r := out.Reservation; r != nil && reservationOf(e) == r.ID {
			out.Reservation = next.find(r.ID)
		}
	}
	if cut {
		d.events[len(d.events)-1].Owing = true
	}
}

func joins(e *Event) bool {
	return e.GetReservationCreated().GetReservation().GetStatus() == StatusWaiting
}

// frees reports whether there may be a table after e for somebody who has waited before it, or waits since. A hold that is confirmed is one less
// of its guest.
func frees(e *Event) bool {
	switch e.Body.(type) {
	case *enginepb.Event_ReservationStatusChanged, *enginepb.Event_ReservationRescheduled, *enginepb.Event_TableAdded, *enginepb.Event_TableChanged,
		*enginepb.Event_RulesSet, *enginepb.Event_RestaurantChanged,
		*enginepb.Event_GuestForgotten: // whom nobody knows is not an online guest any more
		return true
	}
	return joins(e)
}

func (d *decision) offerTable(c *OfferTable) Outcome {
	old := d.subject(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case !d.staff():
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Reservation: old}
	case old.Status != StatusWaiting:
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	case len(d.holds) >= MaxHolds:
		return Outcome{Code: CodeLimit, Field: "holds"}
	case d.live >= MaxLive:
		return Outcome{Code: CodeLimit, Field: "live_reservations"}
	}
	q := old.waits(d.now)
	q.staff = true
	body := d.offer(&q, old)
	if body == nil {
		return refuse(CodeSlotUnavailable)
	}
	next := evolve(old, d.emit(body))
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}

// quote is how many minutes after its wished start a party that joins now may expect a table, by the book as it stands: everybody ahead of it
// takes the first table that suits; -1 = that day has none.
func (b *book) quote(r *Reservation) int {
	next := b.freeze()
	next.own = new(edit)
	for _, w := range b.waits {
		if w.Day != r.Day {
			continue
		}
		q := w.waits(r.Created)
		if p, tables := next.firstFree(&q, w, w.Waiting.Until); tables != nil {
			seated := *w
			seated.Status, seated.Tables, seated.LocalMin, seated.StartsAt, seated.BufferMin = StatusSeated, tables, p.local, p.at, b.rules.BufferMin
			seated.EndsAt, _ = b.stay(p, w.GuestsCount)
			next.replace(w, &seated)
		}
	}
	q := r.waits(r.Created)
	p, tables := next.firstFree(&q, r, lastSecond)
	if tables == nil {
		return -1
	}
	return int(p.at-r.StartsAt) / 60
}

// Waitlist lists who waits for a table on a service day, who joined first first.
func (v *RestaurantView) Waitlist(day Day) (list []*Reservation) {
	for _, r := range v.waits {
		if r.Day == day {
			list = append(list, r)
		}
	}
	return list
}

// Ahead is how many parties wait for that day and joined before r.
func (v *RestaurantView) Ahead(r *Reservation) int {
	i, _ := slices.BinarySearchFunc(v.waits, r, byJoining)
	n := 0
	for _, w := range v.waits[:i] {
		if w.Day == r.Day {
			n++
		}
	}
	return n
}

// Quote is how long such a party would wait if it joined now, in minutes after the wished start (-1 = that day has no table for it), and behind
// how many. CodeInvalid with a field when the question is nonsense, else CodeOK or why it could not join.
func (v *RestaurantView) Quote(now Instant, want When, guests int, area string) (minutes, ahead int, out Outcome) {
	b, _ := v.at(max(now, v.last))
	d := decision{restaurant: &restaurant{book: *b}, now: max(now, v.last), cmd: &Command{}}
	r := &Reservation{GuestsCount: guests, Area: area, Guest: "somebody", Created: d.now, Waiting: new(Waiting)}
	if out = d.prepare(r); out.Code == CodeOK {
		out = d.await(r, want, When{})
	}
	if out.Code != CodeOK {
		return 0, 0, out
	}
	return b.quote(r), len((&RestaurantView{*b}).Waitlist(r.Day)), out
}
