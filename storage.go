package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/postgres"
	"maitred/persistence/sqlite"
)

// storeWait is how long a start waits for a store that may be away.
const storeWait = 5 * time.Second

func storePath(data string) string { return filepath.Join(data, "store.db") }

// openStoreAt opens the store in PostgreSQL that a URL names, or without one that in the data directory.
func openStoreAt(ctx context.Context, data, url string) (persistence.Rebuildable, error) {
	if url == "" {
		return sqlite.Open(ctx, storePath(data))
	}
	return postgres.Open(ctx, url)
}

func (n *Node) openStore(ctx context.Context) (err error) {
	if n.store, err = openStoreAt(ctx, n.Config.Data, n.Config.StoreURL); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	n.opened("store", n.store.Close)
	if server, ok := n.store.(*postgres.Store); ok {
		server.Log = n.Log
		if url := n.Config.StoreReadURL; url != "" {
			if err := server.ReadFrom(ctx, url); err != nil {
				return fmt.Errorf("--store-read-url: %w", err)
			}
		}
		n.Registry.MustRegister(server)
	}
	if err := n.checkStoreWitness(ctx); err != nil {
		return err
	}
	if err := n.refillStore(ctx); err != nil {
		return err
	}
	if embedded, ok := n.store.(*sqlite.Store); ok { // it lives on the same cores and disk
		embedded.GiveWay = (&rush{waiting: func() int { return n.house.Waiting() }, lag: func() time.Duration { return n.projector.Status().Lag }}).giveWay
	}
	return nil
}

// refillStore makes the store of a cluster's node anew when the journal was purged beyond it: the node is new, or was away for longer than the
// journal keeps. There is nothing to decide for an operator, who could not rebuild it either: the journal is open in a cluster only. Left
// behind it would answer no list and, if the node came to lead, let nobody purge the journal.
func (n *Node) refillStore(ctx context.Context) error {
	if n.cell == nil || n.Config.StoreURL != "" {
		return nil
	}
	journal := n.embedded.Journal()
	b, err := journal.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("read the journal's bounds: %w", err)
	}
	at, err := n.store.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("read the store's cursor: %w", err)
	}
	if b.Last < b.First || at.Seq+1 >= b.First {
		return nil
	}
	if id, err := persistence.JournalOf(ctx, journal, b.First); err != nil || at.Journal != "" && at.Journal != id {
		return err // another journal's is left alone: the projector says so
	}
	n.Log.Warn("the journal begins beyond the store of this node, which is made anew from bases and journal", "cursor", at.Seq, "first", b.First)
	return persistence.Rebuild(ctx, n.store, journal, n.embedded.Bases(), n.seal)
}

// checkStoreWitness refuses an empty journal beside a store that has followed one: the journal's disk was lost, and going
// on would forget in silence what the store still knows (holes H10). A store that is away cannot be asked: then only a journal that
// has something goes on, since its own witnesses lie beside it.
func (n *Node) checkStoreWitness(ctx context.Context) error {
	var bounds persistence.Bounds
	err := n.patiently(ctx, func() (err error) { bounds, err = n.embedded.Journal().Bounds(ctx); return err })
	if err != nil {
		return fmt.Errorf("read the journal's bounds: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	cursor, err := n.store.Cursor(asking)
	switch {
	case err != nil && n.Config.StoreURL == "":
		return fmt.Errorf("read the store's cursor: %w", err)
	case err != nil && bounds.Last == 0:
		return fmt.Errorf("the journal in %s is empty and the store does not answer, so nobody can say whether this is a new installation or a lost disk: %w", n.Config.Data, err)
	case err != nil:
		n.Log.Warn("the store is away; bookings and logins go on, lists and searches are answered with 503", "error", err)
	case cursor.Seq > bounds.Last:
		return fmt.Errorf("journal_regressed: the store of %s has followed journal %s to record %d, but the journal ends at %d: "+
			"run maitred journal verify, then salvage or adopt", n.Config.Data, cursor.Journal, cursor.Seq, bounds.Last)
	}
	return nil
}

// knownHeads is what the store has seen, for the comparison with the journal at the start. When a store over the network is away there
// is nothing to compare.
func (n *Node) knownHeads(ctx context.Context, fn func(engine.AggregateID, engine.Version) error) error {
	if n.Config.StoreURL == "" {
		return n.store.Heads(ctx, fn)
	}
	asking, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if _, err := n.store.Cursor(asking); err != nil {
		n.Log.Warn("the store is away: what it has seen is not compared with the journal", "error", err)
		return nil
	}
	return n.store.Heads(ctx, fn)
}

// openAudit opens a store's audit for reading, beside whoever writes it.
func openAudit(ctx context.Context, data, url string) (persistence.Audit, func() error, error) {
	if url == "" {
		store, err := sqlite.OpenReader(ctx, storePath(data))
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	}
	store, err := postgres.Open(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}
