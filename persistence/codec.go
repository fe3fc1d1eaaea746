package persistence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"

	"maitred/engine"
	"maitred/persistence/recordpb"
)

// A record is magic (4 bytes), format version (1), kind (1), protobuf body, CRC-32C of all that (4, little endian).
const (
	magic         = "MTRJ"
	formatVersion = 1
	headerBytes   = len(magic) + 2
	trailerBytes  = 4
)

// kind tells the bodies apart. Numbers are never reused.
type kind byte

const (
	kindFrame kind = iota + 1
	kindClaim
	kindGenesis
	kindCheckpoint
)

// Errors of Decode, wrapped with what was wrong.
var (
	// ErrCorrupt: the bytes are not what Encode wrote.
	ErrCorrupt = errors.New("persistence: corrupt record")
	// ErrVersion: a format version that this build does not know.
	ErrVersion = errors.New("persistence: unknown record version")
	// ErrTooLarge: the record exceeds MaxRecordBytes or MaxFrameBytes.
	ErrTooLarge = errors.New("persistence: record too large")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// body is what both generated record types and their pool scratch offer.
type body interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

// Encode appends the bytes of a record: magic, version, kind, protobuf body, CRC-32C. It does not allocate when dst has
// room. A frame whose Index and Events differ in length panics: it is a bug of the caller.
func Encode(dst []byte, r Record) []byte {
	switch r := r.(type) {
	case *Frame:
		s := frames.Get().(*frameScratch)
		dst = appendRecord(dst, kindFrame, s.fill(r))
		s.release()
		return dst
	case *Claim:
		return appendRecord(dst, kindClaim, claimToProto(r))
	case *Genesis:
		return appendRecord(dst, kindGenesis, &recordpb.Genesis{
			Journal: r.Journal, Partitions: uint32(r.Partitions), Node: r.Node, WallMs: r.WallMs,
		})
	case *Checkpoint:
		return appendRecord(dst, kindCheckpoint, checkpointToProto(r))
	}
	panic(fmt.Sprintf("persistence: no encoding for %T", r))
}

func appendRecord(dst []byte, k kind, b body) []byte {
	size := b.SizeVT()
	start := len(dst)
	dst = slices.Grow(dst, headerBytes+size+trailerBytes)
	dst = append(dst, magic...)
	dst = append(dst, formatVersion, byte(k))
	dst = dst[:len(dst)+size]
	if n, err := b.MarshalToSizedBufferVT(dst[len(dst)-size:]); err != nil || n != size {
		panic(fmt.Sprintf("persistence: record body of %d bytes took %d: %v", size, n, err))
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// FrameBytes is an upper bound for what Encode writes for a frame of node in journal without its events, floors and
// releases.
func FrameBytes(journal, node string) int {
	return headerBytes + trailerBytes + len(journal) + len(node) + len(Digest{}) + 64
}

// EventBytes is an upper bound for what one event adds to an encoded frame.
func EventBytes(id engine.AggregateID, event []byte) int { return len(id) + len(event) + 40 }

// Upper bounds for what one floor and one release add to an encoded frame.
const (
	FloorBytes   = 32
	ReleaseBytes = 16 + MaxNameBytes
)

// Decode reads what Encode wrote and checks magic, version, CRC and every bound. Frame.Events point into data, which must
// not change any more (Entry.Data never does); everything else is copied, the ids of a frame into one string. Bad bytes give ErrCorrupt, ErrVersion or
// ErrTooLarge.
func Decode(data []byte) (Record, error) {
	k, b, err := open(data)
	if err != nil {
		return nil, err
	}
	switch k {
	case kindFrame:
		return frameFromProto(b)
	case kindClaim:
		return claimFromProto(b)
	case kindGenesis:
		return genesisFromProto(b)
	case kindCheckpoint:
		return checkpointFromProto(b)
	}
	return nil, fmt.Errorf("%w: kind %d", ErrCorrupt, k)
}

func open(data []byte) (kind, []byte, error) {
	if len(data) > MaxRecordBytes {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	if len(data) < headerBytes+trailerBytes || string(data[:len(magic)]) != magic {
		return 0, nil, fmt.Errorf("%w: no record (%d bytes)", ErrCorrupt, len(data))
	}
	end := len(data) - trailerBytes
	if got, want := crc32.Checksum(data[:end], castagnoli), binary.LittleEndian.Uint32(data[end:]); got != want {
		return 0, nil, fmt.Errorf("%w: CRC %08x, stored %08x", ErrCorrupt, got, want)
	}
	if v := data[len(magic)]; v != formatVersion {
		return 0, nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	k := kind(data[len(magic)+1])
	if k == kindFrame && len(data) > MaxFrameBytes {
		return 0, nil, fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, len(data))
	}
	return k, data[headerBytes:end], nil
}

// HashOf is the digest by which the next record of the slot names this one.
func HashOf(data []byte) Digest { return sha256.Sum256(data) }

// frameScratch is a generated Frame with the elements that its slices point to, so that encoding does not allocate.
type frameScratch struct {
	pb     recordpb.Frame
	events []recordpb.FrameEvent
	floors []recordpb.Floor
	gives  []recordpb.Give
}

var frames = sync.Pool{New: func() any { return new(frameScratch) }}

func (s *frameScratch) fill(f *Frame) *recordpb.Frame {
	if len(f.Index) != len(f.Events) {
		panic(fmt.Sprintf("persistence: frame with %d index entries and %d events", len(f.Index), len(f.Events)))
	}
	s.pb.Journal, s.pb.Node, s.pb.Incarnation, s.pb.Number = f.Journal, f.Node, f.Incarnation, f.Number
	s.pb.PrevSeq, s.pb.PrevHash, s.pb.WallMs = uint64(f.PrevSeq), digestBytes(&f.PrevHash), f.WallMs
	s.events = resize(s.events, len(f.Index))
	for i := range f.Index {
		x, e := &f.Index[i], &s.events[i]
		e.Partition, e.Since, e.Aggregate = uint32(x.Partition), uint64(x.Since), string(x.Aggregate)
		e.Version, e.Event = uint64(x.Version), f.Events[i]
		s.pb.Events = append(s.pb.Events, e)
	}
	s.floors = resize(s.floors, len(f.Floors))
	for i, x := range f.Floors {
		fl := &s.floors[i]
		fl.Partition, fl.Seq, fl.Revision = uint32(x.Partition), uint64(x.Seq), uint64(x.Revision)
		s.pb.Floors = append(s.pb.Floors, fl)
	}
	s.gives = resize(s.gives, len(f.Releases))
	for i, x := range f.Releases {
		g := &s.gives[i]
		g.Partition, g.To = uint32(x.Partition), x.To
		s.pb.Releases = append(s.pb.Releases, g)
	}
	return &s.pb
}

// release puts the scratch back without the caller's strings and bytes.
func (s *frameScratch) release() {
	for i := range s.events {
		s.events[i].Aggregate, s.events[i].Event = "", nil
	}
	for i := range s.gives {
		s.gives[i].To = ""
	}
	s.pb.Journal, s.pb.Node, s.pb.PrevHash = "", "", nil
	s.pb.Events, s.pb.Floors, s.pb.Releases = s.pb.Events[:0], s.pb.Floors[:0], s.pb.Releases[:0]
	frames.Put(s)
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	return s[:n]
}

// digestBytes is nil for the zero digest (no previous record), so that it takes no space.
func digestBytes(d *Digest) []byte {
	if *d == (Digest{}) {
		return nil
	}
	return d[:]
}

func clone(s string) string { return strings.Clone(s) }
