package persistence_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/engine"
	"maitred/persistence"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// samples has one record of each kind with every field set.
func samples() map[string]persistence.Record {
	id := engine.AggregateID("rst_0123456789abc")
	hash := persistence.HashOf([]byte("previous"))
	cp := &persistence.Checkpoint{
		Journal: "jrn_golden", Seq: 4096, WallMs: 1_790_000_000_003,
		Slots: []persistence.SlotState{
			{Node: "n1", Incarnation: 77, Number: 12, Seq: 4090, Hash: hash},
			{Node: "n2", Seq: 4000, Hash: hash},
		},
		Parts: []persistence.PartState{{Owner: "n1", Since: 77, Floor: 4001, Base: 9}, {Owner: "n2", Since: 5, Floor: 5}},
	}
	cp.Digest = cp.StateDigest()
	return map[string]persistence.Record{
		"frame": &persistence.Frame{
			Journal: "jrn_golden", Node: "n1", Incarnation: 77, Number: 12, PrevSeq: 4090, PrevHash: hash,
			WallMs: 1_790_000_000_000,
			Index: []persistence.IndexEntry{
				{Partition: 3, Since: 77, Aggregate: id, Version: 41}, {Partition: 3, Since: 77, Aggregate: id, Version: 42},
			},
			Events:   [][]byte{[]byte("first"), []byte("second")},
			Floors:   []persistence.Floor{{Partition: 3, Seq: 4001, Revision: 9}},
			Releases: []persistence.Give{{Partition: 3, To: "n2"}},
		},
		"heartbeat": &persistence.Frame{Journal: "jrn_golden", Node: "n1", Incarnation: 77, Number: 13, PrevSeq: 4097, PrevHash: hash, WallMs: 1},
		"claim": &persistence.Claim{
			Journal: "jrn_golden", Node: "n1", By: "n2", PrevSeq: 4098, PrevHash: hash, WallMs: 1_790_000_000_001,
			Gives: []persistence.Give{{Partition: 0, To: "n3"}},
		},
		"restart":    &persistence.Claim{Journal: "jrn_golden", Node: "n1", By: "n1", Incarnation: 78, WallMs: 2},
		"genesis":    &persistence.Genesis{Journal: "jrn_golden", Partitions: 256, Node: "n1", WallMs: 1_790_000_000_002},
		"checkpoint": cp,
	}
}

// The bytes of yesterday are read for ever, and today's are the same.
func TestGoldenRecords(t *testing.T) {
	for name, r := range samples() {
		path := filepath.Join("testdata", "golden", name+".hex")
		data := persistence.Encode(nil, r)
		if *rewrite {
			require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(data)+"\n"), 0o644))
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		require.Equal(t, golden, data, name)
		got, err := persistence.Decode(golden)
		require.NoError(t, err, name)
		require.Equal(t, r, got, name)
	}
}

func TestEncodeAppends(t *testing.T) {
	r := samples()["frame"]
	got := persistence.Encode([]byte("before"), r)
	require.Equal(t, "before", string(got[:6]))
	require.Equal(t, persistence.Encode(nil, r), got[6:])
}

// Every flipped bit and every cut is seen.
func TestDecodeSeesDamage(t *testing.T) {
	for name, r := range samples() {
		data := persistence.Encode(nil, r)
		for bit := range len(data) * 8 {
			bad := bytes.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			_, err := persistence.Decode(bad)
			require.ErrorIs(t, err, persistence.ErrCorrupt, "%s bit %d", name, bit)
		}
		for n := range len(data) {
			_, err := persistence.Decode(data[:n])
			require.ErrorIs(t, err, persistence.ErrCorrupt, "%s cut to %d", name, n)
		}
	}
}

