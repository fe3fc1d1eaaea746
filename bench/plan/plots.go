package main

import (
	"fmt"
	"math"
	"path/filepath"

	"gonum.org/v1/plot/plotter"

	"maitred/bench/chart"
)

// plan is everything that is worked out.
type plan struct {
	placements []placement
	storms     []storm
	traffics   []traffic
}

func newPlan() *plan {
	p := &plan{}
	for _, n := range counts {
		p.placements = append(p.placements, newPlacement(n))
	}
	for _, dead := range []int{1, 2, 3, 10, 33} {
		p.storms = append(p.storms, newStorm(counts[1], dead))
	}
	for _, n := range []int{3, 10, 30, 100} {
		p.traffics = append(p.traffics, newTraffic(n))
	}
	return p
}

// plotSkew shows the demand of each node, the heaviest first.
func (p *plan) plotSkew(dir string) error {
	c := chart.New("Reservations of each of 100 nodes ÷ the mean, 1 M restaurants, the heaviest node first", "nodes", "÷ the mean")
	for _, at := range p.placements {
		var xys plotter.XYs
		for i, v := range at.sorted {
			xys = append(xys, plotter.XY{X: float64(i + 1), Y: v})
		}
		if err := c.Line(fmt.Sprintf("%d partitions", at.partitions), xys); err != nil {
			return err
		}
	}
	c.Y.Min, c.X.Min, c.X.Max = 0, 1, nodes
	return chart.Save(filepath.Join(dir, "skew.svg"), c)
}

// plotStorm shows the partitions that nobody serves after nodes have died.
func (p *plan) plotStorm(dir string) error {
	c := chart.New("Partitions (of 1,024) without a living owner after some of 100 nodes died at 0 s", "seconds", "partitions")
	for _, s := range p.storms {
		if s.dead != 1 && s.dead != 10 && s.dead != 33 {
			continue
		}
		last := float64(s.unservedAtOnce())
		xys := plotter.XYs{{X: 0, Y: last}}
		for _, u := range s.unserved {
			xys = append(xys, plotter.XY{X: u.at.Seconds(), Y: last}, plotter.XY{X: u.at.Seconds(), Y: float64(u.left)})
			last = float64(u.left)
		}
		xys = append(xys, plotter.XY{X: 8, Y: 0})
		if err := c.Line(fmt.Sprintf("%d died", s.dead), xys); err != nil {
			return err
		}
	}
	c.X.Min, c.X.Max, c.Y.Min = 0, 8, 0
	return chart.Save(filepath.Join(dir, "storm.svg"), c)
}

// plotLeader shows what leaves the journal's leader, by reservations and nodes.
func (p *plan) plotLeader(dir string) error {
	c := chart.New("What leaves the leader of one journal, when every node folds all of it", "reservations a second (log)", "MB/s (log)")
	c.Log(0.1, 100_000)
	c.LogX(100, 100_000)
	c.Legend.Left = true
	for _, t := range p.traffics {
		var xys plotter.XYs
		for e := 2.0; e <= 5; e += 0.125 {
			xys = append(xys, plotter.XY{X: math.Pow(10, e), Y: math.Pow(10, e) * eventBytes * copies(t.nodes) / 1e6})
		}
		if err := c.Line(fmt.Sprintf("%d nodes", t.nodes), xys); err != nil {
			return err
		}
	}
	if err := c.Line("10 Gbit/s", plotter.XYs{{X: 100, Y: network / 1e6}, {X: 100_000, Y: network / 1e6}}); err != nil {
		return err
	}
	c.Mark(peak(restaurants), "1 M restaurants at their peak")
	return chart.Save(filepath.Join(dir, "leader.svg"), c)
}
