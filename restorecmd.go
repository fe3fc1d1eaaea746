package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"maitred/cluster"
	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/sqlite"
)

// RestoreCmd makes a new node, or a new cluster, from a backup.
type RestoreCmd struct {
	From  string   `arg:"" help:"Backup, made by maitred backup."`
	To    string   `arg:"" optional:"" help:"New data directory; with --nodes the folder of secrets and of the nodes' data directories."`
	Check bool     `help:"Only look whether the backup is whole."`
	Node  string   `default:"n1" help:"Name of the new node (maitred serve --node)."`
	Nodes []string `help:"Make a cluster instead, of three nodes with these names."`
}

// Run implements the command.
func (c *RestoreCmd) Run() error { return c.run(context.Background(), os.Stdout, os.Stderr) }

func (c *RestoreCmd) run(ctx context.Context, out, progress io.Writer) error {
	if (c.To == "") != c.Check {
		return errors.New("say where to restore to, or --check")
	}
	b, err := persistence.OpenBackup(c.From)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := checkOpened(b, tellProgress(progress)); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is whole: journal %s as of record %d, %s, %d events, %d bases\n",
		c.From, b.Info.Journal, b.Info.Last, b.Info.Made.Format("2006-01-02 15:04:05 UTC"), b.Info.Events, b.Info.Bases)
	if c.Check {
		return nil
	}
	restored, err := c.restore(ctx, b, tellProgress(progress))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "it is journal %s now, records %d to %d, with %d cursors of sinks; read back and compared\n", restored.Journal, restored.First, restored.Last, restored.Cursors)
	c.tellWhatNext(out)
	return nil
}

func (c *RestoreCmd) restore(ctx context.Context, b *persistence.Backup, progress jetstream.Progress) (*jetstream.Restored, error) {
	o := jetstream.RestoreOptions{Backup: b, Node: c.Node, To: []jetstream.Options{repairOptions(c.To)}, Progress: progress}
	if len(c.Nodes) > 0 {
		targets, err := c.cluster(b)
		if err != nil {
			return nil, err
		}
		o.To, o.Node = targets, c.Nodes[0]
	}
	store := c.To + ".store.partial"
	_ = os.Remove(store) // of a restore that was cut off
	defer os.Remove(store)
	o.Read = func(ctx context.Context, journal persistence.Journal, bases persistence.Bases) error {
		return makeStore(ctx, b, store, journal, bases)
	}
	o.Beside = func(dir string, at func(persistence.Position) (persistence.Position, bool)) error {
		if len(c.Nodes) == 0 {
			if err := extractKeys(b, dir); err != nil {
				return err
			}
		}
		return placeStore(ctx, store, dir, at)
	}
	return jetstream.Restore(ctx, o)
}

// cluster makes the secrets, with the keys of the backup.
func (c *RestoreCmd) cluster(b *persistence.Backup) ([]jetstream.Options, error) {
	dir := filepath.Join(c.To, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the secrets: %w", err)
	}
	secret := cluster.NewSecret()
	targets, err := clusterTargets(secret, c.Nodes, c.To)
	if err != nil {
		return nil, err
	}
	if err := secret.Write(filepath.Join(dir, secretFile)); err != nil {
		return nil, err
	}
	return targets, extractKeys(b, dir)
}

func extractKeys(b *persistence.Backup, dir string) error {
	for _, name := range b.Names(backupKeys) {
		data, err := b.ReadFile(name)
		if err == nil {
			err = writeKey(filepath.Join(dir, filepath.Base(name)), data)
		}
		if err != nil {
			return fmt.Errorf("restore the keys: %w", err)
		}
	}
	return syncDir(dir)
}

// makeStore takes the store out of the backup, or makes one from what was restored.
func makeStore(ctx context.Context, b *persistence.Backup, path string, journal persistence.Journal, bases persistence.Bases) error {
	if b.Has(backupStore) {
		return extract(b, backupStore, path)
	}
	seal, err := sealOf(b)
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(persistence.Rebuild(ctx, store, journal, bases, seal), store.Close())
}

func extract(b *persistence.Backup, name, path string) error {
	from, err := b.Open(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// placeStore gives a directory the store, which goes on where it was: at the same event.
func placeStore(ctx context.Context, store, dir string, at func(persistence.Position) (persistence.Position, bool)) error {
	was, err := sqlite.Snapshot(ctx, store, storePath(dir))
	if err != nil {
		return err
	}
	now, ok := at(was)
	if !ok { // it was made from the new journal
		return nil
	}
	return sqlite.Rename(ctx, storePath(dir), was, now)
}

func (c *RestoreCmd) tellWhatNext(out io.Writer) {
	if len(c.Nodes) == 0 {
		fmt.Fprintf(out, "next: maitred serve --node %s --data %s\n", c.Node, c.To)
	} else {
		fmt.Fprintf(out, "bring %s and one of %s/{%s} to each machine; maitred serve --node NAME --data DIR --cluster-dir DIR --peer-listen ADDR --join ADDR,ADDR,ADDR\n",
			filepath.Join(c.To, "secrets"), c.To, strings.Join(c.Nodes, ","))
	}
	fmt.Fprint(out, "It is another journal than the one that was backed up, which must not be served beside it. What followed that one goes on only if it had seen\n"+
		"no more than the backup: a store in PostgreSQL has to be made anew (maitred store rebuild --replace), a Redis to be emptied (FLUSHDB).\n"+
		"What happened after the backup is lost: consumers of RabbitMQ may have been told of it, and hear the same versions again with other content.\n")
}
