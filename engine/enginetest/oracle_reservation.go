package enginetest

import (
	"slices"
	"sort"
	"time"

	"maitred/engine"
)

func refused(code engine.Code, field string) (engine.Outcome, string, int) {
	return engine.Outcome{Code: code, Field: field}, "", 0
}

func (b *Book) create(now engine.Instant, cmd *engine.Command, c *engine.CreateReservation) (engine.Outcome, string, int) {
	staff := b.staff(cmd.Caller)
	switch {
	case !staff && cmd.Caller.Account == "":
		return refused(engine.CodeForbidden, "")
	case !staff && c.Override != "":
		return refused(engine.CodeForbidden, "")
	case b.find(c.ID) != nil:
		return refused(engine.CodeExists, "")
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	}
	r := &engine.Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Policy: b.rules().Cancellation, Status: engine.StatusConfirmed, Version: 1, Created: now, Updated: now}
	if !staff {
		r.Guest = cmd.Caller.Account
		if b.waits(c.GuestsCount) {
			r.Status = engine.StatusPending
		}
	}
	if cmd.Key != (engine.Hash{}) {
		r.Key, r.Payload = cmd.Key, cmd.Payload
	}
	if f := nonsense(r); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if !b.somewhere(c.Area) {
		return refused(engine.CodeInvalid, "area")
	}
	if len(c.Override) > 200 {
		return refused(engine.CodeInvalid, "override")
	}
	if out := b.place(now, r, nil, &c.Want, c.Table, staff, c.Override); out.Code != engine.CodeOK {
		return out, "", 0
	}
	b.put(r)
	return engine.Outcome{Code: engine.CodeCreated, Reservation: r}, string(r.ID), 1
}

func (b *Book) seatWalkIn(now engine.Instant, cmd *engine.Command, c *engine.SeatWalkIn) (engine.Outcome, string, int) {
	switch {
	case !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case b.find(c.ID) != nil:
		return refused(engine.CodeExists, "")
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	}
	r := &engine.Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Status: engine.StatusSeated, Version: 1, Created: now, Updated: now}
	if cmd.Key != (engine.Hash{}) {
		r.Key, r.Payload = cmd.Key, cmd.Payload
	}
	if f := nonsense(r); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if !b.somewhere(c.Area) {
		return refused(engine.CodeInvalid, "area")
	}
	wished := b.table(c.Table)
	if c.Table != "" && wished == nil {
		return refused(engine.CodeInvalid, "table_id")
	}
	seconds := int64(now / 1000)
	s, _ := b.locate(engine.When{StartsAt: seconds - seconds%300})
	a := ask{guests: r.GuestsCount, staff: true, walkIn: true, area: r.Area}
	if !b.ever(r.GuestsCount) || wished != nil && (wished.MinCapacity > r.GuestsCount || r.GuestsCount > wished.Capacity) {
		return refused(engine.CodePartyTooLarge, "")
	}
	r.Day, r.LocalMin, r.StartsAt, r.EndsAt, r.BufferMin = s.day, s.local, s.at, s.at+b.turn(r.GuestsCount, s), b.rules().BufferMin
	if r.Tables = b.choose(a, s, nil, wished); r.Tables == nil {
		return engine.Outcome{Code: engine.CodeSlotUnavailable, Conflicts: b.inTheWay(wished, r, "")}, "", 0
	}
	b.put(r)
	return engine.Outcome{Code: engine.CodeCreated, Reservation: r}, string(r.ID), 1
}

// ever says whether some table or combination seats so many.
func (b *Book) ever(guests int) bool {
	return slices.ContainsFunc(b.Tables, func(t *engine.Table) bool { return t.MinCapacity <= guests && guests <= t.Capacity }) ||
		slices.ContainsFunc(b.rules().Combinations, func(c engine.Combination) bool { return c.MinParty <= guests && guests <= c.MaxParty })
}

func (b *Book) somewhere(area string) bool {
	return area == "" || slices.ContainsFunc(b.Tables, func(t *engine.Table) bool { return t.Location == area })
}

func nonsense(r *engine.Reservation) string {
	switch {
	case r.GuestsCount < 1:
		return "guests_count"
	case len(r.SpecialRequests) > 1000:
		return "special_requests"
	case len(r.Contact.Name) > 200:
		return "contact.name"
	}
	return ""
}

