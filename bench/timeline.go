package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"gonum.org/v1/plot/plotter"

	"maitred/bench/chart"
)

const timelineWindow = 100 * time.Millisecond

// timeline is what happened to the requests of an open loop, as a picture.
type timeline struct {
	title string
	begin time.Time
	trace []traced
	marks []mark
}

type mark struct {
	at   time.Time
	text string
}

// plot writes a timeline, when plots are wanted: above the latency of the requests due in each window, below how many answers came in it.
func (r *clusterRun) plot(name string, t timeline) error {
	if r.plots == "" {
		return nil
	}
	return t.write(filepath.Join(r.plots, name))
}

func (t *timeline) write(file string) error {
	latency := chart.New(t.title, "", "latency, ms (log)")
	answers := chart.New("", fmt.Sprintf("seconds; windows of %d ms", timelineWindow.Milliseconds()), "answers a second (log)")
	latency.Log(1, 100_000)
	answers.Log(1, 100_000)
	windows := t.windows()
	var p50, p99, top, done, failed plotter.XYs
	for i, w := range windows {
		x := (time.Duration(i) * timelineWindow).Seconds()
		if n := len(w.latencies); n > 0 {
			slices.Sort(w.latencies)
			at := func(q float64) float64 { return max(1, w.latencies[min(n-1, int(q*float64(n)))]) }
			p50, p99, top = append(p50, plotter.XY{X: x, Y: at(0.5)}), append(p99, plotter.XY{X: x, Y: at(0.99)}), append(top, plotter.XY{X: x, Y: at(1)})
		}
		perSecond := func(n int) float64 { return max(1, float64(n)/timelineWindow.Seconds()) } // none is at the lower end
		done = append(done, plotter.XY{X: x, Y: perSecond(w.done)})
		failed = append(failed, plotter.XY{X: x, Y: perSecond(w.failed)})
	}
	for _, l := range []struct {
		name string
		xys  plotter.XYs
	}{{"max", top}, {"p99", p99}, {"p50", p50}} {
		if err := latency.Line(l.name, l.xys); err != nil {
			return err
		}
	}
	for i, xys := range []plotter.XYs{failed, done} {
		if err := answers.Line([]string{"anything else", "201"}[i], xys); err != nil {
			return err
		}
	}
	end := (time.Duration(len(windows)) * timelineWindow).Seconds()
	for _, p := range []*chart.Plot{latency, answers} {
		p.X.Min, p.X.Max = 0, end
		for _, m := range t.marks {
			p.Mark(m.at.Sub(t.begin).Seconds(), m.text)
		}
	}
	return chart.Save(file, latency, answers)
}

type window struct {
	latencies    []float64 // ms, of requests that were due in it
	done, failed int       // answers that came in it
}

func (t *timeline) windows() []window {
	var all []window
	at := func(micro int64) *window {
		i := max(0, int((micro-t.begin.UnixMicro())/timelineWindow.Microseconds()))
		for i >= len(all) {
			all = append(all, window{})
		}
		return &all[i]
	}
	for _, a := range t.trace {
		due := at(a.Due)
		due.latencies = append(due.latencies, float64(a.Done-a.Due)/1000)
		if came := at(a.Done); a.ok() {
			came.done++
		} else {
			came.failed++
		}
	}
	return all
}
