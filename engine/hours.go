package engine

import (
	"cmp"
	"slices"
)

// gridMin is the distance of start times in minutes.
func (r *Restaurant) gridMin() int { return cmp.Or(r.GridMin, DefaultGridMin) }

// allDays is every weekday.
const allDays = 1<<7 - 1

func (h *OpeningHours) on(day Day) bool { return h.Days>>day.Weekday()&1 != 0 }

// shifts are those of which some may be on that day: of the week, or of a special day.
func (b *book) shifts(day Day) []OpeningHours {
	if len(b.rules.SpecialDays) > 0 {
		if d := b.rules.special(day); d != nil {
			return d.Shifts
		}
	}
	return b.info.OpeningHours
}

func (b *book) gridOf(h *OpeningHours) int { return cmp.Or(h.GridMin, b.info.gridMin()) }

// overlap reports whether two shifts would seat at one time of one day: nobody could say which one a party is of.
func overlap(list []OpeningHours) bool {
	for i := range list {
		if slices.ContainsFunc(list[:i], list[i].meets) {
			return true
		}
	}
	return false
}

func (h *OpeningHours) meets(o OpeningHours) bool {
	next := func(days uint8) uint8 { return days<<1&allDays | days>>6 }
	meet := func(from, to int) bool { return from <= o.LastSeating && o.Open <= to }
	return h.Days&o.Days != 0 && meet(h.Open, h.LastSeating) ||
		next(h.Days)&o.Days != 0 && meet(h.Open-minutesPerDay, h.LastSeating-minutesPerDay) ||
		h.Days&next(o.Days) != 0 && meet(h.Open+minutesPerDay, h.LastSeating+minutesPerDay)
}

// offers reports whether a party may start at that minute: each step of the grid from the opening on, and last seating.
func (h *OpeningHours) offers(minute, grid int) bool {
	return h.covers(minute) && ((minute-h.Open)%grid == 0 || minute == h.LastSeating)
}

func (h *OpeningHours) covers(minute int) bool { return minute >= h.Open && minute <= h.LastSeating }

// after is the next start after minute; false when there is none.
func (h *OpeningHours) after(minute, grid int) (int, bool) {
	switch {
	case minute < h.Open:
		return h.Open, true
	case minute >= h.LastSeating:
		return 0, false
	}
	return min(h.LastSeating, minute+grid-(minute-h.Open)%grid), true
}

// place is a start time in both of its faces.
type place struct {
	day     Day
	local   int // minutes after midnight of day, ≥ 1440 after midnight
	at      int64
	covered bool // between opening and last seating of a shift
	offered bool // and on its grid, and the clock shows that time
	shift   string
}

// placeAt looks at one face of a start time.
func (b *book) placeAt(day Day, local int) place {
	p := place{day: day, local: local}
	at, exists := b.zone.instant(day, local)
	p.at = at
	shifts := b.shifts(day)
	for i := range shifts {
		h := &shifts[i]
		if !h.on(day) || !h.covers(local) {
			continue
		}
		offers := exists && h.offers(local, b.gridOf(h))
		if !p.covered || offers && !p.offered { // shifts of old journals may overlap
			p.shift = h.Name
		}
		p.covered, p.offered = true, p.offered || offers
	}
	return p
}

// shiftOf is the name of the shift that a reservation is in by now; empty when there is none.
func (b *book) shiftOf(r *Reservation) string {
	if r.StartsAt == 0 {
		return ""
	}
	return b.placeAt(r.Day, r.LocalMin).shift
}

// locate finds the start time that a guest means. CodeInvalid with a field when the wish is nonsense, else CodeOK.
func (b *book) locate(w When) (p place, code Code, field string) {
	switch {
	case !w.HasLocal && w.StartsAt == 0:
		return p, CodeInvalid, "date"
	case w.StartsAt < 0 || w.StartsAt > lastSecond:
		return p, CodeInvalid, "starts_at"
	case !w.HasLocal:
		return b.locateInstant(w.StartsAt), CodeOK, ""
	case w.Day < 0 || w.Day > lastDay:
		return p, CodeInvalid, "date"
	case w.LocalMin < 0 || w.LocalMin >= 2*minutesPerDay:
		return p, CodeInvalid, "time_slot"
	}
	p = b.placeAt(w.Day, w.LocalMin)
	if !p.offered && w.LocalMin < minutesPerDay {
		p = better(p, b.placeAt(w.Day, w.LocalMin+minutesPerDay))
	}
	if w.StartsAt != 0 && w.StartsAt != p.at {
		return p, CodeInvalid, "starts_at"
	}
	return p, CodeOK, ""
}

// locateInstant finds the shift of an instant: of its own date, or of the evening before.
func (b *book) locateInstant(at int64) place {
	day, minute, second := b.zone.local(at)
	exact := func(p place) place {
		p.offered = p.offered && second == 0 && p.at == at
		p.at = at
		return p
	}
	return better(exact(b.placeAt(day, minute)), exact(b.placeAt(day-1, minute+minutesPerDay)))
}

// better prefers what is offered, then what a shift covers, then a.
func better(a, b place) place {
	if (b.offered && !a.offered) || (b.covered && !a.covered) {
		return b
	}
	return a
}

// judge says whether a party may start at p, pacing and tables apart. Staff need no notice, a pause is not for them, and they may
// override what is not the past.
func (b *book) judge(q *search, p place) Code {
	notice := int64(0)
	if !q.staff {
		notice = int64(b.rules.MinNoticeMin) * 60 * msPerSec
	}
	switch {
	case !q.staff && !q.waited && q.now < b.rules.PausedUntil:
		return CodePaused
	case !p.covered && !q.lift.lifts(CodeClosed):
		return CodeClosed
	case p.at*msPerSec < int64(q.now)+notice:
		return CodeTooLate
	case !q.waited && p.at*msPerSec > b.rules.horizon(q.now) && !q.lift.lifts(CodeTooEarly):
		return CodeTooEarly
	case !p.offered && !(b.possible(p) && (!p.covered || q.lift.lifts(CodeNotOnGrid))):
		return CodeNotOnGrid
	}
	return CodeOK
}

// possible reports whether the clock shows that time, at a tick: no override makes another start.
func (b *book) possible(p place) bool {
	at, exists := b.zone.instant(p.day, p.local)
	return exists && at == p.at && p.at%tickSec == 0
}

// startAfter is the next start time that the shifts of day offer after the local minute.
func (b *book) startAfter(day Day, minute int) (p place, ok bool) {
	shifts := b.shifts(day)
	for {
		next, of := 0, (*OpeningHours)(nil)
		for i := range shifts {
			h := &shifts[i]
			if !h.on(day) {
				continue
			}
			if m, more := h.after(minute, b.gridOf(h)); more && (of == nil || m < next) {
				next, of = m, h
			}
		}
		if of == nil {
			return place{}, false
		}
		minute = next
		if at, exists := b.zone.instant(day, minute); exists {
			return place{day: day, local: minute, at: at, covered: true, offered: true, shift: of.Name}, true
		}
	}
}
