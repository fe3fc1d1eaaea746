package actors

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Times of the write path.
const (
	// LeaseTime is how long after the send of an acknowledged append strong reads are allowed (T).
	LeaseTime = 3 * time.Second
	// HeartbeatEvery is the longest time without an append.
	HeartbeatEvery = 500 * time.Millisecond

	appendTimeout = 2 * time.Second // for the first try
	retryFor      = 2 * time.Second // the same bytes again, after the first failure
	maxReleases   = 256             // in one frame
	maxConflicts  = 5               // of one frame: after that only the Claim can tell
	firstBackoff  = 5 * time.Millisecond
	maxBackoff    = 500 * time.Millisecond
)

// Halts of the writer. They are not repaired: the node stops serving.
var (
	// ErrAnotherProcess: somebody else writes under this node's name.
	ErrAnotherProcess = errors.New("another process runs under this node's name")
	errAckBehind      = errors.New("the journal acknowledged a sequence that is not after the expected one")
	// errBeyondFold: this node slept for longer than the journal keeps; it must start anew.
	errBeyondFold = errors.New("the journal was purged beyond what this node has read")
	// errRefused: the entry breaks the writer's own rules; its aggregate must be loaded anew.
	errRefused = errors.New("actors: entry refused by the writer")
)

// moment is a reading of the clocks: boot counts through suspension (leases, waits), wall is Unix milliseconds (deadlines), clock is the
// wall clock that the engine goes by (records).
type moment struct {
	boot  time.Duration
	wall  int64
	clock int64
}

// phase is where the writer stands.
type phase uint8

const (
	phaseClaiming phase = iota // a Claim is on its way; nothing is admitted
	phaseFolding               // the Claim is in the journal, the fold is on its way to it
	phaseServing
	phaseDoubt // a frame was not acknowledged: the same bytes again
	phaseHalted
)

// track is what the writer knows of an aggregate that is in memory.
type track struct{ accepted, durable engine.Version }

// core is the writer without goroutine, channel, clock or I/O: inputs in, effects out. One frame is in flight at a time.
type core struct {
	node    string
	journal string
	phase   phase
	booting bool // the first Claim: whatever lies in the slot is from before

	incarnation uint64
	number      uint64             // of the last frame
	prevSeq     persistence.Seq    // of the slot's last record
	prevHash    persistence.Digest // of its bytes
	first       persistence.Seq    // of the journal when the claim began
	since       []persistence.Seq  // by partition; 0 = not ours
	tracks      map[engine.AggregateID]track

	queue    []entry
	floors   []persistence.Floor  // for the next frame
	releases []persistence.Give   // for the next frame
	ready    []entry              // riders whose stand is durable
	flight   []entry              // in the frame that is on its way
	frame    persistence.Frame    // that frame
	data     []byte               // its bytes
	hash     persistence.Digest   // of data
	flying   bool                 // the frame's fate is open
	found    persistence.Seq      // where the fold met the frame; 0 = not
	tried    []persistence.Digest // hashes of the Claims of this resolution
	claim    []byte               // the Claim that is on its way
	claimInc uint64               // its incarnation
	sent     time.Duration        // first try of what is on its way
	asked    time.Duration        // first try since the last answer: the Claim after a frame in doubt does not begin anew
	attempt  int                  // tries of what is on its way, from 1
	conflict int                  // of them refused by the expectation
	doubtEnd time.Duration        // end of the retries
	lastSent time.Duration        // first try of the last append
	lease    time.Duration        // strong reads are allowed until then
	backoff  time.Duration
}

// newCore makes a writer that begins with a Claim; the fold has reached slot, and the journal holds records from first on.
func newCore(node, journal string) *core {
	return &core{node: node, journal: journal, booting: true, tracks: map[engine.AggregateID]track{}}
}

// begin starts the Claim of the own slot.
func (c *core) begin(m moment, slot persistence.SlotState, first persistence.Seq, out []effect) []effect {
	c.incarnation, c.prevSeq, c.prevHash, c.first = slot.Incarnation, slot.Seq, slot.Hash, first
	return c.startClaim(m, out)
}

