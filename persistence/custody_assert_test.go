package persistence_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// standing is a journal with two nodes: a owns everything but the partition of aggregate(1), which b owns.
func standing(t *testing.T) *chain {
	h := newChain(t, 8, "a")
	h.claim("a", "a")
	h.write(h.frame("a", aggregate(1), aggregate(2)))
	f := h.frame("a")
	f.Releases = []persistence.Give{{Partition: persistence.PartitionOf(aggregate(1), 8), To: "b"}}
	h.write(f)
	h.claim("b", "b")
	h.write(h.frame("b", aggregate(1)))
	return h
}

// foreign is an aggregate of another partition than aggregate(1).
func foreign() int {
	for i := 2; ; i++ {
		if persistence.PartitionOf(aggregate(i), 8) != persistence.PartitionOf(aggregate(1), 8) {
			return i
		}
	}
}

func TestCustodyRefuses(t *testing.T) {
	p1 := persistence.PartitionOf(aggregate(1), 8)
	p2 := persistence.PartitionOf(aggregate(foreign()), 8)
	other := persistence.HashOf([]byte("other"))
	type made struct {
		subject persistence.Subject
		record  persistence.Record
	}
	frame := func(change func(h *chain, f *persistence.Frame)) func(h *chain) made {
		return func(h *chain) made {
			f := h.frame("a", aggregate(foreign()))
			change(h, f)
			return made{"j.w.a", f}
		}
	}
	claim := func(node, by string, change func(c *persistence.Claim)) func(h *chain) made {
		return func(h *chain) made {
			c := h.claimOf(node, by)
			change(c)
			return made{persistence.SlotSubject(node), c}
		}
	}
	checkpoint := func(change func(c *persistence.Checkpoint)) func(h *chain) made {
		return func(h *chain) made {
			c := h.c.Checkpoint()
			change(c)
			return made{persistence.Control, c}
		}
	}
	for name, c := range map[string]struct {
		make func(h *chain) made
		want persistence.Assertion
	}{
		"second genesis": {func(h *chain) made {
			return made{persistence.Control, &persistence.Genesis{Journal: "j2", Partitions: 8, Node: "a"}}
		}, persistence.AssertGenesis},
		"other journal":     {frame(func(_ *chain, f *persistence.Frame) { f.Journal = "j2" }), persistence.AssertJournal},
		"other slot":        {func(h *chain) made { return made{"j.w.b", h.frame("a")} }, persistence.AssertSubject},
		"on control":        {func(h *chain) made { return made{persistence.Control, h.frame("a")} }, persistence.AssertSubject},
		"old incarnation":   {frame(func(_ *chain, f *persistence.Frame) { f.Incarnation-- }), persistence.AssertIncarnation},
		"incarnation zero":  {frame(func(_ *chain, f *persistence.Frame) { f.Incarnation = 0 }), persistence.AssertIncarnation},
		"never claimed":     {func(h *chain) made { return made{"j.w.x", h.frame("x")} }, persistence.AssertIncarnation},
		"number skipped":    {frame(func(_ *chain, f *persistence.Frame) { f.Number++ }), persistence.AssertNumber},
		"number again":      {frame(func(_ *chain, f *persistence.Frame) { f.Number-- }), persistence.AssertNumber},
		"previous sequence": {frame(func(_ *chain, f *persistence.Frame) { f.PrevSeq-- }), persistence.AssertPrevSeq},
		"previous hash":     {frame(func(_ *chain, f *persistence.Frame) { f.PrevHash = other }), persistence.AssertPrevHash},
		"partition beyond":  {frame(func(_ *chain, f *persistence.Frame) { f.Index[0].Partition = 8 }), persistence.AssertPartition},
		"partition not its": {frame(func(_ *chain, f *persistence.Frame) { f.Index[0].Partition ^= 1 }), persistence.AssertPartition},
		"not the owner":     {func(h *chain) made { return made{"j.w.a", h.frame("a", aggregate(1))} }, persistence.AssertOwner},
		"custody of yore":   {frame(func(_ *chain, f *persistence.Frame) { f.Index[0].Since = 1 }), persistence.AssertSince},
		"floor beyond itself": {frame(func(h *chain, f *persistence.Frame) {
			f.Floors = []persistence.Floor{{Partition: p2, Seq: h.c.Seq() + 1}}
		}), persistence.AssertFloor},
		"floor back":         {frame(func(_ *chain, f *persistence.Frame) { f.Floors = []persistence.Floor{{Partition: p2, Seq: 0}} }), persistence.AssertFloor},
		"floor of another":   {frame(func(_ *chain, f *persistence.Frame) { f.Floors = []persistence.Floor{{Partition: p1, Seq: 2}} }), persistence.AssertOwner},
		"floor of none":      {frame(func(_ *chain, f *persistence.Frame) { f.Floors = []persistence.Floor{{Partition: 8, Seq: 2}} }), persistence.AssertPartition},
		"release of another": {frame(func(_ *chain, f *persistence.Frame) { f.Releases = []persistence.Give{{Partition: p1, To: "c"}} }), persistence.AssertOwner},
		"release twice":      {frame(func(_ *chain, f *persistence.Frame) { f.Releases = []persistence.Give{{p2, "b"}, {p2, "c"}} }), persistence.AssertGive},
		"release to itself":  {frame(func(_ *chain, f *persistence.Frame) { f.Releases = []persistence.Give{{p2, "a"}} }), persistence.AssertGive},
		"release of none":    {frame(func(_ *chain, f *persistence.Frame) { f.Releases = []persistence.Give{{9, "b"}} }), persistence.AssertPartition},

		"claim off the chain":         {claim("b", "a", func(c *persistence.Claim) { c.PrevSeq-- }), persistence.AssertPrevSeq},
		"claim with another hash":     {claim("b", "a", func(c *persistence.Claim) { c.PrevHash = other }), persistence.AssertPrevHash},
		"claim brings incarnation":    {claim("b", "a", func(c *persistence.Claim) { c.Incarnation = 9 }), persistence.AssertIncarnation},
		"claim keeps incarnation":     {claim("a", "a", func(c *persistence.Claim) { c.Incarnation = 2 }), persistence.AssertIncarnation},
		"claim gives what is not its": {claim("b", "a", func(c *persistence.Claim) { c.Gives = []persistence.Give{{p2, "c"}} }), persistence.AssertOwner},
		"claim gives twice":           {claim("b", "a", func(c *persistence.Claim) { c.Gives = []persistence.Give{{p1, "c"}, {p1, "d"}} }), persistence.AssertGive},
		"claim on another slot": {func(h *chain) made {
			return made{"j.w.a", h.claimOf("b", "a")}
		}, persistence.AssertSubject},

		"checkpoint in a slot":    {func(h *chain) made { return made{"j.w.a", h.c.Checkpoint()} }, persistence.AssertSubject},
		"checkpoint lies":         {checkpoint(func(c *persistence.Checkpoint) { c.Parts[0].Floor++; c.Digest = c.StateDigest() }), persistence.AssertCheckpoint},
		"checkpoint of elsewhere": {checkpoint(func(c *persistence.Checkpoint) { c.Journal = "j2"; c.Digest = c.StateDigest() }), persistence.AssertJournal},
		"checkpoint of later":     {checkpoint(func(c *persistence.Checkpoint) { c.Seq++; c.Digest = c.StateDigest() }), persistence.AssertCheckpoint},
	} {
		t.Run(name, func(t *testing.T) {
			h := standing(t)
			before := h.c.Digest()
			m := c.make(h)
			var ce *persistence.CustodyError
			require.ErrorAs(t, h.apply(m.subject, m.record), &ce)
			require.Equal(t, c.want, ce.Assertion, ce.Error())
			require.Equal(t, h.c.Seq()+1, ce.Seq)
			require.Equal(t, m.subject, ce.Subject)
			require.NotEmpty(t, ce.Detail)
			require.Equal(t, before, h.c.Digest(), "a refused record changes nothing")
			h.write(h.frame("a", aggregate(foreign())))
			h.write(h.frame("b", aggregate(1)))
		})
	}
}