func (b *Book) locate(w engine.When) (s start, field string) {
	if !w.HasLocal {
		if w.StartsAt == 0 {
			return s, "date"
		}
		local := time.Unix(w.StartsAt, 0).In(b.zone())
		day := engine.Day(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
		minute := local.Hour()*60 + local.Minute()
		first, second := b.look(day, minute), b.look(day-1, minute+1440)
		for _, s := range []*start{&first, &second} {
			s.offered = s.offered && s.at == w.StartsAt
			s.at = w.StartsAt
		}
		return prefer(first, second), ""
	}
	s = b.look(w.Day, w.LocalMin)
	if w.LocalMin < 1440 {
		s = prefer(s, b.look(w.Day, w.LocalMin+1440))
	}
	if w.StartsAt != 0 && w.StartsAt != s.at {
		return s, "starts_at"
	}
	return s, ""
}

func prefer(a, b start) start {
	switch {
	case a.offered:
		return a
	case b.offered:
		return b
	case a.covered || !b.covered:
		return a
	}
	return b
}

// place gives r its time and table. old is r before, nil for a new one; want nil keeps the time.
func (b *Book) place(now engine.Instant, r, old *engine.Reservation, want *engine.When, table engine.TableID, staff bool, why string) engine.Outcome {
	return b.placeBeside(now, r, old, want, table, staff, r.ID, old == nil, why)
}

// placeBeside is place beside a reservation that may be another one.
func (b *Book) placeBeside(now engine.Instant, r, old *engine.Reservation, want *engine.When, table engine.TableID, staff bool, except engine.ReservationID, moved bool, why string) engine.Outcome {
	var lifted []engine.Code
	s := start{day: r.Day, local: r.LocalMin, at: r.StartsAt}
	if r.StartsAt != 0 {
		s.shift = b.look(r.Day, r.LocalMin).shift
	}
	if want != nil {
		var field string
		if s, field = b.locate(*want); field != "" {
			return engine.Outcome{Code: engine.CodeInvalid, Field: field}
		}
		moved = moved || s.at != r.StartsAt
	} else if old != nil && !holds(old.Status) {
		s = b.look(r.Day, r.LocalMin)
		s.offered, s.at, moved = s.offered && s.at == r.StartsAt, r.StartsAt, true
	}
	if table != "" && b.table(table) == nil {
		return engine.Outcome{Code: engine.CodeInvalid, Field: "table_id"}
	}
	a := ask{guests: r.GuestsCount, staff: staff, area: r.Area, except: except}
	alternatives := func() []engine.Alternative { return b.alternatives(now, s, a) }
	if moved {
		var code engine.Code
		if code, lifted = b.overrule(now, s, staff, why); code != engine.CodeOK {
			return engine.Outcome{Code: code, Alternatives: alternatives()}
		}
	}
	wished := b.table(table)
	tooLarge := !b.ever(r.GuestsCount)
	if wished != nil && staff {
		tooLarge = wished.MinCapacity > r.GuestsCount || r.GuestsCount > wished.Capacity
		if tooLarge && why != "" && r.GuestsCount <= 800 {
			tooLarge, a.size, lifted = false, true, append(lifted, engine.CodePartyTooLarge)
		}
	}
	if tooLarge {
		return engine.Outcome{Code: engine.CodePartyTooLarge}
	}
	if (moved || r.GuestsCount > old.GuestsCount) && !b.paced(s, r.GuestsCount, staff, except) {
		if why == "" {
			return engine.Outcome{Code: engine.CodePacingLimit, Alternatives: alternatives()}
		}
		lifted = append(lifted, engine.CodePacingLimit)
	}
	r.Day, r.LocalMin, r.StartsAt, r.EndsAt, r.BufferMin = s.day, s.local, s.at, s.at+b.turn(r.GuestsCount, s), b.rules().BufferMin
	r.Tables = b.choose(a, s, old, wished)
	if r.Tables == nil {
		out := engine.Outcome{Code: engine.CodeSlotUnavailable, Alternatives: alternatives()}
		if wished != nil && staff {
			out.Conflicts = b.inTheWay(wished, r, except)
		}
		return out
	}
	r.Override = nil // unless it stays where it is, as the caller knows
	if why != "" {
		r.Override = &engine.Override{Reason: why, Lifted: lifted}
	}
	return engine.Outcome{}
}

// choose: the wished table, what the party has, the best table, the best combination.
func (b *Book) choose(a ask, s start, old *engine.Reservation, wished *engine.Table) []engine.TableID {
	if wished != nil && a.staff {
		if wished.InService && (a.size || wished.MinCapacity <= a.guests && a.guests <= wished.Capacity) && b.open(wished, a, s) {
			return []engine.TableID{wished.ID}
		}
		return nil
	}
	if wished != nil && b.suits(wished, a, s) {
		return []engine.TableID{wished.ID}
	}
	sets := b.together(a, s)
	if old != nil {
		if len(old.Tables) == 1 {
			if kept := b.table(old.Tables[0]); kept != nil && b.suits(kept, a, s) {
				return old.Tables
			}
		}
		for _, set := range sets {
			if slices.Equal(set, old.Tables) {
				return set
			}
		}
	}
	if t := b.pick(a, s); t != nil {
		return []engine.TableID{t.ID}
	}
	if len(sets) > 0 {
		return sets[0]
	}
	return nil
}

func (b *Book) subject(cmd *engine.Command, id engine.ReservationID) *engine.Reservation {
	r := b.find(id)
	if r == nil || b.staff(cmd.Caller) || r.Guest == cmd.Caller.Account && r.Guest != "" {
		return r
	}
	return nil
}

func (b *Book) reschedule(now engine.Instant, cmd *engine.Command, c *engine.Reschedule) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case c.Override != "" && !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case old.Status != engine.StatusConfirmed && old.Status != engine.StatusPending:
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	}
	r := *old
	if c.GuestsCount != nil {
		r.GuestsCount = *c.GuestsCount
	}
	if c.SpecialRequests != nil {
		r.SpecialRequests = *c.SpecialRequests
	}
	if c.Area != nil {
		r.Area = *c.Area
	}
	if f := nonsense(&r); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if c.Area != nil && !b.somewhere(*c.Area) {
		return refused(engine.CodeInvalid, "area")
	}
	if len(c.Override) > 200 {
		return refused(engine.CodeInvalid, "override")
	}
	var table engine.TableID
	if c.Table != nil {
		table = *c.Table
	}
	if c.Want != nil || table != "" || r.GuestsCount != old.GuestsCount || r.Area != old.Area {
		if out := b.place(now, &r, old, c.Want, table, b.staff(cmd.Caller), c.Override); out.Code != engine.CodeOK {
			return out, "", 0
		}
		if c.Override == "" && b.stays(old, &r) {
			r.Override = old.Override
		}
	} else if c.Override != "" {
		r.Override = &engine.Override{Reason: c.Override}
	}
	events := 1
	if bigger := r.GuestsCount > old.GuestsCount; old.Status == engine.StatusConfirmed && !b.staff(cmd.Caller) && b.waits(r.GuestsCount) && (bigger || r.StartsAt != old.StartsAt) {
		r.Status, events = engine.StatusPending, 2
	}
	if r.StartsAt == old.StartsAt {
		events += b.owed(now, old)
	}
	r.Version += engine.Version(events)
	r.Updated = now
	b.put(&r)
	return engine.Outcome{Code: engine.CodeOK, Reservation: &r}, string(r.ID), events
}

