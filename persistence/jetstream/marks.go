package jetstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	partialFile = "partial" // its journal is still being written by a copy or a restore
	movedFile   = "moved"   // its journal goes on elsewhere
)

// checkMarks refuses a directory that a copy or a restore did not finish, and one whose journal goes on elsewhere: the first lacks
// what was acknowledged, the second would decide beside its successor.
func checkMarks(dir string, o Options) error {
	if o.AcceptLoss {
		return nil
	}
	if is, err := marked(dir, partialFile); err != nil || is && !o.making {
		return errors.Join(err, partialError(dir, is))
	}
	if is, err := marked(dir, movedFile); err != nil || is && !o.moving {
		return errors.Join(err, movedError(dir, is))
	}
	return nil
}

func partialError(dir string, is bool) error {
	if !is {
		return nil
	}
	return fmt.Errorf("jetstream: the copy or restore into %s was cut off: remove the directory and begin again", dir)
}

func movedError(dir string, is bool) error {
	if !is {
		return nil
	}
	return fmt.Errorf("jetstream: the journal in %s was moved to the nodes of a cluster and goes on there; only if that cluster has never served, remove %s to go back",
		dir, filepath.Join(dir, movedFile))
}

func marked(dir, name string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("jetstream: look for %s: %w", name, err)
	}
	return true, nil
}

func mark(dir, name string) error { return writeDurably(filepath.Join(dir, name), nil) }

func unmark(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("jetstream: finish: %w", err)
	}
	return syncPath(dir)
}
