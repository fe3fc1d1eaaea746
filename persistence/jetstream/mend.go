package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"maitred/persistence"
)

const (
	anewKey = "maitred-anew" // metadata of the bucket

	// anewGap is more bases than can have been put after the high-water mark was written: a bucket that is begun anew begins
	// above every revision that a floor can rely on.
	anewGap = 1 << 20
)

// survey is what the bucket held when it was opened.
type survey struct {
	headers  []persistence.BaseHeader
	covered  persistence.Revision
	versions uint64
}

// survey looks whether the bucket lost bases: some cannot be read, or there are fewer or older ones than the high-water mark
// knows. If the journal has every event there ever was, the bucket is begun anew and everything is read from there. Else
// it is left as it is, and Scan says that it is corrupt.
func (b *Bases) survey(ctx context.Context) error {
	l, err := b.home.current()
	if err != nil {
		return err
	}
	b.anew.Store(anewOf(l.bases.CachedInfo().Config.Metadata))
	if b.home.opts.remote() { // two other servers have the bucket, and this one may not have a leader to ask yet
		return nil
	}
	found := new(survey)
	found.covered, err = b.scan(ctx, func(h persistence.BaseHeader) error {
		found.headers = append(found.headers, h)
		found.versions += uint64(h.Version)
		return nil
	})
	if err != nil && !errors.Is(err, persistence.ErrCorrupt) {
		return err
	}
	mark := &b.home.witness.mark
	if err == nil && (found.versions < mark.Versions || found.covered < mark.Revision) {
		err = fmt.Errorf("scan bases: %w: they end at revision %d with versions of %d in all, known are %d and %d",
			persistence.ErrCorrupt, found.covered, found.versions, mark.Revision, mark.Versions)
	}
	if err == nil {
		b.versions.Store(found.versions)
		b.revision.Store(uint64(found.covered))
		b.surveyed.Store(found)
		return nil
	}
	if b.home.opts.AcceptLoss { // only looks, or saves what is left
		b.lost.Store(&err)
		return nil
	}
	whole, werr := b.home.journal.whole(ctx)
	if werr != nil {
		return werr
	}
	if !whole {
		b.home.opts.Logger.Error("jetstream: bases are lost, and the journal does not hold all events that there were", "err", err)
		b.lost.Store(&err)
		return nil
	}
	b.home.opts.Logger.Error("jetstream: bases are lost; the journal holds every event: they are written anew from it", "err", err)
	return b.beginAnew(ctx, l, max(found.covered, mark.Revision)+anewGap)
}

// beginAnew replaces the bucket by an empty one that begins above revision at. After a crash in between it is done again:
// the high-water mark forgets the old bases last.
func (b *Bases) beginAnew(ctx context.Context, l *link, at persistence.Revision) error {
	o := b.home.opts
	o.FirstRevision, o.anew = uint64(at)+1, at
	o.BaseMaxBytes = l.bases.CachedInfo().Config.MaxBytes
	if err := l.js.DeleteStream(ctx, baseStream); err != nil {
		return fmt.Errorf("jetstream: drop the damaged bases: %w", err)
	}
	s, err := l.js.CreateStream(ctx, baseConfig(o))
	if err != nil {
		return fmt.Errorf("jetstream: begin the bases anew: %w", err)
	}
	l.bases = s
	b.anew.Store(uint64(at))
	b.revision.Store(uint64(at))
	w := b.home.witness
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark.Revision, w.mark.Versions = at, 0
	return w.mark.write(o.Dir)
}

// whole tells whether the journal holds every event since its beginning: nothing was purged, and it was not salvaged (a
// salvaged one begins above 1, with bases whose events are gone).
func (j *Journal) whole(ctx context.Context) (bool, error) {
	b, err := j.Bounds(ctx)
	if err != nil || b.First != 1 || b.Last < b.First {
		return false, err
	}
	e, err := j.Get(ctx, b.First)
	if err != nil {
		return false, err
	}
	r, err := persistence.Decode(e.Data)
	if err != nil {
		return false, fmt.Errorf("record %d: %w", e.Seq, err)
	}
	_, ok := r.(*persistence.Genesis)
	return ok, nil
}

// Anew implements persistence.Bases.
func (b *Bases) Anew() persistence.Revision { return persistence.Revision(b.anew.Load()) }

func anewOf(metadata map[string]string) uint64 {
	n, err := strconv.ParseUint(metadata[anewKey], 10, 64)
	if err != nil {
		return 0 // it was never begun anew
	}
	return n
}
