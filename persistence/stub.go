package persistence

import (
	"context"

	"maitred/engine"
)

// The signatures below are the contract; the bodies are being written.

// Encode makes the bytes of a record: magic, version, kind, protobuf body, CRC-32C.
func Encode(dst []byte, r Record) []byte { panic("stub") }

// Decode reads what Encode wrote and checks magic, version and CRC.
func Decode(data []byte) (Record, error) { panic("stub") }

// HashOf is the digest by which the next record of the slot names this one.
func HashOf(data []byte) Digest { panic("stub") }

// PartitionOf is the partition of an aggregate among n.
func PartitionOf(id engine.AggregateID, n int) Partition { panic("stub") }

// Custody is the fold of the journal that says who may write what. The zero value is before genesis. Not safe for
// concurrent use.
type Custody struct{}

// Apply folds one entry. A failed assertion is a *CustodyError: a fencing bug, never repaired silently.
func (c *Custody) Apply(e Entry, r Record) error { panic("stub") }

// Journal is the journal's id; empty before genesis.
func (c *Custody) Journal() string { panic("stub") }

// Partitions is the number of partitions; 0 before genesis.
func (c *Custody) Partitions() int { panic("stub") }

// Seq is the sequence of the last entry folded.
func (c *Custody) Seq() Seq { panic("stub") }

// Slot is what is known of a node's slot; zero when it has no record.
func (c *Custody) Slot(node string) SlotState { panic("stub") }

// Part is what is known of a partition.
func (c *Custody) Part(p Partition) PartState { panic("stub") }

// Checkpoint is the custody as a record.
func (c *Custody) Checkpoint() *Checkpoint { panic("stub") }

// Tail knows, for each aggregate with events that are in no base, where they are. It is a fold of the frames and of the
// bases that were put. Not safe for concurrent use.
type Tail struct{}

// NewTail makes an empty tail for n partitions.
func NewTail(n int) *Tail { panic("stub") }

// Add takes a durable frame; events at or below the base that Based reported for their aggregate are left out.
func (t *Tail) Add(seq Seq, f *Frame) { panic("stub") }

// Based says that a base of id at version v, position q exists: its events up to v leave the tail.
func (t *Tail) Based(id engine.AggregateID, v engine.Version, q Seq) { panic("stub") }

// Last is the newest durable version of id that the tail knows; 0 when it has no event of id.
func (t *Tail) Last(id engine.AggregateID) engine.Version { panic("stub") }

// Positions appends the sequences of the frames that hold id's events outside its base, ascending, each once.
func (t *Tail) Positions(id engine.AggregateID, dst []Seq) []Seq { panic("stub") }

// Floor is the highest sequence at or below which every event of p is in a base: one below the oldest event of p in the
// tail, or end when there is none.
func (t *Tail) Floor(p Partition, end Seq) Seq { panic("stub") }

// Oldest calls fn for aggregates with an event outside a base at or below seq until fn returns false.
func (t *Tail) Oldest(seq Seq, fn func(engine.AggregateID, Seq) bool) { panic("stub") }

// Len is the number of events in the tail.
func (t *Tail) Len() int { panic("stub") }

// Feed hands durable events to sinks: from memory while they keep up, from the journal when they fell behind. Bounded.
type Feed struct{}

// NewFeed makes a feed over journal that keeps at most maxBytes of recent events in memory.
func NewFeed(journal Journal, maxBytes int) *Feed { panic("stub") }

// Publish adds what became durable at seq (heartbeats and claims with no events too). Called by the writer in stream order.
func (f *Feed) Publish(seq Seq, bytes int, events []Committed) { panic("stub") }

// Next waits for records after seq and returns at most max events of whole frames, with the sequence they reach.
func (f *Feed) Next(ctx context.Context, after Seq, max int) ([]Committed, Seq, error) {
	panic("stub")
}

// Last is the newest sequence published.
func (f *Feed) Last() Seq { panic("stub") }
