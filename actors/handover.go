package actors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// The states of restaurants in memory travel with their partition (DESIGN §7, step 3 of a move). An optimisation only: the next owner opens
// from what it was sent if that is of the version which its own tail knows, and from base and journal if not. A durable version
// has one history, so whose word it is does not matter.

// Bounds of what travels.
const (
	handWithin = 100 * time.Millisecond // for all of a partition: guests wait meanwhile
	handedFor  = 10 * time.Second       // a state that nobody asked for is of no use after that
	maxHanded  = 64 << 20               // bytes kept
)

// ErrHanded: a state was not taken.
var ErrHanded = errors.New("actors: the state cannot be kept")

// handed keeps the states that came from other nodes until they are asked for.
type handed struct {
	mu     sync.Mutex
	bytes  int
	states map[engine.AggregateID]handedState
}

type handedState struct {
	persistence.Base
	until time.Time
}

// Take keeps the state of an aggregate whose partition is about to come. State is kept, not copied.
func (h *House) Take(b persistence.Base) error { return h.handed.put(b, time.Now()) }

func (s *handed) put(b persistence.Base, now time.Time) error {
	if !engine.IsAggregateID(string(b.ID)) || b.Version == 0 {
		return ErrHanded
	}
	s.expire(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.states[b.ID]; there {
		s.forget(b.ID)
	}
	if s.bytes+len(b.State) > maxHanded {
		return ErrHanded
	}
	if s.states == nil {
		s.states = map[engine.AggregateID]handedState{}
	}
	s.states[b.ID] = handedState{b, now.Add(handedFor)}
	s.bytes += len(b.State)
	return nil
}

// expire forgets what nobody asked for in time.
func (s *handed) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, st := range s.states {
		if now.After(st.until) {
			s.forget(id)
		}
	}
}

// take gives the state of id away; nil when there is none.
func (s *handed) take(id engine.AggregateID) *persistence.Base {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.states[id]
	if !ok {
		return nil
	}
	s.forget(id)
	return &st.Base
}

// forget takes a state out. The caller holds mu.
func (s *handed) forget(id engine.AggregateID) {
	s.bytes -= len(s.states[id].State)
	delete(s.states, id)
}

// handOver takes the aggregates of p out of memory when nothing of them is in flight any more, and sends the states of restaurants to
// the next owner, those first that would take it the longest to read.
func (h *House) handOver(ctx context.Context, p persistence.Partition, to string) error {
	all := h.within(p)
	slices.SortFunc(all, func(a, b *handle) int { return cmp.Compare(b.unbased(), a.unbased()) })
	sending, cancel := context.WithTimeout(ctx, handWithin)
	defer cancel()
	errs := make([]error, len(all))
	h.each(len(all), func(i int) {
		errs[i] = h.evict(ctx, all[i], func(hd *handle) { h.hand(sending, hd, to) })
	})
	return errors.Join(append(errs, h.ctx.Err())...)
}

// hand sends the state of an aggregate that takes nobody any more.
func (h *House) hand(ctx context.Context, hd *handle, to string) {
	if h.cfg.Hand == nil || ctx.Err() != nil || !engine.IsRestaurantID(string(hd.id)) {
		return
	}
	hd.start.Do(hd.spawn) // it may be in the directory, and not yet an actor
	c := &call{kind: callBase, handle: hd, done: make(chan struct{}, 1)}
	h.stage.send(hd.ref, c)
	if <-c.done; c.err != nil || c.base.Version == 0 {
		return
	}
	c.base.Revision, _ = hd.lastBase()
	if h.cfg.Hand(ctx, to, c.base) != nil {
		h.cfg.Metrics.states.WithLabelValues("refused").Inc()
		return
	}
	h.cfg.Metrics.states.WithLabelValues("sent").Inc()
}

// unbased is how many events of the aggregate are durable and in no base that this node wrote or read.
func (hd *handle) unbased() uint64 {
	_, based := hd.lastBase()
	return hd.durable.Load() - min(uint64(based), hd.durable.Load())
}
