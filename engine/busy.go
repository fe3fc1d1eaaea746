package engine

import "math/bits"

// Occupancy: for each tick of five minutes since 1970 the set of tables that a blocking reservation holds. Ticks are
// absolute, so a shift past midnight and a change of the clocks are nothing special. Chunks of 64 ticks are made on
// first use and dropped when empty.

const chunkTicks = 64

// chunk holds words words per tick. It belongs to the holder of own; everybody else copies it.
type chunk struct {
	own   *edit
	words int
	set   int // bits set
	rows  []uint64
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
}

func (b *book) holdOf(r *Reservation) hold {
	h := hold{span: spanOf(r.StartsAt, r.EndsAt)}
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
	assert(r.EndsAt-r.StartsAt <= maxStaySec, "I2: an interval without end")
	s := spanOf(r.StartsAt, r.EndsAt)
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
	next := c.mine(b.own, slot/64+1)
	if next != c {
		b.busy.set(b.own, key, next)
	}
	bit := uint64(1) << (slot & 63)
	for t := from; t < to; t++ {
		w := &next.rows[int(t%chunkTicks)*next.words+slot/64]
		assert(*w&bit == 0 == set, "I1: two reservations hold one table, or none does")
		*w ^= bit
	}
	if set {
		next.set += int(to - from)
	} else {
		next.set -= int(to - from)
	}
	if next.set == 0 {
		b.busy.remove(b.own, key)
	}
}

// mine is c, or a copy of it, that own may change and that has at least words words a tick.
func (c *chunk) mine(own *edit, words int) *chunk {
	if c == nil {
		return &chunk{own: own, words: words, rows: make([]uint64, chunkTicks*words)}
	}
	if c.own == own && c.words >= words {
		return c
	}
	words = max(words, c.words)
	next := &chunk{own: own, words: words, set: c.set, rows: make([]uint64, chunkTicks*words)}
	for t := range chunkTicks {
		copy(next.rows[t*words:], c.rows[t*c.words:(t+1)*c.words])
	}
	return next
}

// taken is the set of tables held at any tick of s, but for what skip holds.
func (b *book) taken(s span, skip *hold) (m mask) {
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
	lo, hi := int(from%chunkTicks), int(from%chunkTicks+to-from)
	if skip == nil && c.words == 1 {
		for _, w := range c.rows[lo:hi] {
			m[0] |= w
		}
		return
	}
	for t := lo; t < hi; t++ {
		at := from + int64(t-lo)
		skipping := skip != nil && at >= skip.from && at < skip.to
		for i, w := range c.rows[t*c.words : (t+1)*c.words] {
			if skipping {
				w &^= skip.tables[i]
			}
			m[i] |= w
		}
	}
}

// count is the number of tables in a that are not in b.
func (m *mask) countWithout(b *mask) int {
	n := 0
	for i, w := range m {
		n += bits.OnesCount64(w &^ b[i])
	}
	return n
}
