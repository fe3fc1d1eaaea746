package actors

import (
	"sync/atomic"
	"time"

	"maitred/persistence"
)

const (
	// patience is how long an admitted call may wait for its frame when the journal is slow. Two frames of a journal that takes
	// 150 ms for each keep it busy; with a second instead, the accepted waited four times as long for the same goodput.
	patience = 300 * time.Millisecond
	// leastFrames are admitted however slow the journal is: one on its way, one that fills up meanwhile.
	leastFrames = 2
	paceWeight  = 1.0 / 8 // of the newest append in the averages
)

// pace says how many calls may wait on this node: as many as the journal can make durable within patience. Beyond that a
// call would only wait until its deadline, take memory, and be decided for nobody. The writer's goroutine feeds it.
type pace struct {
	took  float64 // seconds of an append, average
	bytes float64 // of a call in its frame, average
	most  int64
	room  atomic.Int64
}

func (p *pace) init(most int) {
	p.most = int64(most)
	p.room.Store(p.most)
}

// acked takes the measure of an acknowledged append of a frame with so many calls; a heartbeat has none.
func (p *pace) acked(took time.Duration, bytes, calls int) {
	if p.took == 0 {
		p.took = took.Seconds()
	}
	p.took += (took.Seconds() - p.took) * paceWeight
	if calls > 0 {
		each := float64(bytes) / float64(calls)
		if p.bytes == 0 {
			p.bytes = each
		}
		p.bytes += (each - p.bytes) * paceWeight
	}
	if p.took <= 0 || p.bytes <= 0 {
		return
	}
	frames := max(leastFrames, patience.Seconds()/p.took)
	p.room.Store(int64(min(float64(p.most), frames*persistence.MaxFrameBytes/p.bytes)))
}
