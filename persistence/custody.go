package persistence

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"maitred/engine"
)

// PartitionOf is the partition of an aggregate among n.
func PartitionOf(id engine.AggregateID, n int) Partition {
	return Partition(xxhash.Sum64String(string(id)) % uint64(n))
}

// Assertion names what the fold checks.
type Assertion string

// The assertions of Custody and Tail. A frame or claim that fails one was not fenced: quarantine, never repair.
const (
	AssertSequence    Assertion = "stream sequence follows the last one"
	AssertSubject     Assertion = "record stands on its own subject"
	AssertGenesis     Assertion = "genesis is the first record, and only that"
	AssertJournal     Assertion = "record belongs to this journal"
	AssertIncarnation Assertion = "incarnation is the slot's"
	AssertNumber      Assertion = "frame number follows the last one"
	AssertPrevSeq     Assertion = "previous sequence is the slot's last"
	AssertPrevHash    Assertion = "previous hash is the slot's last"
	AssertPartition   Assertion = "partition exists and is the aggregate's"
	AssertOwner       Assertion = "node owns the partition"
	AssertSince       Assertion = "custody is the present one"
	AssertFloor       Assertion = "floor does not go back nor beyond the journal"
	AssertGive        Assertion = "partition is given once, to another node"
	AssertNodes       Assertion = "slots stay within MaxNodes"
	AssertCheckpoint  Assertion = "checkpoint equals the fold"
	AssertVersion     Assertion = "version follows the aggregate's last one"
)

// CustodyError is a failed assertion: a fencing bug or a damaged journal.
type CustodyError struct {
	Seq       Seq
	Subject   Subject
	Assertion Assertion
	Detail    string
}

func (e *CustodyError) Error() string {
	return fmt.Sprintf("persistence: record %d on %s fails %q: %s", e.Seq, e.Subject, e.Assertion, e.Detail)
}

// part is PartState with the owner as an index into Custody.slots.
type part struct {
	owner int32
	since Seq
	floor Seq
	base  Revision
}

// held is the digest of the state at a sequence of which a checkpoint may arrive.
type held struct {
	seq    Seq
	digest Digest
}

// Custody is the fold of the journal that says who may write what. The zero value is before genesis. Not safe for
// concurrent use. It has no clock and no I/O, and every node computes the same one.
type Custody struct {
	journal string
	seq     Seq
	slots   []SlotState // also of nodes that own something and have no record yet
	index   map[string]int32
	parts   []part

	control    Seq         // last record on Control
	checkpoint Seq         // what the last compared checkpoint is of; 0 = none
	due        *Checkpoint // at the newest multiple of CheckpointEvery, until a checkpoint of it was seen
	heldAt     []held      // ascending, at most checkpointsHeld
	seen       []bool      // scratch: partitions given by the record at hand
}

// FromCheckpoint begins a fold with the state that cp holds; the next entry to apply is cp.Seq+1.
func FromCheckpoint(cp *Checkpoint) (*Custody, error) {
	if cp.Digest != cp.StateDigest() {
		return nil, fmt.Errorf("%w: checkpoint of %d has another digest than its state", ErrCorrupt, cp.Seq)
	}
	c := &Custody{journal: cp.Journal, seq: cp.Seq}
	c.reset(len(cp.Parts))
	for _, s := range cp.Slots {
		c.slots[c.slot(s.Node)] = s
	}
	for p, s := range cp.Parts {
		c.parts[p] = part{owner: c.slot(s.Owner), since: s.Since, floor: s.Floor, base: s.Base}
	}
	if len(c.slots) > MaxNodes {
		return nil, fmt.Errorf("%w: checkpoint of %d names %d nodes", ErrCorrupt, cp.Seq, len(c.slots))
	}
	c.checkpoint = cp.Seq
	c.heldAt = append(c.heldAt, held{cp.Seq, cp.Digest})
	return c, nil
}

func (c *Custody) reset(partitions int) {
	c.index = make(map[string]int32)
	c.parts = make([]part, partitions)
	c.seen = make([]bool, partitions)
}

