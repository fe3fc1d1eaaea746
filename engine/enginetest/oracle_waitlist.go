package enginetest

import (
	"slices"
	"sort"

	"maitred/engine"
)

// reminder is when the next one is due: a day before the start, or two hours before, if nothing happened since; 0 = none is left.
func reminder(r *engine.Reservation) engine.Instant {
	for _, seconds := range []int64{86_400, 7_200} {
		if at := engine.Instant(r.StartsAt-seconds) * 1000; at > r.Updated {
			return at
		}
	}
	return 0
}

// owed counts the reminder that is due and not sent yet.
func (b *Book) owed(now engine.Instant, r *engine.Reservation) int {
	if at := reminder(r); r.Status == engine.StatusConfirmed && at != 0 && at <= now && now < b.late(r) {
		return 1
	}
	return 0
}

// waiting are those on the waitlist, who joined first first.
func (b *Book) waiting() (list []*engine.Reservation) {
	for _, r := range b.List {
		if r.Status == engine.StatusWaiting {
			list = append(list, r)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].Waiting.Since < list[j].Waiting.Since
	})
	return list
}

// earliest tries every minute of the day from the wished one on.
func (b *Book) earliest(now engine.Instant, r *engine.Reservation, a ask, until int64) (start, []engine.TableID) {
	for local := 0; local < 2*1440; local++ {
		s := start{}
		if slices.ContainsFunc(b.hours(r.Day), func(h engine.OpeningHours) bool { return local >= h.Open && local <= h.LastSeating }) {
			s = b.look(r.Day, local)
		}
		if !s.offered || s.at < r.StartsAt || s.at > until || s.at < int64(now/1000)+60 || b.judge(now, s, a) != engine.CodeOK || !b.paced(s, r.GuestsCount, a.staff, "") {
			continue
		}
		if tables := b.choose(a, s, nil, nil); tables != nil {
			return s, tables
		}
	}
	return start{}, nil
}

func asks(r *engine.Reservation) ask {
	return ask{guests: r.GuestsCount, staff: r.Guest == "", waited: true, area: r.Area}
}

// offer gives a waiting party the first tables that suit.
func (b *Book) offer(now engine.Instant, r *engine.Reservation, a ask) *engine.Reservation {
	s, tables := b.earliest(now, r, a, r.Waiting.Until)
	if tables == nil {
		return nil
	}
	minutes := engine.Instant(b.rules().OfferMin)
	if minutes == 0 {
		minutes = 10
	}
	next := *r
	next.Status, next.Tables, next.LocalMin, next.StartsAt, next.EndsAt = engine.StatusHeld, tables, s.local, s.at, s.at+b.turn(r.GuestsCount, s)
	next.BufferMin, next.HoldUntil, next.Updated = b.rules().BufferMin, min(now+minutes*60_000, engine.Instant(s.at)*1000), now
	next.Version++
	b.put(&next)
	return &next
}

func (b *Book) promote(now engine.Instant, most int) (offers int) {
	b.owing = false
	for _, r := range b.waiting() {
		before := b.List
		b.List = slices.Clone(b.List)
		if b.holdsOf(r.Guest) >= 4 || b.offer(now, r, asks(r)) == nil {
			b.List = before
		} else if offers == most {
			b.List, b.owing = before, true
		} else {
			offers++
		}
	}
	return offers
}

func (b *Book) holdsOf(guest engine.AccountID) (n int) {
	for _, r := range b.List {
		if r.Status == engine.StatusHeld && guest != "" && r.Guest == guest {
			n++
		}
	}
	return n
}

// actAndOffer acts, and then offers to who waits: after everything that was done.
func (b *Book) actAndOffer(now engine.Instant, cmd *engine.Command, before int) (engine.Outcome, string, int) {
	out, subject, events := b.act(now, cmd)
	_, sweeps := cmd.Body.(*engine.Sweep)
	if out.Code > engine.CodeCreated || events == 0 && !(sweeps && b.owing) {
		return out, subject, events
	}
	events += b.promote(now, engine.MaxEvents-before-events)
	if r := out.Reservation; r != nil {
		out.Reservation = b.find(r.ID)
	}
	return out, subject, events
}

