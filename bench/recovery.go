package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// recoveryCmd measures a restart after a crash with a long journal: from the start of the process to the first booking in
// the restaurant that has most events.
type recoveryCmd struct {
	Events      int    `default:"200000" help:"Reservations in the journal; a fifth of them, at most 40,000, in one restaurant. The aim speaks of 1,000,000."`
	Restaurants int    `default:"2000" help:"The aim speaks of 10,000."`
	Tables      int    `default:"4" help:"Of each restaurant but the heaviest."`
	Times       int    `default:"3" help:"Restarts."`
	Conns       int    `default:"256" help:"Connections of the closed loop."`
	Dir         string `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
	JSON        string `help:"Where the figures go." placeholder:"FILE"`

	binary string // for tests: what plays maitred
}

type restart struct {
	Ready float64 `json:"ready_seconds"`
	First float64 `json:"first_booking_seconds"`
}

type recoveryRun struct {
	cmd   *recoveryCmd
	dir   string
	house *house
	heavy int
}

// Run implements the command.
func (c *recoveryCmd) Run() (err error) {
	ctx := context.Background()
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &recoveryRun{cmd: c, dir: dir, heavy: min(c.Events/5, hotPerRoom-1000)}
	if r.house, err = buildHouse(ctx, dir, c.binary); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.house.kill()) }()
	if err := r.fill(ctx); err != nil {
		return err
	}
	var restarts []restart
	for i := range c.Times {
		one, err := r.restart(ctx, i)
		if err != nil {
			return err
		}
		restarts = append(restarts, one)
		fmt.Printf("restart %d: ready after %.3f s, first booking in the heaviest restaurant after %.3f s\n", i+1, one.Ready, one.First)
	}
	check, err := r.check(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d reservations, %d of them in the heaviest of %d restaurants; checked %d: %d lost, %d doubled\n",
		c.Events, r.heavy, c.Restaurants, check.Acknowledged, check.Lost, check.Doubled)
	if c.JSON != "" {
		err = writeJSON(c.JSON, map[string]any{"restarts": restarts, "reservations": c.Events, "restaurants": c.Restaurants, "check": check})
	}
	if check.Lost+check.Doubled > 0 {
		err = errors.Join(err, fmt.Errorf("%d lost, %d doubled: %v", check.Lost, check.Doubled, check.Examples))
	}
	return err
}

// fill makes the restaurants and the reservations.
func (r *recoveryRun) fill(ctx context.Context) error {
	if _, err := r.house.start(); err != nil {
		return err
	}
	if _, err := r.house.tokens(guests, "customer", filepath.Join(r.dir, "tokens.txt")); err != nil {
		return err
	}
	owner, err := r.house.tokens(1, "owner", filepath.Join(r.dir, "owner.txt"))
	if err != nil {
		return err
	}
	f, s := newFounder(r.house.addr, owner[0]), site{SpreadCap: r.cmd.Tables, HotCap: 500, Today: today()}
	if s.Spread, err = f.found(ctx, floorPlan{"spread", r.cmd.Restaurants, sameTables(r.cmd.Tables)}); err != nil {
		return err
	}
	if s.Hot, err = f.found(ctx, floorPlan{"heaviest", 1, sameTables(500)}); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(r.dir, "site.json"), s); err != nil {
		return err
	}
	say("booking %d reservations", r.cmd.Events)
	if err := r.book(ctx, kindHot, "heavy", r.heavy); err != nil {
		return err
	}
	return r.book(ctx, kindSpread, "light", r.cmd.Events-r.heavy)
}

func (r *recoveryRun) job(k kind, run string) job {
	return job{Addr: r.house.addr, Kind: k, Conns: r.cmd.Conns, MeasureMs: 1_200_000, SiteFile: filepath.Join(r.dir, "site.json"),
		TokenFile: filepath.Join(r.dir, "tokens.txt"), AckFile: filepath.Join(r.dir, "acks.txt"), Run: run}
}

func (r *recoveryRun) book(ctx context.Context, k kind, run string, count int) error {
	j := r.job(k, run)
	j.Limit = count
	got, err := load(ctx, r.dir, &j, func() {}, func() {})
	if err != nil {
		return err
	}
	if got.Acked != count {
		return fmt.Errorf("recovery: %d of %d bookings were acknowledged: %v %v", got.Acked, count, got.Status, got.Faults)
	}
	return nil
}

// restart crashes the server and waits for a booking in the heaviest restaurant.
func (r *recoveryRun) restart(ctx context.Context, i int) (restart, error) {
	if err := r.house.kill(); err != nil {
		return restart{}, err
	}
	begin := time.Now()
	ready, err := r.house.start()
	if err != nil {
		return restart{}, err
	}
	j := r.job(kindHot, fmt.Sprintf("again%d", i))
	j.Conns, j.Limit, j.Offset = 1, 1, r.heavy+i
	got, err := load(ctx, r.dir, &j, func() {}, func() {})
	if err != nil {
		return restart{}, err
	}
	if got.Acked != 1 {
		return restart{}, fmt.Errorf("recovery: the first booking was refused: %v %v", got.Status, got.Faults)
	}
	return restart{Ready: ready.Seconds(), First: time.Since(begin).Seconds()}, nil
}

func (r *recoveryRun) check(ctx context.Context) (*checkResult, error) {
	j := r.job(kindVerify, "check")
	j.Conns = 64
	got, err := load(ctx, r.dir, &j, func() {}, func() {})
	if err != nil {
		return nil, err
	}
	return got.Check, nil
}
