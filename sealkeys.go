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

	"maitred/edge"
	"maitred/persistence"
)

// sealFile is the sealing key of a data directory: 32 random bytes, readable by the owner alone. Files sealFile.old* beside it
// hold earlier ones, which open but seal no more: to rotate, rename seal.key and start the node, which makes a new one. Like
// keys.json they belong into each backup: without them the journal's personal data is lost.
const sealFile = "seal.key"

// tokenFile holds what signs access tokens and what account ids are keyed with.
const tokenFile = edge.KeysFile

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
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keyFiles are the files of a directory without which its journal cannot be read, nor its accounts be known: seal.key, its
// predecessors, and keys.json.
func keyFiles(dir string) ([]string, error) {
	seals, err := filepath.Glob(filepath.Join(dir, sealFile+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for sealing keys: %w", err)
	}
	tokens := filepath.Join(dir, tokenFile)
	if _, err := os.Stat(tokens); err == nil {
		seals = append(seals, tokens)
	}
	slices.Sort(seals)
	return seals, nil
}

// copyKeys gives a copy of a journal the keys that belong to it.
func copyKeys(from, to string) error {
	paths, err := keyFiles(from)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := copyKey(path, filepath.Join(to, filepath.Base(path))); err != nil {
			return fmt.Errorf("copy the keys: %w", err)
		}
	}
	return syncDir(to)
}

// copyKey never puts a key in the place of another.
func copyKey(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeKey(to, data)
}

func writeKey(path string, data []byte) error {
	mode := os.FileMode(0o400)
	if filepath.Base(path) == tokenFile { // it is rotated in its place
		mode = 0o600
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
