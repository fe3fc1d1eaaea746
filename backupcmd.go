package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/sqlite"
)

// Files of a backup beside the journal's.
const (
	backupKeys  = "keys/"
	backupStore = "store.db"
)

// backupSilence is how long a node may send nothing of a backup.
const backupSilence = time.Minute

// BackupCmd makes a backup, beside a running node or of a stopped one.
type BackupCmd struct {
	To         string `arg:"" help:"File to make: a tar with the SHA-256 of each of its files. It holds the keys: keep it like them."`
	Data       string `default:"./data" help:"Data directory of the node. While it is served, journal and bases come from --admin."`
	ClusterDir string `help:"Of a node of a cluster, which is backed up while it runs: directory of the secrets." placeholder:"DIR"`
	adminFlag
}

// Run implements the command.
func (c *BackupCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return c.run(ctx, os.Stdout, os.Stderr)
}

func (c *BackupCmd) run(ctx context.Context, out, progress io.Writer) (err error) {
	partial := c.To + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the backup (a .partial file is of one that runs, or was cut off: remove it then): %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial)
		}
	}()
	defer f.Close()
	if _, err := os.Stat(c.To); err == nil {
		return fmt.Errorf("%s is there already", c.To)
	}
	info, notes, err := c.write(ctx, f, tellProgress(progress))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := checkBackup(partial, tellProgress(progress)); err != nil {
		return fmt.Errorf("the backup was read back and is not good (nothing was kept): %w", err)
	}
	if err := errors.Join(os.Rename(partial, c.To), syncDir(filepath.Dir(c.To))); err != nil {
		return fmt.Errorf("keep the backup: %w", err)
	}
	fmt.Fprintf(out, "%s holds journal %s as of record %d: records from %d on with %d events, %d bases (digest %.16s); read back and checked\n",
		c.To, info.Journal, info.Last, info.First, info.Events, info.Bases, info.Digest)
	for _, note := range notes {
		fmt.Fprintln(out, note)
	}
	return nil
}

// write takes the store first: what it lacks, the journal then has.
func (c *BackupCmd) write(ctx context.Context, to io.Writer, progress jetstream.Progress) (info persistence.BackupInfo, notes []string, err error) {
	store, at, err := c.snapshotStore(ctx)
	if err != nil {
		return info, nil, err
	}
	defer os.Remove(store)
	w := persistence.NewBackupWriter(to)
	if info, err = c.journal(ctx, w, progress); err != nil {
		return info, nil, err
	}
	if at.Journal == info.Journal && at.Seq+1 >= info.First && at.Seq <= info.Last {
		err = addFile(w, backupStore, store)
	} else {
		notes = append(notes, "no store is in it (it is in PostgreSQL, new, or behind the journal): a restore makes one from bases and journal, "+
			"without the audit of what the journal has purged")
	}
	if err == nil {
		err = c.keys(w)
	}
	if err == nil {
		err = w.Close()
	}
	return info, notes, err
}

// snapshotStore copies the store beside the backup; empty when there is none.
func (c *BackupCmd) snapshotStore(ctx context.Context) (path string, at persistence.Position, err error) {
	if _, err := os.Stat(storePath(c.Data)); errors.Is(err, os.ErrNotExist) {
		return "", at, nil
	}
	path = c.To + ".store.partial"
	_ = os.Remove(path) // of a backup that was cut off
	at, err = sqlite.Snapshot(ctx, storePath(c.Data), path)
	if err != nil {
		_ = os.Remove(path)
	}
	return path, at, err
}

// journal takes journal and bases from the directory, or from the node that serves it.
func (c *BackupCmd) journal(ctx context.Context, w *persistence.BackupWriter, progress jetstream.Progress) (persistence.BackupInfo, error) {
	if c.ClusterDir != "" {
		return c.online(ctx, w)
	}
	if _, err := os.Stat(c.Data); err != nil {
		return persistence.BackupInfo{}, fmt.Errorf("--data: %w", err)
	}
	e, err := jetstream.Open(ctx, repairOptions(c.Data))
	if errors.Is(err, jetstream.ErrLocked) {
		return c.online(ctx, w)
	}
	if err != nil {
		return persistence.BackupInfo{}, err
	}
	defer e.Close()
	from, to := io.Pipe()
	defer from.Close()
	go func() { to.CloseWithError(streamBackup(ctx, e, to, progress)) }()
	return w.Journal(from)
}

// streamBackup writes journal and bases.
func streamBackup(ctx context.Context, e *jetstream.Embedded, to io.Writer, progress jetstream.Progress) error {
	cursors, err := e.Cursors().All(ctx)
	if err != nil {
		return err
	}
	t := tar.NewWriter(to)
	_, err = persistence.WriteBackup(ctx, t, persistence.BackupSource{
		Journal: e.Journal(), Bases: e.Bases(), Cursors: cursors, Now: time.Now, Progress: progress,
	})
	return errors.Join(err, t.Close())
}

// online asks the node.
func (c *BackupCmd) online(ctx context.Context, w *persistence.BackupWriter) (info persistence.BackupInfo, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(backupSilence, func() { cancel(fmt.Errorf("the node has sent nothing for %s", backupSilence)) })
	defer silent.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin+backupPath, nil)
	if err != nil {
		return info, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return info, fmt.Errorf("ask the node at %s (--admin): %w", c.Admin, errors.Join(context.Cause(ctx), err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return info, fmt.Errorf("the node at %s (--admin) answers %s: %s", c.Admin, res.Status, why)
	}
	return w.Journal(&attended{res.Body, silent})
}

// attended puts a timer off with each read.
type attended struct {
	from  io.Reader
	timer *time.Timer
}

func (h *attended) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	h.timer.Reset(backupSilence)
	return n, err
}

func (c *BackupCmd) keys(w *persistence.BackupWriter) error {
	dir := c.Data
	if c.ClusterDir != "" {
		dir = c.ClusterDir
	}
	paths, err := keyFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := addFile(w, backupKeys+filepath.Base(path), path); err != nil {
			return err
		}
	}
	return nil
}

func addFile(w *persistence.BackupWriter, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.Add(name, info.Size(), f)
}

// checkBackup reads all of a backup.
func checkBackup(path string, progress jetstream.Progress) error {
	b, err := persistence.OpenBackup(path)
	if err != nil {
		return err
	}
	defer b.Close()
	return checkOpened(b, progress)
}

func checkOpened(b *persistence.Backup, progress jetstream.Progress) error {
	seal, err := sealOf(b)
	if err != nil {
		return err
	}
	if err := b.Check(seal, progress); err != nil {
		if errors.Is(err, persistence.ErrSealed) {
			return fmt.Errorf("the keys beside the journal are not those of its personal data (another --data, --cluster-dir or --admin?): %w", err)
		}
		return err
	}
	return nil
}

// sealOf makes the seal from the keys of a backup; nil when there are none.
func sealOf(b *persistence.Backup) (*persistence.Seal, error) {
	var ring [][]byte
	for _, name := range b.Names(backupKeys + sealFile) { // seal.key comes before its predecessors
		key, err := b.ReadFile(name)
		if err != nil {
			return nil, err
		}
		ring = append(ring, key)
	}
	if len(ring) == 0 {
		return nil, nil
	}
	return persistence.NewSeal(ring...)
}
