package engine

import "slices"

// Conflict is a reservation ahead that would not be accepted as it is any more: somebody has changed hours, tables or rules since. It stays as
// it is until staff do something about it.
type Conflict struct {
	Reservation *Reservation
	Reasons     []ConflictReason // in the order of their numbers; at least one
}

// ConflictReason says what does not fit.
type ConflictReason uint8

// The reasons of a conflict.
const (
	ConflictClosed       ConflictReason = iota // no shift seats at that time
	ConflictOutOfService                       // a table is out of service
	ConflictBlocked                            // a table is out of service then
	ConflictParty                              // the table, or the combination, is for other parties
	ConflictCombination                        // the tables are no combination any more
	ConflictArea                               // the guest wanted to sit elsewhere
)

var conflictNames = [...]string{"closed", "out_of_service", "blocked", "party", "combination", "area"}

// String is the reason as the API spells it.
func (c ConflictReason) String() string { return conflictNames[c] }

// Conflicts lists the reservations that hold tables, begin at now or later, and do not fit any more, by start, at most so many; more says that
// there are others. It looks at everything that lies ahead.
func (v *RestaurantView) Conflicts(now Instant, most int) (list []Conflict, more bool) {
	now = max(now, v.last)
	var days []Day
	v.sheets.walk(func(key uint64, _ *sheet) {
		if d := Day(uint32(key)); int64(d+2)*86_400*msPerSec > int64(now) {
			days = append(days, d)
		}
	})
	slices.Sort(days)
	for _, d := range days {
		s, _ := v.sheets.get(dayKey(d))
		for _, r := range s.list {
			if !blocks(r.Status) || r.StartsAt*msPerSec < int64(now) {
				continue
			}
			if reasons := v.conflict(r); len(reasons) > 0 {
				if len(list) == most {
					return list, true
				}
				list = append(list, Conflict{r, reasons})
			}
		}
	}
	return list, false
}

func (b *book) conflict(r *Reservation) (reasons []ConflictReason) {
	add := func(is bool, reason ConflictReason) {
		if is {
			reasons = append(reasons, reason)
		}
	}
	var here, blocked mask
	b.floor.blockedIn(r.held(), &blocked)
	served, there := true, true
	for _, id := range r.Tables {
		slot := b.floor.slot(id)
		here.add(slot)
		t := b.floor.slots[slot]
		served, there = served && t.InService, there && (r.Area == "" || t.Location == r.Area)
	}
	p := b.locateInstant(r.StartsAt)
	add(!p.covered && !r.Override.has(CodeClosed), ConflictClosed)
	add(!served, ConflictOutOfService)
	add((&combo{tables: here}).meets(&blocked, maskWords), ConflictBlocked)
	party, combined := b.partyFits(r)
	add(!party, ConflictParty)
	add(!combined, ConflictCombination)
	add(!there, ConflictArea)
	return reasons
}

// partyFits reports whether the tables are for such a party, and whether several are still a combination. What staff chose is.
func (b *book) partyFits(r *Reservation) (party, combined bool) {
	if r.Override != nil && (r.Override.ByHand || r.Override.has(CodePartyTooLarge)) {
		return true, true
	}
	if len(r.Tables) == 1 {
		return b.floor.table(r.Tables[0]).fits(r.GuestsCount), true
	}
	for i := range b.combos {
		if c := &b.combos[i]; sameSet(c.ids, r.Tables) {
			return c.min <= r.GuestsCount && r.GuestsCount <= c.max, true
		}
	}
	return true, false
}
