package engine

// gridMin is the distance of start times in minutes.
func (r *Restaurant) gridMin() int {
	if r.GridMin == 0 {
		return DefaultGridMin
	}
	return r.GridMin
}

func (h *OpeningHours) on(day Day) bool { return h.Days>>day.Weekday()&1 != 0 }

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
}

// placeAt looks at one face of a start time.
func (b *book) placeAt(day Day, local int) place {
	p := place{day: day, local: local}
	at, exists := b.zone.instant(day, local)
	p.at = at
	for i := range b.info.OpeningHours {
		h := &b.info.OpeningHours[i]
		if h.on(day) && h.covers(local) {
			p.covered = true
			p.offered = p.offered || (exists && h.offers(local, b.info.gridMin()))
		}
	}
	return p
}

// locate finds the start time that a guest means. CodeInvalid with a field when the wish is nonsense, else CodeOK.
func (b *book) locate(w When) (p place, code Code, field string) {
	const lastDay, lastSecond = 2932896, 253402300799
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

// judge says whether a party may start at p, the tables apart.
func judge(now Instant, p place) Code {
	switch {
	case !p.covered:
		return CodeClosed
	case p.at*msPerSec < int64(now):
		return CodeTooLate
	case p.at*msPerSec > int64(now)+horizonMs:
		return CodeTooEarly
	case !p.offered:
		return CodeNotOnGrid
	}
	return CodeOK
}

// startAfter is the next start time that the shifts of day offer after the local minute.
func (b *book) startAfter(day Day, minute int) (p place, ok bool) {
	for {
		next, found := 0, false
		for i := range b.info.OpeningHours {
			h := &b.info.OpeningHours[i]
			if !h.on(day) {
				continue
			}
			if m, more := h.after(minute, b.info.gridMin()); more && (!found || m < next) {
				next, found = m, true
			}
		}
		if !found {
			return place{}, false
		}
		minute = next
		if at, exists := b.zone.instant(day, minute); exists {
			return place{day: day, local: minute, at: at, covered: true, offered: true}, true
		}
	}
}