func (c *core) startClaim(m moment, out []effect) []effect {
	c.phase = phaseClaiming
	c.claimInc = max(c.incarnation+1, c.claimInc+1, uint64(max(m.wall, 0)))
	c.claim = persistence.Encode(nil, &persistence.Claim{
		Journal: c.journal, Node: c.node, By: c.node, Incarnation: c.claimInc,
		PrevSeq: c.prevSeq, PrevHash: c.prevHash, WallMs: m.clock,
	})
	c.tried = append(c.tried, persistence.HashOf(c.claim))
	c.sent, c.attempt, c.backoff = m.boot, 0, firstBackoff
	if !c.flying {
		c.asked = m.boot
	}
	return c.appendClaim(0, out)
}

func (c *core) appendClaim(wait time.Duration, out []effect) []effect {
	c.attempt++
	return append(out, effect{
		kind: effectAppend, data: c.claim, expect: c.expect(), attempt: c.attempt, wait: wait, timeout: appendTimeout,
	})
}

func (c *core) expect() persistence.Seq { return persistence.Expect(c.prevSeq, c.first) }

// pause doubles the wait before the next try.
func (c *core) pause() time.Duration {
	d := c.backoff
	c.backoff = min(2*c.backoff, maxBackoff)
	return d
}

// serving tells whether new commands may be decided.
func (c *core) serving() bool { return c.phase == phaseServing }

// idle tells whether next would do nothing but, perhaps, send a heartbeat.
func (c *core) idle() bool {
	return c.phase != phaseServing || (!c.flying && len(c.queue) == 0 && len(c.floors) == 0 && len(c.releases) == 0)
}

// enqueue takes an entry. What breaks the rules (custody, version, or not serving) is answered at once.
func (c *core) enqueue(e entry, out []effect) []effect {
	switch e.kind {
	case entryOpened:
		c.tracks[e.id] = track{e.stands, e.stands}
		return out
	case entryClosed:
		delete(c.tracks, e.id)
		return out
	}
	if c.phase != phaseServing && c.phase != phaseDoubt {
		return append(out, effect{kind: effectReply, entries: []entry{e}, err: ErrUnavailable})
	}
	t, known := c.tracks[e.id]
	if len(e.events) == 0 {
		if !known || e.stands > t.accepted {
			return append(out, effect{kind: effectReply, entries: []entry{e}, err: errRefused})
		}
		c.queue = append(c.queue, e)
		return out
	}
	if !known || e.first != t.accepted+1 || e.stands != t.accepted+engine.Version(len(e.events)) || !c.holds(&e) {
		return append(out, effect{kind: effectReply, entries: []entry{e}, err: errRefused})
	}
	t.accepted = e.stands
	c.tracks[e.id] = t
	c.queue = append(c.queue, e)
	return out
}

// holds tells whether the events of e may be written under the present custody.
func (c *core) holds(e *entry) bool {
	return int(e.partition) < len(c.since) && e.since != 0 && c.since[e.partition] == e.since
}

// hold replaces the custody under which entries may be written. What is on its way to another node is not held.
func (c *core) hold(since []persistence.Seq) {
	c.since = slices.Clone(since)
	for _, g := range c.releases {
		c.since[g.Partition] = 0
	}
	if c.flying {
		for _, g := range c.frame.Releases {
			c.since[g.Partition] = 0
		}
	}
}

// release gives a partition away with the next frame, and writes nothing of it any more. False when it is not there to be given, when
// something of it waits, or when an append is in doubt.
func (c *core) release(g persistence.Give) bool {
	if c.phase != phaseServing || int(g.Partition) >= len(c.since) || c.since[g.Partition] == 0 || len(c.releases) == maxReleases {
		return false
	}
	for _, entries := range [2][]entry{c.queue, c.flightOpen()} {
		if slices.ContainsFunc(entries, func(e entry) bool { return e.partition == g.Partition }) {
			return false
		}
	}
	c.since[g.Partition] = 0
	c.releases = append(c.releases, g)
	return true
}

