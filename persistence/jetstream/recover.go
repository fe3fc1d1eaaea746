package jetstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	soundFile   = "sound"
	unsoundFile = "unsound"
	tailBlocks  = 2 // an append touches the last block, or after a rollover the one before it
)

func storeDir(dir string) string { return filepath.Join(dir, "jetstream") }

func streamDir(dir, stream string) string {
	return filepath.Join(storeDir(dir), "$G", "streams", stream)
}

// hardenTail makes what replay is going to count durable: recovered is not durable. After a kill between write and fsync
// the last record is in the page cache only, and after a rollover the next fsync goes to another file. After a write error
// the kernel may hold pages that it calls clean and that never reached the disk: then the last blocks are rewritten first.
// The server must not run.
func hardenTail(dir string) error {
	_, err := os.Stat(filepath.Join(dir, unsoundFile))
	unsound := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("jetstream: look for a write error: %w", err)
	}
	for _, stream := range []string{journalStream, baseStream} {
		if err := hardenStream(streamDir(dir, stream), unsound); err != nil {
			return err
		}
	}
	return markSound(dir)
}

func hardenStream(dir string, unsound bool) error {
	msgs := filepath.Join(dir, "msgs")
	blocks, err := blockFiles(msgs)
	if err != nil || blocks == nil {
		return err
	}
	for _, block := range blocks[max(0, len(blocks)-tailBlocks):] {
		if unsound {
			if err := rewrite(block); err != nil {
				return err
			}
		}
		if err := syncPath(block); err != nil {
			return err
		}
	}
	for _, d := range []string{msgs, dir, filepath.Dir(dir)} {
		if err := syncPath(d); err != nil {
			return err
		}
	}
	return nil
}

// blockFiles lists the blocks of a stream in order; nil when there is no stream.
func blockFiles(msgs string) ([]string, error) {
	entries, err := os.ReadDir(msgs)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: list blocks: %w", err)
	}
	numbers := make([]int, 0, len(entries))
	for _, e := range entries {
		if name, isBlock := strings.CutSuffix(e.Name(), ".blk"); isBlock {
			if n, err := strconv.Atoi(name); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	paths := make([]string, len(numbers))
	for i, n := range numbers {
		paths[i] = filepath.Join(msgs, strconv.Itoa(n)+".blk")
	}
	return paths, nil
}

// rewrite puts the block's bytes into new pages. On a full disk they are written over themselves instead: the same bytes in
// the same place, so a cut in between does no harm.
func rewrite(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("jetstream: reread block: %w", err)
	}
	err = writeDurably(path, data)
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	_ = os.Remove(path + ".new")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("jetstream: rewrite block: %w", err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("jetstream: rewrite block %s: %w", path, err)
	}
	return nil
}

// markSound says that the tail is on the disk. The file is made once and then only renamed: a full disk cannot prevent that.
func markSound(dir string) error {
	sound, unsound := filepath.Join(dir, soundFile), filepath.Join(dir, unsoundFile)
	if err := os.Rename(unsound, sound); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("jetstream: mark sound: %w", err)
		}
		f, err := os.OpenFile(sound, os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("jetstream: mark sound: %w", err)
		}
		_ = f.Close()
	}
	return syncPath(dir)
}

// markUnsound says that a write failed, so that whoever opens the directory next rewrites the last blocks first.
func markUnsound(dir string) error {
	if err := os.Rename(filepath.Join(dir, soundFile), filepath.Join(dir, unsoundFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("jetstream: mark unsound: %w", err)
	}
	return syncPath(dir)
}
