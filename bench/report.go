package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// crash is one kill -9 and what was found after it.
type crash struct {
	Round        int          `json:"round"`
	Created      *float64     `json:"created_by_server"` // since its start, by its own counter
	Acked        int          `json:"acknowledged"`      // since its start, by the ledgers
	ReadySeconds float64      `json:"ready_seconds"`
	Check        *checkResult `json:"check"`
	Replayed     int          `json:"replayed"`
	ReplayFaults []string     `json:"replay_faults,omitempty"`
}

// ratio is a figure against another of the same round: the median over the rounds, and its spread.
type ratio struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Low    float64 `json:"median_low_95"` // 0 for fewer than six rounds
	High   float64 `json:"median_high_95"`
}

// report is what a run found; its JSON is the file of --json.
type report struct {
	Ratios    map[string]float64 `json:"ratios"`
	Spread    map[string]ratio   `json:"ratios_spread"`
	Machine   *machine           `json:"machine"`
	Rowlock   map[string]string  `json:"rowlock_settings"`
	PostBytes int                `json:"post_answer_bytes"`
	GetBytes  int                `json:"get_answer_bytes"`
	Sustained float64            `json:"sustained_per_second"` // 0 = not found or not looked for
	Seconds   float64            `json:"run_seconds"`
	Crashes   []crash            `json:"crashes"`
	Final     *checkResult       `json:"final_check"`
	Journal   string             `json:"journal_verify"`
	Rows      []*row             `json:"rows"`
}

// ratioPairs names each ratio by the rows that it divides.
var ratioPairs = []struct{ name, over, under string }{
	{"durable_vs_echo", "maitred burst", "echo"},
	{"durable_vs_rowlock", "maitred burst", "rowlock"},
	{"durable_vs_rowlock_pipelined", "maitred burst", "rowlock pipelined"},
	{"reads_vs_echo", "maitred reads reads", "echo reads"},
	{"reads_uniform_vs_echo", "maitred reads uniform", "echo reads"},
	{"hot_vs_spread", "maitred hot", "maitred burst"},
}

func (p *report) ratios() {
	p.Ratios, p.Spread = map[string]float64{}, map[string]ratio{}
	rate := func(r *row) float64 { return r.PerSecond }
	for _, pair := range ratioPairs {
		p.ratio(pair.name, pair.over, pair.under, rate)
	}
	p.ratio("cpu_per_booking_vs_echo", "maitred burst", "echo", func(r *row) float64 { return r.OtherCPU })
	p.ratio("cpu_per_booking_vs_rowlock", "maitred burst", "rowlock", func(r *row) float64 { return r.OtherCPU })
	p.ratio("cpu_per_read_vs_echo", "maitred reads reads", "echo reads", func(r *row) float64 { return r.OtherCPU })
	if p.Sustained == 0 {
		return
	}
	echo, peer, cpu := p.median("echo", rate), p.median("rowlock", rate), p.median("echo", func(r *row) float64 { return r.OtherCPU })
	p.Ratios["sustained_vs_echo"], p.Ratios["sustained_vs_rowlock"] = p.Sustained/echo, p.Sustained/peer
	if best := p.row(fmt.Sprintf("maitred sustained %.0f/s", p.Sustained)); best != nil {
		p.Ratios["sustained_cpu_per_booking_vs_echo"] = best.OtherCPU / cpu
	}
}

// ratio divides round by round: what the machine did besides in a round hit both.
func (p *report) ratio(name, over, under string, figure func(*row) float64) {
	var all []float64
	for _, a := range p.Rows {
		for _, b := range p.Rows {
			if a.Name == over && b.Name == under && a.Round == b.Round && figure(b) > 0 {
				all = append(all, figure(a)/figure(b))
			}
		}
	}
	if len(all) == 0 {
		return
	}
	sort.Float64s(all)
	p.Ratios[name] = median(all)
	p.Spread[name] = spread(all)
}

func (p *report) median(name string, figure func(*row) float64) float64 {
	var all []float64
	for _, r := range p.Rows {
		if r.Name == name {
			all = append(all, figure(r))
		}
	}
	return median(all)
}