// slot finds or makes the slot of a node.
func (c *Custody) slot(node string) int32 {
	if i, ok := c.index[node]; ok {
		return i
	}
	i := int32(len(c.slots))
	node = clone(node)
	c.slots = append(c.slots, SlotState{Node: node})
	c.index[node] = i
	return i
}

// Apply folds one entry; r is what Decode made of e.Data. A failed assertion is a *CustodyError and leaves the custody as
// it was: a fencing bug, never repaired silently.
func (c *Custody) Apply(e Entry, r Record) error {
	if err := c.check(e, r); err != nil {
		return err
	}
	switch r := r.(type) {
	case *Frame:
		c.applyFrame(e, r)
	case *Claim:
		c.applyClaim(e, r)
	case *Genesis:
		c.applyGenesis(e, r)
	case *Checkpoint:
		c.applyCheckpoint(e, r)
	}
	c.seq = e.Seq
	if c.seq%CheckpointEvery == 0 {
		c.hold()
	}
	return nil
}

func (c *Custody) applyGenesis(e Entry, g *Genesis) {
	c.journal = clone(g.Journal)
	c.reset(g.Partitions)
	owner := c.slot(g.Node)
	for p := range c.parts {
		c.parts[p] = part{owner: owner, since: e.Seq, floor: e.Seq}
	}
	c.control = e.Seq
}

func (c *Custody) applyFrame(e Entry, f *Frame) {
	s := &c.slots[c.index[f.Node]]
	s.Number, s.Seq, s.Hash = f.Number, e.Seq, HashOf(e.Data)
	for _, fl := range f.Floors {
		c.parts[fl.Partition].floor, c.parts[fl.Partition].base = fl.Seq, fl.Revision
	}
	for _, g := range f.Releases {
		p := &c.parts[g.Partition]
		p.owner, p.since = c.slot(g.To), e.Seq
	}
}

func (c *Custody) applyClaim(e Entry, cl *Claim) {
	node, by := c.slot(cl.Node), c.slot(cl.By)
	for p := range c.parts {
		if c.parts[p].owner == node {
			c.parts[p].owner, c.parts[p].since = by, e.Seq
		}
	}
	for _, g := range cl.Gives {
		c.parts[g.Partition].owner = c.slot(g.To)
	}
	s := &c.slots[node]
	s.Incarnation, s.Number, s.Seq, s.Hash = cl.Incarnation, 0, e.Seq, HashOf(e.Data)
}

func (c *Custody) applyCheckpoint(e Entry, cp *Checkpoint) {
	c.control = e.Seq
	if _, ok := c.digestAt(cp.Seq); !ok {
		return
	}
	c.checkpoint = max(c.checkpoint, cp.Seq)
	if c.due != nil && c.due.Seq <= cp.Seq {
		c.due = nil
	}
}

// hold keeps the digest of the present state, so that a checkpoint of it can be compared when it arrives.
func (c *Custody) hold() {
	c.due = c.Checkpoint()
	if len(c.heldAt) == checkpointsHeld {
		c.heldAt = slices.Delete(c.heldAt, 0, 1)
	}
	c.heldAt = append(c.heldAt, held{c.seq, c.due.Digest})
}

// digestAt is the digest of the state at seq if it is still known.
func (c *Custody) digestAt(seq Seq) (Digest, bool) {
	for _, h := range c.heldAt {
		if h.seq == seq {
			return h.digest, true
		}
	}
	if seq == c.seq {
		return c.Checkpoint().Digest, true
	}
	return Digest{}, false
}

// Journal is the journal's id; empty before genesis.
func (c *Custody) Journal() string { return c.journal }

// Partitions is the number of partitions; 0 before genesis.
func (c *Custody) Partitions() int { return len(c.parts) }

// Seq is the sequence of the last entry folded.
func (c *Custody) Seq() Seq { return c.seq }

// Control is the sequence of the last record folded on the subject Control; 0 when the fold has passed none.
func (c *Custody) Control() Seq { return c.control }

// Compared is the sequence of the newest checkpoint that equalled the fold, or from which it began; 0 = none. It is the
// Checkpoint.Seq, not the place of its record.
func (c *Custody) Compared() Seq { return c.checkpoint }

