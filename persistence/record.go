package persistence

import (
	"encoding/hex"

	"maitred/engine"
)

// Partition is one of the fixed shares (MaxPartitions at most) that aggregates hash to.
type Partition uint16

// Digest is a SHA-256 that chains the records of a slot.
type Digest [32]byte

// Short is enough of the digest to tell two apart in a message.
func (d Digest) Short() string { return hex.EncodeToString(d[:8]) }

// Record is what one journal entry says: *Frame, *Claim, *Genesis or *Checkpoint.
type Record interface{ isRecord() }

// Frame is one group commit of one node.
type Frame struct {
	Journal     string
	Node        string
	Incarnation uint64
	Number      uint64 // of this frame within the incarnation, from 1
	PrevSeq     Seq    // of the previous record in the slot
	PrevHash    Digest // of that record's bytes
	WallMs      int64  // Unix milliseconds, the node's clock
	Index       []IndexEntry
	Events      [][]byte // Events[i] belongs to Index[i]; engine.AppendEvent bytes
	Floors      []Floor
	Releases    []Give
}

// IndexEntry says whose event Events[i] is.
type IndexEntry struct {
	Partition Partition
	Since     Seq // custody under which the node wrote it
	Aggregate engine.AggregateID
	Version   engine.Version
}

// Floor says that every event of Partition at or below Seq is in a base, and which revision of SNAP that relies on.
type Floor struct {
	Partition Partition
	Seq       Seq
	Revision  Revision
}

// Give hands a partition to a node.
type Give struct {
	Partition Partition
	To        string
}

// Claim takes over the slot of Node for By: a restart when they are the same.
type Claim struct {
	Journal     string
	Node        string
	By          string
	Incarnation uint64 // new; 0 when By is another node
	PrevSeq     Seq
	PrevHash    Digest
	WallMs      int64
	Gives       []Give
}

// Genesis begins a journal.
type Genesis struct {
	Journal    string
	Partitions int
	Node       string // owns every partition at first
	WallMs     int64
}

// Checkpoint is custody as of Seq.
type Checkpoint struct {
	Journal string
	Seq     Seq
	Slots   []SlotState // with a record, ascending by node
	Parts   []PartState // by partition, from 0
	Digest  Digest      // of the fields above: StateDigest
	WallMs  int64
}

// SlotState is what the fold knows of one slot.
type SlotState struct {
	Node        string
	Incarnation uint64 // 0 when another node claimed it last
	Number      uint64 // of the incarnation's last frame
	Seq         Seq    // of the slot's last record; 0 = none
	Hash        Digest // of that record
}

// PartState is what the fold knows of one partition.
type PartState struct {
	Owner string
	Since Seq // the epoch: sequence of the record that gave it
	Floor Seq
	Base  Revision // SNAP revision that Floor relies on
}

func (*Frame) isRecord()      {}
func (*Claim) isRecord()      {}
func (*Genesis) isRecord()    {}
func (*Checkpoint) isRecord() {}
