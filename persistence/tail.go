package persistence

import (
	"fmt"
	"slices"

	"maitred/engine"
)

// Tail knows, for each aggregate with events that are in no base, where they are. It is a fold of the frames and of the
// bases that were put. Not safe for concurrent use.
//
// Versions of an aggregate are contiguous, so that of an event only its sequence is kept: 8 bytes, at most twice that with
// the slack of growing.
type Tail struct {
	of    map[engine.AggregateID]*tailed
	parts []tailPart
	long  map[*tailed]struct{} // with LongTail events or more
	len   int
}

// tailed is one aggregate: its base, and the sequences of the events with the versions base+1, base+2, …
type tailed struct {
	id   engine.AggregateID
	seqs []Seq
	base engine.Version // everything up to it is in a base, or was written before the tail began
	p    Partition
	at   int32 // place in the partition's heap; -1 = no event
}

// tailPart is a min-heap of the aggregates with events by their oldest one.
type tailPart struct {
	heap  []*tailed
	floor Seq
}

// NewTail makes an empty tail for n partitions.
func NewTail(n int) *Tail {
	return &Tail{of: make(map[engine.AggregateID]*tailed), parts: make([]tailPart, n), long: make(map[*tailed]struct{})}
}

func (t *Tail) get(id engine.AggregateID) *tailed {
	a := t.of[id]
	if a == nil {
		id = engine.AggregateID(clone(string(id)))
		a = &tailed{id: id, p: PartitionOf(id, len(t.parts)), at: -1}
		t.of[id] = a
	}
	return a
}

func (a *tailed) last() engine.Version { return a.base + engine.Version(len(a.seqs)) }

// Add takes a durable frame; events at or below the base that Based reported for their aggregate, or at or below their
// partition's floor, are left out. A version that does not follow the aggregate's last one is a *CustodyError: a hole in
// the journal. The first event of an aggregate of which nothing is known may have any version. The frame's floors are
// taken too.
func (t *Tail) Add(seq Seq, f *Frame) error {
	for i := range f.Index {
		x := &f.Index[i]
		a := t.get(x.Aggregate)
		if last := a.last(); x.Version != last+1 {
			switch {
			case x.Version <= a.base && len(a.seqs) == 0:
				continue
			case last == 0:
				a.base = x.Version - 1
			default:
				return &CustodyError{
					Seq: seq, Subject: SlotSubject(f.Node), Assertion: AssertVersion,
					Detail: fmt.Sprintf("version %d of %s after %d", x.Version, x.Aggregate, last),
				}
			}
		}
		if seq <= t.parts[a.p].floor {
			a.base = x.Version
			continue
		}
		if a.seqs = append(a.seqs, seq); len(a.seqs) == LongTail {
			t.long[a] = struct{}{}
		}
		t.len++
		if a.at < 0 {
			t.parts[a.p].push(a)
		}
	}
	for _, fl := range f.Floors {
		t.Floored(fl.Partition, fl.Seq)
	}
	return nil
}

// Based says that a base of id at version v exists: its events up to v leave the tail.
func (t *Tail) Based(id engine.AggregateID, v engine.Version) {
	a := t.get(id)
	if v <= a.base {
		return
	}
	t.drop(a, int(min(v-a.base, engine.Version(len(a.seqs)))))
	a.base = max(a.base, v)
}

// Floored says that every event of p at or below floor is in a base: they leave the tail.
func (t *Tail) Floored(p Partition, floor Seq) {
	part := &t.parts[p]
	part.floor = max(part.floor, floor)
	for len(part.heap) > 0 && part.heap[0].seqs[0] <= floor {
		a := part.heap[0]
		n, _ := slices.BinarySearch(a.seqs, floor+1)
		t.drop(a, n)
	}
}

