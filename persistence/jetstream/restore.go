package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"maitred/persistence"
)

// restoreGap is more records than the lost journal can have got after the backup (72 h at 4,500 appends/s are 1.2 billion): no sequence of
// a restored journal is one that anybody has seen.
const restoreGap = 1 << 32

// RestoreOptions say what Restore makes of a backup.
type RestoreOptions struct {
	Backup *persistence.Backup // checked
	To     []Options           // new directories, as of Copy
	Node   string              // owner of every partition at first
	// Read looks at the new journal before its servers are stopped; nil = nothing.
	Read func(ctx context.Context, journal persistence.Journal, bases persistence.Bases) error
	// Beside puts what belongs to the journal into a directory of To, before anybody may serve it; at says where in the new journal a
	// reader of the old one stands. nil = nothing.
	Beside   func(dir string, at func(persistence.Position) (persistence.Position, bool)) error
	Progress Progress
}

// Restored is what Restore did.
type Restored struct {
	Journal        string
	First, Last    persistence.Seq
	Events         uint64
	Bases, Cursors int
}

// Restore begins a new journal, with an id of its own, that holds the same events in the same order, frame by frame, and the same bases.
// It is another journal because the old one may have gone on after the backup, and those who followed it must not take the records
// that come now for the ones that they have seen. Who had not seen more than the backup has, by its cursor, goes on at the same event.
// The node owns everything; what else the old journal says of custody is left behind.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	if !persistence.ValidName(o.Node) {
		return nil, fmt.Errorf("jetstream: %q is not the name of a node", o.Node)
	}
	to := slices.Clone(o.To)
	for i := range to {
		to[i].FirstSeq = uint64(o.Backup.Info.Last) + restoreGap
		to[i].MaxBytes = max(to[i].MaxBytes, int64(min(2*o.Backup.Info.Bytes, 1<<50)))
	}
	target, err := makeFresh(ctx, to)
	if err != nil {
		return nil, err
	}
	defer target.close()
	r := &restoring{o: o, target: target, result: &Restored{Journal: newJournalID()}}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	if o.Read != nil {
		if err := o.Read(ctx, target.first().Journal(), target.first().Bases()); err != nil {
			return nil, err
		}
	}
	return r.result, target.finish(ctx, func(dir string) error {
		if o.Beside == nil {
			return nil
		}
		return o.Beside(dir, r.at)
	})
}

type restoring struct {
	o      RestoreOptions
	target *fresh
	result *Restored
	begin  persistence.Seq // the claim: before every event
	old    []persistence.Seq
	now    []persistence.Seq // old[i] became now[i], for frames with events
}

// at is where a position of the old journal is in the new one; false when it is of another journal, or the backup does not reach so far.
func (r *restoring) at(p persistence.Position) (persistence.Position, bool) {
	info := &r.o.Backup.Info
	if p.Journal != info.Journal || p.Seq > info.Last || p.Seq+1 < info.First {
		return persistence.Position{}, false
	}
	return persistence.Position{Journal: r.result.Journal, Seq: r.after(p.Seq)}, true
}

// after is the last record of the new journal with an event of the old one up to seq.
func (r *restoring) after(seq persistence.Seq) persistence.Seq {
	i := sort.Search(len(r.old), func(i int) bool { return r.old[i] > seq })
	if i == 0 {
		return r.begin
	}
	return r.now[i-1]
}

func (r *restoring) run(ctx context.Context) (err error) {
	if err := r.records(ctx); err != nil {
		return fmt.Errorf("restore the journal: %w", err)
	}
	if err := r.bases(ctx); err != nil {
		return fmt.Errorf("restore the bases: %w", err)
	}
	cursors := map[string]persistence.Position{}
	for sink, at := range r.o.Backup.Info.Cursors {
		if now, ok := r.at(at); ok {
			cursors[sink] = now
		}
	}
	if r.result.Cursors, err = r.target.setCursors(ctx, cursors); err != nil {
		return err
	}
	return r.verify(ctx)
}

func (r *restoring) records(ctx context.Context) error {
	out, err := r.target.bulk(ctx, journalStream)
	if err != nil {
		return err
	}
	defer out.close()
	w := &rewriter{put: bulkPut(out), name: r.result.Journal, node: r.o.Node, parts: r.o.Backup.Info.Partitions}
	if err := w.begin(ctx); err != nil {
		return err
	}
	r.begin, r.result.First = w.since, w.since-1
	done := uint64(0)
	err = r.o.Backup.Records(func(e persistence.Entry, record persistence.Record) error {
		done++
		r.o.Progress.tell("records restored", done, r.o.Backup.Info.Records)
		if f, ok := record.(*persistence.Frame); ok && len(f.Events) > 0 {
			return r.frame(ctx, w, e.Seq, f)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	r.result.Last = w.last
	return out.flush(ctx)
}

// bulkPut is for a rewriter that does not wait for each record: where the next one comes to stand is known, and asserted.
func bulkPut(to *bulk) func(context.Context, persistence.Subject, []byte, persistence.Seq) (persistence.Seq, error) {
	return func(ctx context.Context, subject persistence.Subject, data []byte, _ persistence.Seq) (persistence.Seq, error) {
		return to.putRecord(ctx, subject, data)
	}
}

// frame writes the events of a frame as one of the new journal, or two if the longer sequences make it too long.
func (r *restoring) frame(ctx context.Context, w *rewriter, seq persistence.Seq, f *persistence.Frame) error {
	for i := range f.Index {
		if err := w.add(ctx, f.Index[i].Aggregate, f.Index[i].Version, f.Events[i]); err != nil {
			return err
		}
		r.result.Events++
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	r.old, r.now = append(r.old, seq), append(r.now, w.last)
	return nil
}

func (r *restoring) bases(ctx context.Context) error {
	out, err := r.target.bulk(ctx, baseStream)
	if err != nil {
		return err
	}
	defer out.close()
	err = r.o.Backup.Bases(func(b persistence.Base) error {
		b.Position = r.after(b.Position)
		r.result.Bases++
		r.o.Progress.tell("bases restored", uint64(r.result.Bases), r.o.Backup.Info.Bases)
		return r.target.putBase(ctx, out, b)
	})
	if err != nil {
		return err
	}
	return out.flush(ctx)
}

// verify reads the new journal back: it holds what the backup says, and is whole.
func (r *restoring) verify(ctx context.Context) error {
	e := r.target.first()
	digest, err := persistence.ContentDigest(ctx, e.journal, e.bases)
	if err != nil {
		return fmt.Errorf("read the restored journal back: %w", err)
	}
	if digest != r.o.Backup.Info.Digest {
		return errors.New("jetstream: what was restored is not what the backup holds")
	}
	report, err := Verify(ctx, e, nil)
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return fmt.Errorf("jetstream: the restored journal is not whole: %s", report.Findings[0])
	}
	return nil
}
