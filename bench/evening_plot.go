package main

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"

	"maitred/bench/chart"
)

// plotEvenings draws over the load how much is seated, against first fit on the large floors and against the optimum on the small ones.
func plotEvenings(file string, large, small []eveningRow) error {
	share := eveningChart("Covers that maitred seats, of those asked for", "% of covers asked", 50, 100, 10)
	fit := eveningChart("Covers that maitred seats ÷ first fit", "ratio", 0.96, 1.08, 0.02)
	charts := []*chart.Plot{share, fit}
	for i, rows := range byFloor(large) {
		name := rows[0].floor.name
		if err := share.Estimates(name, estimates(rows, covers(byMaitred).per(ofAsked), 100, i)); err != nil {
			return err
		}
		if err := fit.Estimates(name, estimates(rows, covers(byMaitred).per(covers(byFirst)), 1, i)); err != nil {
			return err
		}
	}
	for _, rows := range byFloor(small) {
		best := eveningChart(fmt.Sprintf("Covers seated at the wished times ÷ the optimum: %s", rows[0].floor.name), "ratio", 0.75, 1, 0.05)
		for i, by := range []int{byMaitred, byFirst, byCare} {
			name := []string{"maitred", "first fit", "careful"}[i]
			if err := best.Estimates(name, estimates(rows, covers(by).per(ofOptimum), 1, i)); err != nil {
				return err
			}
		}
		charts = append(charts, best)
	}
	charts[len(charts)-1].X.Label.Text = "load (1 = two guests asked for each seat); bars are 95 % intervals"
	return chart.Save(file, charts...)
}

// eveningChart has its ticks where something was measured, and room for the legend to the right.
func eveningChart(title, unit string, low, high, step float64) *chart.Plot {
	c := chart.New(title, "", unit)
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = 0.65, 1.85, low, high
	var x, y plot.ConstantTicks
	for _, load := range eveningLoads {
		x = append(x, plot.Tick{Value: load, Label: fmt.Sprintf("%.1f", load)})
	}
	decimals := 0
	if step < 1 {
		decimals = 2
	}
	for i := 0.0; low+i*step < high+step/2; i++ {
		y = append(y, plot.Tick{Value: low + i*step, Label: fmt.Sprintf("%.*f", decimals, low+i*step)})
	}
	c.X.Tick.Marker, c.Y.Tick.Marker = x, y
	return c
}

func byFloor(rows []eveningRow) [][]eveningRow {
	return slices.Collect(slices.Chunk(rows, len(eveningLoads)))
}

// estimates are points of the line of that number; the lines stand a little beside each other, so that their bars can be told apart.
func estimates(rows []eveningRow, f measured, scale float64, line int) (all []chart.Estimate) {
	for i := range rows {
		e := rows[i].estimate(f)
		all = append(all, chart.Estimate{X: e.X + 0.008*float64(line-1), Y: e.Y * scale, Half: e.Half * scale})
	}
	return all
}
