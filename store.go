package main

import (
	"context"
	"fmt"

	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// StoreCmd groups what an operator does to the read model.
type StoreCmd struct {
	Rebuild StoreRebuildCmd `cmd:"" help:"Make the store anew from bases and journal. The node must be stopped."`
	Copy    StoreCopyCmd    `cmd:"" help:"Copy the store from one kind to the other, and compare them. The node must be stopped."`
}

// StoreRebuildCmd makes the store anew.
type StoreRebuildCmd struct {
	Data     string `default:"./data" help:"Data directory of the node."`
	StoreURL string `name:"store-url" help:"PostgreSQL of the store; empty = the file in --data." placeholder:"URL"`
	Replace  bool   `help:"Also empty a store that has followed another journal."`
}

// Run implements the command.
func (c *StoreRebuildCmd) Run() error {
	ctx := context.Background()
	node := Node{Config: Config{Data: c.Data}, Log: (&Config{LogLevel: "warn"}).logger()}
	journal, err := jetstream.Open(ctx, node.journalOptions())
	if err != nil {
		return fmt.Errorf("open the journal in %s: %w", c.Data, err)
	}
	defer journal.Close()
	store, err := openStoreAt(ctx, c.Data, c.StoreURL)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer store.Close()
	seal, err := readSeal(c.Data)
	if err != nil {
		return err
	}
	if err := seal.Check(ctx, journal.Journal(), journal.Bases()); err != nil { // before the store is emptied
		return err
	}
	if err := c.check(ctx, store, journal.Journal()); err != nil {
		return err
	}
	if err := persistence.Rebuild(ctx, store, journal.Journal(), journal.Bases(), seal); err != nil {
		return err
	}
	cursor, err := store.Cursor(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("store rebuilt to record %d of journal %s\n", cursor.Seq, cursor.Journal)
	digest, err := persistence.ContentOf(ctx, store)
	if err != nil {
		return err
	}
	fmt.Print(digest)
	return nil
}

// check refuses to empty what belongs to somebody else: a URL is easily the wrong one, and the audit of what a journal has purged is
// nowhere else.
func (c *StoreRebuildCmd) check(ctx context.Context, store persistence.Store, journal persistence.Journal) error {
	if c.Replace {
		return nil
	}
	b, err := journal.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("bounds of the journal: %w", err)
	}
	id, err := persistence.JournalOf(ctx, journal, b.First)
	if err != nil {
		return err
	}
	at, err := store.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("what the store holds cannot be read (--replace empties it all the same): %w", err)
	}
	if at.Journal != "" && at.Journal != id {
		return fmt.Errorf("the store has followed journal %s to record %d, and this one is %s: --replace empties it", at.Journal, at.Seq, id)
	}
	return nil
}
