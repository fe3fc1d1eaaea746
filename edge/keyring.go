package edge

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"
)

// The ring of signing keys: current signs; current, next and previous verify. next is published a rotation ahead, so that
// whoever caches /.well-known/jwks.json knows it before the first token it signs.

// signingKey is one key. It is shared by every ring that has it, so that dropping it voids at once what it verified, and
// what the others verified stays remembered.
type signingKey struct {
	kid     string
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	dropped atomic.Bool
}

// ring is immutable.
type ring struct {
	current *signingKey
	keys    []ringKey // current, next, previous: at most 2 + maxRetiredKeys
}

type ringKey struct {
	*signingKey
	state string
	until time.Time // a previous key verifies until then; zero = no end
}

// The states of a key.
const (
	keyCurrent  = "current"
	keyNext     = "next"
	keyPrevious = "previous"
)

func newSigningKey(seed []byte) (*signingKey, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("edge: keys file: a seed must have 32 bytes")
	}
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	return &signingKey{kid: hex.EncodeToString(sum[:8]), private: private, public: public}, nil
}

// newRing makes the ring of a file, without the previous keys whose time is over. Keys that old has are not made anew.
func newRing(d keysOnDisk, old *ring, now time.Time) (*ring, error) {
	if len(d.Secret) < 32 || len(d.Previous) > maxRetiredKeys {
		return nil, fmt.Errorf("edge: keys file: secret must have 32 bytes, previous at most %d keys", maxRetiredKeys)
	}
	r := &ring{}
	add := func(seed []byte, state string, until time.Time) error {
		k, err := newSigningKey(seed)
		if err != nil {
			return err
		}
		if same := old.find(k.kid, time.Time{}); same != nil {
			k = same
		}
		r.keys = append(r.keys, ringKey{k, state, until})
		return nil
	}
	err := add(d.Seed, keyCurrent, time.Time{})
	if err == nil && d.Next != nil {
		err = add(d.Next, keyNext, time.Time{})
	}
	for _, p := range d.Previous {
		if err == nil && now.Before(p.Until) {
			err = add(p.Seed, keyPrevious, p.Until)
		}
	}
	if err != nil {
		return nil, err
	}
	r.current = r.keys[0].signingKey
	return r, nil
}

// find is the key of that id, if it verifies at now; nil when there is none. The list of ids is short and public.
func (r *ring) find(kid string, now time.Time) *signingKey {
	if r == nil {
		return nil
	}
	for _, k := range r.keys {
		if k.kid == kid {
			if !k.until.IsZero() && !now.Before(k.until) {
				return nil
			}
			return k.signingKey
		}
	}
	return nil
}

// ended says whether a previous key's time is over, so that the ring is to be made anew.
func (r *ring) ended(now time.Time) bool {
	for _, k := range r.keys {
		if !k.until.IsZero() && !now.Before(k.until) {
			return true
		}
	}
	return false
}

// reload reads the file again. A file that cannot be read leaves the ring as it is. Keys that are gone, and what they have
// verified, are void when it returns.
func (k *Keys) reload(now time.Time) error {
	k.reloading.Lock() // two at once would make two objects of a new key, and drop only one of them later
	defer k.reloading.Unlock()
	d, err := readKeys(k.path)
	if err != nil {
		return err
	}
	next, err := newRing(d, k.ring.Load(), now)
	if err != nil {
		return err
	}
	old := k.ring.Swap(next)
	for _, was := range old.keys {
		if next.find(was.kid, time.Time{}) == nil {
			was.dropped.Store(true)
		}
	}
	return nil
}

// ReadKeys is OpenKeys for a directory that must have keys.
func ReadKeys(dir string) (*Keys, error) {
	path := filepath.Join(dir, KeysFile)
	d, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	return newKeys(path, d)
}

// KeyInfo describes a signing key; it holds no secret.
type KeyInfo struct {
	ID    string
	State string    // current, next or previous
	Until time.Time // when a previous key ends; zero for the others
}

// List tells the keys of the ring: current, next, previous (newest first).
func (k *Keys) List() []KeyInfo {
	var out []KeyInfo
	for _, key := range k.ring.Load().keys {
		out = append(out, KeyInfo{key.kid, key.state, key.until})
	}
	return out
}

// RotateKeys lets the next key sign, makes a new next one, and keeps the one that signed until now for retiredKeyTTL. With
// compromised it begins anew instead: what the present keys signed is void. A running server takes the file up within
// keysEvery, or at SIGHUP. Not more than one RotateKeys may run at a time.
func RotateKeys(dir string, compromised bool, now time.Time) (*Keys, error) {
	path := filepath.Join(dir, KeysFile)
	d, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	next := keysOnDisk{Secret: d.Secret, Seed: d.Next, Next: randomSeed()}
	if next.Seed == nil || compromised { // a file that was never rotated has no next key
		next.Seed = randomSeed()
	}
	if !compromised {
		next.Previous = append(next.Previous, retiredSeed{d.Seed, now.Add(retiredKeyTTL).UTC().Truncate(time.Second)})
		for _, p := range d.Previous {
			if now.Before(p.Until) {
				next.Previous = append(next.Previous, p)
			}
		}
		if len(next.Previous) > maxRetiredKeys {
			return nil, fmt.Errorf("edge: %d keys are retired and still verify: rotate again after %s", maxRetiredKeys, d.Previous[len(d.Previous)-1].Until.Format(time.RFC3339))
		}
	}
	k, err := newKeys(path, next)
	if err != nil {
		return nil, err
	}
	if err := next.write(path); err != nil {
		return nil, fmt.Errorf("edge: rotate keys: %w", err)
	}
	return k, nil
}
