package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"maitred/deploy/dev"
)

// mixCmd is P5 of the design: three reads and one booking, at a constant rate, with every sink on the same machine.
type mixCmd struct {
	Rate     float64  `default:"10000" help:"Requests a second, open loop."`
	Seconds  float64  `default:"60" help:"Of the measurement; 600 for a claim."`
	Services []string `default:"postgres,redis,rabbitmq" help:"Which run beside: postgres, redis, rabbitmq; none = the embedded store alone."`
	JSON     string   `help:"Where the figures go." placeholder:"FILE"`
	Dir      string   `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`

	binary string // for tests: what plays maitred
}

// Aims of the mix, in milliseconds but for the share and the lag, which is in seconds.
const (
	aimReadP50, aimReadP99 = 1.0, 10.0
	aimBookP50, aimBookP99 = 5.0, 25.0
	aimShare               = 0.99
	aimLag                 = 1.0
)

// mixResult is what a run gave.
type mixResult struct {
	Machine  *machine           `json:"machine"`
	Rate     float64            `json:"rate"`
	Row      *row               `json:"row"`
	LagP99   map[string]float64 `json:"lag_p99_seconds"` // by sink
	Services []string           `json:"services"`
}

// services are started as they are asked for, and stopped in the reverse order.
type services struct {
	flags   []string
	closers []func() error
}

func (s *services) close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

func startServices(ctx context.Context, dir string, names []string) (s *services, err error) {
	s = &services{}
	for _, name := range names {
		say("start %s", name)
		switch name {
		case "postgres":
			var pg *dev.Postgres
			if pg, err = dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir}); err == nil {
				s.flags, s.closers = append(s.flags, "--store-url", pg.SocketDSN), append(s.closers, pg.Close)
			}
		case "rabbitmq":
			var rabbit *dev.RabbitMQ
			if rabbit, err = dev.StartRabbitMQ(ctx); err == nil {
				s.flags, s.closers = append(s.flags, "--amqp-url", rabbit.URL), append(s.closers, rabbit.Close)
			}
		case "redis":
			var redis *dev.Redis
			if redis, err = dev.StartRedis(ctx); err == nil {
				s.flags, s.closers = append(s.flags, "--redis-url", "redis://"+redis.Addr), append(s.closers, redis.Close)
			}
		case "none":
		default:
			err = fmt.Errorf("no such service: %s", name)
		}
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// Run implements the command.
func (c *mixCmd) Run() (err error) {
	ctx := context.Background()
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	beside, err := startServices(ctx, "", c.Services)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, beside.close()) }()
	r := &comparison{cmd: &compareCmd{Conns: openConns}, dir: dir, slice: time.Duration(c.Seconds * float64(time.Second)), offsets: map[string]int{}}
	if r.report.Machine, err = describeMachine(dir); err != nil {
		return err
	}
	if r.house, err = buildHouse(ctx, dir, c.binary); err != nil {
		return err
	}
	r.house.flags = beside.flags
	if _, err := r.house.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.house.kill()) }()
	if err := r.furnish(ctx); err != nil {
		return err
	}
	if _, err := r.drain(); err != nil {
		return err
	}
	out, err := c.measure(ctx, r)
	if err != nil {
		return err
	}
	return c.report(out)
}

func (c *mixCmd) measure(ctx context.Context, r *comparison) (*mixResult, error) {
	lags := sinkLags{}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); lags.watch(watching, r.house.metrics) }()
	j := r.job(kindMix, "mix")
	j.Rate = c.Rate
	got, err := r.step(ctx, 1, r.target(fmt.Sprintf("maitred mix %.0f/s", c.Rate)), j)
	stop()
	<-done
	if err != nil {
		return nil, err
	}
	if got.Drain, err = r.drain(); err != nil {
		return nil, err
	}
	return &mixResult{Machine: r.report.Machine, Rate: c.Rate, Row: got, LagP99: lags.p99(), Services: c.Services}, nil
}

// sinkLags are samples of each sink's lag in seconds.
type sinkLags map[string][]float64

func (s sinkLags) watch(ctx context.Context, addr string) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for sink, lag := range scrape(addr).by("maitred_sink_lag_seconds", "sink") {
				s[sink] = append(s[sink], lag)
			}
		}
	}
}

func (s sinkLags) p99() map[string]float64 {
	out := map[string]float64{}
	for sink, lags := range s {
		sorted := slices.Sorted(slices.Values(lags))
		out[sink] = sorted[min(len(sorted)-1, len(sorted)*99/100)]
	}
	return out
}

// report prints the figures beside the aims; a missed aim is an error.
func (c *mixCmd) report(out *mixResult) error {
	if c.JSON != "" {
		if err := writeJSON(c.JSON, out); err != nil {
			return err
		}
	}
	l := out.Row.Load
	missed := 0
	line := func(name string, value, aim float64, above bool) {
		verdict := "holds"
		if above && value > aim || !above && value < aim {
			verdict = "missed"
			missed++
		}
		fmt.Printf("%-28s %10.3f   aim %8.3f   %s\n", name, value, aim, verdict)
	}
	fmt.Printf("%.0f requests/s for %.0f s beside %v: %d requests, %d bookings, answers %v, unanswered %d\n", c.Rate, l.Seconds, c.Services, l.Requests, l.Bookings, l.Status, l.Unanswered)
	if out.Machine.Autogroup {
		fmt.Println("kernel.sched_autogroup_enabled is 1: each connection of PostgreSQL weighs as much as maitred and the generator together; see bench/README.md")
	}
	line("delivered, share of the rate", float64(l.Requests)/l.Seconds/c.Rate, deliveredShare, false)
	line("reads p50, ms", float64(l.ReadP50)/1000, aimReadP50, true)
	line("reads p99, ms", float64(l.ReadP99)/1000, aimReadP99, true)
	line("bookings p50, ms", float64(l.P50)/1000, aimBookP50, true)
	line("bookings p99, ms", float64(l.P99)/1000, aimBookP99, true)
	line("bookings, share of 201", out.Row.Share, aimShare, false)
	for _, sink := range slices.Sorted(maps.Keys(out.LagP99)) {
		line("lag p99 of "+sink+", s", out.LagP99[sink], aimLag, true)
	}
	if out.Row.Drain != nil {
		fmt.Printf("%-28s %10.3f\n", "drained after, s", *out.Row.Drain)
	}
	if missed > 0 {
		return fmt.Errorf("mix: %d aims missed at %.0f requests/s", missed, c.Rate)
	}
	return nil
}