func TestCustodyRefusesAGapInTheStream(t *testing.T) {
	h := standing(t)
	for _, skew := range []int{-1, 1} {
		f := h.frame("a", aggregate(foreign()))
		e := h.entry("j.w.a", f)
		e.Seq = persistence.Seq(int(e.Seq) + skew)
		var ce *persistence.CustodyError
		require.ErrorAs(t, h.c.Apply(e, f), &ce)
		require.Equal(t, persistence.AssertSequence, ce.Assertion)
	}
}

func TestCustodyBeginsWithGenesisOnly(t *testing.T) {
	c := new(persistence.Custody)
	var ce *persistence.CustodyError
	require.ErrorAs(t, c.Apply(persistence.Entry{Seq: 1, Subject: "j.w.a"}, &persistence.Claim{Journal: "j", Node: "a", By: "a", Incarnation: 1}), &ce)
	require.Equal(t, persistence.AssertGenesis, ce.Assertion)
	require.ErrorAs(t, c.Apply(persistence.Entry{Seq: 1, Subject: "j.w.a"}, &persistence.Genesis{Journal: "j", Node: "a", Partitions: 4}), &ce)
	require.Equal(t, persistence.AssertSubject, ce.Assertion)
	require.Empty(t, c.Journal())
	require.Zero(t, c.Partitions())
	require.Zero(t, c.Slot("a"))
}

