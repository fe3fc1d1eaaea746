package engine

import "slices"

// search is who looks for a time.
type search struct {
	now    Instant
	guests int
	staff  bool
	walkIn bool      // stands at the door
	waited bool      // has waited for a table: horizon and pause are for others
	area   string    // where it wants to sit; empty = anywhere
	skip   *hold     // what the party itself holds
	lift   *Override // what staff set aside for it; nil = nothing
}

// books reports whether the party may book a table of that channel.
func (q *search) books(c Channel) bool {
	return c == ChannelOnline || q.staff && c == ChannelInHouse || q.walkIn
}

// wish is what a party asks of the floor.
type wish struct {
	span    span
	table   int       // slot; -1 = any
	binding bool      // that table or none, whatever its channel; whoever binds has looked whether it fits
	keep    []TableID // to stay at when they are free and fit
}

// seat chooses the tables: the wished one, else those that are kept, else the smallest that fits, else a combination. nil = none is free.
func (b *book) seat(q *search, w wish) []TableID {
	fits := b.floor.fitting(q)
	taken := b.taken(w.span, q.skip)
	free := func(slot int) bool { return slot >= 0 && fits.has(slot) && !taken.has(slot) }
	one := func(slot int) []TableID { return []TableID{b.floor.slots[slot].ID} }
	if w.binding {
		if t := b.floor.slots[w.table]; t.InService && !taken.has(w.table) {
			return one(w.table)
		}
		return nil
	}
	if free(w.table) {
		return one(w.table)
	}
	if len(w.keep) == 1 {
		if slot := b.floor.slot(w.keep[0]); free(slot) {
			return one(slot)
		}
	}
	if len(w.keep) > 1 {
		if kept := b.seatTogether(q, w.keep, &taken); sameSet(kept, w.keep) {
			return kept
		}
	}
	best := -1
	for _, s := range b.floor.order {
		if !free(int(s)) {
			continue
		}
		if !q.walkIn {
			return one(int(s))
		}
		if best < 0 || b.floor.slots[s].Channel > b.floor.slots[best].Channel { // what nobody can book is given first
			best = int(s)
		}
	}
	if best >= 0 {
		return one(best)
	}
	return b.seatTogether(q, nil, &taken)
}

// stay is when a party that starts at p leaves, and when its table is free again.
func (b *book) stay(p place, guests int) (endsAt int64, held span) {
	turn := 0
	if len(b.rules.TurnTimes) == 0 {
		turn = DefaultTurnMin(guests)
	} else {
		turn = b.rules.turnMin(guests, p.day, p.shift)
	}
	endsAt = p.at + int64(turn)*60
	return endsAt, spanOf(p.at, endsAt+int64(b.rules.BufferMin)*60)
}

// availability appends the starts of day; free tables are counted for times that can still be taken.
func (b *book) availability(q search, day Day, dst []Start) []Start {
	if b.info == nil || q.guests < 1 {
		return dst
	}
	if b.rules.Pacing.bounds() {
		return b.pacedAvailability(q, day, dst)
	}
	return b.starts(q, day, nil, dst)
}

func (b *book) pacedAvailability(q search, day Day, dst []Start) []Start {
	var count pace
	b.paceOf(day, q.skip.of(), &count)
	return b.starts(q, day, &count, dst)
}

// starts is availability; count nil = at any pace.
func (b *book) starts(q search, day Day, count *pace, dst []Start) []Start {
	fits := b.floor.fitting(&q)
	var together suitable
	b.suitable(&q, &together)
	for p, ok := b.startAfter(day, -1); ok; p, ok = b.startAfter(day, p.local) {
		s := Start{Day: day, LocalMin: p.local, StartsAt: p.at}
		if b.judge(&q, p) == CodeOK && (count == nil || b.rules.Pacing.admits(count, p.local, q.guests, q.staff)) {
			_, held := b.stay(p, q.guests)
			taken := b.taken(held, q.skip)
			s.Free = fits.countWithout(&taken) + b.freeCombos(&together, &taken)
		}
		dst = append(dst, s)
	}
	return dst
}

// alternatives are the free starts nearest to at, nearest first: of the service day, and of its neighbours as long as
// there are fewer than MaxAlternatives.
func (b *book) alternatives(q search, p place) []Alternative {
	if !b.everFits(q.guests) {
		return nil
	}
	q.lift = nil // what is proposed needs no override
	var out []Alternative
	var starts []Start
	for away := Day(0); away <= alternativeDays && len(out) < MaxAlternatives; away++ {
		starts = b.availability(q, p.day-away, starts[:0])
		if away > 0 {
			starts = b.availability(q, p.day+away, starts)
		}
		starts = slices.DeleteFunc(starts, func(s Start) bool { return s.Free == 0 || s.StartsAt == p.at || contains(out, s) })
		slices.SortStableFunc(starts, func(x, y Start) int { return nearer(p.at, x, y) })
		for _, s := range starts {
			if len(out) < MaxAlternatives && !contains(out, s) {
				out = append(out, Alternative{s.Day, s.LocalMin, s.StartsAt})
			}
		}
	}
	return out
}

func contains(out []Alternative, s Start) bool {
	return slices.ContainsFunc(out, func(a Alternative) bool { return a.StartsAt == s.StartsAt })
}

// nearer orders by distance from at; of two equally far the earlier comes first.
func nearer(at int64, x, y Start) int {
	dx, dy := max(x.StartsAt-at, at-x.StartsAt), max(y.StartsAt-at, at-y.StartsAt)
	if dx != dy {
		return int(dx - dy)
	}
	return int(x.StartsAt - y.StartsAt)
}
