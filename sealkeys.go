package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"maitred/persistence"
)

// sealFile is the sealing key of a data directory: 32 random bytes, readable by the owner alone. Files sealFile.old* beside it
// hold earlier ones, which open but seal no more: to rotate, rename seal.key and start the node, which makes a new one. Like
// keys.json they belong into each backup: without them the journal's personal data is lost.
const sealFile = "seal.key"

// readSeal reads the ring of a data directory; nil when there is no key.
func readSeal(dir string) (*persistence.Seal, error) {
	newest := filepath.Join(dir, sealFile)
	old, err := filepath.Glob(newest + ".old*")
	if err != nil {
		return nil, fmt.Errorf("look for sealing keys: %w", err)
	}
	var ring [][]byte
	for _, path := range append([]string{newest}, old...) {
		key, err := readSealKey(path)
		if path == newest && errors.Is(err, fs.ErrNotExist) {
			continue
		}
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

func readSealKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %o): chmod 400", path, info.Mode().Perm())
	}
	if info.Size() != persistence.SealKeyBytes {
		return nil, fmt.Errorf("%s has %d bytes, a sealing key has %d", path, info.Size(), persistence.SealKeyBytes)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	return key, nil
}

// openSeal reads the ring and makes the newest key when there is none. What journal and bases hold must open with the ring: a
// key that is missing ends the start before anything is sealed with another one.
func openSeal(ctx context.Context, dir string, journal persistence.Journal, bases persistence.Bases) (*persistence.Seal, error) {
	seal, err := readSeal(dir)
	if err != nil {
		return nil, err
	}
	if err := seal.Check(ctx, journal, bases); err != nil {
		return nil, fmt.Errorf("sealing_key_missing: the personal data in %s cannot be read with %s and %s.old*; "+
			"put back the key of the backup: %w", dir, sealFile, sealFile, err)
	}
	if _, err := os.Stat(filepath.Join(dir, sealFile)); !errors.Is(err, fs.ErrNotExist) {
		return seal, err
	}
	if err := createSealKey(dir); err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	return readSeal(dir)
}

// createSealKey makes the file appear whole or not at all, also over a power cut, and never in the place of another.
func createSealKey(dir string) (err error) {
	f, err := os.CreateTemp(dir, sealFile+".new*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, persistence.SealKeyBytes)
	_, _ = rand.Read(key) // never fails
	_, err = f.Write(key)
	if err := errors.Join(err, f.Chmod(0o400), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), filepath.Join(dir, sealFile)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// copySealKeys gives a copy of a journal the keys that open it.
func copySealKeys(from, to string) error {
	paths, err := filepath.Glob(filepath.Join(from, sealFile+"*"))
	if err != nil {
		return fmt.Errorf("look for sealing keys: %w", err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		key, err := readSealKey(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), key, 0o400)
		}
		if err != nil {
			return fmt.Errorf("copy the sealing key: %w", err)
		}
	}
	return nil
}
