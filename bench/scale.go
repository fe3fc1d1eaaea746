package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// scaleCmd compares a server with many restaurants with one that has few, both warm, interleaved.
type scaleCmd struct {
	Restaurants int      `default:"100000" help:"Of the large server."`
	Few         int      `default:"1000" help:"Restaurants of the small server."`
	Tables      int      `default:"3" help:"Of each restaurant."`
	Seconds     float64  `default:"5" help:"Of each measurement, one a round for each server."`
	Rounds      int      `default:"3" help:"Interleaved rounds; 7 for a claim."`
	Conns       int      `default:"256" help:"Connections of the closed loop."`
	Dir         string   `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
	JSON        string   `help:"Where the figures go." placeholder:"FILE"`
	Binary      []string `help:"Builds to compare, each with both servers; without it this source." placeholder:"FILE"`
}

// scaleSide is one of the two servers.
type scaleSide struct {
	name     string
	binary   string // built if empty
	count    int
	dir      string
	house    *house
	offset   int
	resident float64 // actors
	live     float64 // bytes of heap after a collection
	rss      float64 // MiB
	rows     []*row
}

// scalePair is one build's two servers.
type scalePair struct {
	binary    string
	few, many *scaleSide
}

type scaleReport struct {
	Machine     *machine     `json:"machine"`
	Restaurants [2]int       `json:"restaurants"`
	Builds      []scaleBuild `json:"builds"`
	Newer       *ratio       `json:"second_vs_first_build,omitempty"` // both with many restaurants
	Rows        []*row       `json:"rows"`
}

type scaleBuild struct {
	Binary     string   `json:"binary"`
	Ratio      ratio    `json:"many_vs_few"`
	PerOpen    *float64 `json:"bytes_per_idle_restaurant"`
	PerOpenRSS float64  `json:"resident_bytes_per_idle_restaurant"`
}

// Run implements the command.
func (c *scaleCmd) Run() (err error) {
	ctx := context.Background()
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var pairs []scalePair
	for i, binary := range append(c.Binary, "")[:max(1, len(c.Binary))] {
		p := scalePair{binary, c.side(i, "few", binary, c.Few), c.side(i, "many", binary, c.Restaurants)}
		for _, s := range p.sides() {
			defer func() { err = errors.Join(err, s.house.kill()) }()
			if err := c.raise(ctx, dir, s); err != nil {
				return err
			}
		}
		pairs = append(pairs, p)
	}
	for round := 1; round <= c.Rounds; round++ {
		for _, p := range pairs {
			for _, s := range p.sides() {
				if err := c.step(ctx, s, round); err != nil {
					return err
				}
			}
		}
		slices.Reverse(pairs)
	}
	slices.SortFunc(pairs, func(a, b scalePair) int { return strings.Compare(a.few.name, b.few.name) })
	return c.report(dir, pairs)
}

func (c *scaleCmd) side(build int, name, binary string, count int) *scaleSide {
	return &scaleSide{name: fmt.Sprintf("%c-%s", 'A'+build, name), binary: binary, count: count}
}

func (p scalePair) sides() []*scaleSide { return []*scaleSide{p.few, p.many} }

// raise starts a server, fills it, and reads what the idle restaurants take.
func (c *scaleCmd) raise(ctx context.Context, dir string, s *scaleSide) error {
	var err error
	s.dir = filepath.Join(dir, s.name)
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	if s.house, err = buildHouse(ctx, s.dir, s.binary); err != nil {
		return err
	}
	s.house.flags = []string{"--idle-after", "24h"} // warm: nothing is passivated
	if _, err := s.house.start(); err != nil {
		return err
	}
	if _, err := s.house.tokens(guests, "customer", filepath.Join(s.dir, "tokens.txt")); err != nil {
		return err
	}
	owner, err := s.house.tokens(1, "owner", filepath.Join(s.dir, "owner.txt"))
	if err != nil {
		return err
	}
	begin := time.Now()
	ids, err := newFounder(s.house.addr, owner[0]).found(ctx, floorPlan{s.name, s.count, sameTables(c.Tables)})
	if err != nil {
		return err
	}
	say("%s: %d restaurants with %d tables each made in %.1f s", s.name, s.count, c.Tables, time.Since(begin).Seconds())
	if err := awaitSinks(s.house.metrics); err != nil {
		return err
	}
	if err := s.reopen(ctx, ids); err != nil {
		return err
	}
	if err := s.weigh(); err != nil {
		return err
	}
	return writeJSON(filepath.Join(s.dir, "site.json"), site{Spread: ids, SpreadCap: c.Tables, Today: today()})
}

// weigh reads what the open restaurants take once the garbage is gone.
func (s *scaleSide) weigh() error {
	url := "http://" + s.house.profiler + "/debug/pprof/heap?gc=1"
	if status, _, err := fasthttp.GetTimeout(nil, url, time.Minute); err != nil || status != fasthttp.StatusOK {
		return fmt.Errorf("GET %s: status %d: %w", url, status, err)
	}
	tick := time.NewTicker(200 * time.Millisecond) // the gauge is set once a second
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < drainLimit && s.resident < float64(s.count); <-tick.C {
		m := scrape(s.house.metrics)
		s.resident, _ = m.sum("maitred_actors_resident")
		s.live, _ = m.sum("go_memstats_heap_alloc_bytes")
	}
	s.rss = residentMiB(s.house.pid)
	return nil
}

// reopen starts the server anew and opens every restaurant by a read, so that nothing but open restaurants is in its memory: no
// recent events, no answers of their making.
func (s *scaleSide) reopen(ctx context.Context, ids []string) error {
	if err := s.house.kill(); err != nil {
		return err
	}
	if _, err := s.house.start(); err != nil {
		return err
	}
	begin, client := time.Now(), newFounder(s.house.addr, "").client
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(setupWorkers)
	query := "/availability?guests_count=2&date=" + time.Now().AddDate(0, 0, firstDayAhead).Format(time.DateOnly)
	for _, id := range ids {
		group.Go(func() error {
			url := "http://" + s.house.addr + "/api/v1/restaurants/" + id + query
			status, body, err := client.Get(nil, url)
			if err == nil && status != fasthttp.StatusOK {
				err = fmt.Errorf("GET %s: status %d: %.300s", url, status, body)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("scale: open the restaurants: %w", err)
	}
	say("%s: all of them opened in %.1f s", s.name, time.Since(begin).Seconds())
	return awaitSinks(s.house.metrics)
}

// awaitSinks waits until the sinks have caught up, if the server tells.
func awaitSinks(metrics string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < 4*drainLimit; <-tick.C {
		if left, ok := scrape(metrics).backlog(); !ok || left <= 2 {
			return nil
		}
	}
	return fmt.Errorf("the sinks have not caught up within %s", 4*drainLimit)
}

func (c *scaleCmd) step(ctx context.Context, s *scaleSide, round int) error {
	say("round %d: %s", round, s.name)
	t := target{name: s.name, addr: s.house.addr, pid: s.house.pid, metrics: s.house.metrics, siteFile: filepath.Join(s.dir, "site.json")}
	got, err := measure(ctx, s.dir, t, job{Kind: kindSpread, Conns: c.Conns, WarmMs: int(warm.Milliseconds()), MeasureMs: int(c.Seconds * 1000),
		Offset: s.offset, TokenFile: filepath.Join(s.dir, "tokens.txt"), AckFile: filepath.Join(s.dir, "acks.txt"), Run: fmt.Sprintf("c%d", round)})
	if err != nil {
		return err
	}
	got.Round, s.offset = round, got.Load.Next
	s.rows = append(s.rows, got)
	return awaitSinks(s.house.metrics)
}

func (c *scaleCmd) report(dir string, pairs []scalePair) error {
	var p report
	var err error
	if p.Machine, err = describeMachine(dir); err != nil {
		return err
	}
	out := scaleReport{Machine: p.Machine, Restaurants: [2]int{c.Restaurants, c.Few}}
	for _, pair := range pairs {
		out.Builds = append(out.Builds, pair.report())
		for i := range pair.few.rows {
			p.Rows = append(p.Rows, pair.few.rows[i], pair.many.rows[i])
		}
	}
	if len(pairs) == 2 {
		r := perRound(pairs[1].many.rows, pairs[0].many.rows)
		out.Newer = &r
	}
	out.Rows = p.Rows
	p.printRows()
	for _, b := range out.Builds {
		fmt.Printf("%s: %d ÷ %d restaurants: %s; an idle open one takes %s bytes of live heap, %.0f bytes of resident memory (garbage, journal cache and store included)\n",
			filepath.Base(b.Binary), c.Restaurants, c.Few, b.Ratio, figure(b.PerOpen), b.PerOpenRSS)
	}
	if out.Newer != nil {
		fmt.Printf("second ÷ first build with %d restaurants: %s\n", c.Restaurants, out.Newer)
	}
	if c.JSON == "" {
		return nil
	}
	return writeJSON(c.JSON, out)
}

func (p scalePair) report() scaleBuild {
	more := float64(p.many.count - p.few.count)
	b := scaleBuild{Binary: p.binary, Ratio: perRound(p.many.rows, p.few.rows), PerOpenRSS: (p.many.rss - p.few.rss) * (1 << 20) / more}
	if open := p.many.resident - p.few.resident; open > 0 && p.many.live > 0 {
		v := (p.many.live - p.few.live) / open
		b.PerOpen = &v
	}
	return b
}

// perRound divides the rates of the same rounds.
func perRound(over, under []*row) ratio {
	var all []float64
	for i := range over {
		all = append(all, over[i].PerSecond/under[i].PerSecond)
	}
	slices.Sort(all)
	return spread(all)
}
