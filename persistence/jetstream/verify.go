package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/engine"
	"maitred/persistence"
)

// maxFindings bounds a report; Report.More counts the rest.
const maxFindings = 10_000

// Heads are the versions of aggregates that somebody outside knows, say the store.
type Heads map[engine.AggregateID]engine.Version

// Finding is one thing that is wrong with a journal.
type Finding struct {
	Seq       persistence.Seq    // where; 0 = nowhere in particular
	Aggregate engine.AggregateID // whose; empty = nobody's in particular
	What      string
}

func (f Finding) String() string {
	s := f.What
	if f.Aggregate != "" {
		s = string(f.Aggregate) + ": " + s
	}
	if f.Seq != 0 {
		s = fmt.Sprintf("record %d: %s", f.Seq, s)
	}
	return s
}

// Report is what Verify found.
type Report struct {
	Journal                          string
	Bounds                           persistence.Bounds
	Frames, Claims, Checkpoints      int
	Events, Bases, Aggregates, Nodes int
	Folded                           persistence.Seq // custody was folded up to here
	Findings                         []Finding
	More                             int
}

func (r *Report) add(f Finding) {
	if len(r.Findings) == maxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

// OpenForRepair opens what is left in a data directory, whatever its witnesses say. It does not make a journal.
func OpenForRepair(ctx context.Context, o Options) (*Embedded, error) {
	if _, err := os.Stat(storeDir(o.Dir)); err != nil {
		return nil, fmt.Errorf("jetstream: no journal in %s: %w", o.Dir, err)
	}
	o.AcceptLoss = true
	o.Unsafe.NoWatchdog = true
	return Open(ctx, o)
}

// Verify reads every record and every base, folds custody, and compares chains, versions, bases, heads and the high-water
// mark. It says what is wrong and does not end at it; an error means that it could not look.
func Verify(ctx context.Context, e *Embedded, heads Heads) (*Report, error) {
	v := &verification{report: &Report{}, seen: map[engine.AggregateID]*versions{}}
	l, err := e.current()
	if err != nil {
		return nil, err
	}
	if v.report.Bounds, err = l.bounds(ctx); err != nil {
		return nil, err
	}
	if err := v.fold(ctx, e); err != nil {
		return nil, err
	}
	if err := v.bases(ctx, e); err != nil {
		return nil, err
	}
	for id, head := range heads {
		if have := v.version(id); have < head {
			v.report.add(Finding{Aggregate: id, What: fmt.Sprintf("the store knows version %d, journal and bases end at %d", head, have)})
		}
	}
	mark, err := ReadHighWater(e.opts.Dir)
	if err != nil {
		return nil, err
	}
	var regressed *RegressedError
	if err := e.witness.compareMark(ctx, l, v.report.Bounds, mark); errors.As(err, &regressed) {
		v.report.add(Finding{Seq: regressed.Known, What: "high-water mark: " + regressed.Missing})
	} else if err != nil {
		return nil, err
	}
	v.report.Aggregates = len(v.seen)
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Seq, b.Seq) })
	return v.report, nil
}

type versions struct {
	last engine.Version
	base engine.Version
}

type verification struct {
	report  *Report
	custody *persistence.Custody // nil until the fold has begun
	broken  bool                 // the fold ended at a failed assertion
	seen    map[engine.AggregateID]*versions
}

func (v *verification) version(id engine.AggregateID) engine.Version {
	if s := v.seen[id]; s != nil {
		return max(s.last, s.base)
	}
	return 0
}

func (v *verification) of(id engine.AggregateID) *versions {
	s := v.seen[id]
	if s == nil {
		s = new(versions)
		v.seen[id] = s
	}
	return s
}

func (v *verification) fold(ctx context.Context, e *Embedded) error {
	begin, err := foldStart(ctx, e.journal, v.report.Bounds)
	if err != nil {
		v.report.add(Finding{What: err.Error()})
	} else {
		v.custody = begin
	}
	err = e.walk(ctx, v.report.Bounds, v.record, func(from, to persistence.Seq) {
		v.broken = true
		v.report.add(Finding{Seq: from, What: fmt.Sprintf("records %d to %d are missing or unreadable", from, to)})
	})
	if v.custody != nil {
		v.report.Journal, v.report.Folded = v.custody.Journal(), v.custody.Seq()
		v.custody.Nodes(func(persistence.SlotState) { v.report.Nodes++ })
	}
	return err
}

