package persistence_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// chain writes well-formed records: what a node does, without a journal.
type chain struct {
	t       testing.TB
	c       *persistence.Custody
	entries []persistence.Entry
	version map[engine.AggregateID]engine.Version
}

const journalID = "jrn_test"

func newChain(t testing.TB, partitions int, node string) *chain {
	h := &chain{t: t, c: new(persistence.Custody), version: map[engine.AggregateID]engine.Version{}}
	h.must(persistence.Control, &persistence.Genesis{Journal: journalID, Partitions: partitions, Node: node, WallMs: 1})
	return h
}

// entry makes the next entry without folding it.
func (h *chain) entry(s persistence.Subject, r persistence.Record) persistence.Entry {
	return persistence.Entry{Seq: h.c.Seq() + 1, Subject: s, Data: persistence.Encode(nil, r)}
}

func (h *chain) apply(s persistence.Subject, r persistence.Record) error {
	e := h.entry(s, r)
	got, err := persistence.Decode(e.Data)
	require.NoError(h.t, err)
	if err := h.c.Apply(e, got); err != nil {
		return err
	}
	h.entries = append(h.entries, e)
	return nil
}

func (h *chain) must(s persistence.Subject, r persistence.Record) persistence.Seq {
	h.t.Helper()
	require.NoError(h.t, h.apply(s, r))
	return h.c.Seq()
}

// frame makes the next frame of node with one event for each id.
func (h *chain) frame(node string, ids ...engine.AggregateID) *persistence.Frame {
	s := h.c.Slot(node)
	f := &persistence.Frame{
		Journal: h.c.Journal(), Node: node, Incarnation: s.Incarnation, Number: s.Number + 1,
		PrevSeq: s.Seq, PrevHash: s.Hash, WallMs: 1_700_000_000_000,
	}
	fresh := map[engine.AggregateID]engine.Version{}
	for _, id := range ids {
		fresh[id]++
		p := persistence.PartitionOf(id, h.c.Partitions())
		f.Index = append(f.Index, persistence.IndexEntry{
			Partition: p, Since: h.c.Part(p).Since, Aggregate: id, Version: h.version[id] + fresh[id],
		})
		f.Events = append(f.Events, []byte(fmt.Sprintf("event of %s", id)))
	}
	return f
}

// write folds a frame and remembers its versions.
func (h *chain) write(f *persistence.Frame) persistence.Seq {
	h.t.Helper()
	seq := h.must(persistence.SlotSubject(f.Node), f)
	for _, x := range f.Index {
		h.version[x.Aggregate] = x.Version
	}
	return seq
}

func (h *chain) claimOf(node, by string, gives ...persistence.Give) *persistence.Claim {
	s := h.c.Slot(node)
	c := &persistence.Claim{Journal: h.c.Journal(), Node: node, By: by, PrevSeq: s.Seq, PrevHash: s.Hash, Gives: gives}
	if node == by {
		c.Incarnation = uint64(h.c.Seq()) + 1
	}
	return c
}

func (h *chain) claim(node, by string, gives ...persistence.Give) persistence.Seq {
	h.t.Helper()
	return h.must(persistence.SlotSubject(node), h.claimOf(node, by, gives...))
}

func aggregate(i int) engine.AggregateID { return engine.AggregateID(fmt.Sprintf("rst_%013d", i)) }
