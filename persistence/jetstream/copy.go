package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"os"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/engine"
	"maitred/persistence"
)

// CopyOptions say what Copy copies.
type CopyOptions struct {
	From Options   // of a stopped node that stands alone
	To   []Options // new directories: one, or those of all servers of a new cluster (ClusterOptions)
	// Check looks at the source before anything is made; nil = nothing.
	Check func(ctx context.Context, journal persistence.Journal, bases persistence.Bases) error
	// Beside puts what belongs to the journal into a directory of To, before anybody may serve it; nil = nothing.
	Beside   func(dir string) error
	Progress Progress
}

// Copied is what Copy did.
type Copied struct {
	Journal        string
	First, Last    persistence.Seq
	Bases, Cursors int
	Digest         persistence.Digest // of all records with their places; the copy was read back and has the same
}

// Copy re-publishes a whole journal into new directories: every record verbatim, on its subject, at its sequence, so that cursors and
// chains stay valid; the bases; and the cursors of sinks. The source must be whole. What stands in the copy is read back and compared,
// and custody folded from it. The copy is the same journal: only one of the two may be served from then on, so a source that was copied
// into a cluster is marked as moved, and not opened any more. Nothing else of it changes.
func Copy(ctx context.Context, o CopyOptions) (*Copied, error) {
	if _, err := os.Stat(streamDir(o.From.Dir, journalStream)); err != nil {
		return nil, fmt.Errorf("jetstream: no journal in %s: %w", o.From.Dir, err)
	}
	o.From.moving = true
	source, err := Open(ctx, o.From)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if o.Check != nil {
		if err := o.Check(ctx, source.Journal(), source.Bases()); err != nil {
			return nil, err
		}
	}
	copied, err := copyOf(ctx, source, o)
	if err == nil && len(o.To) > 1 {
		err = mark(source.opts.Dir, movedFile)
	}
	return copied, err
}

func copyOf(ctx context.Context, source *Embedded, o CopyOptions) (*Copied, error) {
	b, err := source.journal.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if b.Last < b.First {
		return nil, fmt.Errorf("jetstream: the journal in %s is empty: there is nothing to copy", source.opts.Dir)
	}
	info, err := streamInfo(ctx, source.now.Load().bases)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(o.To)
	for i := range to { // the bucket begins above what the floors rely on
		to[i].FirstSeq, to[i].FirstRevision, to[i].anew = uint64(b.First), info.State.LastSeq+1, source.bases.Anew()
		to[i].MaxBytes, to[i].BaseMaxBytes = max(to[i].MaxBytes, int64(b.MaxBytes)), max(to[i].BaseMaxBytes, info.Config.MaxBytes)
	}
	target, err := makeFresh(ctx, to)
	if err != nil {
		return nil, err
	}
	defer target.close()
	c := &copying{source: source, target: target, bounds: b, progress: o.Progress, result: &Copied{First: b.First, Last: b.Last}}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	return c.result, target.finish(ctx, o.Beside)
}

type copying struct {
	source   *Embedded
	target   *fresh
	bounds   persistence.Bounds
	progress Progress
	result   *Copied
}

func (c *copying) run(ctx context.Context) (err error) {
	if err := c.records(ctx); err != nil {
		return err
	}
	if c.result.Bases, err = c.copyBases(ctx); err != nil {
		return err
	}
	if c.result.Cursors, err = c.cursors(ctx); err != nil {
		return err
	}
	return c.verify(ctx)
}

func (c *copying) records(ctx context.Context) error {
	out, err := c.target.bulk(ctx, journalStream)
	if err != nil {
		return err
	}
	defer out.close()
	sum := sha256.New()
	err = c.source.journal.Read(ctx, c.bounds.First, c.bounds.Last, func(e persistence.Entry) error {
		digestRecord(sum, e)
		c.progress.tell("records copied", uint64(e.Seq-c.bounds.First)+1, uint64(c.bounds.Last-c.bounds.First)+1)
		_, err := out.putRecord(ctx, e.Subject, e.Data)
		return err
	})
	if err == nil {
		err = out.flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("copy records: %w", err)
	}
	sum.Sum(c.result.Digest[:0])
	return nil
}

