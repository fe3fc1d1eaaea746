package enginetest

import (
	"slices"
	"sort"

	"maitred/engine"
)

// overrule judges a start; with a reason, what may be set aside is, and is listed.
func (b *Book) overrule(now engine.Instant, s start, staff bool, why string) (engine.Code, []engine.Code) {
	code := b.judge(now, s, ask{staff: staff})
	if why == "" || code == engine.CodeOK {
		return code, nil
	}
	if at, exists := b.instant(s.day, s.local); engine.Instant(s.at*1000) < now {
		return engine.CodeTooLate, nil
	} else if !s.offered && (!exists || at != s.at || at%300 != 0) {
		return engine.CodeNotOnGrid, nil
	}
	var lifted []engine.Code
	if !s.covered {
		lifted = append(lifted, engine.CodeClosed)
	}
	ahead := engine.Instant(b.rules().HorizonDays)
	if ahead == 0 {
		ahead = 90
	}
	if engine.Instant(s.at*1000) > now+ahead*86_400_000 {
		lifted = append(lifted, engine.CodeTooEarly)
	}
	if s.covered && !s.offered {
		lifted = append(lifted, engine.CodeNotOnGrid)
	}
	return engine.CodeOK, lifted
}

// stays says whether a party keeps its start and its tables.
func (b *Book) stays(old, r *engine.Reservation) bool {
	return r.StartsAt == old.StartsAt && slices.Equal(r.Tables, old.Tables)
}

// inTheWay lists, minute by minute, what keeps r from a table.
func (b *Book) inTheWay(t *engine.Table, r *engine.Reservation, except engine.ReservationID) (list []engine.Obstacle) {
	if t == nil {
		return nil
	}
	if !t.InService {
		list = append(list, engine.Obstacle{Table: t.ID, Number: t.Number, Reason: engine.ReasonOutOfService})
	}
	meets := func(from, until int64) bool {
		for at := r.StartsAt; at < r.EndsAt+int64(r.BufferMin)*60; at += 60 {
			if at >= from && at < until {
				return true
			}
		}
		return false
	}
	for _, o := range t.Blocks {
		if meets(o.From/300*300, (o.Until+299)/300*300) {
			list = append(list, engine.Obstacle{Table: t.ID, Number: t.Number, Reason: engine.ReasonBlocked, From: o.From, Until: o.Until})
		}
	}
	var others []*engine.Reservation
	for _, o := range b.List {
		if o.ID != except && holds(o.Status) && slices.Contains(o.Tables, t.ID) && meets(o.StartsAt, o.EndsAt+int64(o.BufferMin)*60) {
			others = append(others, o)
		}
	}
	sort.Slice(others, func(i, j int) bool {
		if others[i].StartsAt != others[j].StartsAt {
			return others[i].StartsAt < others[j].StartsAt
		}
		return others[i].ID < others[j].ID
	})
	for _, o := range others {
		list = append(list, engine.Obstacle{Table: t.ID, Number: t.Number, Reason: engine.ReasonTaken, Reservation: o.ID, Guests: o.GuestsCount,
			Status: o.Status, BufferMin: o.BufferMin, From: o.StartsAt, Until: o.EndsAt})
	}
	return list
}

func (b *Book) assignTables(now engine.Instant, cmd *engine.Command, c *engine.AssignTables) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case !holds(old.Status):
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	case len(c.Override) > 200:
		return refused(engine.CodeInvalid, "override")
	case len(c.Tables) < 1 || len(c.Tables) > 8:
		return refused(engine.CodeInvalid, "table_ids")
	}
	var tables []*engine.Table
	var stands []engine.Obstacle
	seats := 0
	for i, id := range c.Tables {
		t := b.table(id)
		if t == nil || slices.Contains(c.Tables[:i], id) {
			return refused(engine.CodeInvalid, "table_ids")
		}
		tables, seats, stands = append(tables, t), seats+t.Capacity, append(stands, b.inTheWay(t, old, old.ID)...)
	}
	given := &engine.Override{Reason: c.Override, ByHand: true}
	if was := old.Override; was != nil {
		for _, code := range was.Lifted {
			if code != engine.CodePartyTooLarge {
				given.Lifted = append(given.Lifted, code)
			}
		}
		if c.Override == "" {
			given.Reason = was.Reason
		}
	}
	if seats < old.GuestsCount {
		if c.Override == "" {
			return refused(engine.CodePartyTooLarge, "")
		}
		given.Lifted = append(given.Lifted, engine.CodePartyTooLarge)
	}
	if len(stands) > 0 {
		return engine.Outcome{Code: engine.CodeSlotUnavailable, Conflicts: stands[:min(len(stands), 32)]}, "", 0
	}
	sort.Slice(tables, func(i, j int) bool {
		return number(tables[i])+string(tables[i].ID) < number(tables[j])+string(tables[j].ID)
	})
	r := *old
	r.Tables = nil
	for _, t := range tables {
		r.Tables = append(r.Tables, t.ID)
	}
	events := 1 + b.owed(now, old)
	r.Override, r.Updated = given, now
	r.Version += engine.Version(events)
	b.put(&r)
	return engine.Outcome{Code: engine.CodeOK, Reservation: &r}, string(r.ID), events
}

func (b *Book) annotate(now engine.Instant, cmd *engine.Command, c *engine.Annotate) (engine.Outcome, string, int) {
	old := b.subject(cmd, c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case !b.staff(cmd.Caller):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case !holds(old.Status) && old.Status != engine.StatusWaiting && now/86_400_000 >= engine.Instant(old.Day)+33 && now/86_400_000 >= old.Updated/86_400_000+2:
		return refused(engine.CodeNotFound, "")
	case len(c.Note) > 1000:
		return refused(engine.CodeInvalid, "note")
	}
	r := *old
	r.Note = c.Note
	r.Version++
	b.put(&r)
	return engine.Outcome{Code: engine.CodeOK, Reservation: &r}, string(r.ID), 1
}
