package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"maitred/persistence"
)

// What the writer asks the journal.

// foldFrame folds the own frame at e.seq; foldGap has folded what others wrote before it. The caller holds mu.
func (w *writer) foldFrame(e *effect) error {
	f := w.house.fold
	if from := f.seq() + 1; from < e.seq {
		read := func(e persistence.Entry, r persistence.Record) error { return w.foldLocked(e, r, w.others(e, r)) }
		if err := persistence.ReadRecords(w.house.ctx, w.house.cfg.Journal, from, e.seq-1, read); err != nil {
			return err
		}
	}
	err := f.apply(persistence.Entry{Seq: e.seq, Subject: w.subject, Data: e.data}, e.frame)
	if err == nil && len(e.frame.Releases) > 0 {
		w.given(e.frame.Releases)
	}
	w.advanced()
	return err
}

// foldGap folds what others wrote up to seq, before the own frame behind it. A journal that does not answer is asked again: the
// frame is durable, and its callers are told in time that its outcome is unknown. What the fold refuses, foldFrame meets again.
func (w *writer) foldGap(ctx context.Context, seq persistence.Seq) {
	for from := w.house.fold.seq() + 1; from <= seq && ctx.Err() == nil; from = w.house.fold.seq() + 1 {
		err := w.foldRange(ctx, from, seq)
		if err == nil || refused(err) {
			return
		}
		slog.Warn("the fold does not reach the own frame", "from", from, "to", seq, "err", err)
		pause(ctx, maxBackoff)
	}
}

// refused tells whether asking again would not help: the fold does not accept what the journal has.
func refused(err error) bool {
	return persistence.IsCustodyError(err) || errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrVersion)
}

// foldRange folds records from the journal.
func (w *writer) foldRange(ctx context.Context, from, to persistence.Seq) error {
	return persistence.ReadRecords(ctx, w.house.cfg.Journal, from, to, w.foldEntry)
}

