package engine

import (
	"maitred/engine/enginepb"
)

// restaurant is the aggregate of one restaurant: the book that readers share, and the writer's ledger.
type restaurant struct {
	book
	memo Fact // the last event that Decide emitted, and what it makes
}

func newRestaurant(id RestaurantID) *restaurant {
	r := &restaurant{book: newBook(id)}
	r.led = &ledger{receipts: receipts{max: MaxReceipts}}
	return r
}

// Version implements Aggregate.
func (r *restaurant) Version() Version { return r.version }

// NextDue implements Aggregate.
func (r *restaurant) NextDue() Instant {
	if r.owing && len(r.waits) > 0 {
		return r.last
	}
	return r.led.nextDue()
}

// Apply implements Aggregate.
func (r *restaurant) Apply(e *Event) {
	var made *Reservation
	if r.memo.Event == e {
		made = r.memo.Made
	}
	r.memo = Fact{}
	r.apply(e, made)
	r.led.receipts.remember(e)
}

// View implements Aggregate.
func (r *restaurant) View() View {
	v := &RestaurantView{r.freeze()}
	r.own = new(edit)
	r.late = v.late
	return v
}

// Decide implements Aggregate.
func (r *restaurant) Decide(now Instant, cmd *Command) (Outcome, []*Event) {
	d := decision{restaurant: r, now: max(now, r.last), cmd: cmd}
	if hasReceipt(cmd) {
		if out, found := d.replay(); found {
			out.Waits = out.Reservation != nil && d.asks(out.Reservation)
			return out, nil
		}
	}
	if meetsHolds(cmd.Body) {
		d.letGo()
	}
	over := len(d.events)
	out := d.decide()
	if len(d.events) == over { // nothing was done
		d.events = nil
	}
	assert(!out.Code.Refused() || len(d.events) == 0, "I10: a refusal makes no event")
	assert(len(d.events) <= MaxEvents, "I9: too many events")
	if n := len(d.events); n > 0 && out.Reservation != nil {
		r.memo = Fact{Event: d.events[n-1], Made: out.Reservation}
	}
	if _, sweeps := cmd.Body.(*Sweep); !out.Code.Refused() && (len(d.events) > over || sweeps && r.owing) {
		d.offerFreed(d.events[over:], &out)
	}
	out.Waits = out.Reservation != nil && d.asks(out.Reservation)
	return out, d.events
}

// letGo goes on without the holds that are over; what makes it so comes first.
func (d *decision) letGo() {
	book, events := d.at(d.now)
	if len(events) > 0 {
		book.led = d.led
		d.restaurant, d.events = &restaurant{book: *book}, events
	}
}

// decision is one command on its way through the checks, whose order doc.go states.
type decision struct {
	*restaurant
	now    Instant
	cmd    *Command
	events []*Event
}

func (d *decision) decide() Outcome {
	if body, ok := d.cmd.Body.(*CreateRestaurant); ok {
		return d.createRestaurant(body)
	}
	if d.info == nil {
		return refuse(CodeNotFound)
	}
	switch body := d.cmd.Body.(type) {
	case *ChangeRestaurant:
		return d.changeRestaurant(body)
	case *SetRules:
		return d.setRules(body)
	case *AddTable:
		return d.addTable(body)
	case *ChangeTable:
		return d.changeTable(body)
	case *RemoveTable:
		return d.removeTable(body)
	case *CreateReservation:
		return d.createReservation(body)
	case *Hold:
		return d.hold(body)
	case *ConfirmHold:
		return d.confirmHold(body)
	case *SeatWalkIn:
		return d.seatWalkIn(body)
	case *JoinWaitlist:
		return d.joinWaitlist(body)
	case *OfferTable:
		return d.offerTable(body)
	case *Reschedule:
		return d.reschedule(body)
	case *AssignTables:
		return d.assignTables(body)
	case *Annotate:
		return d.annotate(body)
	case *Transition:
		return d.transition(body)
	case *AddStaff:
		return d.addStaff(body)
	case *ChangeStaff:
		return d.changeStaff(body)
	case *RemoveStaff:
		return d.removeStaff(body)
	case *AddReview:
		return d.addReview(body)
	case *Sweep:
		return d.sweep()
	case *ForgetGuest:
		return d.forgetGuest(body)
	}
	panic("engine: a command that a restaurant does not know")
}