func (v *verification) record(e persistence.Entry) {
	r, err := persistence.Decode(e.Data)
	if err != nil {
		v.broken = true
		v.report.add(Finding{Seq: e.Seq, What: err.Error()})
		return
	}
	switch r := r.(type) {
	case *persistence.Frame:
		v.report.Frames++
		v.events(e.Seq, r)
	case *persistence.Claim:
		v.report.Claims++
	case *persistence.Checkpoint:
		v.report.Checkpoints++
	}
	if v.custody == nil || v.broken || e.Seq <= v.custody.Seq() {
		return
	}
	if err := v.custody.Apply(e, r); err != nil {
		v.broken = true
		v.report.add(Finding{Seq: e.Seq, What: err.Error()})
	}
}

func (v *verification) events(seq persistence.Seq, f *persistence.Frame) {
	for i := range f.Index {
		x := &f.Index[i]
		v.report.Events++
		s := v.of(x.Aggregate)
		if s.last != 0 && x.Version != s.last+1 {
			v.report.add(Finding{Seq: seq, Aggregate: x.Aggregate, What: fmt.Sprintf("version %d follows version %d", x.Version, s.last)})
		}
		s.last = x.Version
		if _, err := engine.DecodeEvent(f.Events[i]); err != nil {
			v.report.add(Finding{Seq: seq, Aggregate: x.Aggregate, What: fmt.Sprintf("version %d: %v", x.Version, err)})
		}
	}
}

func (v *verification) bases(ctx context.Context, e *Embedded) error {
	_, err := e.bases.Scan(ctx, func(h persistence.BaseHeader) error {
		v.report.Bases++
		s := v.of(h.ID)
		s.base = h.Version
		if h.Position > v.report.Bounds.Last {
			v.report.add(Finding{Aggregate: h.ID, What: fmt.Sprintf("its base is of record %d, the journal ends at %d", h.Position, v.report.Bounds.Last)})
		}
		return nil
	})
	if errors.Is(err, persistence.ErrCorrupt) {
		v.report.add(Finding{What: err.Error()})
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// foldStart begins custody before the journal's first record, or after a purge at a checkpoint.
func foldStart(ctx context.Context, j *Journal, b persistence.Bounds) (*persistence.Custody, error) {
	if b.Last < b.First {
		return nil, errors.New("the journal is empty")
	}
	first, err := j.Get(ctx, b.First)
	if err != nil {
		return nil, fmt.Errorf("first record: %w", err)
	}
	if r, err := persistence.Decode(first.Data); err == nil {
		if _, ok := r.(*persistence.Genesis); ok {
			return new(persistence.Custody), nil
		}
	}
	last, err := j.Last(ctx, persistence.Control)
	if err != nil {
		return nil, fmt.Errorf("neither genesis nor checkpoint to fold from: %w", err)
	}
	r, err := persistence.Decode(last.Data)
	if err != nil {
		return nil, fmt.Errorf("last checkpoint, record %d: %w", last.Seq, err)
	}
	cp, ok := r.(*persistence.Checkpoint)
	if !ok || cp.Seq+1 < b.First {
		return nil, fmt.Errorf("record %d is no checkpoint of what the journal still holds", last.Seq)
	}
	return persistence.FromCheckpoint(cp)
}

// walk calls fn for every record that can be read, and lost for the holes between them.
func (e *Embedded) walk(ctx context.Context, b persistence.Bounds, fn func(persistence.Entry), lost func(from, to persistence.Seq)) error {
	l, err := e.current()
	if err != nil {
		return err
	}
	next := b.First
	for next <= b.Last {
		cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(next)}
		err := l.pull(ctx, l.journal, cfg, 0, func(m *nats.Msg, d delivery) (bool, error) {
			seq := persistence.Seq(d.seq)
			if seq > next {
				lost(next, min(seq-1, b.Last))
			}
			if next = seq + 1; seq <= b.Last {
				fn(persistence.Entry{Seq: seq, Subject: persistence.Subject(m.Subject), Time: d.time, Data: m.Data})
			}
			return seq >= b.Last || d.pending == 0, nil
		})
		if ctx.Err() != nil {
			return fmt.Errorf("read the journal: %w", ctx.Err())
		}
		if err != nil || next <= b.Last { // nothing comes any more: the rest is not readable
			if next <= b.Last {
				lost(next, b.Last)
			}
			return nil
		}
	}
	return nil
}