// Slot is what is known of a node's slot; zero when it has no record.
func (c *Custody) Slot(node string) SlotState {
	if i, ok := c.index[node]; ok && c.slots[i].Seq != 0 {
		return c.slots[i]
	}
	return SlotState{}
}

// Admits tells whether a record may name node: it has a slot, or there is room for another one.
func (c *Custody) Admits(node string) bool {
	_, known := c.index[node]
	return known || len(c.slots) < MaxNodes-SpareNodes
}

// Part is what is known of a partition.
func (c *Custody) Part(p Partition) PartState {
	s := &c.parts[p]
	return PartState{Owner: c.slots[s.owner].Node, Since: s.since, Floor: s.floor, Base: s.base}
}

// Owns tells whether node owns p, without making a PartState.
func (c *Custody) Owns(node string, p Partition) bool {
	return int(p) < len(c.parts) && c.slots[c.parts[p].owner].Node == node
}

// Nodes calls fn for the slot of every node that has a record or owns a partition.
func (c *Custody) Nodes(fn func(SlotState)) {
	for _, s := range c.slots {
		fn(s)
	}
}

// Due is the checkpoint that node should append to Control now, expecting Control(): the state at the newest multiple of
// CheckpointEvery if no checkpoint of it was seen yet and node owns partition 0. nil = none is due. It is shared: set
// WallMs on a copy. An append that fails is not urgent and not to be repeated blindly: Due says whether it is still wanted.
func (c *Custody) Due(node string) *Checkpoint {
	if c.due == nil || !c.Owns(node, 0) {
		return nil
	}
	return c.due
}

// Checkpoint is the custody as a record, with its digest and without a time.
func (c *Custody) Checkpoint() *Checkpoint {
	cp := &Checkpoint{Journal: c.journal, Seq: c.seq, Parts: make([]PartState, len(c.parts))}
	for _, s := range c.slots {
		if s.Seq != 0 {
			cp.Slots = append(cp.Slots, s)
		}
	}
	slices.SortFunc(cp.Slots, func(a, b SlotState) int { return cmp.Compare(a.Node, b.Node) })
	for p := range c.parts {
		cp.Parts[p] = c.Part(Partition(p))
	}
	cp.Digest = cp.StateDigest()
	return cp
}

// Clone makes an independent copy.
func (c *Custody) Clone() *Custody {
	d := *c
	d.slots, d.parts, d.heldAt = slices.Clone(c.slots), slices.Clone(c.parts), slices.Clone(c.heldAt)
	d.index, d.seen = maps.Clone(c.index), make([]bool, len(c.seen))
	return &d
}

// Digest is equal for equal custodies, however they were reached.
func (c *Custody) Digest() Digest { return c.Checkpoint().Digest }

// StateDigest is the SHA-256 of journal, sequence, slots and partitions.
func (cp *Checkpoint) StateDigest() Digest {
	b := make([]byte, 0, 128+96*len(cp.Slots)+64*len(cp.Parts))
	b = appendField(b, cp.Journal)
	b = binary.LittleEndian.AppendUint64(b, uint64(cp.Seq))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(cp.Slots)))
	for i := range cp.Slots {
		s := &cp.Slots[i]
		b = appendField(b, s.Node)
		b = binary.LittleEndian.AppendUint64(b, s.Incarnation)
		b = binary.LittleEndian.AppendUint64(b, s.Number)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Seq))
		b = append(b, s.Hash[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(cp.Parts)))
	for _, p := range cp.Parts {
		b = appendField(b, p.Owner)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Since))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Floor))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Base))
	}
	return sha256.Sum256(b)
}

func appendField(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Expect is what an append to a slot must expect when the journal holds records from first on: the slot's last sequence, or
// 0 once that was purged (the server then knows no record of the subject).
func Expect(last, first Seq) Seq {
	if last < first {
		return 0
	}
	return last
}

// IsCustodyError tells whether err holds a failed assertion.
func IsCustodyError(err error) bool {
	var ce *CustodyError
	return errors.As(err, &ce)
}
