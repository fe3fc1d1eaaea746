package actors

import (
	"context"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// The signatures below are the contract; the bodies are being written.

// Config is what a House needs. Zero values of the tunables mean the default named beside them.
type Config struct {
	Node    string // this node's name
	Journal persistence.Journal
	Bases   persistence.Bases
	Feed    *persistence.Feed

	Partitions   int           // only for a new journal; 256
	MaxInFlight  int           // credits per aggregate; 4,096
	MaxQueue     int           // calls admitted on the node; 16,384
	IdleAfter    time.Duration // passivate after; 5 min
	PassivateAll bool          // test mode: passivate after every command
	SweepEvery   time.Duration // timers; 1 s look, no-shows are swept every 5 min
	Now          func() time.Time
}

// House is the directory of what is open on this node, with the node's one writer.
type House struct{}

// Open folds the journal to its end, claims the node's slot, folds to exactly the claim and serves.
func Open(ctx context.Context, cfg Config) (*House, error) { panic("stub") }

// Do lets the aggregate decide cmd and returns when what the answer stands on is durable. cmd belongs to the callee until
// Do returns.
func (h *House) Do(id engine.AggregateID, cmd *engine.Command, deadline time.Time) (engine.Outcome, error) {
	panic("stub")
}

// View is the newest durable picture of the aggregate (it is opened when it is not resident). It checks the lease.
func (h *House) View(id engine.AggregateID, deadline time.Time) (*View, error) { panic("stub") }

// View is an aggregate's durable state for readers, with a bounded cache of encoded answers.
type View struct {
	engine.View
}

// Cached returns an encoded answer kept under (day, guests) if it is still of this state; nil otherwise.
func (v *View) Cached(day engine.Day, guests int, minute int64) []byte { panic("stub") }

// Keep stores an encoded answer for (day, guests), valid while the day's events and the minute stay the same. Bounded.
func (v *View) Keep(day engine.Day, guests int, minute int64, body []byte) { panic("stub") }

// Status says how the house stands, for /readyz.
type Status struct {
	Serving     bool
	Reason      string // why not
	Incarnation uint64
	Last        persistence.Seq // newest durable
	Resident    int
	Quarantined int
}

// Status reads how the house stands.
func (h *House) Status() Status { panic("stub") }

// Close stops admission, lets what is in flight become durable, and stops. Idempotent.
func (h *House) Close() error { panic("stub") }
