package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"

	"maitred/bench/chart"
)

// measured is a number of one evening.
type measured func(*evening) float64

func ofParties(e *evening) float64 { return float64(e.parties) }
func ofAsked(e *evening) float64   { return float64(e.asked) }
func ofOptimum(e *evening) float64 { return float64(e.optimum) }

func covers(by int) measured {
	return func(e *evening) float64 { return float64(e.by[by].covers) }
}

func refused(by int) measured {
	return func(e *evening) float64 { return float64(e.by[by].refused) }
}

// per divides two figures of the same evening: what the seed drew hits both.
func (f measured) per(under measured) measured {
	return func(e *evening) float64 { return f(e) / under(e) }
}

// estimate is the mean of a measured over the evenings, and the half of its 95 % interval.
func (r *eveningRow) estimate(f measured) chart.Estimate {
	values := make([]float64, len(r.evenings))
	for i := range r.evenings {
		values[i] = f(&r.evenings[i])
	}
	mean, half := interval(values)
	return chart.Estimate{X: r.load, Y: mean, Half: half}
}

func eveningReport(c *eveningCmd, large, small []eveningRow) string {
	head := fmt.Sprintf("Evenings with the seeds %d to %d; means, and 95 %% intervals of ratios paired by seed.\n\n", c.Seed, c.Seed+uint64(c.Seeds)-1)
	return head + largeTable(large) + "\n\nNobody takes another time:\n\n" + smallTable(small) + "\n"
}

func largeTable(rows []eveningRow) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"floor", "load", "parties", "covers asked", "maitred", "first fit", "maitred ÷ first fit", "thrifty ÷ first fit", "careful ÷ first fit",
		"refused by maitred", "by first fit"})
	for i := range rows {
		r := &rows[i]
		first := covers(byFirst)
		t.AppendRow(append(r.begin(), r.mean(covers(byMaitred)), r.mean(first), r.ratio(covers(byMaitred), first), r.ratio(covers(byThrift), first),
			r.ratio(covers(byCare), first), r.mean(refused(byMaitred)), r.mean(refused(byFirst))))
	}
	return t.Render()
}

func smallTable(rows []eveningRow) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"floor", "load", "parties", "covers asked", "optimum", "maitred", "first fit", "maitred ÷ first fit", "maitred ÷ optimum",
		"first fit ÷ optimum", "careful ÷ optimum"})
	for i := range rows {
		r := &rows[i]
		maitred, first := covers(byMaitred), covers(byFirst)
		t.AppendRow(append(r.begin(), r.mean(ofOptimum), r.mean(maitred), r.mean(first), r.ratio(maitred, first), r.ratio(maitred, ofOptimum),
			r.ratio(first, ofOptimum), r.ratio(covers(byCare), ofOptimum)))
	}
	return t.Render()
}

func (r *eveningRow) begin() table.Row {
	return table.Row{r.floor.name, fmt.Sprintf("%.1f", r.load), r.mean(ofParties), r.mean(ofAsked)}
}

func (r *eveningRow) mean(f measured) string { return fmt.Sprintf("%.1f", r.estimate(f).Y) }

func (r *eveningRow) ratio(over, under measured) string {
	e := r.estimate(over.per(under))
	return fmt.Sprintf("%.3f ± %.3f", e.Y, e.Half)
}