func TestCustodyBoundsItsNodes(t *testing.T) {
	h := newChain(t, 4, "n0")
	for i := range persistence.MaxNodes {
		require.Equal(t, i < persistence.MaxNodes-persistence.SpareNodes, h.c.Admits("more"), i)
		h.claim(fmt.Sprintf("n%d", i), fmt.Sprintf("n%d", i))
	}
	require.True(t, h.c.Admits("n3"))
	var ce *persistence.CustodyError
	require.ErrorAs(t, h.apply("j.w.more", h.claimOf("more", "more")), &ce)
	require.Equal(t, persistence.AssertNodes, ce.Assertion)
	f := h.frame("n0")
	f.Releases = []persistence.Give{{Partition: 0, To: "more"}}
	require.ErrorAs(t, h.apply("j.w.n0", f), &ce)
	require.Equal(t, persistence.AssertNodes, ce.Assertion)
	h.claim("n7", "n8")
	require.LessOrEqual(t, len(persistence.Encode(nil, h.c.Checkpoint())), persistence.MaxRecordBytes)
}

// A fold from any checkpoint is the fold from the beginning.
func TestFoldFromEveryCheckpoint(t *testing.T) {
	h := standing(t)
	for i := range 40 {
		h.write(h.frame("b", aggregate(1)))
		if i%10 == 5 {
			var gives []persistence.Give
			for p := range persistence.Partition(8) {
				if h.c.Owns("a", p) && p%2 == 0 {
					gives = append(gives, persistence.Give{Partition: p, To: "a"})
				}
			}
			h.claim("a", "b", gives...)
			h.claim("a", "a")
		}
		h.write(h.frame("b", aggregate(1), aggregate(1)))
	}
	prefix := new(persistence.Custody)
	for i, e := range h.entries {
		r, err := persistence.Decode(e.Data)
		require.NoError(t, err)
		require.NoError(t, prefix.Apply(e, r))
		cp, err := persistence.Decode(persistence.Encode(nil, prefix.Checkpoint()))
		require.NoError(t, err)
		from, err := persistence.FromCheckpoint(cp.(*persistence.Checkpoint))
		require.NoError(t, err)
		require.Equal(t, prefix.Digest(), from.Digest())
		clone := prefix.Clone()
		for _, e := range h.entries[i+1:] {
			r, err := persistence.Decode(e.Data)
			require.NoError(t, err)
			require.NoError(t, from.Apply(e, r))
			require.NoError(t, clone.Apply(e, r))
		}
		require.Equal(t, h.c.Digest(), from.Digest(), "from %d", prefix.Seq())
		require.Equal(t, h.c.Digest(), clone.Digest())
		require.Equal(t, e.Seq, prefix.Seq(), "the copy is independent")
	}
}