// seal makes a record with a right CRC around any body.
func seal(version, kind byte, body []byte) []byte {
	b := append([]byte("MTRJ"), version, kind)
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func TestDecodeRefusesNonsenseWithARightChecksum(t *testing.T) {
	hash := persistence.HashOf(nil)
	frame := func(change func(*persistence.Frame)) []byte {
		f := *samples()["frame"].(*persistence.Frame)
		f.Index = append([]persistence.IndexEntry(nil), f.Index...)
		change(&f)
		return persistence.Encode(nil, &f)
	}
	checkpoint := func(change func(*persistence.Checkpoint)) []byte {
		c := *samples()["checkpoint"].(*persistence.Checkpoint)
		c.Parts = append([]persistence.PartState(nil), c.Parts...)
		c.Slots = append([]persistence.SlotState(nil), c.Slots...)
		change(&c)
		return persistence.Encode(nil, &c)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"version":       {seal(2, 1, nil), persistence.ErrVersion},
		"kind":          {seal(1, 99, nil), persistence.ErrCorrupt},
		"no body":       {seal(1, 1, nil), persistence.ErrCorrupt},
		"not protobuf":  {seal(1, 1, []byte{0xff, 0xff, 0xff}), persistence.ErrCorrupt},
		"frame too big": {seal(1, 1, make([]byte, persistence.MaxFrameBytes)), persistence.ErrTooLarge},
		"too big":       {seal(1, 4, make([]byte, persistence.MaxRecordBytes)), persistence.ErrTooLarge},
		"node name":     {frame(func(f *persistence.Frame) { f.Node = "n.1" }), persistence.ErrCorrupt},
		"no journal":    {frame(func(f *persistence.Frame) { f.Journal = "" }), persistence.ErrCorrupt},
		"long name":     {frame(func(f *persistence.Frame) { f.Node = strings.Repeat("n", 65) }), persistence.ErrCorrupt},
		"partition":     {frame(func(f *persistence.Frame) { f.Index[0].Partition = persistence.MaxPartitions }), persistence.ErrCorrupt},
		"version zero":  {frame(func(f *persistence.Frame) { f.Index[0].Version = 0 }), persistence.ErrCorrupt},
		"no aggregate":  {frame(func(f *persistence.Frame) { f.Index[0].Aggregate = "" }), persistence.ErrCorrupt},
		"empty event":   {frame(func(f *persistence.Frame) { f.Events = [][]byte{nil, {1}} }), persistence.ErrCorrupt},
		"large event":   {frame(func(f *persistence.Frame) { f.Events = [][]byte{make([]byte, persistence.MaxEventBytes+1), {1}} }), persistence.ErrCorrupt},
		"release":       {frame(func(f *persistence.Frame) { f.Releases = []persistence.Give{{To: ""}} }), persistence.ErrCorrupt},
		"floor":         {frame(func(f *persistence.Frame) { f.Floors = []persistence.Floor{{Partition: 5000}} }), persistence.ErrCorrupt},
		"partitions":    {persistence.Encode(nil, &persistence.Genesis{Journal: "j", Node: "n"}), persistence.ErrCorrupt},
		"by":            {persistence.Encode(nil, &persistence.Claim{Journal: "j", Node: "n", PrevHash: hash}), persistence.ErrCorrupt},
		"digest":        {checkpoint(func(c *persistence.Checkpoint) { c.Parts[0].Owner = "n9" }), persistence.ErrCorrupt},
		"slot order": {checkpoint(func(c *persistence.Checkpoint) {
			c.Slots[0], c.Slots[1] = c.Slots[1], c.Slots[0]
			c.Digest = c.StateDigest()
		}), persistence.ErrCorrupt},
	} {
		_, err := persistence.Decode(c.data)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestEncodePanicsOnAFrameThatLies(t *testing.T) {
	require.Panics(t, func() { persistence.Encode(nil, &persistence.Frame{Index: make([]persistence.IndexEntry, 1)}) })
}

func name(t *rapid.T, what string) string {
	return rapid.StringMatching(`[a-z0-9_-]{1,64}`).Draw(t, what)
}

func drawFrame(t *rapid.T) *persistence.Frame {
	f := &persistence.Frame{
		Journal: name(t, "journal"), Node: name(t, "node"), Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		Number: rapid.Uint64().Draw(t, "number"), PrevSeq: persistence.Seq(rapid.Uint64().Draw(t, "prev")),
		WallMs: rapid.Int64().Draw(t, "wall"),
	}
	copy(f.PrevHash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	partition := rapid.Map(rapid.IntRange(0, persistence.MaxPartitions-1), func(i int) persistence.Partition { return persistence.Partition(i) })
	for range rapid.IntRange(0, 20).Draw(t, "events") {
		f.Index = append(f.Index, persistence.IndexEntry{
			Partition: partition.Draw(t, "partition"), Since: persistence.Seq(rapid.Uint64().Draw(t, "since")),
			Aggregate: engine.AggregateID(name(t, "aggregate")), Version: engine.Version(rapid.Uint64Min(1).Draw(t, "version")),
		})
		f.Events = append(f.Events, rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "event"))
	}
	for range rapid.IntRange(0, 5).Draw(t, "floors") {
		f.Floors = append(f.Floors, persistence.Floor{
			Partition: partition.Draw(t, "partition"), Seq: persistence.Seq(rapid.Uint64().Draw(t, "floor")),
			Revision: persistence.Revision(rapid.Uint64().Draw(t, "revision")),
		})
	}
	for range rapid.IntRange(0, 5).Draw(t, "releases") {
		f.Releases = append(f.Releases, persistence.Give{Partition: partition.Draw(t, "partition"), To: name(t, "to")})
	}
	return f
}

func TestFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		data := persistence.Encode(nil, f)
		got, err := persistence.Decode(data)
		require.NoError(t, err)
		require.Equal(t, persistence.Record(f), got)
		bound := persistence.FrameBytes(f.Journal, f.Node) + len(f.Floors)*persistence.FloorBytes + len(f.Releases)*persistence.ReleaseBytes
		for i := range f.Index {
			bound += persistence.EventBytes(f.Index[i].Aggregate, f.Events[i])
		}
		require.LessOrEqual(t, len(data), bound, "the size that the writer counts with is an upper bound")
	})
}

