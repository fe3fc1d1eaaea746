package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	sustainedSteps = 4
	lagLimit       = 1.0  // seconds, 99th percentile over the last part of a step
	lagPart        = 0.6  // the part
	deliveredShare = 0.97 // of the set rate
	openConns      = 512
	lookAhead      = 30.0 // seconds for which the lag's growth must not reach the limit either
)

const lagEvery = 100 * time.Millisecond

// lagWatch samples the sinks' lag while a load runs.
type lagWatch struct {
	from time.Time
	lags []float64
}

// sustained searches the highest constant rate at which the store keeps up: lag p99 ≤ 1 s over the last part of a step.
// A bounded bisection between nothing and the burst's rate.
func (r *comparison) sustained(ctx context.Context) error {
	if _, known := scrape(r.house.metrics).highest("maitred_sink_lag_seconds"); !known {
		say("sustained: the server does not tell its sinks' lag; left out")
		return nil
	}
	low, high := 0.0, median(r.rates("maitred burst"))
	rate, runs := 0.6*high, []string{}
	for step := 1; step <= sustainedSteps || low == 0 && step <= 2*sustainedSteps; step++ {
		run := fmt.Sprintf("s%d", step)
		_, kept, err := r.sustainedStep(ctx, step, run, rate)
		if err != nil {
			return err
		}
		runs = append(runs, run)
		if kept {
			low = rate
		} else {
			high = rate
		}
		rate = (low + high) / 2
	}
	r.report.Sustained = low
	return r.crashAndCheck(ctx, compareRounds+1, runs, job{})
}

func (r *comparison) sustainedStep(ctx context.Context, step int, run string, rate float64) (*row, bool, error) {
	if _, err := r.drain(); err != nil {
		return nil, false, err
	}
	j := r.job(kindSpread, run)
	j.Rate, j.Conns, j.MeasureMs = rate, openConns, int(r.cmd.Seconds*1000)
	watch := &lagWatch{from: time.Now().Add(warm + time.Duration((1-lagPart)*r.cmd.Seconds*float64(time.Second)))}
	ctxWatch, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	addr := r.house.metrics
	go func() { defer close(done); watch.run(ctxWatch, addr) }()
	got, err := r.step(ctx, step, r.target("maitred sustained"), j)
	stop()
	<-done
	if err != nil {
		return nil, false, err
	}
	lag := watch.p99()
	got.LagSecond = &lag
	got.Name = fmt.Sprintf("maitred sustained %.0f/s", rate)
	// A short step does not show a sink that falls behind slowly, so the growth is drawn out.
	kept := lag <= lagLimit && watch.growth()*lookAhead <= lagLimit && got.PerSecond >= deliveredShare*rate
	say("  %.0f/s: delivered %.0f/s, lag p99 %.2f s, growing by %.3f s/s: %s", rate, got.PerSecond, lag, watch.growth(), map[bool]string{true: "keeps up", false: "too much"}[kept])
	return got, kept, nil
}

func (w *lagWatch) run(ctx context.Context, addr string) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if lag, ok := scrape(addr).highest("maitred_sink_lag_seconds"); ok && time.Now().After(w.from) {
				w.lags = append(w.lags, lag)
			}
		}
	}
}

// p99 is the 99th percentile of the samples; with fewer than a hundred the highest. Without samples it is beyond any limit:
// a server too busy to answer has not shown that it keeps up.
func (w *lagWatch) p99() float64 {
	if len(w.lags) == 0 {
		return 1e9
	}
	sorted := slices.Sorted(slices.Values(w.lags))
	return sorted[min(len(sorted)-1, len(sorted)*99/100)]
}

// growth is by how much the lag rises, seconds a second: the second half of the samples against the first.
func (w *lagWatch) growth() float64 {
	half := len(w.lags) / 2
	if half == 0 {
		return 0
	}
	mean := func(lags []float64) (m float64) {
		for _, v := range lags {
			m += v / float64(len(lags))
		}
		return m
	}
	return (mean(w.lags[len(w.lags)-half:]) - mean(w.lags[:half])) / (float64(len(w.lags)-half) * lagEvery.Seconds())
}

// rates are the figures of a name over the rounds.
func (r *comparison) rates(name string) []float64 {
	var all []float64
	for _, row := range r.rows {
		if row.Name == name {
			all = append(all, row.PerSecond)
		}
	}
	return all
}
