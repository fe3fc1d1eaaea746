package main

import (
	"cmp"
	"slices"
)

// Rules that the engine does not have, to see what they would bring.

// byWaste is the floor's spots in the order of a best fit: tables by size, then combinations by size and number of tables. The engine
// takes combinations by number of tables first.
func (f *eveningFloor) byWaste() []spot {
	order := func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.most, b.most), cmp.Compare(len(a.tables), len(b.tables)))
	}
	tables, combos := slices.Clone(f.tables), slices.Clone(f.combos)
	slices.SortStableFunc(tables, order)
	slices.SortStableFunc(combos, order)
	return append(tables, combos...)
}

// careful looks at the free spots that are as large as the one that byWaste gives, and takes the one that harms those who come later
// least.
type careful struct{ firstFit }

func (h *careful) seat(p *party, at int) (*stay, error) {
	var best *stay
	size, least := 0, 0
	for i := range h.spots {
		o := &h.spots[i]
		s := stay{p.guests, o.tables, at, at + p.turn()}
		if !o.suits(p) || !h.free(&s) {
			continue
		}
		if best != nil && (o.most != size || len(o.tables) > 1 && len(best.tables) == 1) {
			break // the larger ones, and the combinations, come after
		}
		if harm := h.harm(&s); best == nil || harm < least {
			best, size, least = &s, o.most, harm
		}
	}
	if best != nil {
		h.stays = append(h.stays, *best)
	}
	return best, nil
}

// harm is how many free spots a stay takes from others, and after that how many minutes beside it are too short for anybody.
func (h *careful) harm(s *stay) int {
	const oneSpot = 1_000_000 // more than all minutes
	taken := 0
	for i := range h.spots {
		other := stay{0, h.spots[i].tables, s.from, s.to}
		if s.meets(other) && h.free(&other) {
			taken++
		}
	}
	return taken*oneSpot + h.lost(s)
}

func (h *careful) lost(s *stay) (minutes int) {
	const shortest = 90 // of all turns
	short := func(gap int) int {
		if gap >= shortest {
			return 0
		}
		return gap
	}
	for _, t := range s.tables {
		before, after := s.from-eveningOpen, shortest
		for _, o := range h.stays {
			switch {
			case !slices.Contains(o.tables, t):
			case o.to <= s.from:
				before = min(before, s.from-o.to)
			default:
				after = min(after, o.from-s.to)
			}
		}
		minutes += short(before) + short(after)
	}
	return minutes
}
