package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// pairCmd measures two builds of maitred, or one, interleaved with echo, without PostgreSQL: what a change gives.
type pairCmd struct {
	Binary   []string `required:"" help:"Builds to compare, one or two." placeholder:"FILE"`
	Rounds   int      `default:"3" help:"Interleaved rounds; 7 for a claim."`
	Seconds  float64  `default:"4" help:"Of each measurement."`
	Conns    int      `default:"256" help:"Connections of the closed loops."`
	What     []string `default:"spread" help:"Workloads: spread, hot, reads, uniform, sustained."`
	Rate     float64  `default:"10000" help:"Bookings a second of the workload sustained."`
	Together bool     `help:"Both at once and without echo: what else the machine does hits them in the same moments."`
	Dir      string   `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
}

// contender is one build with the server that runs it and its own restaurants.
type contender struct {
	*comparison
	name string
	rate float64 // of the workload sustained
}

// Run implements the command.
func (c *pairCmd) Run() error {
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	var builds []*contender
	for i, binary := range c.Binary {
		b, err := c.enter(ctx, filepath.Join(dir, fmt.Sprint(i)), binary)
		if err != nil {
			return err
		}
		b.rate = c.Rate
		b.name = fmt.Sprintf("%c %s", 'A'+i, filepath.Base(binary))
		defer func() { err = errors.Join(err, b.house.kill()) }()
		builds = append(builds, b)
	}
	post, get, err := builds[0].answerSizes(ctx)
	if err != nil {
		return err
	}
	echo, err := startPeer("echo", "--post", fmt.Sprint(post), "--get", fmt.Sprint(get))
	if err != nil {
		return err
	}
	defer echo.Close()
	for round := 1; round <= c.Rounds; round++ {
		for _, what := range c.What {
			if err := c.step(ctx, round, builds, echo, kind(what)); err != nil {
				return err
			}
		}
	}
	return c.print(builds)
}

// step measures one workload on echo and on each build, with every store drained before: a build that catches up would
// slow the others down. Who is first changes from round to round.
func (c *pairCmd) step(ctx context.Context, round int, builds []*contender, echo *peer, k kind) error {
	if c.Together {
		for _, b := range builds { // none works off the last load while the other is measured
			if _, err := b.drain(); err != nil {
				return err
			}
		}
		group, ctx := errgroup.WithContext(ctx)
		for _, b := range builds {
			group.Go(func() error { return b.workload(ctx, round, k) })
		}
		return group.Wait()
	}
	if err := builds[0].echoStep(ctx, round, echo, k); err != nil {
		return err
	}
	order := slices.Clone(builds)
	if round%2 == 0 {
		slices.Reverse(order)
	}
	for _, b := range order {
		if err := b.workload(ctx, round, k); err != nil {
			return err
		}
		if _, err := b.drain(); err != nil {
			return err
		}
	}
	return nil
}

func (c *pairCmd) enter(ctx context.Context, dir, binary string) (*contender, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	r := &comparison{
		cmd: &compareCmd{Conns: c.Conns}, dir: dir, slice: time.Duration(c.Seconds * float64(time.Second)), offsets: map[string]int{},
	}
	var err error
	if r.report.Machine, err = describeMachine(dir); err != nil {
		return nil, err
	}
	if r.house, err = buildHouse(ctx, dir, binary); err != nil {
		return nil, err
	}
	if _, err := r.house.start(); err != nil {
		return nil, err
	}
	return &contender{comparison: r}, r.furnish(ctx)
}

func (b *contender) echoStep(ctx context.Context, round int, echo *peer, k kind) error {
	t := target{name: "echo " + string(k), addr: echo.addr, pid: echo.pid, siteFile: b.files.site}
	j := b.job(kindSpread, "echo")
	if k == kindReads || k == kindUniform {
		j = b.job(kindUniform, "echo")
		j.AckFile = ""
	}
	_, err := b.step(ctx, round, t, j)
	return err
}

func (b *contender) workload(ctx context.Context, round int, k kind) error {
	if k == kindHot {
		if err := b.foundHot(ctx); err != nil {
			return err
		}
		b.offsets[string(kindHot)] = 0
	}
	if _, err := b.drain(); err != nil {
		return err
	}
	if k == kindSustained {
		b.cmd.Seconds = b.slice.Seconds()
		got, _, err := b.sustainedStep(ctx, round, fmt.Sprintf("r%d-%s", round, k), b.rate)
		if err == nil {
			got.Name = b.name + " " + string(k)
		}
		return err
	}
	_, err := b.step(ctx, round, b.target(b.name+" "+string(k)), b.job(k, fmt.Sprintf("r%d-%s", round, k)))
	return err
}

func (c *pairCmd) print(builds []*contender) error {
	p := report{Machine: builds[0].report.Machine}
	for _, b := range builds {
		p.Rows = append(p.Rows, b.rows...)
	}
	p.Ratios, p.Spread = map[string]float64{}, map[string]ratio{}
	rate, cpu := func(r *row) float64 { return r.PerSecond }, func(r *row) float64 { return r.OtherCPU }
	own := func(r *row) float64 { return r.ServerCPU }
	for _, what := range c.What {
		for _, b := range builds {
			p.ratio(fmt.Sprintf("%s %s / echo", b.name, what), b.name+" "+what, "echo "+what, rate)
			p.ratio(fmt.Sprintf("%s %s / echo, CPU", b.name, what), b.name+" "+what, "echo "+what, cpu)
		}
		if len(builds) == 2 {
			p.ratio(what+" B / A", builds[1].name+" "+what, builds[0].name+" "+what, rate)
			p.ratio(what+" B / A, the server's CPU", builds[1].name+" "+what, builds[0].name+" "+what, own)
		}
	}
	p.printRows()
	p.printRatios()
	return nil
}
