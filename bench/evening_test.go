package main

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// bruteForce is the most covers of the parties from i on beside those who sit already, by trying everything.
func bruteForce(f *eveningFloor, parties []party, sitting []stay) int {
	if len(parties) == 0 {
		return 0
	}
	p := &parties[0]
	best := bruteForce(f, parties[1:], sitting)
	for _, s := range f.spots() {
		one := stay{p.guests, s.tables, p.at, p.at + p.turn()}
		if s.suits(p) && !slices.ContainsFunc(sitting, one.meets) {
			best = max(best, p.guests+bruteForce(f, parties[1:], append(slices.Clone(sitting), one)))
		}
	}
	return best
}

// tinyFloor is two to four tables, some of them alike, in one or two areas, and up to two combinations of neighbours.
func tinyFloor(r *rng) *eveningFloor {
	f := &eveningFloor{name: "tiny"}
	n := 2 + int(r.below(3))
	for i := range n {
		area := "room"
		if i == n-1 && r.below(3) == 0 {
			area = "bar"
		}
		f.add(area, []int{2, 2, 4, 6}[r.below(4)])
	}
	for a := range min(n-1, int(r.below(3))) {
		if f.tables[a].area == f.tables[a+1].area {
			f.join(a+1, a+2)
		}
	}
	return f
}

// tinyEvening is n parties within few hours, so that they want the same tables.
func tinyEvening(r *rng, d *demand, f *eveningFloor, n int) (all []party) {
	for len(all) < n {
		if p := d.draw(r, f.largest(), f.areas()); p.at >= 18*60 && p.at <= 20*60 {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b party) int { return cmp.Compare(a.asked, b.asked) })
	return all
}

func TestOptimumIsWhatBruteForceFinds(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	r, refused, joined := newRNG(1), 0, 0
	for i := range 300 {
		f := tinyFloor(&r)
		parties := tinyEvening(&r, d, f, 6)
		asked := 0
		for _, p := range parties {
			asked += p.guests
		}
		want := bruteForce(f, parties, nil)
		require.Equal(t, want, optimum(f, parties), "evening %d: %+v of %+v", i, parties, f)
		if want < asked {
			refused++
		}
		if plain := (&eveningFloor{tables: f.tables}); bruteForce(plain, parties, nil) < want {
			joined++
		}
	}
	require.Greater(t, refused, 100, "most evenings are too small for all")
	require.Greater(t, joined, 30, "combinations matter")
}

func TestNobodySeatsMoreThanTheOptimum(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	r, less := newRNG(2), [contestants]int{}
	for range 300 {
		f := tinyFloor(&r)
		parties := tinyEvening(&r, d, f, 9)
		best := optimum(f, parties)
		for i, open := range openings {
			got := spent(t, f, open, parties, true)
			require.LessOrEqual(t, got.covers, best, "contestant %d: %+v of %+v", i, parties, f)
			if got.covers < best {
				less[i]++
			}
		}
	}
	for i := range less {
		require.Greater(t, less[i], 50, "the future matters")
	}
}

func spent(t *testing.T, f *eveningFloor, open func(*eveningFloor) (seater, error), parties []party, exact bool) seated {
	t.Helper()
	s, err := open(f)
	require.NoError(t, err)
	got, err := hold(s, parties, exact)
	require.NoError(t, err)
	return got
}

var eveningFloors = []*eveningFloor{smallFloor(), largeFloor(), banquetteFloor(), cornerFloor(), benchFloor()}

// Minute by minute, with arithmetic of its own.
func TestNoTableIsGivenTwiceInAnEvening(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	for _, f := range eveningFloors {
		for seed := range uint64(5) {
			parties := drawEvening(d, f, 1.6, seed)
			for i, open := range openings {
				got := spent(t, f, open, parties, false)
				require.NotZero(t, got.refused, "a full evening")
				type place struct{ table, minute int }
				taken, covers := map[place]bool{}, 0
				for _, s := range got.stays {
					covers += s.guests
					for minute := s.from; minute < s.to; minute++ {
						for _, table := range s.tables {
							require.False(t, taken[place{table, minute}], "%s, seed %d, contestant %d: table %d at minute %d", f.name, seed, i, table+1, minute)
							taken[place{table, minute}] = true
						}
					}
				}
				require.Equal(t, got.covers, covers)
				require.Len(t, parties, len(got.stays)+got.refused, "everybody is seated or refused")
			}
		}
	}
}