// next packs what waits into one frame, or sends a heartbeat when one is due. Nothing happens while an append is open.
func (c *core) next(m moment, out []effect) []effect {
	if c.phase != phaseServing || c.flying {
		return out
	}
	n := c.pack()
	out = c.reply(c.ready, nil, out) // some may have been told that the outcome is unknown while the last append was open
	if n == 0 && len(c.floors) == 0 && len(c.releases) == 0 && m.boot < c.lastSent+HeartbeatEvery {
		return out
	}
	f := &c.frame
	f.Journal, f.Node, f.Incarnation, f.Number = c.journal, c.node, c.incarnation, c.number+1
	f.PrevSeq, f.PrevHash, f.WallMs = c.prevSeq, c.prevHash, m.clock
	f.Floors, f.Releases = append(f.Floors[:0], c.floors...), append(f.Releases[:0], c.releases...)
	c.floors, c.releases = c.floors[:0], c.releases[:0]
	c.data = persistence.Encode(c.data[:0], f)
	c.hash = persistence.HashOf(c.data)
	c.flying, c.found = true, 0
	c.asked = m.boot
	c.sent, c.lastSent, c.attempt, c.conflict, c.backoff = m.boot, m.boot, 1, 0, firstBackoff
	return append(out, effect{
		kind: effectAppend, data: c.data, expect: c.expect(), attempt: 1, timeout: appendTimeout,
	})
}

// pack moves entries from the queue into the flight and the frame, in order, until one does not fit, and returns how many
// events the frame has. Answers without events whose stand is durable go to ready.
func (c *core) pack() int {
	f := &c.frame
	f.Index, f.Events = f.Index[:0], f.Events[:0]
	clear(c.flight)
	clear(c.ready)
	c.flight, c.ready = c.flight[:0], c.ready[:0]
	size := persistence.FrameBytes(c.journal, c.node) +
		persistence.FloorBytes*len(c.floors) + persistence.ReleaseBytes*len(c.releases)
	taken := 0
	for ; taken < len(c.queue); taken++ {
		e := &c.queue[taken]
		if len(e.events) == 0 && e.stands <= c.tracks[e.id].durable {
			c.ready = append(c.ready, *e)
			continue
		}
		if size+e.bytes > persistence.MaxFrameBytes || len(f.Events)+len(e.events) > persistence.MaxFrameEvents {
			break
		}
		size += e.bytes
		for i, ev := range e.events {
			f.Index = append(f.Index, persistence.IndexEntry{
				Partition: e.partition, Since: e.since, Aggregate: e.id, Version: e.first + engine.Version(i),
			})
			f.Events = append(f.Events, ev)
		}
		c.flight = append(c.flight, *e)
	}
	c.queue = slices.Delete(c.queue, 0, taken)
	return len(f.Events)
}

// acked says that what was sent is in the journal at seq.
func (c *core) acked(m moment, seq persistence.Seq, out []effect) []effect {
	if seq <= c.prevSeq {
		return c.halt(fmt.Errorf("%w: %d after %d", errAckBehind, seq, c.prevSeq), out)
	}
	if c.phase == phaseClaiming {
		// No lease yet: until the fold has reached the Claim, what is shown may be from before another node's custody.
		c.phase = phaseFolding
		return append(out, effect{kind: effectFoldTo, seq: seq})
	}
	c.lease = max(c.lease, c.sent+LeaseTime)
	c.number++
	c.prevSeq, c.prevHash = seq, c.hash
	c.flying, c.phase = false, phaseServing
	return c.landed(seq, out)
}

// landed gives out what the durable frame brings: views, then replies, then sinks.
func (c *core) landed(seq persistence.Seq, out []effect) []effect {
	for i := range c.flight {
		if e := &c.flight[i]; len(e.events) > 0 {
			t := c.tracks[e.id]
			t.durable = max(t.durable, e.stands)
			c.tracks[e.id] = t
		}
	}
	out = append(out, effect{kind: effectDurable, seq: seq, frame: &c.frame, data: c.data, entries: c.flight})
	out = c.reply(c.flight, nil, out)
	return append(out, effect{kind: effectPublish, seq: seq, data: c.data, entries: c.flight})
}

