package edge

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// KeysFile is the name of the file in the data directory.
const KeysFile = "keys.json"

// Keys are a node's secrets: what signs access tokens and what account ids and cursors are keyed with. Losing them ends
// every token and makes every account unknown, so the file belongs into each backup of the journal.
type Keys struct {
	reloading sync.Mutex
	path      string
	ring      atomic.Pointer[ring]
	account   []byte // keys account ids
	cursor    []byte // signs cursors
}

// keysOnDisk is the file. One that was never rotated has seed and secret only.
type keysOnDisk struct {
	Seed     []byte        `json:"signing_seed"` // 32 bytes, Ed25519
	Secret   []byte        `json:"secret"`       // 32 bytes
	Next     []byte        `json:"next_seed,omitzero"`
	Previous []retiredSeed `json:"previous,omitzero"` // newest first
}

// retiredSeed is a key that signs no more; its tokens are accepted until Until.
type retiredSeed struct {
	Seed  []byte    `json:"seed"`
	Until time.Time `json:"until"`
}

// OpenKeys reads the keys of a data directory and makes them (0600, fsynced) when there are none.
func OpenKeys(dir string) (*Keys, error) {
	path := filepath.Join(dir, KeysFile)
	d, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		d, err = keysOnDisk{Seed: randomSeed(), Secret: randomSeed(), Next: randomSeed()}, nil
		if err := d.write(path); err != nil {
			return nil, fmt.Errorf("edge: create keys: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	return newKeys(path, d)
}

// readKeys reads and checks the file at path.
func readKeys(path string) (d keysOnDisk, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return d, fmt.Errorf("edge: open keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return d, fmt.Errorf("edge: %s can be read by others (mode %o): chmod 600", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return d, fmt.Errorf("edge: read keys: %w", err)
	}
	if err := json.Unmarshal(data, &d, json.RejectUnknownMembers(true)); err != nil {
		return d, fmt.Errorf("edge: %s is not a keys file", path) // the cause could quote a secret
	}
	return d, nil
}

func (d *keysOnDisk) write(path string) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return writeSecret(filepath.Dir(path), path, data)
}

func randomSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return seed
}

// writeSecret makes path appear whole or not at all, also over a power cut.
func writeSecret(dir, path string, data []byte) error {
	f, err := os.CreateTemp(dir, KeysFile+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = inherit(f, path, dir)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// inherit gives a file of root's to whom the one in its place belongs, else to the folder's owner: the server may run as nobody
// special and has to read what an operator rotated as root.
func inherit(f *os.File, path, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

func newKeys(path string, d keysOnDisk) (*Keys, error) {
	r, err := newRing(d, nil, time.Now())
	if err != nil {
		return nil, err
	}
	derive := func(use string) []byte {
		h := hmac.New(sha256.New, d.Secret)
		h.Write([]byte(use))
		return h.Sum(nil)
	}
	k := &Keys{path: path, account: derive("account id"), cursor: derive("cursor")}
	k.ring.Store(r)
	return k, nil
}

// String shows nothing of the keys.
func (k *Keys) String() string { return "edge.Keys(" + k.ring.Load().current.kid + ")" }

// SameAccounts tells whether an e-mail address leads to the same account with both.
func (k *Keys) SameAccounts(other *Keys) bool { return hmac.Equal(k.account, other.account) }
