package main

import (
	"cmp"
	"slices"
)

// maxSmall is how many tables a floor may have whose optimum is looked for.
const maxSmall = 12

// freeAt is when each table is free again, in steps since the opening.
type freeAt [maxSmall]uint8

// optimum is the most covers that can be seated at the wished times by whoever knows all requests beforehand. It is exact: parties
// are taken in order of start, each is sent away or seated at each spot in turn, and of what leads to the same state of the room the
// best is kept. That is enough, since what comes later starts later: of the past only matters when each table is free again.
func optimum(f *eveningFloor, parties []party) int {
	parties = slices.Clone(parties)
	slices.SortStableFunc(parties, func(a, b party) int { return cmp.Compare(a.at, b.at) })
	spots, kinds := f.spots(), f.kinds()
	layer := map[freeAt]int{{}: 0}
	for i := range parties {
		layer = seatNext(layer, &parties[i], spots, kinds)
	}
	best := 0
	for _, covers := range layer {
		best = max(best, covers)
	}
	return best
}

// seatNext is what the room may look like after one more party.
func seatNext(layer map[freeAt]int, p *party, spots []spot, kinds [][]int) map[freeAt]int {
	start := uint8((p.at - eveningOpen) / eveningStep)
	end := start + uint8(p.turn()/eveningStep)
	next := make(map[freeAt]int, 2*len(layer))
	for room, covers := range layer {
		room.settle(start, kinds)
		keepBest(next, room, covers)
		for i := range spots {
			if s := &spots[i]; s.suits(p) && room.free(s, start) {
				after := room
				after.take(s, end)
				after.settle(start, kinds)
				keepBest(next, after, covers+p.guests)
			}
		}
	}
	return next
}

func keepBest(layer map[freeAt]int, room freeAt, covers int) {
	if best, seen := layer[room]; !seen || covers > best {
		layer[room] = covers
	}
}

func (r *freeAt) free(s *spot, start uint8) bool {
	return !slices.ContainsFunc(s.tables, func(t int) bool { return r[t] > start })
}

func (r *freeAt) take(s *spot, end uint8) {
	for _, t := range s.tables {
		r[t] = end
	}
}

// settle makes one state of those that differ in nothing that matters: since when a free table is free, and which of several tables
// of a kind is which.
func (r *freeAt) settle(start uint8, kinds [][]int) {
	for t := range r {
		r[t] = max(r[t], start)
	}
	for _, kind := range kinds {
		for i := 1; i < len(kind); i++ {
			for j := i; j > 0 && r[kind[j]] < r[kind[j-1]]; j-- {
				r[kind[j]], r[kind[j-1]] = r[kind[j-1]], r[kind[j]]
			}
		}
	}
}

// kinds are the sets of tables that can be exchanged for each other: the floor is the same when any two of a set change places.
func (f *eveningFloor) kinds() (all [][]int) {
	for t := range f.tables {
		i := slices.IndexFunc(all, func(kind []int) bool { return f.alike(kind[0], t) })
		if i < 0 {
			all = append(all, []int{t})
		} else {
			all[i] = append(all[i], t)
		}
	}
	return all
}

func (f *eveningFloor) alike(a, b int) bool {
	x, y := f.tables[a], f.tables[b]
	if x.least != y.least || x.most != y.most || x.area != y.area {
		return false
	}
	return !slices.ContainsFunc(f.combos, func(c spot) bool { return !slices.ContainsFunc(f.combos, c.exchanged(a, b).same) })
}

// exchanged is the spot with table b for a and a for b.
func (s spot) exchanged(a, b int) *spot {
	s.tables = slices.Clone(s.tables)
	for i, t := range s.tables {
		switch t {
		case a:
			s.tables[i] = b
		case b:
			s.tables[i] = a
		}
	}
	slices.Sort(s.tables)
	return &s
}

func (s *spot) same(o spot) bool {
	o.tables = slices.Sorted(slices.Values(o.tables))
	return s.least == o.least && s.most == o.most && s.area == o.area && slices.Equal(s.tables, o.tables)
}
