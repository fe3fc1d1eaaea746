package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// JournalCmd groups what an operator does to a journal whose node is stopped.
type JournalCmd struct {
	Verify  JournalVerifyCmd  `cmd:"" help:"Read everything, fold custody, compare chains and witnesses."`
	Salvage JournalSalvageCmd `cmd:"" help:"Begin a new journal with what is left of a damaged one; prints what is lost."`
	Copy    JournalCopyCmd    `cmd:"" help:"Copy a journal verbatim into a new directory, or into the nodes of a new cluster."`
	Adopt   JournalAdoptCmd   `cmd:"" help:"Begin a new journal beside bases or a store whose journal is gone."`
}

// JournalVerifyCmd says whether a journal is whole.
type JournalVerifyCmd struct {
	Data     string `default:"./data" help:"Data directory of the node."`
	StoreURL string `name:"store-url" help:"PostgreSQL of the store, a witness of what was durable; empty = the file in --data." placeholder:"URL"`
}

// Run implements the command.
func (c *JournalVerifyCmd) Run() error {
	ctx := context.Background()
	heads, _, err := storeWitness(ctx, c.Data, c.StoreURL)
	if err != nil {
		return err
	}
	journal, err := jetstream.OpenForRepair(ctx, repairOptions(c.Data))
	if err != nil {
		return err
	}
	defer journal.Close()
	r, err := jetstream.Verify(ctx, journal, heads)
	if err != nil {
		return err
	}
	fmt.Printf("journal %s: records %d to %d, %d bytes\n", r.Journal, r.Bounds.First, r.Bounds.Last, r.Bounds.Bytes)
	fmt.Printf("%d frames, %d claims, %d checkpoints, %d events, %d nodes, %d aggregates, %d bases, %d known to the store\n",
		r.Frames, r.Claims, r.Checkpoints, r.Events, r.Nodes, r.Aggregates, r.Bases, len(heads))
	fmt.Printf("custody folded to %d\n", r.Folded)
	for _, f := range r.Findings {
		fmt.Println("FOUND", f)
	}
	if n := len(r.Findings) + r.More; n > 0 {
		return fmt.Errorf("the journal in %s is not whole: %d findings (%d not printed)", c.Data, n, r.More)
	}
	fmt.Println("whole")
	return nil
}

// JournalSalvageCmd saves what is left.
type JournalSalvageCmd struct {
	Data       string `default:"./data" help:"Data directory of the node."`
	StoreURL   string `name:"store-url" help:"PostgreSQL of the store, a witness of what was durable; empty = the file in --data." placeholder:"URL"`
	Node       string `help:"Owner of every partition in the new journal; the node that wrote last unless given."`
	AcceptLoss bool   `help:"Needed: what is printed as lost is gone from then on."`
}

// Run implements the command.
func (c *JournalSalvageCmd) Run() error {
	return salvage(c.Data, c.StoreURL, c.Node, c.AcceptLoss, false)
}

// JournalAdoptCmd accepts an empty journal.
type JournalAdoptCmd struct {
	Data       string `default:"./data" help:"Data directory of the node."`
	StoreURL   string `name:"store-url" help:"PostgreSQL of the store, a witness of what was durable; empty = the file in --data." placeholder:"URL"`
	Node       string `default:"n1" help:"Owner of every partition in the new journal."`
	AcceptLoss bool   `help:"Needed: what only the lost journal knew is gone."`
}

// Run implements the command.
func (c *JournalAdoptCmd) Run() error { return salvage(c.Data, c.StoreURL, c.Node, c.AcceptLoss, true) }

func salvage(data, url, node string, acceptLoss, empty bool) error {
	if !acceptLoss {
		return errors.New("this forgets what the old journal lost: say --accept-loss (see maitred journal verify first)")
	}
	ctx := context.Background()
	heads, cursor, err := storeWitness(ctx, data, url)
	if err != nil {
		return err
	}
	s, err := jetstream.Salvage(ctx, jetstream.SalvageOptions{
		Options: repairOptions(data), Node: node, Heads: heads, Above: cursor.Seq, Empty: empty,
	})
	if err != nil {
		return err
	}
	for _, l := range s.Lost {
		fmt.Printf("LOST %s: versions %d to %d, known to %s\n", l.Aggregate, l.Saved+1, l.Known, l.Witness)
	}
	fmt.Printf("journal %s begins at record %d with %d bases and %d events of journal %s; %d aggregates lost events\n",
		s.Journal, s.First, s.Bases, s.Events, s.OldJournal, len(s.Lost))
	fmt.Printf("the old files are in %s; now run: maitred store rebuild --replace --data %s", s.Kept, data)
	if url != "" {
		fmt.Print(" --store-url …")
	}
	fmt.Println("\na Redis that followed the old journal is of another one now: empty it (FLUSHDB), and it is filled from the store")
	return nil
}

// repairOptions take any file system: a rescue goes to whatever disk there is, and serve looks for itself.
func repairOptions(data string) jetstream.Options {
	return jetstream.Options{Dir: data, Logger: (&Config{LogLevel: "warn"}).logger(), Unsafe: jetstream.Unsafe{AnyFS: true}}
}

// storeWitness reads what the store knows: versions and cursor. Nothing when there is no embedded one.
func storeWitness(ctx context.Context, data, url string) (jetstream.Heads, persistence.Position, error) {
	if _, err := os.Stat(storePath(data)); url == "" && errors.Is(err, os.ErrNotExist) {
		return nil, persistence.Position{}, nil
	}
	store, err := openStoreAt(ctx, data, url)
	if err != nil {
		return nil, persistence.Position{}, fmt.Errorf("open the store: %w", err)
	}
	defer store.Close()
	cursor, err := store.Cursor(ctx)
	if err != nil {
		return nil, cursor, fmt.Errorf("read the store's cursor: %w", err)
	}
	heads := jetstream.Heads{}
	err = store.Heads(ctx, func(id engine.AggregateID, v engine.Version) error {
		heads[id] = v
		return nil
	})
	return heads, cursor, err
}
