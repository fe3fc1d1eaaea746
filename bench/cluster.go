package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// clusterCmd measures three processes of maitred as one cluster: R3 with every append fsynced beside the row-lock peers, what a hop
// costs, what a planned drain and a kill -9 cost.
type clusterCmd struct {
	Seconds float64 `default:"10" help:"Of each measurement, split over the rounds."`
	JSON    string  `help:"Where the figures go." placeholder:"FILE"`
	Plots   string  `help:"Where the plots over time go, as SVG." placeholder:"DIR"`
	Conns   int     `default:"256" help:"Connections of the closed loops."`
	Dir     string  `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
	Quick   bool    `help:"One round."`
	Store   string  `default:"sqlite" enum:"sqlite,postgres" help:"Read model: a file of each node, or one PostgreSQL of all."`

	size clusterSize // for tests
}

// clusterSize is what a test makes small.
type clusterSize struct {
	binary  string // what plays maitred
	rooms   int    // restaurants of the closed loops
	few     int    // restaurants of the open loops: each is asked often enough to see a gap
	guests  int
	calm    time.Duration // watched before and after a drain
	back    time.Duration // watched after the node may take its share again: it settles for 5 s
	leader  bool          // kill a leader of the journal, too
	watched time.Duration // after a kill -9 of a node that did not lead; longer by electionTime when it led
}

var fullCluster = clusterSize{rooms: rowlockRooms, few: 100, guests: guests, calm: 5 * time.Second, back: 10 * time.Second, leader: true, watched: 12 * time.Second}

const (
	electionTime = 10 * time.Second
	fewGuests    = 500 // of the open loops: their tokens are soon known to a node that was started anew
	fullLoad     = 0.9 // of what the closed loop reached: an open loop cannot hold more
	halfLoad     = 0.5
	clusterConns = 1024 // of the open loops, at most
)

// clusterRun is one run.
type clusterRun struct {
	*comparison
	size   clusterSize
	store  string
	trio   *trio
	beside *services
	few    struct{ site, tokens string }
	out    clusterReport
	runs   []string // that have a ledger, since the last check
	last   job      // of the closed loop
	plots  string
}

// Run implements the command.
func (c *clusterCmd) Run() error {
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	rounds, slice := compareRounds, max(minSlice, c.Seconds/compareRounds)
	if c.Quick {
		rounds, slice = 1, c.Seconds
	}
	size := c.size
	if size.rooms == 0 {
		size = fullCluster
	}
	r := &clusterRun{size: size, store: c.Store, plots: c.Plots, comparison: &comparison{
		cmd: &compareCmd{Conns: c.Conns}, dir: dir, slice: time.Duration(slice * float64(time.Second)), offsets: map[string]int{},
	}}
	err = r.run(context.Background(), rounds)
	if err == nil {
		err = errors.Join(r.out.write(c.JSON), r.out.verdict())
	}
	err = errors.Join(err, r.trio.kill())
	if r.beside != nil {
		err = errors.Join(err, r.beside.close())
	}
	return errors.Join(err, r.close(err == nil || r.out.whole()))
}

func (r *clusterRun) run(ctx context.Context, rounds int) error {
	began := time.Now()
	if r.plots != "" {
		if err := os.MkdirAll(r.plots, 0o755); err != nil {
			return fmt.Errorf("make a folder for the plots: %w", err)
		}
	}
	if err := r.setUp(ctx); err != nil {
		return err
	}
	for round := 1; round <= rounds; round++ {
		if err := r.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	r.report.Rows, r.report.Seconds = r.rows, time.Since(began).Seconds()
	r.out.compared = &r.report
	r.out.figures()
	return nil
}

func (r *clusterRun) setUp(ctx context.Context) (err error) {
	if r.report.Machine, err = describeMachine(r.dir); err != nil {
		return err
	}
	if r.files.peerSite, r.files.peerTokens, err = writePeerInputs(r.dir); err != nil {
		return err
	}
	say("building maitred, starting three nodes")
	if r.store == "postgres" {
		if r.beside, err = startServices(ctx, "", []string{"postgres"}); err != nil {
			return err
		}
	} else {
		r.beside = &services{}
	}
	if r.trio, err = newTrio(ctx, r.dir, r.size.binary, r.beside.flags...); err != nil {
		return err
	}
	r.house = r.trio.nodes[0]
	if _, err := r.trio.start(ctx); err != nil {
		return err
	}
	if err := r.furnishCluster(ctx); err != nil {
		return err
	}
	say("starting PostgreSQL")
	return r.startRowlocks(ctx)
}

// furnishCluster makes the restaurants by way of one node: most of them go over the hop.
func (r *clusterRun) furnishCluster(ctx context.Context) error {
	in := func(name string) string { return filepath.Join(r.dir, name) }
	r.files.site, r.files.tokens = in("site.json"), in("tokens.txt")
	all, err := r.house.tokens(r.size.guests, "customer", r.files.tokens)
	if err != nil {
		return err
	}
	owner, err := r.house.tokens(1, "owner", in("owner.txt"))
	if err != nil {
		return err
	}
	r.site = site{SpreadCap: rowlockTables, Today: today()}
	few := site{SpreadCap: rowlockTables, Today: today()}
	if err := r.found(ctx, owner[0], []floorUse{
		{floorPlan{"spread", r.size.rooms, sameTables(rowlockTables)}, &r.site.Spread},
		{floorPlan{"few", r.size.few, sameTables(rowlockTables)}, &few.Spread},
	}); err != nil {
		return err
	}
	// The ledgers number the guests: the few are the first ones of all.
	r.few.site, r.few.tokens = in("site-few.json"), in("tokens-few.txt")
	return errors.Join(writeJSON(r.few.site, few), writeLines(r.few.tokens, all[:min(len(all), fewGuests)]))
}
