package engine

import (
	"cmp"
	"slices"
)

// combo is a combination as the search uses it.
type combo struct {
	tables   mask
	ids      []TableID
	min, max int
	area     string // of all its tables; meaningless when mixed
	mixed    bool
	channel  Channel // the narrowest of its tables'
	served   bool    // all its tables are in service
}

// arrange makes the combinations of the tables that are there, in the order in which they are tried: one area before several, few tables
// before many, little waste before much, then by the numbers of the tables.
func (b *book) arrange() {
	b.combos = nil
	for i := range b.rules.Combinations {
		if c, whole := b.floor.combine(&b.rules.Combinations[i]); whole {
			b.combos = append(b.combos, c)
		}
	}
	slices.SortStableFunc(b.combos, func(x, y combo) int {
		mixed := 0
		if x.mixed != y.mixed {
			mixed = -1
			if x.mixed {
				mixed = 1
			}
		}
		return cmp.Or(mixed, cmp.Compare(len(x.ids), len(y.ids)), cmp.Compare(x.max, y.max), b.floor.compareSets(x.ids, y.ids))
	})
}

// combine looks the tables of a combination up; whole is false when one is gone, as in journals of other builds.
func (f *floor) combine(c *Combination) (out combo, whole bool) {
	out = combo{ids: slices.Clone(c.Tables), min: c.MinParty, max: c.MaxParty, served: true}
	for i, id := range out.ids {
		slot := f.slot(id)
		if slot < 0 {
			return out, false
		}
		t := f.slots[slot]
		out.tables.add(slot)
		out.served = out.served && t.InService
		out.channel = max(out.channel, t.Channel)
		out.mixed = out.mixed || i > 0 && t.Location != out.area
		out.area = t.Location
	}
	slices.SortFunc(out.ids, func(x, y TableID) int { return byNumber(f.table(x), f.table(y)) })
	return out, true
}

// compareSets orders sets of tables by the numbers of their tables.
func (f *floor) compareSets(a, b []TableID) int {
	return slices.CompareFunc(a, b, func(x, y TableID) int { return byNumber(f.table(x), f.table(y)) })
}

func (c *combo) suits(q *search) bool {
	return c.served && c.min <= q.guests && q.guests <= c.max && q.books(c.channel) && (q.area == "" || !c.mixed && c.area == q.area)
}

// meets reports whether one of its tables is in m, of which n words are used.
func (c *combo) meets(m *mask, n int) bool {
	for i := range n {
		if c.tables[i]&m[i] != 0 {
			return true
		}
	}
	return false
}

// suitable are the combinations that would seat the party, were they free: places in book.combos.
type suitable struct {
	at [MaxCombinations]uint8
	n  int
}

func (b *book) suitable(q *search, s *suitable) {
	for i := range b.combos {
		if b.combos[i].suits(q) {
			s.at[s.n] = uint8(i)
			s.n++
		}
	}
}

// freeCombos is how many of them are free beside what is taken.
func (b *book) freeCombos(s *suitable, taken *mask) (n int) {
	words := (len(b.floor.slots) + 63) / 64
	for _, i := range s.at[:s.n] {
		if !b.combos[i].meets(taken, words) {
			n++
		}
	}
	return n
}

// seatTogether chooses the combination: the one with the tables that are kept, else the first that fits.
func (b *book) seatTogether(q *search, keep []TableID, taken *mask) []TableID {
	words := (len(b.floor.slots) + 63) / 64
	var best []TableID
	for i := range b.combos {
		c := &b.combos[i]
		if !c.suits(q) || c.meets(taken, words) {
			continue
		}
		if sameSet(c.ids, keep) {
			return c.ids
		}
		if best == nil {
			best = c.ids
		}
	}
	return best
}

func sameSet(a, b []TableID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id TableID) bool { return !slices.Contains(b, id) })
}

// combinationFault names what is wrong with the combinations of a floor; "" = nothing.
func (f *floor) combinationFault(list []Combination) string {
	if len(list) > MaxCombinations {
		return "combinations"
	}
	for i := range list {
		c := &list[i]
		seats := 0
		for j, id := range c.Tables {
			t := f.table(id)
			if t == nil || slices.Contains(c.Tables[:j], id) {
				return "combinations.table_ids"
			}
			seats += t.Capacity
		}
		switch {
		case len(c.Tables) < 2 || len(c.Tables) > MaxTablesPerParty:
			return "combinations.table_ids"
		case c.MinParty < 1 || c.MaxParty < c.MinParty || c.MaxParty > seats:
			return "combinations.max_party"
		case slices.ContainsFunc(list[:i], func(o Combination) bool { return sameSet(o.Tables, c.Tables) }):
			return "combinations.table_ids"
		}
	}
	return ""
}

// combines reports whether a combination needs the table.
func (r *Rules) combines(id TableID) bool {
	return slices.ContainsFunc(r.Combinations, func(c Combination) bool { return slices.Contains(c.Tables, id) })
}