// digestRecord adds a record with its place.
func digestRecord(to hash.Hash, e persistence.Entry) {
	head := binary.LittleEndian.AppendUint64(nil, uint64(e.Seq))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(e.Subject)))
	head = append(head, e.Subject...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(e.Data)))
	to.Write(head)
	to.Write(e.Data)
}

func (c *copying) copyBases(ctx context.Context) (n int, err error) {
	ids, err := baseIDs(ctx, c.source.bases)
	if err != nil {
		return 0, err
	}
	out, err := c.target.bulk(ctx, baseStream)
	if err != nil {
		return 0, err
	}
	defer out.close()
	err = readBases(ctx, c.source.bases, ids, func(base persistence.Base) error {
		n++
		c.progress.tell("bases copied", uint64(n), uint64(len(ids)))
		return c.target.putBase(ctx, out, base)
	})
	if err == nil {
		err = out.flush(ctx)
	}
	return n, unwrapStop("copy bases", err)
}

// baseIDs are the ids of all bases, in order.
func baseIDs(ctx context.Context, bases *Bases) (ids []engine.AggregateID, err error) {
	_, err = bases.Scan(ctx, func(h persistence.BaseHeader) error {
		ids = append(ids, h.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// readBases reads the newest base of each id, some at a time, and delivers them in order.
func readBases(ctx context.Context, bases *Bases, ids []engine.AggregateID, fn func(persistence.Base) error) error {
	return inOrder(ctx, len(ids), func(ctx context.Context, i int) (persistence.Base, error) { return bases.Get(ctx, ids[i]) }, fn)
}

func (c *copying) cursors(ctx context.Context) (n int, err error) {
	all, err := c.source.Cursors().All(ctx)
	if err != nil {
		return 0, err
	}
	return c.target.setCursors(ctx, all)
}

// verify reads the copy back: record by record against the source's digest, then as a journal.
func (c *copying) verify(ctx context.Context) error {
	e := c.target.first()
	sum, done := sha256.New(), uint64(0)
	err := e.journal.Read(ctx, c.bounds.First, c.bounds.Last, func(e persistence.Entry) error {
		digestRecord(sum, e)
		done++
		c.progress.tell("records compared", done, uint64(c.bounds.Last-c.bounds.First)+1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the copy back: %w", err)
	}
	if have := persistence.Digest(sum.Sum(nil)); have != c.result.Digest {
		return fmt.Errorf("jetstream: the copy is not what was copied: digest %s, not %s", have.Short(), c.result.Digest.Short())
	}
	r, err := Verify(ctx, e, nil)
	if err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return fmt.Errorf("jetstream: the copied journal is not whole (run maitred journal verify on the old directory): %s", r.Findings[0])
	}
	c.result.Journal = r.Journal
	if r.Bases != c.result.Bases {
		return fmt.Errorf("jetstream: %d of %d bases came to stand in the copy", r.Bases, c.result.Bases)
	}
	return nil
}

// All are the cursors of all sinks, by their names.
func (c *Cursors) All(ctx context.Context) (map[string]persistence.Position, error) {
	l, err := c.home.current()
	if err != nil {
		return nil, err
	}
	s, err := l.js.Stream(ctx, cursorStream)
	if err != nil {
		return nil, fmt.Errorf("jetstream: read the cursors: %w", err)
	}
	all := map[string]persistence.Position{}
	if s.CachedInfo().State.Msgs == 0 {
		return all, nil
	}
	var sinks []string
	err = l.pull(ctx, s, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, 0, func(m *nats.Msg, d delivery) (bool, error) {
		sinks = append(sinks, m.Subject[len(cursorPrefix):])
		return d.pending == 0, nil
	})
	if err != nil {
		return nil, unwrapStop("read the cursors", err)
	}
	for _, sink := range sinks {
		at, err := c.Cursor(ctx, sink)
		if err != nil {
			return nil, err
		}
		all[sink] = at
	}
	return all, nil
}

// copyBases puts every base of source into the empty bucket of target, as far as they can be read.
func copyBases(ctx context.Context, source, target *Embedded) (n int, err error) {
	_, err = source.bases.Scan(ctx, func(h persistence.BaseHeader) error {
		base, err := source.bases.Get(ctx, h.ID)
		if err != nil {
			return err
		}
		base.Revision = 0
		if _, err := target.bases.Put(ctx, base); err != nil {
			return err
		}
		n++
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("copy bases: %w", err)
	}
	return n, nil
}