// reply answers entries; those that were told before only get settled.
func (c *core) reply(entries []entry, err error, out []effect) []effect {
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].expired == entries[from].expired {
			to++
		}
		kind := effectReply
		if entries[from].expired {
			kind = effectSettle
		}
		out = append(out, effect{kind: kind, entries: entries[from:to], err: err})
		from = to
	}
	return out
}

// failed says that what was sent was not acknowledged: err is, or wraps, ErrConflict, ErrFull or anything else (unknown).
func (c *core) failed(m moment, err error, out []effect) []effect {
	conflict := errors.Is(err, persistence.ErrConflict)
	if c.phase == phaseClaiming {
		if conflict {
			return append(out, effect{kind: effectReadLast, wait: c.pause()})
		}
		return c.appendClaim(c.pause(), out)
	}
	if c.phase == phaseServing {
		c.phase, c.doubtEnd = phaseDoubt, m.boot+retryFor
	}
	if conflict {
		c.conflict++
	}
	wait := c.pause()
	left := c.doubtEnd - m.boot - wait
	if errors.Is(err, persistence.ErrFull) || c.conflict > maxConflicts || left <= 0 {
		return c.startClaim(m, out)
	}
	c.attempt++
	return append(out, effect{
		kind: effectAppend, data: c.data, expect: c.expect(), attempt: c.attempt, wait: wait, timeout: left,
	})
}

// purged says that the journal begins at first and has no record of the own slot, whose last one up to folded is slot. An
// expectation below first would be refused for ever (Expect); none may stand in for it only when the fold has passed all
// that is gone: else nobody here knows what the slot's last record was.
func (c *core) purged(m moment, first persistence.Seq, slot persistence.SlotState, folded persistence.Seq, out []effect) []effect {
	switch {
	case first <= max(slot.Seq, c.prevSeq) || c.expect() == 0 && slot.Seq <= c.prevSeq:
		return c.lastRead(m, nil, out) // the answer is stale: nothing is concluded
	case first > folded+1:
		return c.halt(fmt.Errorf("%w: it begins at %d, the fold ends at %d", errBeyondFold, first, folded), out)
	}
	if slot.Seq > c.prevSeq {
		c.prevSeq, c.prevHash, c.incarnation = slot.Seq, slot.Hash, max(c.incarnation, slot.Incarnation)
	}
	c.first = first
	return c.startClaim(m, out)
}

// lastRead brings the newest record of the own slot after a Claim was refused; none when the journal had no answer. It
// only says which expectation to try next: what counts is the acknowledgement of a Claim.
func (c *core) lastRead(m moment, last *persistence.Entry, out []effect) []effect {
	if last == nil || last.Seq <= c.prevSeq {
		return c.appendClaim(c.pause(), out)
	}
	hash := persistence.HashOf(last.Data)
	rec, err := persistence.Decode(last.Data)
	if err != nil {
		return c.halt(fmt.Errorf("record %d of the own slot: %w", last.Seq, err), out)
	}
	switch r := rec.(type) {
	case *persistence.Frame:
		if !c.booting && !(c.flying && hash == c.hash) {
			return c.halt(fmt.Errorf("%w: frame %d of incarnation %d at %d", ErrAnotherProcess, r.Number, r.Incarnation, last.Seq), out)
		}
		c.incarnation = max(c.incarnation, r.Incarnation)
	case *persistence.Claim:
		if r.By == c.node && !c.booting && !slices.Contains(c.tried, hash) {
			return c.halt(fmt.Errorf("%w: claim of incarnation %d at %d", ErrAnotherProcess, r.Incarnation, last.Seq), out)
		}
		c.incarnation = max(c.incarnation, r.Incarnation)
	}
	c.prevSeq, c.prevHash, c.first = last.Seq, hash, 0
	return c.startClaim(m, out)
}