func TestFromCheckpointChecksItsDigest(t *testing.T) {
	cp := standing(t).c.Checkpoint()
	cp.Parts[2].Owner = "b"
	_, err := persistence.FromCheckpoint(cp)
	require.ErrorIs(t, err, persistence.ErrCorrupt)
}

// Checkpoints are of multiples of CheckpointEvery: each fold knows the digest there, however late the record arrives.
func TestCheckpointIsDueAndCompared(t *testing.T) {
	h := standing(t)
	for h.c.Seq() < persistence.CheckpointEvery-1 {
		h.write(h.frame("a"))
	}
	require.Nil(t, h.c.Due("a"))
	h.write(h.frame("a"))
	cp := h.c.Due("a")
	require.NotNil(t, cp)
	require.Nil(t, h.c.Due("b"), "one node writes it: the owner of partition 0")
	require.EqualValues(t, persistence.CheckpointEvery, cp.Seq)
	for range 5 {
		h.write(h.frame("a", aggregate(foreign())))
	}
	require.Zero(t, h.c.Compared())

	lie := *cp
	lie.Slots = append([]persistence.SlotState(nil), cp.Slots...)
	lie.Slots[0].Number++
	lie.Digest = lie.StateDigest()
	var ce *persistence.CustodyError
	require.ErrorAs(t, h.apply(persistence.Control, &lie), &ce)
	require.Equal(t, persistence.AssertCheckpoint, ce.Assertion)

	record := *cp
	record.WallMs = 5
	place := h.must(persistence.Control, &record)
	require.Equal(t, cp.Seq, h.c.Compared())
	require.Equal(t, place, h.c.Control())
	require.Nil(t, h.c.Due("a"), "it was seen")

	from, err := persistence.FromCheckpoint(&record)
	require.NoError(t, err)
	require.Equal(t, cp.Seq, from.Compared())
	for _, e := range h.entries[cp.Seq:] {
		r, err := persistence.Decode(e.Data)
		require.NoError(t, err)
		require.NoError(t, from.Apply(e, r))
	}
	require.Equal(t, h.c.Digest(), from.Digest())

	old := h.c.Checkpoint()
	h.write(h.frame("a"))
	h.write(h.frame("a"))
	h.must(persistence.Control, old)
	require.Equal(t, cp.Seq, h.c.Compared(), "one that nobody can compare counts for nothing")
}

func TestApplyDoesNotAllocate(t *testing.T) {
	h := standing(t)
	f := h.frame("a")
	f.Events = nil
	for i := 0; len(f.Index) < 64; i++ {
		id := aggregate(i)
		if p := persistence.PartitionOf(id, 8); h.c.Owns("a", p) {
			f.Index = append(f.Index, persistence.IndexEntry{Partition: p, Since: h.c.Part(p).Since, Aggregate: id, Version: 1})
			f.Events = append(f.Events, []byte("x"))
		}
	}
	data := persistence.Encode(nil, f)
	hash := persistence.HashOf(data)
	e := persistence.Entry{Seq: h.c.Seq(), Subject: "j.w.a", Data: data}
	var r persistence.Record = f
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.Seq++
		if err := h.c.Apply(e, r); err != nil {
			t.Fatal(err)
		}
		f.Number, f.PrevSeq, f.PrevHash = f.Number+1, e.Seq, hash
	}))
}
