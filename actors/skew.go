package actors

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

// MaxSkew is how far a node's clock may be from the median of the others' before its timers stand still (DESIGN §7, holes H17): a clock
// an hour ahead would mark good reservations as no-shows, and nothing else would notice.
const MaxSkew = 2 * time.Second

// forgetClock is how long the lag of a reader may hide that a clock was set back.
const forgetClock = 10 * time.Second

// clock is the best reading of another node's wall clock, as its distance from this node's BOOTTIME, which nobody sets: the reading
// with the least delay, which is the highest. Of a node that is away it still says what time it is.
type clock struct {
	ahead time.Duration // wall time of its records minus BOOTTIME here
	at    time.Duration // BOOTTIME of that reading
}

// read takes the wall time of a record that was seen at boot. The delay on the way makes it too low, never too high; a lower reading
// replaces a higher one only when that is old.
func (c *clock) read(wallMs int64, boot time.Duration) {
	ahead := time.Duration(wallMs)*time.Millisecond - boot
	if c.at == 0 || ahead >= c.ahead || boot-c.at > forgetClock {
		c.ahead, c.at = ahead, boot
	}
}

// skewOf is how far own is from the median of the others; of two in the middle the one nearer to own, so that of three nodes one wrong clock stops
// only itself. ok = there is another one.
func skewOf(own time.Duration, others []time.Duration) (skew time.Duration, ok bool) {
	if len(others) == 0 {
		return 0, false
	}
	slices.Sort(others)
	low, high := own-others[(len(others)-1)/2], own-others[len(others)/2]
	return slices.MinFunc([]time.Duration{low, high}, func(a, b time.Duration) int { return cmp.Compare(a.Abs(), b.Abs()) }), true
}

// readClock takes the wall time of another node's frame. The caller holds mu.
func (w *writer) readClock(node string, wallMs int64) {
	if w.clocks == nil {
		w.clocks = map[string]*clock{}
	}
	if w.clocks[node] == nil {
		w.clocks[node] = new(clock)
	}
	w.clocks[node].read(wallMs, w.house.cfg.Boottime())
}

// Skew is how far ahead this node's clock is of the median of the others', as far as their records tell: a delay of up to about a second
// makes the others look late. ok = another one was heard of.
func (h *House) Skew() (skew time.Duration, ok bool) {
	w := h.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	var others []time.Duration
	for _, c := range w.clocks {
		others = append(others, c.ahead)
	}
	own := time.Duration(h.cfg.Now().UnixMilli())*time.Millisecond - h.cfg.Boottime()
	return skewOf(own, others)
}

// timely tells whether timers may fire by this node's clock. A node that has just started waits for another's first.
func (h *House) timely() bool {
	if !h.cfg.Shared {
		return true
	}
	skew, known := h.Skew()
	h.cfg.Metrics.skew.Set(skew.Seconds())
	if !known {
		return h.cfg.Boottime()-h.opened >= Silence
	}
	off := skew.Abs() > MaxSkew
	if was := h.skewed; off != was {
		h.skewed = off
		h.tellSkew(off, skew)
	}
	return !off
}

func (h *House) tellSkew(off bool, skew time.Duration) {
	if off {
		slog.Error("this node's clock is wrong: its timers stand still until it is set (chronyc makestep, or whatever keeps the time here)", "ahead", skew.String())
		return
	}
	slog.Info("this node's clock is right again: its timers go on", "ahead", skew.String())
}