func (p *report) row(name string) *row {
	for _, r := range p.Rows {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// write prints the tables and writes the files.
func (p *report) write(c *compareCmd) error {
	p.printRows()
	p.printRatios()
	p.printCrashes()
	if c.JSON != "" {
		if err := os.MkdirAll(filepath.Dir(c.JSON), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", c.JSON, err)
		}
		if err := writeJSON(c.JSON, p); err != nil {
			return err
		}
	}
	if c.History == "" {
		return nil
	}
	line, err := json.Marshal(map[string]any{"machine": p.Machine, "ratios": p.Ratios, "sustained_per_second": p.Sustained, "seconds": c.Seconds})
	if err != nil {
		return fmt.Errorf("write %s: %w", c.History, err)
	}
	file, err := os.OpenFile(c.History, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", c.History, err)
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

func newTable(title string, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.SetTitle("%s", title)
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Title.Format = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(table.Row(header))
	return t
}

func (p *report) printRows() {
	m := p.Machine
	disk := fmt.Sprintf("fsync %d µs", m.FsyncMicro)
	if m.Memory {
		disk = "A MEMORY DISK: durable figures mean nothing"
	}
	t := newTable(fmt.Sprintf("%s, %d cores, Linux %s, %s, %s, commit %s. CPU is µs per booking or read.", m.CPU, m.Cores, m.Kernel, m.Go, disk, m.Commit),
		"what", "round", "per s", "share ok", "p50 ms", "p99 ms", "max ms", "batch", "frames/s", "fsyncs/s", "CPU server", "CPU machine-gen", "CPU gen",
		"restaurants", "tokens", "lag rec", "lag s", "drain s", "heap MiB", "RSS MiB")
	for _, r := range p.Rows {
		l := r.Load
		p50, p99, top := l.P50, l.P99, l.Max
		if l.ReadP50 > 0 {
			p50, p99, top = l.ReadP50, l.ReadP99, l.ReadMax
		}
		t.AppendRow(table.Row{r.Name, r.Round, fmt.Sprintf("%.0f", r.PerSecond), fmt.Sprintf("%.4f", r.Share), milli(p50), milli(p99), milli(top),
			figure(r.Batch), figure(r.Frames), figure(r.Fsyncs), fmt.Sprintf("%.1f", r.ServerCPU), fmt.Sprintf("%.1f", r.OtherCPU), fmt.Sprintf("%.1f", r.OwnCPU),
			l.Restaurants, l.Tokens, figure(r.LagEvents), figure(r.LagSecond), figure(r.Drain), figure(r.Heap), fmt.Sprintf("%.0f", r.Resident)})
	}
	t.Render()
}

func figure(v *float64) string {
	if v == nil {
		return "n/a"
	}
	return fmt.Sprintf("%.1f", *v)
}

// spread describes sorted values, at least one.
func spread(sorted []float64) ratio {
	r := ratio{Median: median(sorted), Min: sorted[0], Max: sorted[len(sorted)-1]}
	r.Low, r.High = medianInterval(sorted)
	return r
}

// String has the figures that a claim needs.
func (r ratio) String() string {
	return fmt.Sprintf("%.3f (%s; %.3f–%.3f)", r.Median, r.within(), r.Min, r.Max)
}

func (r ratio) within() string {
	if r.High == 0 {
		return "fewer than six rounds"
	}
	return fmt.Sprintf("95 %%: %.3f–%.3f", r.Low, r.High)
}

func (p *report) printRatios() {
	t := newTable("ratios, each within a round", "ratio", "median", "its interval", "min–max")
	names := make([]string, 0, len(p.Ratios))
	for name := range p.Ratios {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		all, within := "one figure", ""
		if s, ok := p.Spread[name]; ok {
			all, within = fmt.Sprintf("%.3f–%.3f", s.Min, s.Max), s.within()
		}
		t.AppendRow(table.Row{name, fmt.Sprintf("%.3f", p.Ratios[name]), within, all})
	}
	t.Render()
	if len(p.Rowlock) > 0 {
		fmt.Printf("row-lock peer: %v\n", p.Rowlock)
	}
}

func (p *report) printCrashes() {
	t := newTable("after kill -9 and restart", "round", "ready s", "acknowledged", "created by server", "checked", "lost", "doubled", "keys repeated", "answered otherwise")
	var examples []string
	for _, c := range p.Crashes {
		t.AppendRow(table.Row{c.Round, fmt.Sprintf("%.2f", c.ReadySeconds), c.Acked, figure(c.Created), c.Check.Acknowledged, c.Check.Lost, c.Check.Doubled,
			c.Replayed, len(c.ReplayFaults)})
		examples = append(append(examples, c.ReplayFaults...), c.Check.Examples...)
	}
	if p.Final != nil {
		t.AppendRow(table.Row{"all", "", "", "", p.Final.Acknowledged, p.Final.Lost, p.Final.Doubled, "", ""})
		examples = append(examples, p.Final.Examples...)
	}
	t.Render()
	for _, text := range examples {
		fmt.Println("FAULT", text)
	}
	fmt.Printf("journal verify: %s\nrun: %.0f s\n", p.Journal, p.Seconds)
}

// verdict is an error when something acknowledged is lost or doubled.
func (p *report) verdict() error {
	var faults []error
	check := func(what string, c *checkResult) {
		if c != nil && (c.Lost > 0 || c.Doubled > 0) {
			faults = append(faults, fmt.Errorf("%s: %d lost, %d doubled of %d acknowledged", what, c.Lost, c.Doubled, c.Acknowledged))
		}
	}
	unanswered := 0
	for _, r := range p.Rows {
		unanswered += r.Load.Unanswered
	}
	for _, c := range p.Crashes {
		check(fmt.Sprintf("after the crash of round %d", c.Round), c.Check)
		if len(c.ReplayFaults) > 0 {
			faults = append(faults, fmt.Errorf("after the crash of round %d: a repeated key got another answer: %v", c.Round, c.ReplayFaults))
		}
		if c.Created != nil && unanswered == 0 && int(*c.Created) > c.Acked {
			faults = append(faults, fmt.Errorf("round %d: the server created %.0f reservations, %d were acknowledged", c.Round, *c.Created, c.Acked))
		}
	}
	check("in the final check", p.Final)
	if strings.HasPrefix(p.Journal, "FAILED") {
		faults = append(faults, errors.New("journal verify: "+p.Journal))
	}
	return errors.Join(faults...)
}