// waits says whether a booking of a guest is to be confirmed.
func (b *Book) waits(guests int) bool {
	switch r := b.rules(); r.Approval {
	case engine.ApprovalManual:
		return true
	case engine.ApprovalLarge:
		return guests >= r.ApprovalFrom
	}
	return false
}

func (b *Book) transition(now engine.Instant, cmd *engine.Command, c *engine.Transition) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case c.Action != engine.ActionCancel && c.Action != engine.ActionRelease && !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	}
	allowed := map[engine.Action]map[engine.Status]engine.Status{
		engine.ActionRelease:  {engine.StatusHeld: engine.StatusCancelled, engine.StatusWaiting: engine.StatusCancelled},
		engine.ActionConfirm:  {engine.StatusPending: engine.StatusConfirmed},
		engine.ActionDecline:  {engine.StatusPending: engine.StatusDeclined},
		engine.ActionCancel:   {engine.StatusWaiting: engine.StatusCancelled, engine.StatusHeld: engine.StatusCancelled, engine.StatusConfirmed: engine.StatusCancelled, engine.StatusPending: engine.StatusCancelled},
		engine.ActionSeat:     {engine.StatusConfirmed: engine.StatusSeated},
		engine.ActionComplete: {engine.StatusSeated: engine.StatusCompleted},
		engine.ActionNoShow:   {engine.StatusConfirmed: engine.StatusNoShow},
		engine.ActionReinstate: {engine.StatusCancelled: engine.StatusConfirmed, engine.StatusNoShow: engine.StatusConfirmed,
			engine.StatusDeclined: engine.StatusConfirmed, engine.StatusExpired: engine.StatusConfirmed},
	}
	to, ok := allowed[c.Action][old.Status]
	if !ok {
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	}
	r, events := *old, 1
	if c.Action == engine.ActionReinstate {
		if out := b.place(now, &r, old, nil, "", true, ""); out.Code != engine.CodeOK {
			return out, "", 0
		}
		if b.stays(old, &r) {
			r.Override = old.Override
		}
		if !slices.Equal(r.Tables, old.Tables) || r.EndsAt != old.EndsAt || r.BufferMin != old.BufferMin {
			events = 2
		}
	}
	r.Status, r.FeeDue = to, 0
	switch free := engine.Instant(old.StartsAt-int64(old.Policy.FreeUntilMin)*60) * 1000; {
	case old.Status != engine.StatusConfirmed:
	case to == engine.StatusNoShow:
		r.FeeDue = old.Policy.NoShowFee * old.GuestsCount
	case to == engine.StatusCancelled && now > free && !b.staff(cmd.Caller):
		r.FeeDue = old.Policy.LateFee * old.GuestsCount
	}
	r.Version += engine.Version(events)
	r.Updated = now
	b.put(&r)
	return engine.Outcome{Code: engine.CodeOK, Reservation: &r}, string(r.ID), events
}