// folded tells of each record of the own slot that the fold passes on its way to the Claim.
func (c *core) folded(seq persistence.Seq, hash persistence.Digest) {
	if c.flying && hash == c.hash {
		c.found = seq
	}
}

// claimed says that the fold has reached the Claim: it decides which calls are answered how, and a new incarnation serves.
// since is the custody by partition, 0 = not ours.
func (c *core) claimed(slot persistence.SlotState, since []persistence.Seq, out []effect) []effect {
	if slot.Incarnation != c.claimInc {
		return c.halt(fmt.Errorf("%w: the fold has incarnation %d after the claim of %d", ErrAnotherProcess, slot.Incarnation, c.claimInc), out)
	}
	if c.flying {
		if c.found != 0 {
			out = c.landed(c.found, out)
		} else {
			out = c.resolve(c.flight, out)
		}
	}
	out = c.resolve(c.queue, out)
	c.queue = nil
	c.phase, c.booting, c.flying, c.tried, c.claim = phaseServing, false, false, nil, nil
	c.incarnation, c.number = slot.Incarnation, 0
	c.prevSeq, c.prevHash, c.first = slot.Seq, slot.Hash, 0
	c.since = since
	c.lastSent, c.lease = c.sent, max(c.lease, c.sent+LeaseTime)
	c.tracks = map[engine.AggregateID]track{}
	c.floors, c.releases = c.floors[:0], c.releases[:0]
	return out
}

// resolve answers entries whose events are surely not in the journal. An answer without events holds when what it stands on
// is.
func (c *core) resolve(entries []entry, out []effect) []effect {
	for i := range entries {
		e := entries[i : i+1]
		if len(e[0].events) == 0 && e[0].stands <= c.tracks[e[0].id].durable {
			out = c.reply(e, nil, out)
		} else {
			out = c.reply(e, ErrUnavailable, out)
		}
	}
	return out
}

// expire answers ErrUnknownOutcome to those whose deadline has passed at a time, Unix milliseconds, while they wait.
func (c *core) expire(at int64, out []effect) []effect {
	for _, entries := range [2][]entry{c.flightOpen(), c.queue} {
		for i := range entries {
			if e := &entries[i]; !e.expired && e.deadline != 0 && e.deadline <= at {
				out = append(out, effect{kind: effectExpire, entries: []entry{*e}, err: ErrUnknownOutcome})
				e.expired = true
			}
		}
	}
	return out
}

func (c *core) flightOpen() []entry {
	if !c.flying {
		return nil
	}
	return c.flight
}

// setFloors offers floors for the next frame.
func (c *core) setFloors(floors []persistence.Floor) {
	c.floors = c.floors[:0]
	for _, f := range floors {
		if int(f.Partition) < len(c.since) && c.since[f.Partition] != 0 {
			c.floors = append(c.floors, f)
		}
	}
}

// halt stops for good: who waits is told that the outcome is unknown, or that nothing was done.
func (c *core) halt(err error, out []effect) []effect {
	c.phase = phaseHalted
	out = append(out, effect{kind: effectHalt, err: err})
	out = c.reply(c.flightOpen(), ErrUnknownOutcome, out)
	out = c.reply(c.queue, ErrUnavailable, out)
	c.flying, c.queue = false, nil
	return out
}

// Clone makes an independent copy; tokens and encoded events are shared.
func (c *core) Clone() *core {
	d := *c
	d.since, d.tracks = slices.Clone(c.since), maps.Clone(c.tracks)
	d.queue, d.ready, d.flight = slices.Clone(c.queue), slices.Clone(c.ready), slices.Clone(c.flight)
	d.floors, d.releases = slices.Clone(c.floors), slices.Clone(c.releases)
	d.frame.Index, d.frame.Events = slices.Clone(c.frame.Index), slices.Clone(c.frame.Events)
	d.frame.Floors, d.frame.Releases = slices.Clone(c.frame.Floors), slices.Clone(c.frame.Releases)
	d.data, d.tried, d.claim = slices.Clone(c.data), slices.Clone(c.tried), slices.Clone(c.claim)
	return &d
}