func (b *Book) join(now engine.Instant, cmd *engine.Command, c *engine.JoinWaitlist) (engine.Outcome, string, int) {
	staff := b.staff(cmd.Caller)
	switch {
	case !staff && cmd.Caller.Account == "":
		return refused(engine.CodeForbidden, "")
	case b.find(c.ID) != nil:
		return refused(engine.CodeExists, "")
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	}
	r := &engine.Reservation{ID: c.ID, GuestsCount: c.GuestsCount, SpecialRequests: c.SpecialRequests, Contact: c.Contact, Area: c.Area,
		Policy: b.rules().Cancellation, Status: engine.StatusWaiting, Version: 1, Created: now, Updated: now, Waiting: new(engine.Waiting)}
	if !staff {
		r.Guest = cmd.Caller.Account
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
	s, out := b.from(now, c.Want)
	if out.Code != engine.CodeOK {
		return out, "", 0
	}
	r.Waiting.Until = s.at
	if c.Until != (engine.When{}) {
		last, field := b.locate(c.Until)
		if field != "" {
			return refused(engine.CodeInvalid, "until")
		}
		r.Waiting.Until = last.at
	} else if c.Want == (engine.When{}) {
		r.Waiting.Until += 3 * 3600
	}
	if !staff && now < b.rules().PausedUntil {
		return refused(engine.CodePaused, "")
	}
	if r.Waiting.Until < s.at || r.Waiting.Until > s.at+12*3600 {
		return refused(engine.CodeInvalid, "until")
	}
	party := asks(r)
	code := b.judge(now, s, party)
	party.waited = false
	if early := b.judge(now, s, ask{staff: true}) == engine.CodeTooEarly; code == engine.CodeOK && early {
		code = engine.CodeTooEarly
	}
	if code != engine.CodeOK {
		return engine.Outcome{Code: code, Alternatives: b.alternatives(now, s, party)}, "", 0
	}
	if !b.ever(r.GuestsCount) {
		return refused(engine.CodePartyTooLarge, "")
	}
	if !b.roomToWait(now, r, s.day) {
		return refused(engine.CodeLimit, "waitlist")
	}
	r.Day, r.LocalMin, r.StartsAt, r.EndsAt, r.BufferMin = s.day, s.local, s.at, s.at+b.turn(r.GuestsCount, s), b.rules().BufferMin
	r.Waiting.QuotedMin = b.quote(now, r)
	b.put(r)
	return engine.Outcome{Code: engine.CodeCreated, Reservation: r}, string(r.ID), 1
}

// roomToWait counts the guest's entries and holds, and who waits for that day, and says since when r waits.
func (b *Book) roomToWait(now engine.Instant, r *engine.Reservation, day engine.Day) bool {
	mine, thatDay, since := b.holdsOf(r.Guest), 0, now
	for _, w := range b.waiting() {
		if r.Guest != "" && w.Guest == r.Guest {
			mine++
		}
		if w.Day == day {
			thatDay++
		}
		since = max(since, w.Waiting.Since+1)
	}
	if mine >= 4 || thatDay >= 100 {
		return false
	}
	r.Waiting.Since = since
	return true
}

// from is the wished start, or the next of the day.
func (b *Book) from(now engine.Instant, w engine.When) (start, engine.Outcome) {
	if w != (engine.When{}) {
		s, field := b.locate(w)
		if field != "" {
			return s, engine.Outcome{Code: engine.CodeInvalid, Field: field}
		}
		return s, engine.Outcome{}
	}
	here, _ := b.locate(engine.When{StartsAt: int64(now / 1000)})
	for local := here.local; local < 2*1440; local++ {
		if s := b.look(here.day, local); s.offered && engine.Instant(s.at)*1000 >= now {
			return s, engine.Outcome{}
		}
	}
	return here, engine.Outcome{Code: engine.CodeClosed}
}

// quote seats everybody who is ahead, and looks when it is r's turn.
func (b *Book) quote(now engine.Instant, r *engine.Reservation) int {
	before := slices.Clone(b.List)
	defer func() { b.List = before }()
	for _, w := range b.waiting() {
		if w.Day != r.Day {
			continue
		}
		if s, tables := b.earliest(now, w, asks(w), w.Waiting.Until); tables != nil {
			next := *w
			next.Status, next.Tables, next.LocalMin, next.StartsAt, next.EndsAt = engine.StatusSeated, tables, s.local, s.at, s.at+b.turn(w.GuestsCount, s)
			next.BufferMin = b.rules().BufferMin
			b.put(&next)
		}
	}
	s, tables := b.earliest(now, r, asks(r), 1<<40)
	if tables == nil {
		return -1
	}
	return int(s.at-r.StartsAt) / 60
}

func (b *Book) offerTable(now engine.Instant, cmd *engine.Command, c *engine.OfferTable) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case old.Status != engine.StatusWaiting:
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	}
	a := asks(old)
	a.staff = true
	next := b.offer(now, old, a)
	if next == nil {
		return refused(engine.CodeSlotUnavailable, "")
	}
	return engine.Outcome{Code: engine.CodeOK, Reservation: next}, string(c.ID), 1
}
