package persistence

import (
	"context"
	"errors"
	"fmt"
)

var errArchiveBehind = errors.New("persistence: the archive has not yet what the journal has no more")

// catchUp brings a sink from its cursor to where the journal begins. A new sink has missed nothing: it begins there.
func (p *Projector) catchUp(ctx context.Context, at Position, first Seq) (Position, error) {
	if at == (Position{}) {
		return p.jump(ctx, at, first-1)
	}
	if err := p.covers(ctx, at, first); err != nil {
		return at, err
	}
	p.cfg.Log.Error("the journal was purged beyond the sink's cursor; it catches up from the store", "cursor", at.Seq, "journal_begins", first)
	p.update(func(s *ProjectorStatus) { s.State, s.Err, s.Position = ProjectorDetached, nil, at })
	for at.Seq+1 < first {
		events, reached, err := p.cfg.Archive.Events(ctx, at.Seq, p.size)
		if err != nil {
			return at, fmt.Errorf("read the archive after %d: %w", at.Seq, err)
		}
		if len(events) == 0 || reached >= first { // between here and there nothing happened, or what did is in the journal too
			reached = max(reached, first-1)
		}
		next := Position{Journal: p.cfg.Journal, Seq: reached}
		start := p.cfg.Now()
		if err := p.cfg.Sink.Write(ctx, at, next, events); err != nil {
			return at, fmt.Errorf("write %d events up to %d: %w", len(events), reached, err)
		}
		p.adapt(p.cfg.Now().Sub(start), len(events))
		at = next
		p.update(func(s *ProjectorStatus) {
			s.Position = at
			s.Events += uint64(len(events))
			s.Batches++
		})
		b, err := p.cfg.Bounds(ctx) // it may be purged further meanwhile
		if err != nil {
			return at, fmt.Errorf("read the journal's bounds: %w", err)
		}
		first = b.First
	}
	return at, nil
}

// covers says whether the archive has everything between a cursor and where the journal begins.
func (p *Projector) covers(ctx context.Context, at Position, first Seq) error {
	stored, err := p.cfg.Archive.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("read the archive's cursor: %w", err)
	}
	if stored.Journal != p.cfg.Journal || stored.Seq+1 < first {
		return fmt.Errorf("%w: it is at %v, the journal begins at %d", errArchiveBehind, stored, first)
	}
	oldest, _, err := p.cfg.Archive.Events(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if len(oldest) == 0 || oldest[0].Seq > at.Seq+1 { // the store was made anew: nobody knows what was before
		return &errRefused{ProjectorBehind, fmt.Sprintf("its cursor is %d, the journal begins at %d, and the store's audit does not reach back so far: what is between can only be given up (sink forward)", at.Seq, first)}
	}
	return nil
}

// jump moves the cursor over what the sink need not know.
func (p *Projector) jump(ctx context.Context, at Position, to Seq) (Position, error) {
	next := Position{Journal: p.cfg.Journal, Seq: to}
	if err := p.cfg.Sink.Write(ctx, at, next, nil); err != nil {
		return at, fmt.Errorf("begin at %d: %w", to, err)
	}
	p.update(func(s *ProjectorStatus) { s.Position = next })
	return next, nil
}
