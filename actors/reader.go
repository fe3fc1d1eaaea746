package actors

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"maitred/persistence"
)

// readEvery is how often the standing reader asks for others' records. The own appends bring them too: a gap before an
// acknowledgement is folded at once.
const readEvery = 100 * time.Millisecond

// errOwn: the next record is the writer's to fold.
var errOwn = errors.New("actors: record of the own slot")

// read is the standing reader: it folds what others write, also while this node has nothing to write. It is a poll and not a consumer
// of the stream: a consumer would have to be made anew when the journal's leader is lost, which is when it is needed.
func (h *House) read() {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.hint:
		case <-h.ctx.Done():
			return
		}
		if err := h.writer.catchUp(h.ctx); err != nil && h.ctx.Err() == nil {
			slog.Warn("the standing reader does not get on", "err", err)
		}
	}
}

// Reach waits until the node has folded the record at seq: whoever was told of a custody that this node does not know yet comes here.
func (h *House) Reach(ctx context.Context, seq persistence.Seq) error {
	for {
		passed := h.writer.passed()
		if h.fold.seq() >= seq {
			return nil
		}
		select {
		case h.hint <- struct{}{}:
		default:
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.ctx.Done():
			return ErrUnavailable
		}
	}
}

// passed is closed when the fold has gone on.
func (w *writer) passed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted = make(chan struct{})
	}
	return w.wanted
}

// advanced tells those who wait that the fold has gone on. The caller holds mu.
func (w *writer) advanced() {
	if w.wanted != nil {
		close(w.wanted)
		w.wanted = nil
	}
}

// catchUp folds what others have written, up to the next own record.
func (w *writer) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	b, err := w.house.cfg.Journal.Bounds(ctx)
	if err != nil {
		return err
	}
	from := w.house.fold.seq() + 1
	if b.Last < from {
		return nil
	}
	if from < b.First {
		w.fail(errBeyondFold)
		return errBeyondFold
	}
	err = persistence.ReadRecords(ctx, w.house.cfg.Journal, from, b.Last, func(e persistence.Entry, r persistence.Record) error {
		if c, ok := r.(*persistence.Claim); e.Subject == w.subject && (!ok || c.By == c.Node) {
			return errOwn
		}
		return w.foldEntry(e, r)
	})
	switch {
	case errors.Is(err, errOwn):
		return nil
	case err != nil && refused(err):
		w.fail(err)
	}
	return err
}

// fail ends the writer: its own goroutine does it, because an append may be on its way.
func (w *writer) fail(err error) {
	w.fault.CompareAndSwap(nil, &err)
	w.rouse()
}
