package engine

import "math/bits"

// Occupancy: for each table the ticks of five minutes since 1970 at which a blocking reservation holds it. Ticks are
// absolute, so a shift past midnight and a change of the clocks are nothing special. Chunks of 64 ticks, one word a table,
// are made on first use and dropped when empty.

const chunkTicks = 64

// chunk has the ticks of a table's slot in rows[slot]; slots beyond its end are free. It belongs to the holder of own;
// everybody else copies it.
type chunk struct {
	own  *edit
	set  int // bits set
	rows []uint64
}

// ticks is the bits of [from, to), which lies in one chunk and is not empty.
func ticks(from, to int64) uint64 {
	return ^uint64(0) >> (chunkTicks - (to - from)) << (from % chunkTicks)
}

// span is a half-open interval of ticks.
type span struct{ from, to int64 }

func spanOf(startsAt, endsAt int64) span {
	return span{startsAt / tickSec, (endsAt + tickSec - 1) / tickSec}
}

// hold is what one reservation holds, to be left out of a search.
type hold struct {
	span
	tables mask
	id     ReservationID
}

// of is whose it is; empty for none.
func (h *hold) of() ReservationID {
	if h == nil {
		return ""
	}
	return h.id
}

// held is when a reservation keeps its tables from others.
func (r *Reservation) held() span { return spanOf(r.StartsAt, r.EndsAt+int64(r.BufferMin)*60) }

func (b *book) holdOf(r *Reservation) hold {
	h := hold{span: r.held(), id: r.ID}
	for _, id := range r.Tables {
		if slot := b.floor.slot(id); slot >= 0 {
			h.tables.add(slot)
		}
	}
	return h
}

// occupy sets or clears the bits of a blocking reservation.
func (b *book) occupy(r *Reservation, set bool) {
	assert(r.EndsAt > r.StartsAt && r.StartsAt > 0, "I2: an empty interval")
	assert(r.BufferMin >= 0 && r.BufferMin <= MaxBufferMin && r.EndsAt-r.StartsAt <= maxStaySec, "I2: an interval without end")
	s := r.held()
	for _, id := range r.Tables {
		slot := b.floor.slot(id)
		assert(slot >= 0, "I3: a blocking reservation on an unknown table")
		for from := s.from; from < s.to; {
			end := min(s.to, (from/chunkTicks+1)*chunkTicks)
			b.mark(slot, from, end, set)
			from = end
		}
	}
}

// mark changes the ticks [from, to) of one chunk.
func (b *book) mark(slot int, from, to int64, set bool) {
	key := uint64(from / chunkTicks)
	c, _ := b.busy.get(key)
	next := c.mine(b.own, max(slot+1, len(b.floor.slots)))
	if next != c {
		b.busy.set(b.own, key, next)
	}
	want, row := ticks(from, to), &next.rows[slot]
	if set {
		assert(*row&want == 0, "I1: two reservations hold one table")
		next.set += int(to - from)
	} else {
		assert(*row&want == want, "I1: what is released was not held")
		next.set -= int(to - from)
	}
	*row ^= want
	if next.set == 0 {
		b.busy.remove(b.own, key)
	}
}

// mine is c, or a copy of it, that own may change and that has at least slots rows.
func (c *chunk) mine(own *edit, slots int) *chunk {
	if c == nil {
		return &chunk{own: own, rows: make([]uint64, slots)}
	}
	if c.own == own && len(c.rows) >= slots {
		return c
	}
	next := &chunk{own: own, set: c.set, rows: make([]uint64, max(slots, len(c.rows)))}
	copy(next.rows, c.rows)
	return next
}

// taken is the set of tables that are held or out of service at any tick of s, but for what skip holds.
func (b *book) taken(s span, skip *hold) (m mask) {
	b.floor.blockedIn(s, &m)
	for from := s.from; from < s.to; {
		end := min(s.to, (from/chunkTicks+1)*chunkTicks)
		if c, ok := b.busy.get(uint64(from / chunkTicks)); ok {
			c.collect(&m, from, end, skip)
		}
		from = end
	}
	return m
}

func (c *chunk) collect(m *mask, from, to int64, skip *hold) {
	want := ticks(from, to)
	var skipped uint64
	if skip != nil {
		if lo, hi := max(from, skip.from), min(to, skip.to); lo < hi {
			skipped = ticks(lo, hi)
		}
	}
	for slot, row := range c.rows {
		if row &= want; row == 0 {
			continue
		}
		if skipped != 0 && row&^skipped == 0 && skip.tables.has(slot) {
			continue
		}
		m.add(slot)
	}
}

// countWithout is the number of tables in a that are not in b.
func (m *mask) countWithout(b *mask) int {
	n := 0
	for i, w := range m {
		n += bits.OnesCount64(w &^ b[i])
	}
	return n
}
