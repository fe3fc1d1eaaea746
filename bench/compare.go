package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

const (
	guests        = 12_000 // accounts that book; each has its own token
	compareRounds = 3
	minSlice      = 2.0 // seconds of the shortest measurement
	warm          = 500 * time.Millisecond
	drainLimit    = 90 * time.Second
	replaySample  = 1000 // bookings of each round that are repeated with their keys after the restart
)

// compareCmd measures maitred against its peers, interleaved: each round runs each of them for a third of the time, so that
// what the machine does besides hits all of them.
type compareCmd struct {
	Seconds float64 `default:"10" help:"Of each measurement, split over the rounds."`
	JSON    string  `help:"Where the figures go." placeholder:"FILE"`
	History string  `help:"Append the ratios to this file, one JSON line." placeholder:"FILE"`
	Conns   int     `default:"256" help:"Connections of the closed loops."`
	Dir     string  `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
	Quick   bool    `help:"One round, without the search for the sustained rate."`

	binary string // for tests: what plays maitred
}

// comparison is one run.
type comparison struct {
	cmd      *compareCmd
	dir      string
	slice    time.Duration
	house    *house
	echo     *peer
	rowlocks []*rowlockPeer
	acked    int // since the server's start
	site     site
	files    struct{ site, tokens, peerSite, peerTokens string }
	offsets  map[string]int
	rows     []*row
	report   report
}

// Run implements the command.
func (c *compareCmd) Run() error {
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	rounds, slice := compareRounds, max(minSlice, c.Seconds/compareRounds)
	if c.Quick {
		rounds, slice = 1, c.Seconds
	}
	r := &comparison{cmd: c, dir: dir, slice: time.Duration(slice * float64(time.Second)), offsets: map[string]int{}}
	err = r.run(context.Background(), rounds)
	if err == nil {
		err = errors.Join(r.report.write(c), r.report.verdict())
	}
	return errors.Join(err, r.close(err == nil))
}

func (r *comparison) close(tidy bool) error {
	err := r.house.kill()
	if r.echo != nil {
		err = errors.Join(err, r.echo.Close())
	}
	for _, p := range r.rowlocks {
		err = errors.Join(err, p.Close())
	}
	if !tidy {
		fmt.Fprintln(os.Stderr, "bench: what maitred said and the ledgers are kept in", r.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

func (r *comparison) run(ctx context.Context, rounds int) error {
	began := time.Now()
	if err := r.setUp(ctx); err != nil {
		return err
	}
	for round := 1; round <= rounds; round++ {
		if err := r.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if !r.cmd.Quick {
		if err := r.sustained(ctx); err != nil {
			return err
		}
	}
	if err := r.realistic(ctx); err != nil {
		return err
	}
	if err := r.finalCheck(ctx); err != nil {
		return err
	}
	r.report.Rows, r.report.Seconds = r.rows, time.Since(began).Seconds()
	r.report.ratios()
	return nil
}

func (r *comparison) setUp(ctx context.Context) error {
	var err error
	if r.report.Machine, err = describeMachine(r.dir); err != nil {
		return err
	}
	if r.files.peerSite, r.files.peerTokens, err = writePeerInputs(r.dir); err != nil {
		return err
	}
	say("building maitred")
	if r.house, err = buildHouse(ctx, r.dir, r.cmd.binary); err != nil {
		return err
	}
	if _, err := r.house.start(); err != nil {
		return err
	}
	if err := r.furnish(ctx); err != nil {
		return err
	}
	post, get, err := r.answerSizes(ctx)
	if err != nil {
		return err
	}
	r.report.PostBytes, r.report.GetBytes = post, get
	if r.echo, err = startPeer("echo", "--post", fmt.Sprint(post), "--get", fmt.Sprint(get)); err != nil {
		return err
	}
	say("starting PostgreSQL")
	return r.startRowlocks(ctx)
}

func (r *comparison) startRowlocks(ctx context.Context) error {
	r.report.Rowlock = rowlockSettings()
	for _, p := range rowlockPeers {
		started, err := startRowlock(ctx, r.dir, p.variant, p.pool, rowlockSettings())
		if err != nil {
			return err
		}
		r.rowlocks = append(r.rowlocks, started)
		r.report.Rowlock[p.name] = fmt.Sprintf("%s, %d connections", p.variant, p.pool)
	}
	return nil
}

// furnish mints tokens and makes the restaurants of every workload.
func (r *comparison) furnish(ctx context.Context) error { return r.furnishWith(ctx, rowlockRooms) }

func (r *comparison) furnishWith(ctx context.Context, rooms int) error {
	r.files.site, r.files.tokens = filepath.Join(r.dir, "site.json"), filepath.Join(r.dir, "tokens.txt")
	if _, err := r.house.tokens(guests, "customer", r.files.tokens); err != nil {
		return err
	}
	owner, err := r.house.tokens(1, "owner", filepath.Join(r.dir, "owner.txt"))
	if err != nil {
		return err
	}
	r.site = site{SpreadCap: rowlockTables, HotCap: 500, ReadsCap: rowlockTables, Today: today()}
	return r.found(ctx, owner[0], []floorUse{
		{floorPlan{"spread", rooms, sameTables(rowlockTables)}, &r.site.Spread},
		{floorPlan{"reads", 100, sameTables(rowlockTables)}, &r.site.Reads},
		{floorPlan{"real", 275, realTables()}, &r.site.Real},
	})
}

// floorUse says where the ids of restaurants go.
type floorUse struct {
	plan floorPlan
	ids  *[]string
}

// found makes restaurants and writes the site's file.
func (r *comparison) found(ctx context.Context, owner string, uses []floorUse) (err error) {
	f := newFounder(r.house.addr, owner)
	for _, use := range uses {
		if *use.ids, err = f.found(ctx, use.plan); err != nil {
			return err
		}
	}
	return writeJSON(r.files.site, r.site)
}

// foundHot makes fresh hot restaurants: one holds at most 50,000 live reservations, so each is left after 40,000.
func (r *comparison) foundHot(ctx context.Context) error {
	owner, err := readLines(filepath.Join(r.dir, "owner.txt"))
	if err != nil {
		return err
	}
	f := newFounder(r.house.addr, string(owner[0]))
	rooms := int((r.slice+warm).Seconds()*45_000/hotPerRoom) + 1
	r.site.Hot = make([]string, rooms)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range rooms {
		group.Go(func() error {
			ids, err := f.found(ctx, floorPlan{"hot", 1, sameTables(r.site.HotCap)})
			if err == nil {
				r.site.Hot[i] = ids[0]
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return writeJSON(r.files.site, r.site)
}

// answerSizes asks maitred for one booking and one availability: the peers answer with as many bytes.
func (r *comparison) answerSizes(ctx context.Context) (post, get int, err error) {
	t := r.target("probe")
	j := r.job(kindSpread, "probe")
	j.Conns, j.Limit, j.WarmMs = 1, 20, 0
	one, err := measure(ctx, r.dir, t, j)
	if err != nil {
		return 0, 0, err
	}
	r.offsets[string(kindSpread)] = one.Load.Next
	r.acked += one.Load.Acked
	status, body, err := fasthttp.GetTimeout(nil, fmt.Sprintf("http://%s/api/v1/restaurants/%s/availability?date=%s&guests_count=2",
		t.addr, r.site.Spread[0], time.Now().AddDate(0, 0, firstDayAhead+1).Format(time.DateOnly)), 5*time.Second)
	if err != nil || status != fasthttp.StatusOK {
		return 0, 0, fmt.Errorf("read availability: status %d: %w: %.300s", status, err, body)
	}
	return one.Load.BytesOut, len(body), nil
}

func (r *comparison) target(name string) target {
	return target{name: name, addr: r.house.addr, pid: r.house.pid, metrics: r.house.metrics, siteFile: r.files.site}
}

// job is a measurement of the closed loop that goes on where the last one of the same kind stopped.
func (r *comparison) job(k kind, run string) job {
	return job{Kind: k, Conns: r.cmd.Conns, WarmMs: int(warm.Milliseconds()), MeasureMs: int(r.slice.Milliseconds()), Offset: r.offsets[string(k)],
		TokenFile: r.files.tokens, Run: run, AckFile: filepath.Join(r.dir, "acks-"+run+".txt"), Seed: uint64(len(r.rows)+1) * 0x9e3779b97f4a7c15}
}

// step measures and keeps the row.
func (r *comparison) step(ctx context.Context, round int, t target, j job) (*row, error) {
	say("round %d: %s", round, t.name)
	got, err := measure(ctx, r.dir, t, j)
	if err != nil {
		return nil, err
	}
	got.Round = round
	r.rows = append(r.rows, got)
	if t.metrics != "" {
		r.offsets[string(j.Kind)] = got.Load.Next
		r.acked += got.Load.Acked
	}
	return got, nil
}

func writeLines(file string, lines []string) error {
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write lines: %w", err)
	}
	return nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