// foldEntry folds a record, unless somebody was faster: the writer and the standing reader both come here.
func (w *writer) foldEntry(e persistence.Entry, r persistence.Record) error {
	others := w.others(e, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.foldLocked(e, r, others)
}

// foreign is what the sinks get of a record of another node.
type foreign struct {
	events []persistence.Committed
	dark   bool // they cannot be opened here
}

// others opens the events of a record that another node wrote. The own ones are made public by the acknowledgement. What cannot be opened
// (a sealing key that is not here, an event of a newer build) concerns the sinks, and who opens that aggregate: who owns what is
// said by the record itself, and a fold that stood still would take this node from its guests.
func (w *writer) others(e persistence.Entry, r persistence.Record) foreign {
	if e.Subject == w.subject {
		return foreign{}
	}
	events, err := w.house.cfg.Seal.EventsIn(e.Seq, r)
	if err != nil && !w.dark.Swap(true) {
		slog.Error("another node writes what cannot be opened here; sinks of this node will not pass it", "record", e.Seq, "err", err)
	}
	return foreign{events, err != nil}
}

// foldLocked folds a record and tells whom it concerns: the core of those in the own slot, the sinks of the others, and everybody of
// a change of custody. The caller holds mu.
func (w *writer) foldLocked(e persistence.Entry, r persistence.Record, others foreign) error {
	if e.Seq <= w.house.fold.seq() {
		return nil
	}
	if err := w.house.fold.apply(e, r); err != nil {
		return err
	}
	w.house.cfg.tell(r)
	switch r := r.(type) {
	case *persistence.Frame:
		w.silence.saw(r.Node, r.Node, e.Seq, w.house.cfg.Boottime())
		if e.Subject != w.subject {
			w.readClock(r.Node, r.WallMs)
		}
		if len(r.Releases) > 0 {
			w.given(r.Releases)
		}
	case *persistence.Claim:
		w.silence.saw(r.Node, r.By, e.Seq, w.house.cfg.Boottime())
		w.given(append(slices.Clip(r.Gives), persistence.Give{To: r.By}))
		if told := w.house.cfg.OnClaimed; told != nil && r.By != r.Node {
			w.house.work.Go(func() { told(r.Node) })
		}
	}
	switch {
	case e.Subject == w.subject:
		w.core.folded(e.Seq, persistence.HashOf(e.Data))
	case !others.dark: // else the feed meets a gap, and the sinks the record itself
		w.house.cfg.Feed.Publish(e.Seq, len(e.Data), others.events)
	}
	w.advanced()
	return nil
}

// given says that custody has changed. Who gets something and has no record yet is seen from now on. The caller holds mu.
func (w *writer) given(to []persistence.Give) {
	for _, g := range to {
		if _, seen := w.silence.seen[g.To]; !seen {
			w.silence.saw(g.To, "", w.house.fold.slot(g.To).Seq, w.house.cfg.Boottime())
		}
	}
	w.hold()
}

// perform asks the journal, tells the core what came of it, and returns the next question.
func (w *writer) perform(ctx context.Context, io effect) effect {
	w.mu.Lock()
	w.busy = true
	w.mu.Unlock()
	w.late.Reset(lateAfter)
	if io.wait > 0 {
		pause(ctx, io.wait)
	}
	var result func(m moment)
	switch io.kind {
	case effectAppend:
		result = w.append(ctx, io)
	case effectReadLast:
		result = w.readLast(ctx)
	case effectFoldTo:
		result = w.foldTo(ctx, io.seq)
	}
	w.late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	w.out = w.out[:0]
	if ctx.Err() != nil && !w.core.serving() {
		w.out = w.core.halt(persistence.ErrClosed, w.out)
		return w.settle()
	}
	result(w.now())
	return w.settle()
}

func (w *writer) append(ctx context.Context, io effect) func(moment) {
	sent := time.Now()
	w.sent = sent
	actx, cancel := context.WithTimeout(ctx, io.timeout)
	seq, err := w.house.cfg.Journal.Append(actx, w.subject, io.data, io.expect)
	cancel()
	w.house.cfg.Metrics.appended(time.Since(sent), err)
	if err != nil {
		if ctx.Err() == nil { // else the house is being closed
			slog.Warn("append not acknowledged", "attempt", io.attempt, "expect", io.expect, "bytes", len(io.data), "err", err)
		}
		return func(m moment) { w.out = w.core.failed(m, err, w.out) }
	}
	took := time.Since(sent)
	w.foldGap(ctx, seq-1)
	return func(m moment) {
		w.silence.answered(w.core.asked, m.boot)
		if w.core.phase != phaseClaiming {
			w.pace.acked(took, len(io.data), len(w.core.flight))
		}
		w.out = w.core.acked(m, seq, w.out)
	}
}

func (w *writer) readLast(ctx context.Context) func(moment) {
	rctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	e, err := w.house.cfg.Journal.Last(rctx, w.subject)
	if errors.Is(err, persistence.ErrNotFound) {
		if b, err := w.house.cfg.Journal.Bounds(rctx); err == nil {
			slot, folded := w.house.fold.slot(w.house.cfg.Node), w.house.fold.seq()
			return func(m moment) { w.out = w.core.purged(m, b.First, slot, folded, w.out) }
		}
	}
	if err != nil {
		return func(m moment) { w.out = w.core.lastRead(m, nil, w.out) }
	}
	return func(m moment) { w.out = w.core.lastRead(m, &e, w.out) }
}

// foldTo folds up to the Claim. The journal may be slow to answer; a record that the fold refuses ends the house.
func (w *writer) foldTo(ctx context.Context, seq persistence.Seq) func(moment) {
	fctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	from := w.house.fold.seq() + 1
	err := w.foldRange(fctx, from, seq)
	if b, berr := w.house.cfg.Journal.Bounds(fctx); err != nil && berr == nil && from < b.First {
		return func(m moment) { w.out = w.core.halt(errBeyondFold, w.out) }
	}
	switch {
	case err == nil:
		return func(moment) { w.claimed(seq) }
	case refused(err):
		return func(m moment) { w.out = w.core.halt(err, w.out) }
	}
	slog.Warn("the fold does not reach the claim", "claim", seq, "err", err)
	return func(moment) { w.out = append(w.out, effect{kind: effectFoldTo, seq: seq, wait: maxBackoff}) }
}
