package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Aims of a cluster, as issue and DESIGN name them.
const (
	aimReplicated    = 3.0   // durable bookings of three nodes ÷ the row-lock peer's
	aimHopLoss       = 0.40  // of the throughput of a CPU-second, when every request is forwarded
	aimDrainFailed   = 0.0   // requests
	aimDrainAdded    = 300.0 // ms of the p99
	aimKill          = 6.0   // seconds: T + 3 s
	aimKillOfJournal = 15.0  // seconds
)

// errMissed is what a run ends with that missed an aim, but lost nothing.
var errMissed = errors.New("aims missed")

// drainFigures are those of one planned drain at half load.
type drainFigures struct {
	Round        int     `json:"round"`
	Node         string  `json:"node"`
	Rate         float64 `json:"rate"`
	DrainSeconds float64 `json:"drain_seconds"` // from the order until it held nothing
	Before       span    `json:"before"`
	During       span    `json:"during"` // and a second after it
	Back         span    `json:"back"`   // while it takes its share again
	All          span    `json:"all"`
}

// killFigures are those of one kill -9 at full load.
type killFigures struct {
	Round       int     `json:"round"`
	Leader      bool    `json:"leader_of_the_journal"`
	Rate        float64 `json:"rate"`
	Watched     float64 `json:"watched_seconds"`
	Served      bool    `json:"served"` // every restaurant, while it was watched
	ServedAgain float64 `json:"served_again_seconds"`
	Silence     float64 `json:"nobody_served_seconds"`
	Before      span    `json:"before"`
	After       span    `json:"after"`
}

// aimed is a figure beside its aim.
type aimed struct {
	What  string  `json:"what"`
	Value float64 `json:"value"` // of the rounds: the median of ratios, the worst of the rest
	Aim   float64 `json:"aim"`
	Above bool    `json:"at_least"` // the aim is a lower bound
	Holds bool    `json:"holds"`
}

// clusterReport is what a run found; its JSON is the file of --json.
type clusterReport struct {
	Aims   []aimed            `json:"aims"`
	Hop    map[string]float64 `json:"hop_cpu_us"` // by what was asked: CPU of all nodes that a hop adds to a request
	Drains []drainFigures     `json:"drains"`
	Kills  []killFigures      `json:"kills"`

	Compared report `json:"compared"`

	compared *report
}

// figures works out the aims' figures from rows, drains and kills.
func (c *clusterReport) figures() {
	p := c.compared
	p.Ratios, p.Spread, c.Hop = map[string]float64{}, map[string]ratio{}, map[string]float64{}
	rate := func(r *row) float64 { return r.PerSecond }
	p.ratio("replicated_vs_rowlock", "cluster burst", "rowlock", rate)
	p.ratio("replicated_vs_rowlock_pipelined", "cluster burst", "rowlock pipelined", rate)
	c.aim("replicated bookings ÷ row-lock peer's", p.Ratios["replicated_vs_rowlock"], aimReplicated, true)
	for _, what := range []string{"bookings", "reads"} {
		local, forwarded := "local "+what, "forwarded "+what
		p.ratio("forwarded_"+what+"_per_cpu_vs_local", forwarded, local, func(r *row) float64 { return 1 / r.ServerCPU })
		cpu := func(r *row) float64 { return r.ServerCPU }
		c.Hop[what] = p.median(forwarded, cpu) - p.median(local, cpu)
		c.aim("share of the CPU that is the hop's: "+what, 1-p.Ratios["forwarded_"+what+"_per_cpu_vs_local"], aimHopLoss, false)
	}
	failed, added := 0, 0.0
	for _, d := range c.Drains {
		failed, added = failed+d.During.Failed, max(added, d.During.P99-d.Before.P99)
	}
	c.aim("failed while a node drains", float64(failed), aimDrainFailed, false)
	c.aim("added p99 while a node drains, ms", added, aimDrainAdded, false)
	c.kill("served again after kill -9, s", false, aimKill)
	c.kill("… of the journal's leader, s", true, aimKillOfJournal)
}

