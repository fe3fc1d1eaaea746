package actors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"maitred/persistence"
)

// Silence is how long a node must have been seen to write nothing before its slot may be claimed: its lease is over then.
const Silence = LeaseTime + 500*time.Millisecond

// sighting is a record of a slot, and when this node saw it.
type sighting struct {
	seq   persistence.Seq
	at    time.Duration // BOOTTIME
	alive bool          // its own node wrote it
}

// silence is what a node knows of others' silence (DESIGN §5, holes H30). A node cannot know when an outage of the journal began,
// and an answer that comes during one looks like one after it. So nobody is called silent while an own append has been open for
// HeartbeatEvery, and an own answer that took as long begins every wait anew: the others could not append either.
type silence struct {
	seen  map[string]sighting
	acked time.Duration // of the first answer after a time without; -1 = there was none
}

// saw tells of the last record of a node's slot, and who wrote it.
func (s *silence) saw(node, by string, seq persistence.Seq, now time.Duration) {
	if s.seen == nil {
		s.seen = map[string]sighting{}
	}
	s.seen[node] = sighting{seq, now, by == node}
}

// answered tells of an acknowledgement, and of the first try since the one before.
func (s *silence) answered(asked, now time.Duration) {
	if s.acked < 0 || now >= asked+HeartbeatEvery {
		s.acked = now
	}
}

// over is when node may be claimed if it stays silent at its record last; 0 = this cannot be said.
func (s *silence) over(node string, last persistence.Seq) time.Duration {
	seen, known := s.seen[node]
	if !known || seen.seq != last || s.acked < 0 {
		return 0
	}
	return max(seen.at, s.acked) + Silence
}

// SilentFor is for how long the slot of node may have been claimed by now, by the rule of silence; negative = not yet.
func (h *House) SilentFor(node string) time.Duration {
	w := h.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silentFor(node)
}

// SeenFor is how long ago this node saw a record that another node wrote; negative = it never saw one, or the slot was claimed since.
func (h *House) SeenFor(node string) time.Duration {
	w := h.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	seen, known := w.silence.seen[node]
	if !known || !seen.alive {
		return -1
	}
	return h.cfg.Boottime() - seen.at
}

// silentFor is SilentFor. The caller holds mu.
func (w *writer) silentFor(node string) time.Duration {
	now := w.house.cfg.Boottime()
	waits := w.core.flying && now >= w.core.asked+HeartbeatEvery // the journal may be away
	over := w.silence.over(node, w.house.fold.slot(node).Seq)
	if w.house.cfg.Unsafe.NoSilence {
		return time.Hour
	}
	if over == 0 || waits || !w.core.serving() {
		return -Silence
	}
	return now - over
}

// formerTries is how often the slot's last record may have become another one while a start waits for its silence: a record that was
// on its way when its process ended is one.
const formerTries = 2

// awaitFormer waits until nobody who ran under this node's name can still have a lease: a process that began elsewhere, on another
// machine or volume, does not know whether the former one is dead. ErrAnotherProcess when it writes.
func (w *writer) awaitFormer(ctx context.Context) error {
	cfg, slot := &w.house.cfg, w.house.fold.slot(w.house.cfg.Node)
	mine := slices.ContainsFunc(w.house.fold.owned(cfg.Node), func(since persistence.Seq) bool { return since != 0 })
	if !cfg.Shared || !mine || slot.Incarnation == 0 || slot.Incarnation == cfg.Former {
		return nil // nobody before, claimed by another node since, or dead
	}
	slog.Warn("the last process of this name may still run elsewhere: waiting until it is surely silent", "node", cfg.Node, "incarnation", slot.Incarnation)
	last := slot.Seq
	for range formerTries {
		pause(ctx, Silence)
		e, err := cfg.Journal.Last(ctx, w.subject)
		if err != nil || e.Seq == last {
			return err
		}
		last = e.Seq
	}
	return fmt.Errorf("%w: it writes, the last time record %d", ErrAnotherProcess, last)
}

// Claim takes the slot of another node that is silent: it cannot write any more, and its partitions go to whom give says
// (empty: to this node). give may not call the house. Nil = the journal has the claim, and this node has folded it. ErrNotSilent and persistence.ErrConflict
// are no faults: the node may be alive, or somebody was faster.
func (h *House) Claim(ctx context.Context, node string, give func(persistence.Partition) string) error {
	claim, expect, err := h.prepareClaim(ctx, node, give)
	if err != nil {
		return fmt.Errorf("claim the slot of %s: %w", node, err)
	}
	actx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	seq, err := h.cfg.Journal.Append(actx, persistence.SlotSubject(node), persistence.Encode(nil, claim), expect)
	if err != nil {
		return fmt.Errorf("claim the slot of %s: %w", node, err)
	}
	return h.Reach(ctx, seq)
}

func (h *House) prepareClaim(ctx context.Context, node string, give func(persistence.Partition) string) (*persistence.Claim, persistence.Seq, error) {
	b, err := h.cfg.Journal.Bounds(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("bounds of the journal: %w", err)
	}
	w := h.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if node == h.cfg.Node || w.silentFor(node) < 0 {
		return nil, 0, ErrNotSilent
	}
	slot := h.fold.slot(node)
	c := &persistence.Claim{
		Journal: w.journal, Node: node, By: h.cfg.Node, PrevSeq: slot.Seq, PrevHash: slot.Hash, WallMs: h.cfg.Now().UnixMilli(),
	}
	for p, since := range h.fold.owned(node) {
		to := give(persistence.Partition(p))
		if since != 0 && to != "" && to != h.cfg.Node && h.fold.admits(to) {
			c.Gives = append(c.Gives, persistence.Give{Partition: persistence.Partition(p), To: to})
		}
	}
	return c, persistence.Expect(slot.Seq, b.First), nil
}
