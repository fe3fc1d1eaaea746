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

// durableFacts are the durable facts that the view does not show yet. The writer adds, readers fold; it never waits for one
// who folds.
type durableFacts struct {
	behind atomic.Int64 // facts that the view lacks, also while they are being folded

	mu    sync.Mutex
	facts []engine.Fact

	folding sync.Mutex // taken before mu
	spare   []engine.Fact
}

// committed hands the events of a durable call to the view's readers.
func (hd *handle) committed(c *call, stands engine.Version) {
	f, n := &hd.fresh, int64(len(c.events))
	f.mu.Lock()
	f.facts = engine.AppendFacts(f.facts, c.events, &c.outcome)
	behind := f.behind.Add(n)
	f.mu.Unlock()
	full := hd.house.behind.Add(n) > maxAllBehind || behind >= maxBehind
	if full && f.folding.TryLock() { // else somebody is at it
		hd.fold()
		f.folding.Unlock()
	}
	hd.durable.Store(uint64(stands))
}

// current is the view with every durable fact in it; nil when there is none.
func (hd *handle) current() *View {
	if f := &hd.fresh; f.behind.Load() > 0 {
		f.folding.Lock()
		hd.fold()
		f.folding.Unlock()
	}
	return hd.view.Load()
}

// fold brings the view up to the facts. A view that the engine cannot make is thrown away and loaded anew. The caller holds
// folding.
func (hd *handle) fold() {
	facts := hd.take()
	defer func() {
		if p := recover(); p != nil {
			slog.Error("the engine cannot make a view", "aggregate", hd.id, "panic", p)
			hd.suspect.Store(true)
			hd.view.Store(nil)
		}
		hd.folded(facts)
	}()
	if v := hd.view.Load(); v != nil && len(facts) > 0 {
		hd.view.Store(&View{View: v.View.NextFacts(facts), epoch: v.epoch, cache: v.cache, budget: v.budget})
	}
}

// take takes the facts that the writer has added.
func (hd *handle) take() []engine.Fact {
	f := &hd.fresh
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := f.facts
	f.facts = f.spare[:0]
	return facts
}

// folded says that the view has the facts that were taken, or does without them.
func (hd *handle) folded(facts []engine.Fact) {
	n := int64(len(facts))
	clear(facts)
	if hd.fresh.spare = facts[:0]; cap(facts) > maxSpare {
		hd.fresh.spare = nil
	}
	hd.fresh.behind.Add(-n)
	hd.house.behind.Add(-n)
}

// show puts a view in the place of whatever there was: one that was loaded, or nil when nobody uses the handle any more.
func (hd *handle) show(v *View) {
	hd.fresh.folding.Lock()
	defer hd.fresh.folding.Unlock()
	hd.folded(hd.take())
	hd.view.Store(v)
}
