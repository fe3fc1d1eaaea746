package actors

import (
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// entryKind tells the entries of the writer's queue apart.
type entryKind uint8

const (
	entryAnswer entryKind = iota // events, or none: an answer that waits for what it stands on
	entryOpened                  // the aggregate was opened at version stands
	entryClosed                  // the aggregate left memory
)

// entry is what an aggregate hands to the writer.
type entry struct {
	kind      entryKind
	expired   bool // its caller has been told that the outcome is unknown
	partition persistence.Partition
	id        engine.AggregateID
	since     persistence.Seq // custody under which it was decided
	first     engine.Version  // of events[0]
	stands    engine.Version  // the version that the answer stands on
	events    [][]byte        // encoded; kept until the entry is settled
	bytes     int             // upper bound of what the events add to a frame
	deadline  int64           // Unix milliseconds; 0 = none
	token     any             // whom to answer
}

// effectKind is what the writer asks for.
type effectKind uint8

const (
	effectAppend   effectKind = iota + 1 // after wait: append data to the slot, expecting expect, within timeout
	effectReadLast                       // after wait: read the slot's last record
	effectFoldTo                         // fold the journal up to seq
	effectDurable                        // frame is durable at seq: fold it, swap the views of entries
	effectReply                          // answer entries with err (nil: what was decided)
	effectExpire                         // answer entries with ErrUnknownOutcome; their settlement comes later
	effectSettle                         // entries were answered before: give their credits back
	effectPublish                        // feed the sinks with entries
	effectHalt                           // stop serving for err
)

// effect is one thing to do. Entries, frame and data stay valid until the next append is asked for.
type effect struct {
	kind    effectKind
	seq     persistence.Seq
	expect  persistence.Seq
	attempt int
	wait    time.Duration
	timeout time.Duration
	data    []byte
	frame   *persistence.Frame
	entries []entry
	err     error
}