func (b *Book) sweep(now engine.Instant, cmd *engine.Command) (engine.Outcome, string, int) {
	if cmd.Caller.Role != engine.RoleSystem && cmd.Caller.Role != engine.RoleAdmin {
		return refused(engine.CodeForbidden, "")
	}
	due := b.due(now)
	due = due[:min(len(due), 64)]
	for _, old := range due {
		r := *old
		r.Status, r.Updated, r.FeeDue = engine.StatusNoShow, now, old.Policy.NoShowFee*old.GuestsCount
		switch {
		case old.Status != engine.StatusConfirmed:
			r.Status, r.FeeDue = engine.StatusExpired, 0
		case now < b.late(old):
			r.Status, r.FeeDue = old.Status, old.FeeDue
		}
		r.Version++
		b.put(&r)
	}
	return engine.Outcome{Code: engine.CodeOK}, "", len(due)
}

// due is the reservations whose guests are too late, and those that nobody confirmed by their start.
func (b *Book) due(now engine.Instant) (due []*engine.Reservation) {
	for _, r := range b.List {
		if at := b.dueAt(r); at != 0 && at <= now {
			due = append(due, r)
		}
	}
	sort.Slice(due, func(i, j int) bool {
		x, y := due[i], due[j]
		if b.dueAt(x) != b.dueAt(y) {
			return b.dueAt(x) < b.dueAt(y)
		}
		return x.ID < y.ID
	})
	return due
}

// late is when a guest is too late.
func (b *Book) late(r *engine.Reservation) engine.Instant {
	late := engine.Instant(b.rules().NoShowMin) * 60_000
	if late == 0 {
		late = 30 * 60_000
	}
	return engine.Instant(r.StartsAt*1000) + late
}

func (b *Book) dueAt(r *engine.Reservation) engine.Instant {
	switch r.Status {
	case engine.StatusHeld:
		return r.HoldUntil
	case engine.StatusWaiting:
		return engine.Instant(r.Waiting.Until) * 1000
	case engine.StatusConfirmed:
		if at := reminder(r); at != 0 {
			return at
		}
		return b.late(r)
	case engine.StatusPending:
		return engine.Instant(r.StartsAt * 1000)
	}
	return 0
}
