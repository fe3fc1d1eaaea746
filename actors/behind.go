package actors

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"maitred/engine"
)

// A view is folded when somebody reads it: a restaurant that is booked and not looked at costs nothing, and the facts of
// several frames share the copies of what they change. Whoever reads after an answer has left folds what stands behind it.

const (
	// maxBehind is how many facts a view may be behind: a reader folds them, at about 3 µs each.
	maxBehind = 256
	// maxAllBehind is how many the views of a house may be behind together, at about 1 KiB each.
	maxAllBehind = 32 << 10
)

// durableFacts are the durable facts that the view does not show yet. The writer adds, readers fold.
type durableFacts struct {
	mu     sync.Mutex
	facts  []engine.Fact
	behind atomic.Int32 // len(facts)
}

// committed hands the events of a durable call to the view's readers.
func (hd *handle) committed(c *call, stands engine.Version) {
	f := &hd.fresh
	f.mu.Lock()
	for _, e := range c.events {
		f.facts = append(f.facts, engine.Fact{Event: e})
	}
	f.facts[len(f.facts)-1].Made = c.outcome.Reservation
	n := len(f.facts)
	f.behind.Store(int32(n))
	if hd.house.behind.Add(int64(len(c.events))) > maxAllBehind || n >= maxBehind {
		hd.fold()
	}
	f.mu.Unlock()
	hd.durable.Store(uint64(stands))
}

// current is the view with every durable fact in it; nil when there is none.
func (hd *handle) current() *View {
	if hd.fresh.behind.Load() > 0 {
		hd.fresh.mu.Lock()
		hd.fold()
		hd.fresh.mu.Unlock()
	}
	return hd.view.Load()
}

// fold brings the view up to the facts. A view that the engine cannot make is thrown away and loaded anew. The caller holds
// the lock of fresh.
func (hd *handle) fold() {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("the engine cannot make a view", "aggregate", hd.id, "panic", p)
			hd.suspect.Store(true)
			hd.view.Store(nil)
		}
		hd.drop()
	}()
	if v := hd.view.Load(); v != nil {
		hd.view.Store(&View{View: v.View.NextFacts(hd.fresh.facts), cache: v.cache, budget: v.budget})
	}
}

// drop forgets the facts. The caller holds the lock of fresh.
func (hd *handle) drop() {
	f := &hd.fresh
	hd.house.behind.Add(-int64(len(f.facts)))
	clear(f.facts)
	f.facts = f.facts[:0]
	f.behind.Store(0)
}

// show puts a view that was loaded in the place of whatever there was.
func (hd *handle) show(v engine.View) {
	hd.fresh.mu.Lock()
	defer hd.fresh.mu.Unlock()
	hd.drop()
	hd.view.Store(&View{View: v, cache: &hd.cache, budget: hd.house.budget})
}

// blind takes the view of a handle that nobody uses any more.
func (hd *handle) blind() {
	hd.fresh.mu.Lock()
	defer hd.fresh.mu.Unlock()
	hd.drop()
	hd.view.Store(nil)
}
