package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"maitred/engine"
	"maitred/persistence/postgres"
)

// SinkCmd groups what an operator does about the followers of the journal.
type SinkCmd struct {
	Status  SinkStatusCmd  `cmd:"" help:"How far each follower of a running node is, and what PostgreSQL has parked."`
	Resume  SinkResumeCmd  `cmd:"" help:"Try the events of a parked restaurant or account again, from the store's audit (without special requests)."`
	Skip    SinkSkipCmd    `cmd:"" help:"Give up the parked events of a restaurant or account: its rows go on with what comes."`
	Forward SinkForwardCmd `cmd:"" help:"Let RabbitMQ go on where the journal begins, when what it lacks is nowhere any more. The node must be stopped."`
}

// SinkStatusCmd prints the followers.
type SinkStatusCmd struct {
	URL      string `default:"http://127.0.0.1:8080" help:"Where the node answers /readyz."`
	StoreURL string `name:"store-url" help:"PostgreSQL of the store, for what is parked." placeholder:"URL"`
}

// Run implements the command.
func (c *SinkStatusCmd) Run() error { return c.run(context.Background(), os.Stdout) }

// askTimeout bounds the question to a node.
const askTimeout = 5 * time.Second

func (c *SinkStatusCmd) run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var ready struct {
		Followers map[string]struct {
			State      string
			Cursor     uint64
			Lag        uint64
			LagSeconds float64 `json:"lag_seconds"`
		}
	}
	if err := getJSON(ctx, c.URL+"/readyz", &ready); err != nil {
		return err
	}
	if ready.Followers == nil {
		return fmt.Errorf("what answers at %s is not a node of maitred", c.URL)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SINK\tSTATE\tCURSOR\tLAG\tSECONDS")
	for _, name := range slices.Sorted(maps.Keys(ready.Followers)) {
		f := ready.Followers[name]
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.3f\n", name, f.State, f.Cursor, f.Lag, f.LagSeconds)
	}
	if err := w.Flush(); err != nil || c.StoreURL == "" {
		return err
	}
	return parkedTable(ctx, out, c.StoreURL)
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("what answers at %s is not a node of maitred: %w", url, err)
	}
	return nil
}

func parkedTable(ctx context.Context, out io.Writer, url string) error {
	store, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	defer store.Close()
	parked, err := store.Parked(ctx)
	if err != nil || len(parked) == 0 {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nPARKED\tFROM VERSION\tSINCE\tREASON")
	for _, p := range parked {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", p.Aggregate, p.Version, p.Since.UTC().Format(time.RFC3339), p.Reason)
	}
	return w.Flush()
}

// parkedOne is one parked aggregate in PostgreSQL.
type parkedOne struct {
	StoreURL string `name:"store-url" required:"" help:"PostgreSQL of the store." placeholder:"URL"`
	ID       string `arg:"" help:"The restaurant or account."`
}

func (c *parkedOne) with(fn func(context.Context, *postgres.Store, engine.AggregateID) error) error {
	if !engine.IsAggregateID(c.ID) {
		return fmt.Errorf("%q is neither an account's id nor a restaurant's", c.ID)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	store, err := postgres.Open(ctx, c.StoreURL)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := fn(ctx, store, engine.AggregateID(c.ID)); errors.Is(err, postgres.ErrNotParked) {
		return fmt.Errorf("%s is not parked", c.ID)
	} else if err != nil {
		return err
	}
	return nil
}

// SinkResumeCmd tries again.
type SinkResumeCmd struct{ parkedOne }

// Run implements the command.
func (c *SinkResumeCmd) Run() error {
	err := c.with(func(ctx context.Context, s *postgres.Store, id engine.AggregateID) error { return s.Resume(ctx, id) })
	if err == nil {
		fmt.Printf("%s is tried again with the next transaction of the node; maitred sink status tells how it went\n", c.ID)
	}
	return err
}

// SinkSkipCmd gives up.
type SinkSkipCmd struct{ parkedOne }

// Run implements the command.
func (c *SinkSkipCmd) Run() error {
	err := c.with(func(ctx context.Context, s *postgres.Store, id engine.AggregateID) error { return s.Skip(ctx, id) })
	if err == nil {
		fmt.Printf("the parked events of %s are given up; maitred store rebuild makes its rows anew\n", c.ID)
	}
	return err
}
