package persistence

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"maitred/engine"
)

// ErrSealed says that something is sealed with a key that is not in the ring, or was changed since it was sealed.
var ErrSealed = errors.New("persistence: sealed data cannot be opened")

// SealKeyBytes is the length of a sealing key (AES-256).
const SealKeyBytes = 32

// What is sealed is: id of the key (4 bytes: the first of the key's SHA-256), nonce (12, random), AES-256-GCM ciphertext with
// its tag. It is bound to the aggregate and the version, so that it opens nowhere else. A base has sealMagic before it; no
// protobuf message of ours begins with that byte.
const (
	sealIDBytes = 4
	sealMagic   = "MTRS\x01"
)

// Seal hides personal data at rest: the personal strings of events, and whole bases. A nil Seal leaves everything in clear and
// opens only what is in clear: for simulations and tests, and for tools that must do without the key. Safe for concurrent use.
type Seal struct {
	ring []sealKey // the first one seals, all open
}

type sealKey struct {
	id   [sealIDBytes]byte
	aead cipher.AEAD
}

// NewSeal makes a seal with keys of SealKeyBytes each. The first seals, all open.
func NewSeal(keys ...[]byte) (*Seal, error) {
	if len(keys) == 0 {
		return nil, errors.New("persistence: a seal needs a key")
	}
	s := &Seal{}
	for _, key := range keys {
		if len(key) != SealKeyBytes {
			return nil, fmt.Errorf("persistence: a sealing key has %d bytes, not %d", len(key), SealKeyBytes)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("persistence: sealing key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("persistence: sealing key: %w", err)
		}
		sum := sha256.Sum256(key)
		s.ring = append(s.ring, sealKey{id: [sealIDBytes]byte(sum[:sealIDBytes]), aead: aead})
	}
	return s, nil
}

// AppendEvent is engine.AppendEvent for version v of aggregate id, with the personal strings sealed. The event stays as it is.
// One without personal strings is encoded as ever.
func (s *Seal) AppendEvent(dst []byte, id engine.AggregateID, v engine.Version, e *engine.Event) []byte {
	if s == nil || !engine.HasPersonal(e) {
		return engine.AppendEvent(dst, e)
	}
	stripped, taken := engine.SplitPersonal(e)
	stripped.Sealed = s.seal(nil, taken, sealedFor("event", id, v))
	return engine.AppendEvent(dst, stripped)
}

// DecodeEvent is engine.DecodeEvent of what AppendEvent wrote. Without the key it is ErrSealed, never an event with blanks.
func (s *Seal) DecodeEvent(b []byte, id engine.AggregateID, v engine.Version) (*engine.Event, error) {
	e, err := engine.DecodeEvent(b)
	if err != nil || len(e.Sealed) == 0 {
		return e, err
	}
	taken, err := s.open(e.Sealed, sealedFor("event", id, v))
	if err != nil {
		return nil, fmt.Errorf("version %d of %s: %w", v, id, err)
	}
	return e, engine.JoinPersonal(e, taken)
}

func (s *Seal) seal(dst, clear, about []byte) []byte {
	k := &s.ring[0]
	dst = slices.Grow(dst, sealIDBytes+k.aead.NonceSize()+len(clear)+k.aead.Overhead())
	dst = append(dst, k.id[:]...)
	at := len(dst)
	dst = dst[:at+k.aead.NonceSize()]
	_, _ = rand.Read(dst[at:]) // never fails
	return k.aead.Seal(dst, dst[at:], clear, about)
}

func (s *Seal) open(b, about []byte) ([]byte, error) {
	if len(b) < sealIDBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrSealed, len(b))
	}
	k := s.key(b)
	if k == nil {
		return nil, fmt.Errorf("%w: the sealing key %s is not here", ErrSealed, hex.EncodeToString(b[:sealIDBytes]))
	}
	b = b[sealIDBytes:]
	if len(b) < k.aead.NonceSize() {
		return nil, fmt.Errorf("%w: no nonce", ErrSealed)
	}
	clear, err := k.aead.Open(nil, b[:k.aead.NonceSize()], b[k.aead.NonceSize():], about)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return clear, nil
}

// key finds the key that sealed b, which has sealIDBytes at least; nil when it is not in the ring.
func (s *Seal) key(b []byte) *sealKey {
	if s == nil {
		return nil
	}
	for i := range s.ring {
		if s.ring[i].id == [sealIDBytes]byte(b[:sealIDBytes]) {
			return &s.ring[i]
		}
	}
	return nil
}

func sealedFor(what string, id engine.AggregateID, v engine.Version) []byte {
	b := make([]byte, 0, 64)
	b = append(append(append(b, what...), 0), id...)
	return binary.BigEndian.AppendUint64(append(b, 0), uint64(v))
}

// EventsIn is EventsIn of sealed records.
func (s *Seal) EventsIn(seq Seq, r Record) ([]Committed, error) {
	f, ok := r.(*Frame)
	if !ok || len(f.Index) == 0 {
		return nil, nil
	}
	out := make([]Committed, len(f.Index))
	for i := range f.Index {
		x := &f.Index[i]
		ev, err := s.DecodeEvent(f.Events[i], x.Aggregate, x.Version)
		if err != nil {
			return nil, fmt.Errorf("decode event %d of record %d: %w", i, seq, err)
		}
		out[i] = Committed{Seq: seq, Index: i, Aggregate: x.Aggregate, Version: x.Version, Event: ev}
	}
	return out, nil
}

// ReadCommitted is ReadCommitted of a sealed journal.
func (s *Seal) ReadCommitted(ctx context.Context, j Journal, from, to Seq, fn func(Seq, []Committed) error) error {
	return ReadRecords(ctx, j, from, to, func(e Entry, r Record) error {
		events, err := s.EventsIn(e.Seq, r)
		if err != nil {
			return err
		}
		return fn(e.Seq, events)
	})
}

// SealBases is bases whose states are sealed at rest; bases itself when s is nil. States that were put in clear before stay
// readable.
func SealBases(bases Bases, s *Seal) Bases {
	if s == nil {
		return bases
	}
	return &sealedBases{bases, s}
}

type sealedBases struct {
	Bases
	seal *Seal
}

// Put implements Bases.
func (b *sealedBases) Put(ctx context.Context, base Base) (Revision, error) {
	base.State = b.seal.seal([]byte(sealMagic), base.State, sealedFor("base", base.ID, base.Version))
	return b.Bases.Put(ctx, base)
}

// Get implements Bases. A state that cannot be opened is ErrSealed.
func (b *sealedBases) Get(ctx context.Context, id engine.AggregateID) (Base, error) {
	base, err := b.Bases.Get(ctx, id)
	if err != nil {
		return base, err
	}
	return b.opened(base)
}

// opened is the base with its state in clear.
func (b *sealedBases) opened(base Base) (_ Base, err error) {
	if !sealedState(base.State) {
		return base, nil
	}
	base.State, err = b.seal.open(base.State[len(sealMagic):], sealedFor("base", base.ID, base.Version))
	if err != nil {
		return Base{}, fmt.Errorf("base of %s: %w", base.ID, err)
	}
	return base, nil
}

func sealedState(state []byte) bool {
	return len(state) >= len(sealMagic) && string(state[:len(sealMagic)]) == sealMagic
}
