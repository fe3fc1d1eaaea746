package edge

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
)

// keysFile is the name of the file in the data directory.
const keysFile = "keys.json"

// Keys are a node's secrets: what signs access tokens and what account ids and cursors are keyed with. Losing them ends
// every token and makes every account unknown, so the file belongs into each backup of the journal.
type Keys struct {
	kid     string
	private ed25519.PrivateKey
	account []byte // keys account ids
	cursor  []byte // signs cursors
}

type keysOnDisk struct {
	Seed   []byte `json:"signing_seed"` // 32 bytes, Ed25519
	Secret []byte `json:"secret"`       // 32 bytes
}

// OpenKeys reads the keys of a data directory and makes them (0600, fsynced) when there are none.
func OpenKeys(dir string) (*Keys, error) {
	path := filepath.Join(dir, keysFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKeys(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("edge: open keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("edge: %s can be read by others (mode %o): chmod 600", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("edge: read keys: %w", err)
	}
	var d keysOnDisk
	if err := json.Unmarshal(data, &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("edge: %s is not a keys file", path) // the cause could quote a secret
	}
	return newKeys(d)
}

func createKeys(dir, path string) (*Keys, error) {
	d := keysOnDisk{Seed: make([]byte, ed25519.SeedSize), Secret: make([]byte, 32)}
	rand.Read(d.Seed)
	rand.Read(d.Secret)
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("edge: encode keys: %w", err)
	}
	if err := writeSecret(dir, path, data); err != nil {
		return nil, fmt.Errorf("edge: create keys: %w", err)
	}
	return newKeys(d)
}

// writeSecret makes path appear whole or not at all, also over a power cut.
func writeSecret(dir, path string, data []byte) error {
	f, err := os.CreateTemp(dir, keysFile+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
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

func newKeys(d keysOnDisk) (*Keys, error) {
	if len(d.Seed) != ed25519.SeedSize || len(d.Secret) < 32 {
		return nil, errors.New("edge: keys file: signing_seed and secret must have 32 bytes")
	}
	private := ed25519.NewKeyFromSeed(d.Seed)
	sum := sha256.Sum256(private.Public().(ed25519.PublicKey))
	derive := func(use string) []byte {
		h := hmac.New(sha256.New, d.Secret)
		h.Write([]byte(use))
		return h.Sum(nil)
	}
	return &Keys{
		kid:     hex.EncodeToString(sum[:8]),
		private: private,
		account: derive("account id"),
		cursor:  derive("cursor"),
	}, nil
}

// String shows nothing of the keys.
func (k *Keys) String() string { return "edge.Keys(" + k.kid + ")" }
