package actors

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"maitred/persistence"
)

// What the writer asks the journal.

// foldFrame folds the own frame at e.seq, and before it what others wrote since the last one.
func (w *writer) foldFrame(e *effect) error {
	f := w.house.fold
	if from := f.seq() + 1; from < e.seq {
		if err := w.foldRange(w.house.ctx, from, e.seq-1); err != nil {
			return err
		}
	}
	return f.apply(persistence.Entry{Seq: e.seq, Subject: w.subject, Data: e.data}, e.frame)
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

// foldRange folds records from the journal, tells the core of those in the own slot, and the sinks of those that are not.
func (w *writer) foldRange(ctx context.Context, from, to persistence.Seq) error {
	return persistence.ReadRecords(ctx, w.house.cfg.Journal, from, to, func(e persistence.Entry, r persistence.Record) error {
		if err := w.house.fold.apply(e, r); err != nil {
			return err
		}
		if e.Subject == w.subject {
			w.core.folded(e.Seq, persistence.HashOf(e.Data))
			return nil
		}
		events, err := w.house.cfg.Seal.EventsIn(e.Seq, r)
		if err != nil {
			return err
		}
		w.house.cfg.Feed.Publish(e.Seq, len(e.Data), events)
		return nil
	})
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
	err := w.foldRange(fctx, w.house.fold.seq()+1, seq)
	switch {
	case err == nil:
		return func(moment) { w.claimed(seq) }
	case refused(err):
		return func(m moment) { w.out = w.core.halt(err, w.out) }
	}
	slog.Warn("the fold does not reach the claim", "claim", seq, "err", err)
	return func(moment) { w.out = append(w.out, effect{kind: effectFoldTo, seq: seq, wait: maxBackoff}) }
}
