package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// Commands of staff about a party that is in the book.
type (
	// AssignTables puts a party at tables that staff choose, at the time that it has: of any channel, and no combination is needed.
	AssignTables struct {
		ID       ReservationID
		Tables   []TableID
		Override string // why the tables may be too small; empty = they may not
	}
	// Annotate replaces what staff note for each other; empty = nothing.
	Annotate struct {
		ID   ReservationID
		Note string
	}
)

func (*AssignTables) isBody() {}
func (*Annotate) isBody()     {}

func (d *decision) assignTables(c *AssignTables) Outcome {
	old, out := d.staffSubject(c.ID)
	switch {
	case out.Code != CodeOK:
		return out
	case !blocks(old.Status):
		return Outcome{Code: CodeInvalidTransition, Reservation: old}
	}
	if !text(c.Override, MaxOverride) {
		return invalid("override")
	}
	slots, seats := d.chosen(c.Tables)
	if slots == nil {
		return invalid("table_ids")
	}
	given := old.Override.byHand(c.Override)
	if seats < old.GuestsCount && !given.lifts(CodePartyTooLarge) {
		return refuse(CodePartyTooLarge)
	}
	found, own := d.obstacles(slots, old.Day, old.held(), old.ID), d.holdOf(old)
	taken := d.taken(old.held(), &own) // also by who is days away since the zone is another one
	if len(found) > 0 || slices.ContainsFunc(slots, taken.has) {
		return Outcome{Code: CodeSlotUnavailable, Conflicts: found}
	}
	r := *old
	r.Tables = d.inOrder(slots)
	old = d.remindFirst(old)
	next := evolve(old, d.move(&r, given))
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}

// staffSubject finds the reservation of a command that only staff may give.
func (d *decision) staffSubject(id ReservationID) (*Reservation, Outcome) {
	old := d.subject(id)
	switch {
	case old == nil:
		return nil, refuse(CodeNotFound)
	case !d.staff():
		return nil, refuse(CodeForbidden)
	case d.stale(old.Version):
		return nil, Outcome{Code: CodeStale, Reservation: old}
	}
	return old, Outcome{}
}

// chosen are the slots of the tables that staff name, and the guests that sit there; nil when one is unknown or named twice, or there are too
// many.
func (d *decision) chosen(tables []TableID) (slots []int, seats int) {
	if len(tables) < 1 || len(tables) > MaxTablesPerParty {
		return nil, 0
	}
	for _, id := range tables {
		slot := d.floor.slot(id)
		if slot < 0 || slices.Contains(slots, slot) {
			return nil, 0
		}
		slots, seats = append(slots, slot), seats+d.floor.slots[slot].Capacity
	}
	return slots, seats
}

// inOrder are the tables as people count them.
func (d *decision) inOrder(slots []int) (ids []TableID) {
	slices.SortFunc(slots, func(a, b int) int { return byNumber(d.floor.slots[a], d.floor.slots[b]) })
	for _, slot := range slots {
		ids = append(ids, d.floor.slots[slot].ID)
	}
	return ids
}

func (d *decision) annotate(c *Annotate) Outcome {
	old, out := d.staffSubject(c.ID)
	switch {
	case out.Code != CodeOK:
		return out
	case final(old.Status) && forgottenOn(old) <= utcDay(d.now): // the event itself would let it go
		return refuse(CodeNotFound)
	case !text(c.Note, MaxNote):
		return invalid("note")
	}
	next := evolve(old, d.emit(&enginepb.Event_ReservationNoted{ReservationNoted: &enginepb.ReservationNoted{Id: string(c.ID), Note: c.Note}}))
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Reservation: next}
}
