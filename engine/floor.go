package engine

import (
	"cmp"
	"slices"
	"strings"
)

// maskWords is the width of a set of tables.
const maskWords = (MaxTables + 63) / 64

// mask is a set of table slots.
type mask [maskWords]uint64

func (m *mask) has(slot int) bool { return m[slot>>6]>>(slot&63)&1 != 0 }
func (m *mask) add(slot int)      { m[slot>>6] |= 1 << (slot & 63) }

// floor is the tables of a restaurant. A slot is a table's place in the bit sets; it is reused after a removal and never
// part of a decision. Immutable: a change makes a new one.
type floor struct {
	slots []*Table // nil = free
	list  []*Table // by number, as people read it
	order []uint16 // slots, best fit first: capacity, number, id

	blocks []blocked // of tables that are out of service for a time
}

// blocked is a time in which nobody else is seated at a table.
type blocked struct {
	span
	slot int
}

// blockedIn adds the tables that are out of service at some tick of s.
func (f *floor) blockedIn(s span, m *mask) {
	for _, b := range f.blocks {
		if b.from < s.to && s.from < b.to {
			m.add(b.slot)
		}
	}
}

func (f *floor) slot(id TableID) int {
	for i, t := range f.slots {
		if t != nil && t.ID == id {
			return i
		}
	}
	return -1
}

func (f *floor) table(id TableID) *Table {
	if i := f.slot(id); i >= 0 {
		return f.slots[i]
	}
	return nil
}

// with is the floor after t came or changed.
func (f *floor) with(t *Table) *floor {
	next := &floor{slots: slices.Clone(f.slots)}
	i := f.slot(t.ID)
	if i < 0 {
		i = slices.Index(f.slots, nil)
	}
	if i < 0 {
		i = len(next.slots)
		next.slots = append(next.slots, nil)
	}
	next.slots[i] = t
	next.arrange()
	return next
}

// without is the floor after id left.
func (f *floor) without(id TableID) *floor {
	next := &floor{slots: slices.Clone(f.slots)}
	next.slots[f.slot(id)] = nil
	next.arrange()
	return next
}

func (f *floor) arrange() {
	f.order, f.list = make([]uint16, 0, len(f.slots)), make([]*Table, 0, len(f.slots))
	for i, t := range f.slots {
		if t != nil {
			f.order, f.list = append(f.order, uint16(i)), append(f.list, t)
			for _, b := range t.Blocks {
				f.blocks = append(f.blocks, blocked{spanOf(b.From, b.Until), i})
			}
		}
	}
	assert(len(f.list) <= MaxTables, "I9: too many tables")
	slices.SortFunc(f.list, byNumber)
	slices.SortFunc(f.order, func(a, b uint16) int {
		x, y := f.slots[a], f.slots[b]
		return cmp.Or(cmp.Compare(x.Capacity, y.Capacity), byNumber(x, y))
	})
}

func byNumber(a, b *Table) int {
	return cmp.Or(compareNatural(a.Number, b.Number), cmp.Compare(a.ID, b.ID))
}

// compareNatural orders "T2" before "T10": runs of digits count as numbers.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		da, db := digitRun(a), digitRun(b)
		if da > 0 && db > 0 {
			x, y := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(da, db)); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digitRun(s string) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

func (t *Table) fits(guests int) bool { return t.MinCapacity <= guests && guests <= t.Capacity }

// fitting is the set of tables in service that seat a party by itself.
func (f *floor) fitting(q *search) (m mask) {
	for i, t := range f.slots {
		if t != nil && t.InService && t.fits(q.guests) && q.books(t.Channel) && (q.area == "" || t.Location == q.area) {
			m.add(i)
		}
	}
	return m
}

// hasArea reports whether some table stands there; everything is somewhere.
func (f *floor) hasArea(area string) bool {
	return area == "" || slices.ContainsFunc(f.list, func(t *Table) bool { return t.Location == area })
}

// everFits reports whether any table or combination could seat guests, were it in service and free.
func (b *book) everFits(guests int) bool {
	return slices.ContainsFunc(b.floor.list, func(t *Table) bool { return t.fits(guests) }) ||
		slices.ContainsFunc(b.combos, func(c combo) bool { return c.min <= guests && guests <= c.max })
}