// The engine seats as its documents say: the same evening, written again as a list of spots, gives the same tables.
func TestMaitredSeatsByItsOwnRule(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	byRule := func(f *eveningFloor) (seater, error) {
		tables, combos := slices.Clone(f.tables), slices.Clone(f.combos)
		for i := range combos {
			combos[i].tables = slices.Sorted(slices.Values(combos[i].tables))
		}
		slices.SortStableFunc(tables, func(a, b spot) int { return cmp.Compare(a.most, b.most) })
		slices.SortStableFunc(combos, func(a, b spot) int {
			return cmp.Or(cmp.Compare(len(a.tables), len(b.tables)), cmp.Compare(a.most, b.most), slices.Compare(a.tables, b.tables))
		})
		return &firstFit{spots: append(tables, combos...)}, nil
	}
	for _, f := range eveningFloors {
		for seed := range uint64(5) {
			parties := drawEvening(d, f, 1.3, seed)
			require.Equal(t, spent(t, f, byRule, parties, false), spent(t, f, openEveningHouse, parties, false), "%s, seed %d", f.name, seed)
		}
	}
}

// forgetful seats everybody anew: it must be found out.
type forgetful struct{ spots []spot }

func (h *forgetful) seat(p *party, at int) (*stay, error) {
	return (&firstFit{spots: h.spots}).seat(p, at)
}

func TestMistakesOfAnEveningAreFound(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	f := cornerFloor()
	parties := drawEvening(d, f, 1, 1)
	got, err := hold(&forgetful{f.spots()}, parties, true)
	require.NoError(t, err)
	require.ErrorContains(t, f.fault(got.stays), "given twice")
	e := evening{optimum: optimum(f, parties)}
	e.by[byFirst] = got
	require.ErrorContains(t, e.fault(byFirst), "the optimum is")
	require.NoError(t, e.fault(byMaitred))
	require.ErrorContains(t, f.fault([]stay{{guests: 3, tables: []int{1}, from: 0, to: 90}}), "a party of 3", "a table for two")
	require.ErrorContains(t, f.fault([]stay{{guests: 3, tables: []int{0, 1}, from: 0, to: 90}}), "a party of 3", "tables that cannot be joined")
}

func TestAnEveningIsTheSameForASeed(t *testing.T) {
	run := func(seed uint64) (text, plot []byte) {
		var out bytes.Buffer
		c := &eveningCmd{Seed: seed, Seeds: 2, Out: t.TempDir(), progress: io.Discard}
		require.NoError(t, c.write(&out))
		plot, err := os.ReadFile(filepath.Join(c.Out, "evening.svg"))
		require.NoError(t, err)
		return out.Bytes(), plot
	}
	text, plot := run(7)
	again, plotAgain := run(7)
	require.Equal(t, string(text), string(again))
	require.Equal(t, string(plot), string(plotAgain))
	other, _ := run(70)
	_, figures, _ := bytes.Cut(text, []byte("\n"))
	_, others, _ := bytes.Cut(other, []byte("\n"))
	require.NotEqual(t, string(figures), string(others), "another seed is another evening")
}

func TestAHigherLoadIsTheSameRequestsAndMore(t *testing.T) {
	d, err := loadDemand(1)
	require.NoError(t, err)
	f := largeFloor()
	few, many := drawEvening(d, f, 0.7, 3), drawEvening(d, f, 1.6, 3)
	require.True(t, slices.IsSortedFunc(many, func(a, b party) int { return cmp.Compare(a.asked, b.asked) }))
	for _, p := range few {
		require.Contains(t, many, p)
	}
	for _, p := range many {
		require.LessOrEqual(t, p.asked, p.at)
		for i, at := range p.wishes() {
			require.True(t, at >= eveningOpen && at <= eveningLast && max(at-p.at, p.at-at) <= flexMin)
			require.True(t, i == 0 || p.flexible && at >= p.asked, "nobody comes before he asks")
		}
	}
}

func TestIntervalOfRatios(t *testing.T) {
	require.InDelta(t, 2.262, student(9), 0.01)
	require.InDelta(t, 2.0096, student(49), 0.001)
	row := eveningRow{load: 1}
	for _, n := range []int{8, 9, 10, 11, 12} {
		row.evenings = append(row.evenings, evening{parties: n, asked: 10})
	}
	e := row.estimate(measured(ofParties).per(ofAsked))
	require.InDelta(t, 1, e.Y, 1e-9)
	require.InDelta(t, student(4)*0.15811/2.23607, e.Half, 1e-4, "deviation of the sample ÷ √5")
}