func (c *clusterReport) kill(what string, leader bool, aim float64) {
	worst, tried, all := 0.0, false, true
	for _, k := range c.Kills {
		if k.Leader != leader {
			continue
		}
		tried = true
		if worst = max(worst, k.ServedAgain); !k.Served {
			worst, all = max(worst, k.Watched), false
		}
	}
	if !tried {
		return
	}
	if !all {
		what += " (longer: not all while it was watched)"
	}
	c.aim(what, worst, aim, false)
	last := &c.Aims[len(c.Aims)-1]
	last.Holds = last.Holds && all
}

func (c *clusterReport) aim(what string, value, aim float64, above bool) {
	c.Aims = append(c.Aims, aimed{what, value, aim, above, above && value >= aim || !above && value <= aim})
}

// write prints the tables and writes the file.
func (c *clusterReport) write(file string) error {
	p := c.compared
	p.printRows()
	p.printRatios()
	c.printDrains()
	c.printKills()
	p.Journal = "not looked at: the nodes' answers are what was compared with the ledgers"
	p.printCrashes()
	c.printAims()
	if file == "" {
		return nil
	}
	c.Compared = *p
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return writeJSON(file, c)
}

func (c *clusterReport) printDrains() {
	t := newTable("planned drain of a node at half load, by way of all three; latency from when a request was due",
		"round", "node", "rate/s", "drained in s", "part", "requests", "failed", "p50 ms", "p99 ms", "max ms")
	for _, d := range c.Drains {
		for i, s := range []span{d.Before, d.During, d.Back, d.All} {
			part := []string{"before", "while it drains", "takes its share again", "all"}[i]
			t.AppendRow(table.Row{d.Round, d.Node, fmt.Sprintf("%.0f", d.Rate), fmt.Sprintf("%.2f", d.DrainSeconds), part,
				s.Requests, s.Failed, fmt.Sprintf("%.1f", s.P50), fmt.Sprintf("%.1f", s.P99), fmt.Sprintf("%.0f", s.Max)})
		}
	}
	t.Render()
}

func (c *clusterReport) printKills() {
	t := newTable("kill -9 of a node at full load, by way of the others", "round", "led the journal", "rate/s", "every restaurant served again, s",
		"nobody served, s", "requests since", "of them failed", "p99 before, ms")
	for _, k := range c.Kills {
		served := fmt.Sprintf("%.2f", k.ServedAgain)
		if !k.Served {
			served = fmt.Sprintf("not within %.0f", k.Watched)
		}
		t.AppendRow(table.Row{k.Round, k.Leader, fmt.Sprintf("%.0f", k.Rate), served, fmt.Sprintf("%.2f", k.Silence), k.After.Requests, k.After.Failed, fmt.Sprintf("%.1f", k.Before.P99)})
	}
	t.Render()
}

func (c *clusterReport) printAims() {
	t := newTable("aims: ratios are medians of the rounds, the rest is the worst of them", "what", "figure", "aim", "")
	for _, a := range c.Aims {
		bound := "≤"
		if a.Above {
			bound = "≥"
		}
		t.AppendRow(table.Row{a.What, fmt.Sprintf("%.2f", a.Value), fmt.Sprintf("%s %g", bound, a.Aim), map[bool]string{true: "holds", false: "MISSED"}[a.Holds]})
	}
	t.Render()
	fmt.Printf("a hop adds %.0f µs of CPU (all nodes together) to a booking, %.0f µs to a read\n", c.Hop["bookings"], c.Hop["reads"])
}

// whole tells whether everything acknowledged was found, once.
func (c *clusterReport) whole() bool { return c.compared != nil && c.compared.verdict() == nil }

// verdict is an error when something acknowledged is lost or doubled, and errMissed when an aim was missed.
func (c *clusterReport) verdict() error {
	err := c.compared.verdict()
	if missed := slices.ContainsFunc(c.Aims, func(a aimed) bool { return !a.Holds }); missed {
		return errors.Join(err, errMissed)
	}
	return err
}
