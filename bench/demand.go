package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
)

//go:embed demand-profile.json
var demandProfile []byte

// rng is a xorshift generator: cheap, and the same sequence for the same seed.
type rng uint64

func (r *rng) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = rng(x)
	return x
}

func (r *rng) below(n uint64) uint64 { return (r.next() >> 11) % n }

func (r *rng) fraction() float64 { return float64(r.next()>>11) / (1 << 53) }

// dice draws an index by weight.
type dice struct{ cumulative []float64 }

func newDice(weights []float64) *dice {
	d := &dice{cumulative: make([]float64, len(weights))}
	sum := 0.0
	for i, w := range weights {
		sum += w
		d.cumulative[i] = sum
	}
	for i := range d.cumulative {
		d.cumulative[i] /= sum
	}
	return d
}

func (d *dice) roll(r *rng) int {
	return min(sort.SearchFloat64s(d.cumulative, r.fraction()), len(d.cumulative)-1)
}

// demand is the shape of real reservation demand.
type demand struct {
	party      *dice // 0 = a party of one
	hour       *dice
	popularity *dice
	lead       []quantile
}

type quantile struct{ share, hours float64 }

// Hours outside of the bench restaurants' opening (10:00–23:45, last seating 21:45) hold about 5 % of the demand; they are left
// out rather than moved, so the shares inside keep their proportion.
const (
	demandFirstHour = 10
	demandLastHour  = 21
)

func loadDemand(restaurants int) (*demand, error) {
	var p struct {
		Party map[string]float64 `json:"party_size_share"`
		Hour  map[string]float64 `json:"visit_hour_share"`
		Lead  map[string]float64 `json:"lead_time_hours_quantiles"`
		Zipf  float64            `json:"popularity_zipf_exponent_top100"`
	}
	if err := json.Unmarshal(demandProfile, &p); err != nil {
		return nil, fmt.Errorf("read the demand profile: %w", err)
	}
	party, hour := make([]float64, 20), make([]float64, demandLastHour-demandFirstHour+1)
	for i := range party {
		party[i] = p.Party[strconv.Itoa(i+1)]
	}
	for i := range hour {
		hour[i] = p.Hour[strconv.Itoa(demandFirstHour+i)]
	}
	d := &demand{party: newDice(party), hour: newDice(hour), popularity: newDice(zipf(restaurants, p.Zipf))}
	for share, hours := range p.Lead {
		s, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return nil, fmt.Errorf("read the demand profile: %w", err)
		}
		d.lead = append(d.lead, quantile{s, hours})
	}
	sort.Slice(d.lead, func(i, j int) bool { return d.lead[i].share < d.lead[j].share })
	return d, nil
}

func zipf(n int, exponent float64) []float64 {
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = 1 / math.Pow(float64(i+1), exponent)
	}
	return weights
}

// leadHours draws how long before the visit it is asked for, linear between quantiles.
func (d *demand) leadHours(r *rng) float64 {
	x, before := r.fraction(), quantile{}
	for _, q := range d.lead {
		if x <= q.share {
			part := (x - before.share) / (q.share - before.share)
			return before.hours + part*(q.hours-before.hours)
		}
		before = q
	}
	return before.hours
}

// leadDays draws how many days ahead of the first bookable day the visit is.
func (d *demand) leadDays(r *rng) int { return int(d.leadHours(r) / 24) }

// startMin draws a start time on the quarter of an hour.
func (d *demand) startMin(r *rng) int {
	return (demandFirstHour+d.hour.roll(r))*60 + 15*int(r.below(4))
}