// Only the events point into the record; what is kept longer is copied.
func TestDecodedNamesAreCopies(t *testing.T) {
	data := persistence.Encode(nil, samples()["frame"])
	r, err := persistence.Decode(data)
	require.NoError(t, err)
	clear(data)
	f := r.(*persistence.Frame)
	require.Equal(t, "n1", f.Node)
	require.Equal(t, engine.AggregateID("rst_0123456789abc"), f.Index[1].Aggregate)
	require.Equal(t, "n2", f.Releases[0].To)
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples() {
		data := persistence.Encode(nil, r)
		f.Add(data[5], data[6:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		r, err := persistence.Decode(seal(1, kind, body))
		if err != nil {
			return
		}
		again := persistence.Encode(nil, r)
		got, err := persistence.Decode(again)
		require.NoError(t, err, "what was read can be written")
		require.Equal(t, r, got)
	})
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	f := bigFrame(128)
	buf := persistence.Encode(nil, f)
	require.Zero(t, testing.AllocsPerRun(200, func() { buf = persistence.Encode(buf[:0], f) }))
}

func bigFrame(n int) *persistence.Frame {
	f := *samples()["frame"].(*persistence.Frame)
	f.Index, f.Events = nil, nil
	for i := range n {
		f.Index = append(f.Index, persistence.IndexEntry{Partition: 1, Since: 9, Aggregate: aggregate(i), Version: 1000})
		f.Events = append(f.Events, bytes.Repeat([]byte{7}, 220))
	}
	return &f
}

func BenchmarkEncode128(b *testing.B) {
	f := bigFrame(128)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = persistence.Encode(buf[:0], f)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode128(b *testing.B) {
	buf := persistence.Encode(nil, bigFrame(128))
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := persistence.Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