// drop takes the n oldest events of a out.
func (t *Tail) drop(a *tailed, n int) {
	if n == 0 {
		return
	}
	t.len -= n
	a.base += engine.Version(n)
	if len(a.seqs)-n < LongTail {
		delete(t.long, a)
	}
	part := &t.parts[a.p]
	if n == len(a.seqs) {
		a.seqs = nil
		part.remove(a)
		return
	}
	a.seqs = a.seqs[n:]
	if n > len(a.seqs) {
		a.seqs = slices.Clone(a.seqs) // lets the room of the dropped ones go
	}
	part.down(int(a.at))
}

// Last is the newest durable version of id that the tail knows; 0 when it has no event of id.
func (t *Tail) Last(id engine.AggregateID) engine.Version {
	if a := t.of[id]; a != nil && len(a.seqs) > 0 {
		return a.last()
	}
	return 0
}

// Base is the version up to which id is in a base as far as the tail was told; 0 = nothing is known.
func (t *Tail) Base(id engine.AggregateID) engine.Version {
	if a := t.of[id]; a != nil {
		return a.base
	}
	return 0
}

// Bases calls fn for every aggregate with the version up to which it must be in a base.
func (t *Tail) Bases(fn func(engine.AggregateID, engine.Version)) {
	for id, a := range t.of {
		fn(id, a.base)
	}
}

// Each calls fn for every aggregate that is known, with its partition and how many of its events are outside a base.
func (t *Tail) Each(fn func(id engine.AggregateID, p Partition, events int)) {
	for id, a := range t.of {
		fn(id, a.p, len(a.seqs))
	}
}

// Positions appends the sequences of the frames that hold id's events outside its base, ascending, each once.
func (t *Tail) Positions(id engine.AggregateID, dst []Seq) []Seq {
	a := t.of[id]
	if a == nil {
		return dst
	}
	var last Seq
	for _, s := range a.seqs {
		if s != last {
			dst = append(dst, s)
			last = s
		}
	}
	return dst
}

// Floor is the highest sequence at or below which every event of p is in a base: one below the oldest event of p in the
// tail, or end when there is none.
func (t *Tail) Floor(p Partition, end Seq) Seq {
	if h := t.parts[p].heap; len(h) > 0 {
		return min(end, h[0].seqs[0]-1)
	}
	return end
}

// Oldest calls fn for aggregates with an event outside a base at or below seq, with their oldest such event, until fn
// returns false. The order is that of the partitions, within one by no rule but that the oldest comes first.
func (t *Tail) Oldest(seq Seq, fn func(engine.AggregateID, Seq) bool) {
	for p := range t.parts {
		if !t.parts[p].walk(0, seq, fn) {
			return
		}
	}
}

// Long calls fn for each aggregate with LongTail events outside a base or more, and how many these are.
func (t *Tail) Long(fn func(engine.AggregateID, int)) {
	for a := range t.long {
		fn(a.id, len(a.seqs))
	}
}

// Len is the number of events in the tail.
func (t *Tail) Len() int { return t.len }

func (h *tailPart) walk(i int, seq Seq, fn func(engine.AggregateID, Seq) bool) bool {
	if i >= len(h.heap) || h.heap[i].seqs[0] > seq {
		return true
	}
	return fn(h.heap[i].id, h.heap[i].seqs[0]) && h.walk(2*i+1, seq, fn) && h.walk(2*i+2, seq, fn)
}

// push adds an aggregate whose only event is the newest of all: it is below nothing.
func (h *tailPart) push(a *tailed) {
	a.at = int32(len(h.heap))
	h.heap = append(h.heap, a)
	h.up(int(a.at))
}

func (h *tailPart) remove(a *tailed) {
	i, end := int(a.at), len(h.heap)-1
	h.swap(i, end)
	h.heap[end] = nil
	h.heap = h.heap[:end]
	a.at = -1
	if i < end {
		h.down(i)
		h.up(i)
	}
}

func (h *tailPart) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].at, h.heap[j].at = int32(i), int32(j)
}

func (h *tailPart) less(i, j int) bool { return h.heap[i].seqs[0] < h.heap[j].seqs[0] }

func (h *tailPart) up(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *tailPart) down(i int) {
	for {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < len(h.heap) && h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
