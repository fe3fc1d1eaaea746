package main

// eveningFloor is a room on paper. Tables stand in the list as one walks through the room, and are numbered so: numbered by size, first
// fit would be best fit.
type eveningFloor struct {
	name   string
	tables []spot
	combos []spot
}

// spot is where a party can sit: one table, or several that are pushed together. Whoever sits there holds all of them.
type spot struct {
	tables      []int // places in the floor's list
	least, most int   // guests
	area        string
}

// suits reports whether the party may sit there, were it free.
func (s *spot) suits(p *party) bool {
	return s.least <= p.guests && p.guests <= s.most && (p.area == "" || p.area == s.area)
}

// leastAt is the smallest party that a house lets book a table of that size: a pair may have a table for four, not one for six.
var leastAt = map[int]int{2: 1, 4: 2, 6: 3, 8: 5}

func (f *eveningFloor) add(area string, sizes ...int) {
	for _, size := range sizes {
		f.tables = append(f.tables, spot{[]int{len(f.tables)}, leastAt[size], size, area})
	}
}

// join makes a combination of the tables of those numbers, for parties that would not fit without the last of them.
func (f *eveningFloor) join(numbers ...int) {
	c := spot{area: f.tables[numbers[0]-1].area}
	for _, n := range numbers {
		c.tables = append(c.tables, n-1)
		c.least = c.most + 1
		c.most += f.tables[n-1].most
	}
	f.combos = append(f.combos, c)
}

// joinRow makes a combination of each two, three and four neighbours of a row of tables.
func (f *eveningFloor) joinRow(first, last int) {
	for n := 2; n <= 4; n++ {
		for from := first; from+n-1 <= last; from++ {
			var numbers []int
			for i := range n {
				numbers = append(numbers, from+i)
			}
			f.join(numbers...)
		}
	}
}

// spots are all places to sit, in the order in which first fit tries them.
func (f *eveningFloor) spots() []spot {
	return append(append([]spot(nil), f.tables...), f.combos...)
}

func (f *eveningFloor) seats() (n int) {
	for i := range f.tables {
		n += f.tables[i].most
	}
	return n
}

// largest is the largest party that can ever sit there.
func (f *eveningFloor) largest() (n int) {
	for _, s := range f.spots() {
		n = max(n, s.most)
	}
	return n
}

// areas are the parts of the room, each once.
func (f *eveningFloor) areas() (all []string) {
	for i := range f.tables {
		if i == 0 || f.tables[i].area != all[len(all)-1] {
			all = append(all, f.tables[i].area)
		}
	}
	return all
}

// smallFloor is a neighbourhood place: 12 tables, 42 seats, three combinations.
func smallFloor() *eveningFloor {
	f := &eveningFloor{name: "small"}
	f.add("room", 4, 2, 2, 6, 4, 2, 4, 2, 6, 2, 4, 4)
	f.join(2, 3)
	f.join(5, 4)
	f.join(11, 12)
	return f
}

// largeFloor is a house of three areas: 60 tables, 216 seats, four combinations in each area.
func largeFloor() *eveningFloor {
	f := &eveningFloor{name: "large"}
	for _, area := range []string{"hall", "garden", "terrace"} {
		first := len(f.tables)
		f.add(area, 4, 2, 2, 6, 4, 2, 4, 2, 8, 2, 4, 4, 2, 2, 6, 4, 2, 4, 6, 2)
		for _, pair := range [][2]int{{2, 3}, {11, 12}, {5, 4}, {15, 16}} {
			f.join(first+pair[0], first+pair[1])
		}
	}
	return f
}

// banquetteFloor is benches along the walls: 20 tables, 56 seats, 36 combinations of neighbours.
func banquetteFloor() *eveningFloor {
	f := &eveningFloor{name: "combinations"}
	f.add("room", 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4)
	f.joinRow(1, 6)
	f.joinRow(7, 10)
	f.joinRow(11, 16)
	f.joinRow(17, 20)
	return f
}

// cornerFloor is small enough for the optimum: 6 tables, 22 seats, three combinations.
func cornerFloor() *eveningFloor {
	f := &eveningFloor{name: "corner"}
	f.add("room", 4, 2, 2, 6, 4, 4)
	f.join(2, 3)
	f.join(5, 4)
	f.join(5, 6)
	return f
}

// benchFloor is small too, and nearly all of it can be joined: 7 tables, 20 seats, 9 combinations.
func benchFloor() *eveningFloor {
	f := &eveningFloor{name: "bench"}
	f.add("room", 2, 2, 2, 2, 4, 4, 4)
	f.joinRow(1, 4)
	f.joinRow(5, 7)
	return f
}
