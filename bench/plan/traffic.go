package main

import (
	"time"

	"maitred/actors"
	"maitred/persistence"
)

// What was measured elsewhere; where it comes from stands in the text.
const (
	framesShared = 711.0   // R3 frames/s, three servers on two cores and one disk
	framesDisk   = 4_300.0 // fsyncs/s of that disk: what one leader on cores and a disk of its own could do at most
	eventBytes   = 300.0   // of a reservation in the journal
	decodeMicro  = 5.5     // CPU of a record that is folded: 4 to 7 µs
	tailMicro    = 0.086   // and of each event in it
	tailBytes    = 11.0    // memory of an event outside a base, in every node
	baseAge      = 10 * time.Minute
	replicas     = 3.0
)

// Assumptions about networks and demand.
const (
	network     = 10e9 / 8 // bytes a second of the leader's card
	perDay      = 20.0     // reservations that a restaurant gets in a day
	peakHour    = 0.138    // of them in the busiest hour: bench/demand-profile.json
	rushFactor  = 10.0     // the busiest seconds of that hour
	latencyGoal = 50 * time.Millisecond
)

// traffic is what a journal carries when n nodes fold all of it.
type traffic struct {
	nodes          int
	heartbeats     float64       // records/s when nothing happens
	heartbeatBytes float64       // of one
	leaderIdle     float64       // bytes/s that leave the journal's leader when nothing happens
	foldIdle       float64       // share of a core that each node folds with when nothing happens
	waitDisk       time.Duration // a writer waits for its frame when all write and the leader has its own disk
	waitShared     time.Duration
	most           float64 // reservations/s that fill the leader's network card
}

func newTraffic(n int) traffic {
	t := traffic{nodes: n, heartbeats: float64(n) / actors.HeartbeatEvery.Seconds(), heartbeatBytes: float64(len(heartbeat()))}
	t.leaderIdle = t.heartbeats * t.heartbeatBytes * copies(n)
	t.foldIdle = t.heartbeats * decodeMicro / 1e6
	t.waitDisk, t.waitShared = queue(n, framesDisk), queue(n, framesShared)
	t.most = network / (eventBytes * copies(n))
	return t
}

// copies of each record leave the leader: for the followers' disks, and for the fold of every other node.
func copies(n int) float64 { return replicas - 1 + float64(n-1) }

// queue is how long a frame takes when each of n writers has one on its way.
func queue(n int, framesPerSecond float64) time.Duration {
	return time.Duration(float64(n) / framesPerSecond * float64(time.Second))
}

// peak is how many reservations/s restaurants ask for in their busiest seconds.
func peak(rooms float64) float64 { return rooms * perDay * peakHour / 3600 * rushFactor }

func heartbeat() []byte {
	return persistence.Encode(nil, &persistence.Frame{
		Journal: "jrn_0123456789abc", Node: "node-99", Incarnation: 1 << 40, Number: 1 << 30, PrevSeq: 1 << 34, PrevHash: persistence.HashOf(nil), WallMs: 1_790_000_000_000,
	})
}
