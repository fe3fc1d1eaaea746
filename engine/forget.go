package engine

import "slices"

// A final reservation leaves the state in the first event whose UTC day is at least forgetDays after its service day and
// forgetLateDays after its last change, whichever is later. So it is there, with the key that made it, for more than 24 h after
// its last change, and for about a month after its end. The rule looks at the state and the time of events only: every fold
// of the same events forgets the same.
//
// Each service day is passed once; who turns final too late for that waits in book.late. That makes O(1) an event, amortised.

func utcDay(at Instant) Day { return Day(floorDiv(int(at), 86400*msPerSec)) }

// forgottenOn is the UTC day that lets a final reservation go.
func forgottenOn(r *Reservation) Day {
	return max(r.Day+forgetDays, utcDay(r.Updated)+forgetLateDays)
}

func final(s Status) bool { return !blocks(s) && s != StatusWaiting }

// rememberLate notes a reservation that the pass over its service day will not let go. A note of staff changes nothing about that.
func (b *book) rememberLate(old, r *Reservation) {
	known := old != nil && final(old.Status) && old.Updated == r.Updated
	if known || !final(r.Status) || utcDay(r.Updated)+forgetLateDays <= r.Day+forgetDays {
		return
	}
	entry := farewell{forgottenOn(r), mustOwnPart(r.ID)}
	assert(len(b.late) == 0 || b.late[len(b.late)-1].due <= entry.due, "I6: farewells are in order")
	b.late = append(b.late, entry)
}

// forget lets go what is due, given the time of the event before the present one.
func (b *book) forget(before Instant) {
	was, today := utcDay(before), utcDay(b.last)
	if was == today {
		return
	}
	b.passDays(was-forgetDays, today-forgetDays)
	for len(b.late) > 0 && b.late[0].due <= today {
		if r, ok := b.resv.get(b.late[0].key); ok && final(r.Status) && forgottenOn(r) <= today {
			b.replace(r, nil)
		}
		b.late = b.late[1:]
	}
}

// passDays lets go the final reservations of the service days in (after, upTo].
func (b *book) passDays(after, upTo Day) {
	var days []Day
	if int(upTo-after) <= b.sheets.len()+16 {
		for d := after + 1; d <= upTo; d++ {
			if _, ok := b.sheets.get(dayKey(d)); ok {
				days = append(days, d)
			}
		}
	} else {
		b.sheets.walk(func(key uint64, _ *sheet) {
			if d := Day(uint32(key)); d > after && d <= upTo {
				days = append(days, d)
			}
		})
		slices.Sort(days)
	}
	for _, d := range days {
		s, _ := b.sheets.get(dayKey(d))
		for _, r := range slices.Clone(s.list) {
			if final(r.Status) && forgottenOn(r) <= utcDay(b.last) {
				b.replace(r, nil)
			}
		}
	}
}
