package jetstream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lockFile = "lock"
	modeFile = "mode"

	modeStandalone = "standalone"
	modeClustered  = "clustered"
	modeExternal   = "external" // no journal, only what a node knows of one
)

// ErrLocked: another process, or another Open of this one, has the directory.
var ErrLocked = errors.New("jetstream: data directory is in use")

// Lock takes a data directory without opening its journal, for who works on what lies beside it: ErrLocked when a node runs there.
func Lock(dir string) (unlock func(), err error) {
	f, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// lockDir takes the directory for the life of the returned file. The embedded server takes no lock of its own: two servers
// over one directory would both acknowledge, and their blocks interleave.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: make data directory: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("jetstream: open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %s; one directory serves one process", ErrLocked, dir, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("jetstream: lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		if err != nil && !errors.Is(err, unix.ENOSPC) { // the pid is a courtesy; the lock is what counts
			_ = f.Close()
			return nil, fmt.Errorf("jetstream: write lock: %w", err)
		}
	}
	return f, nil
}

// File systems that cannot keep the promise of an fsync, or of a lock, by their magic numbers.
var refusedFS = map[int64]string{
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.NFS_SUPER_MAGIC:       "NFS",
	unix.SMB_SUPER_MAGIC:       "SMB",
	unix.SMB2_SUPER_MAGIC:      "SMB2",
	unix.CIFS_SUPER_MAGIC:      "CIFS",
	unix.CODA_SUPER_MAGIC:      "Coda",
	unix.AFS_SUPER_MAGIC:       "AFS",
	unix.V9FS_MAGIC:            "9p",
	unix.CEPH_SUPER_MAGIC:      "Ceph",
	unix.FUSE_SUPER_MAGIC:      "FUSE",
}

func checkFS(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("jetstream: statfs %s: %w", dir, err)
	}
	if name, refused := refusedFS[int64(st.Type)]; refused {
		return fmt.Errorf("jetstream: %s lies on %s, which does not keep what was fsynced or locked; use ext4 or xfs on a local disk", dir, name)
	}
	return nil
}

// freeBytes is what an unprivileged process may still write on dir's volume.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("jetstream: statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// checkMode compares the directory's mode with the wanted one, and writes it into a new directory. A clustered server
// deletes every stream that its cluster does not know, without asking: a standalone directory must never be shown to one.
func checkMode(dir, want string) error {
	path := filepath.Join(dir, modeFile)
	data, err := os.ReadFile(path)
	if err == nil {
		have := strings.TrimSpace(string(data))
		if have != want && (have == modeExternal || want == modeExternal) {
			return fmt.Errorf("jetstream: the journal of %s is %s, not %s: name a directory of its own, or the servers that it had", dir, have, want)
		}
		if have != want {
			return fmt.Errorf("jetstream: %s is a %s directory and is not opened %s (that would delete its journal): use maitred journal copy into a new directory", dir, have, want)
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("jetstream: read mode: %w", err)
	}
	if have := modeOfFiles(dir); have != "" && have != want {
		return fmt.Errorf("jetstream: %s holds a %s journal without a mode file and is not opened %s", dir, have, want)
	}
	return writeDurably(path, []byte(want+"\n"))
}

// modeOfFiles tells the mode of a directory whose mode file is missing; empty when there is no journal.
func modeOfFiles(dir string) string {
	if _, err := os.Stat(filepath.Join(storeDir(dir), "$SYS", "_js_")); err == nil {
		return modeClustered
	}
	if _, err := os.Stat(streamDir(dir, journalStream)); err == nil {
		return modeStandalone
	}
	return ""
}

// writeDurably replaces the file at path by data: new file, fsync, rename, fsync of the directory.
func writeDurably(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("jetstream: write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("jetstream: write %s: %w", path, err)
	}
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("jetstream: sync %s: %w", path, err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("jetstream: sync %s: %w", path, err)
	}
	return nil
}
