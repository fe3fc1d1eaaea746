package actors

import (
	"log/slog"
	"slices"
	"time"
)

// MaxSkew is how far the time of day of a node may be from the other nodes'. Beyond it the node's timers stand still: who is an hour
// fast would call guests no-shows before they can have come (holes H17).
const MaxSkew = 2 * time.Second

// alarmAfter is how long the times must have differed before it is said aloud: a record that was read late looks like a clock that is slow.
const alarmAfter = 5 * time.Second

// skew compares the time of day with that of the other nodes, which their records carry.
type skew struct {
	opened time.Duration // BOOTTIME
	heard  map[string]reading
	wrong  time.Duration // since when the times have differed; 0 = they do not
	told   bool
}

// reading is the time of day of another node against the own one, when its newest record was folded.
type reading struct {
	at    time.Duration // BOOTTIME
	ahead time.Duration
}

// hear takes the time of day that a record carries.
func (s *skew) hear(node string, ahead, now time.Duration) {
	if s.heard == nil {
		s.heard = map[string]reading{}
	}
	s.heard[node] = reading{now, ahead}
}

// off tells whether more of the nodes that write differ from this one than agree with it, and by how much the others are ahead, in
// the middle. While nobody has been heard it may be: whoever lives writes within Silence.
func (s *skew) off(now time.Duration) (ahead time.Duration, off bool) {
	var all []time.Duration
	differ := 0
	for _, r := range s.heard {
		if now-r.at > Silence {
			continue
		}
		all = append(all, r.ahead)
		if r.ahead.Abs() > MaxSkew {
			differ++
		}
	}
	if len(all) == 0 {
		return 0, now < s.opened+Silence
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], 2*differ > len(all)
}

// skewed tells whether the timers must stand still, and says so when that lasts.
func (h *House) skewed() bool {
	if !h.cfg.Shared {
		return false
	}
	w, now := h.writer, h.cfg.Boottime()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.skew
	ahead, off := s.off(now)
	h.cfg.Metrics.skew.Set(ahead.Seconds())
	switch {
	case !off && s.told:
		slog.Info("the time of day is the other nodes' again; timers fire")
		fallthrough
	case !off:
		s.wrong, s.told = 0, false
	case s.wrong == 0:
		s.wrong = now
	case !s.told && now >= s.wrong+alarmAfter:
		s.told = true
		slog.Error("the time of day differs from the other nodes': no timer fires here until it is set right", "others_ahead", ahead.Round(time.Millisecond).String())
	}
	return off
}
