package main

import (
	"cmp"
	"slices"

	"maitred/engine"
)

// An evening's demand. What the profile does not say is said here.
const (
	eveningOpen = 17 * 60    // first start, minutes after midnight
	eveningLast = 21*60 + 45 // last start
	eveningStep = 15         // between starts; turn times are multiples of it
	fullHouse   = 2          // guests asked for each seat at load 1: two sittings
	flexShare   = 0.5        // of the guests take another time when the wished one is refused
	flexMin     = 60         // at most so far away from it
	areaShare   = 0.2        // of the guests want to sit in one area, where there are several
)

// party is one request.
type party struct {
	guests   int
	at       int // wished start, minutes after midnight of the evening
	asked    int // when, on the same scale: before the evening below 0
	area     string
	flexible bool
}

func (p *party) turn() int { return engine.DefaultTurnMin(p.guests) }

// drawEvening draws the requests of one evening in the order in which they are made. Parties that the floor can never seat, and
// hours outside of the evening, are left out rather than changed, so that the shares of the rest keep their proportion. A higher load
// of the same seed is the same requests and more.
func drawEvening(d *demand, f *eveningFloor, load float64, seed uint64) (all []party) {
	r := newRNG(seed)
	largest, areas := f.largest(), f.areas()
	for covers := 0.0; covers < load*fullHouse*float64(f.seats()); {
		p := d.draw(&r, largest, areas)
		covers += float64(p.guests)
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b party) int { return cmp.Compare(a.asked, b.asked) })
	return all
}

func (d *demand) draw(r *rng, largest int, areas []string) (p party) {
	for p.guests = largest + 1; p.guests > largest; {
		p.guests = d.party.roll(r) + 1
	}
	for p.at < eveningOpen || p.at > eveningLast {
		p.at = d.startMin(r)
	}
	p.asked = p.at - int(d.leadHours(r)*60)
	wants, area := r.fraction() < areaShare, areas[r.below(uint64(len(areas)))]
	if wants && len(areas) > 1 {
		p.area = area
	}
	p.flexible = r.fraction() < flexShare
	return p
}

// wishes are the starts that the party asks for until one is granted: its own, then, if it takes another, the nearest first and of
// two equally near the earlier.
func (p *party) wishes() []int {
	all := []int{p.at}
	for away := eveningStep; p.flexible && away <= flexMin; away += eveningStep {
		for _, at := range []int{p.at - away, p.at + away} {
			if at >= max(eveningOpen, p.asked) && at <= eveningLast {
				all = append(all, at)
			}
		}
	}
	return all
}

// newRNG starts a sequence that has nothing to do with that of the next seed: xorshift alone needs a while to forget a small one.
func newRNG(seed uint64) rng {
	x := seed + 0x9e3779b97f4a7c15 // the mix of splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return rng(x ^ x>>31 | 1)
}
