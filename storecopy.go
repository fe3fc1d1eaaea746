package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/postgres"
)

// StoreCopyCmd makes one kind of store from the other.
type StoreCopyCmd struct {
	Data     string `default:"./data" help:"Data directory of the node."`
	From     string `enum:"sqlite,postgres" required:"" help:"What is copied: sqlite (the file in --data) or postgres."`
	To       string `enum:"sqlite,postgres" required:"" help:"What is made."`
	StoreURL string `name:"store-url" required:"" help:"PostgreSQL of the store." placeholder:"URL"`
	Replace  bool   `help:"Empty the target first, if there is something in it."`
}

// tellEvery is the time between two lines of progress.
const tellEvery = time.Second

// Run implements the command.
func (c *StoreCopyCmd) Run() error { return c.run(context.Background(), os.Stdout, os.Stderr) }

func (c *StoreCopyCmd) run(ctx context.Context, out, progress io.Writer) error {
	if c.From == c.To {
		return errors.New("--from and --to are the same")
	}
	unlock, err := jetstream.Lock(c.Data)
	if err != nil {
		return err
	}
	defer unlock()
	from, err := c.open(ctx, c.From)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := c.open(ctx, c.To)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := c.check(ctx, from, to); err != nil {
		return err
	}
	last := time.Now()
	err = persistence.Copy(ctx, from, to, func(aggregates, events int) {
		if time.Since(last) >= tellEvery {
			fmt.Fprintf(progress, "%d restaurants and accounts, %d events\n", aggregates, events)
			last = time.Now()
		}
	})
	if err != nil {
		return err
	}
	return c.compare(ctx, from, to, out)
}

func (c *StoreCopyCmd) open(ctx context.Context, kind string) (persistence.Rebuildable, error) {
	url := ""
	if kind == "postgres" {
		url = c.StoreURL
	}
	store, err := openStoreAt(ctx, c.Data, url)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", kind, err)
	}
	return store, nil
}

// check refuses to wipe out what nobody meant. A copy that was cut off left a target without a cursor: it begins anew.
func (c *StoreCopyCmd) check(ctx context.Context, from, to persistence.Rebuildable) error {
	at, err := from.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("read the cursor of %s: %w", c.From, err)
	}
	if at == (persistence.Position{}) {
		return fmt.Errorf("%s is empty: there is nothing to copy", c.From)
	}
	there, err := to.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("read the cursor of %s: %w", c.To, err)
	}
	if there != (persistence.Position{}) && !c.Replace {
		return fmt.Errorf("%s has followed journal %s to record %d: --replace empties it first", c.To, there.Journal, there.Seq)
	}
	if server, ok := from.(*postgres.Store); ok {
		if parked, err := server.Parked(ctx); err != nil {
			return err
		} else if len(parked) > 0 {
			return fmt.Errorf("%d restaurants and accounts are parked in postgres, so their rows are not whole: maitred sink status, resume or skip, or store rebuild", len(parked))
		}
	}
	return nil
}

func (c *StoreCopyCmd) compare(ctx context.Context, from, to persistence.Rebuildable, out io.Writer) error {
	want, err := persistence.ContentOf(ctx, from)
	if err != nil {
		return err
	}
	got, err := persistence.ContentOf(ctx, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s:\n%s%s:\n%s", c.From, want, c.To, got)
	if !want.Equal(got) {
		return errors.New("the copy is not what was copied")
	}
	fmt.Fprintln(out, "the copy is equal")
	return nil
}