// replay answers from a receipt.
func (d *decision) replay() (Outcome, bool) {
	if key, ok := d.led.creates[d.cmd.Key]; ok {
		r, found := d.resv.get(key)
		assert(found, "I8: the receipt of an unknown reservation")
		if r.Payload != d.cmd.Payload {
			return refuse(CodeKeyReused), true
		}
		return d.shown(Outcome{Code: CodeCreated, Replayed: true, Reservation: r}), true
	}
	rec := d.led.receipts.find(d.cmd.Key)
	if rec == nil {
		return Outcome{}, false
	}
	if rec.payload != d.cmd.Payload {
		return refuse(CodeKeyReused), true
	}
	out := Outcome{Code: rec.code, Replayed: true}
	switch {
	case rec.subject == string(d.id):
		out.Restaurant = d.info
	case rec.subject == rulesSubject:
		out.Rules = d.rules
	case isTable(rec.subject):
		out.Table = d.floor.table(TableID(rec.subject))
	case isReview(rec.subject):
		if c, ok := d.cmd.Body.(*AddReview); ok { // the payload says which reservation
			out.Reservation, out.Review = d.find(c.Reservation), ReviewID(rec.subject)
		}
	case IsAccountID(rec.subject):
		out.Member = d.member(AccountID(rec.subject))
	default:
		out.Reservation = d.find(ReservationID(rec.subject))
	}
	if !removes(d.cmd.Body) && out.Restaurant == nil && out.Table == nil && out.Reservation == nil && out.Member == nil && out.Rules == nil {
		return Outcome{Code: CodeNotFound, Replayed: true}, true // done, and gone since
	}
	return d.shown(out), true
}

// shown is what a receipt answers to who may see the thing now, as when it is read: whoever was dismissed since does not learn by
// repeating a key what guests have written. Restaurants and tables are public.
func (d *decision) shown(out Outcome) Outcome {
	r, m := out.Reservation, out.Member
	if r != nil && !d.sees(r) || out.Rules != nil && !d.staff() || m != nil && !removes(d.cmd.Body) && !d.may(RoleManager) {
		return Outcome{Code: CodeNotFound, Replayed: true}
	}
	return out
}

// removes reports whether nothing is there after the command.
func removes(b Body) bool {
	switch b.(type) {
	case *RemoveTable, *RemoveStaff:
		return true
	}
	return false
}

// emit makes the next event. Its role is the rank in force here, else that of the account.
func (d *decision) emit(body enginepb.EventBody) *Event {
	role := d.cmd.Caller.Role
	if len(d.members) > 0 {
		if m := d.member(d.cmd.Caller.Account); m != nil && d.rankOf(d.cmd.Caller) == m.Role {
			role = m.Role
		}
	}
	e := &Event{AtMs: int64(d.now), ByAccount: string(d.cmd.Caller.Account), ByRole: role, Body: body}
	if d.cmd.Caller.From != "" && (d.info == nil || d.staff()) { // a guest's own reservation keeps no address
		e.From = d.cmd.Caller.from()
	}
	d.events = append(d.events, e)
	return e
}

func refuse(code Code) Outcome { return Outcome{Code: code} }

func invalid(field string) Outcome { return Outcome{Code: CodeInvalid, Field: field} }

// stale reports whether the caller expected another version of the subject; of what does not exist yet it is 0.
func (d *decision) stale(v Version) bool { return d.cmd.IfMatch != 0 && d.cmd.IfMatch != v }
