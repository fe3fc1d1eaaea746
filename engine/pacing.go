package engine

// pace is who starts in each window of one service day.
type pace [2 * minutesPerDay / MinGridMin]struct{ covers, parties, onlineCovers, onlineParties int32 }

// paceOf counts the parties of a service day by window, but for one.
func (b *book) paceOf(day Day, except ReservationID, p *pace) {
	s, ok := b.sheets.get(dayKey(day))
	if !ok {
		return
	}
	window := b.rules.Pacing.window()
	for _, r := range s.list {
		if r.ID == except || !blocks(r.Status) && r.Status != StatusCompleted {
			continue
		}
		w := &p[r.LocalMin/window]
		w.covers += int32(r.GuestsCount)
		w.parties++
		if r.Guest != "" {
			w.onlineCovers += int32(r.GuestsCount)
			w.onlineParties++
		}
	}
}

// paced reports whether pacing lets the party start at p.
func (b *book) paced(q *search, p place) bool {
	if !b.rules.Pacing.bounds() {
		return true
	}
	var count pace
	b.paceOf(p.day, q.skip.of(), &count)
	return b.rules.Pacing.admits(&count, p.local, q.guests, q.staff)
}

func (p *Pacing) window() int {
	if p.WindowMin == 0 {
		return DefaultPacingWindow
	}
	return p.WindowMin
}

// bounds reports whether there is anything to count.
func (p *Pacing) bounds() bool { return p.Covers|p.Parties|p.OnlineCovers|p.OnlineParties != 0 }

// admits reports whether one more party may start at that minute.
func (p *Pacing) admits(count *pace, local, guests int, staff bool) bool {
	keeps := func(n int32, more, most int) bool { return most == 0 || int(n)+more <= most }
	w := &count[local/p.window()]
	return keeps(w.covers, guests, p.Covers) && keeps(w.parties, 1, p.Parties) &&
		(staff || keeps(w.onlineCovers, guests, p.OnlineCovers) && keeps(w.onlineParties, 1, p.OnlineParties))
}
