package jetstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Loss is an aggregate that somebody knows at a later version than could be saved. Base and events up to Saved are kept.
type Loss struct {
	Aggregate    engine.AggregateID
	Saved, Known engine.Version
	Witness      string
}

// Salvaged is what Salvage did.
type Salvaged struct {
	OldJournal, Journal string
	Kept                string // where the old files are
	First               persistence.Seq
	Events, Bases       int
	Lost                []Loss
}

// SalvageOptions are for Salvage.
type SalvageOptions struct {
	Options
	Node  string          // owner of every partition in the new journal; empty = the node that wrote last
	Heads Heads           // versions that the store knows
	Above persistence.Seq // a sequence that a cursor has reached: the new journal begins above it
	Empty bool            // refuse unless the journal is empty: this is an adoption
}

// Salvage begins a new journal in o.Dir with what is left of the old one: every base, and every event that follows its base
// without a hole. The old files move into a folder beside it. The new journal begins above every sequence that anybody can
// have seen, so that nothing takes one of its records for an old one. Stores have to be rebuilt.
func Salvage(ctx context.Context, o SalvageOptions) (result *Salvaged, err error) {
	if o.Cluster != nil {
		return nil, errors.New("jetstream: a cluster is not salvaged: wipe the damaged server and let it rejoin")
	}
	if err := o.precheck(ctx); err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	kept := filepath.Join(o.Dir, "salvaged-"+time.Now().UTC().Format("20060102T150405.000"))
	if err := setAside(o.Dir, kept); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the old files are in %s", err, kept)
		}
	}()
	from := o.Options
	from.Dir = kept
	source, err := OpenForRepair(ctx, from)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	s := &salvage{o: o, source: source, state: map[engine.AggregateID]*salvaged{}, result: &Salvaged{Kept: kept}}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	_ = lock.Close() // Open takes it again
	if err := s.write(ctx); err != nil {
		return nil, err
	}
	s.losses()
	return s.result, nil
}

// precheck refuses before anything is moved.
func (o SalvageOptions) precheck(ctx context.Context) error {
	if o.Node != "" && !persistence.ValidName(o.Node) {
		return fmt.Errorf("jetstream: %q is not the name of a node", o.Node)
	}
	e, err := OpenForRepair(ctx, o.Options)
	if err != nil {
		return err
	}
	defer e.Close()
	b, err := e.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	if o.Empty && b.Last >= b.First {
		return fmt.Errorf("jetstream: the journal in %s is not empty (%d to %d): adopt is for an empty one, salvage for a damaged one", o.Dir, b.First, b.Last)
	}
	return nil
}

// setAside moves everything of a journal into kept.
func setAside(dir, kept string) error {
	if _, err := os.Stat(storeDir(dir)); err != nil {
		return fmt.Errorf("jetstream: no journal in %s: %w", dir, err)
	}
	if err := os.Mkdir(kept, 0o700); err != nil {
		return fmt.Errorf("jetstream: set the old journal aside: %w", err)
	}
	for _, name := range []string{filepath.Base(storeDir(dir)), modeFile, hwmFile, soundFile, unsoundFile} {
		err := os.Rename(filepath.Join(dir, name), filepath.Join(kept, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("jetstream: set the old journal aside: %w", err)
		}
	}
	return syncPath(dir)
}

type salvaged struct {
	base   engine.Version
	last   engine.Version // saved up to here
	seen   engine.Version // the highest version met anywhere in the journal
	events [][]byte       // versions base+1 … last
}

type salvage struct {
	o      SalvageOptions
	source *Embedded
	bounds persistence.Bounds
	state  map[engine.AggregateID]*salvaged
	above  persistence.Seq
	parts  int
	node   string
	result *Salvaged
}

func (s *salvage) of(id engine.AggregateID) *salvaged {
	a := s.state[id]
	if a == nil {
		a = new(salvaged)
		s.state[id] = a
	}
	return a
}

func (s *salvage) read(ctx context.Context) (err error) {
	if s.bounds, err = s.source.journal.Bounds(ctx); err != nil {
		return err
	}
	mark, err := ReadHighWater(s.source.opts.Dir)
	if err != nil {
		return err
	}
	s.above, s.node, s.parts = max(s.o.Above, mark.Seq, s.bounds.Last), s.o.Node, persistence.DefaultPartitions
	s.result.OldJournal = mark.Journal
	_, err = s.source.bases.Scan(ctx, func(h persistence.BaseHeader) error {
		a := s.of(h.ID)
		a.base, a.last = h.Version, h.Version
		s.above = max(s.above, h.Position)
		return nil
	})
	if err != nil && !errors.Is(err, persistence.ErrCorrupt) { // the rest is looked for in the journal
		return err
	}
	return s.source.walk(ctx, s.bounds, s.record, func(persistence.Seq, persistence.Seq) {})
}

func (s *salvage) record(e persistence.Entry) {
	r, err := persistence.Decode(e.Data)
	if err != nil {
		return // Verify names it
	}
	s.result.OldJournal = journalOf(r)
	switch r := r.(type) {
	case *persistence.Genesis:
		s.parts = r.Partitions
	case *persistence.Checkpoint:
		s.parts = len(r.Parts)
	case *persistence.Frame:
		if s.o.Node == "" {
			s.node = r.Node
		}
		for i := range r.Index {
			x := &r.Index[i]
			a := s.of(x.Aggregate)
			a.seen = max(a.seen, x.Version)
			if x.Version == a.last+1 {
				a.last = x.Version
				a.events = append(a.events, r.Events[i])
			}
		}
	}
}

func (s *salvage) losses() {
	for id, a := range s.state {
		known, witness := a.seen, "the journal after a hole"
		if h := s.o.Heads[id]; h > known {
			known, witness = h, "the store"
		}
		if known > a.last {
			s.result.Lost = append(s.result.Lost, Loss{id, a.last, known, witness})
		}
	}
	for id, h := range s.o.Heads {
		if s.state[id] == nil {
			s.result.Lost = append(s.result.Lost, Loss{id, 0, h, "the store"})
		}
	}
	slices.SortFunc(s.result.Lost, func(a, b Loss) int { return strings.Compare(string(a.Aggregate), string(b.Aggregate)) })
}

func (s *salvage) write(ctx context.Context) error {
	info, err := streamInfo(ctx, s.source.now.Load().bases)
	if err != nil {
		return err
	}
	to := s.o.Options
	to.FirstSeq, to.FirstRevision = uint64(s.above)+1, info.State.LastSeq+1
	to.AcceptLoss = true // the bases come before the genesis that they are older than
	target, err := Open(ctx, to)
	if err != nil {
		return err
	}
	defer target.Close()
	if s.result.Bases, err = copyBases(ctx, s.source, target); err != nil && !errors.Is(err, persistence.ErrCorrupt) {
		return err
	}
	if s.node == "" {
		return errors.New("jetstream: nothing left says which node wrote: name one")
	}
	w := &rewriter{put: target.journal.Append, name: newJournalID(), node: s.node, parts: s.parts}
	if err := w.begin(ctx); err != nil {
		return err
	}
	s.result.Journal, s.result.First = w.name, w.since-1
	for _, id := range sortedIDs(s.state) {
		a := s.state[id]
		for i, ev := range a.events {
			if err := w.add(ctx, id, a.base+engine.Version(i)+1, ev); err != nil {
				return err
			}
			s.result.Events++
		}
	}
	return w.flush(ctx)
}

func sortedIDs(m map[engine.AggregateID]*salvaged) []engine.AggregateID {
	ids := make([]engine.AggregateID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// rewriter writes events into a new journal as the first incarnation of its only node.
type rewriter struct {
	put    func(ctx context.Context, subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error)
	name   string
	node   string
	parts  int
	since  persistence.Seq // of the claim: custody of every partition
	last   persistence.Seq
	hash   persistence.Digest
	frame  *persistence.Frame
	number uint64
	bytes  int
}

func newJournalID() string { return "jrn-" + strings.ToLower(rand.Text()) }

func (w *rewriter) begin(ctx context.Context) error {
	now := time.Now().UnixMilli()
	genesis := persistence.Encode(nil, &persistence.Genesis{Journal: w.name, Partitions: w.parts, Node: w.node, WallMs: now})
	if _, err := w.put(ctx, persistence.Control, genesis, 0); err != nil {
		return fmt.Errorf("write the genesis: %w", err)
	}
	claim := &persistence.Claim{Journal: w.name, Node: w.node, By: w.node, Incarnation: 1, WallMs: now}
	if err := w.append(ctx, claim); err != nil {
		return err
	}
	w.since = w.last
	return nil
}

func (w *rewriter) append(ctx context.Context, r persistence.Record) error {
	data := persistence.Encode(nil, r)
	seq, err := w.put(ctx, persistence.SlotSubject(w.node), data, w.last)
	if err != nil {
		return fmt.Errorf("write what was saved: %w", err)
	}
	w.last, w.hash = seq, persistence.HashOf(data)
	return nil
}

// frameRoom is what index and framing of one event may take beside its bytes.
const frameRoom = persistence.MaxNameBytes + 64

func (w *rewriter) add(ctx context.Context, id engine.AggregateID, v engine.Version, event []byte) error {
	size := len(event) + frameRoom
	if w.frame != nil && (w.bytes+size > persistence.MaxFrameBytes || len(w.frame.Events) == persistence.MaxFrameEvents) {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.frame == nil {
		w.number++
		w.frame = &persistence.Frame{
			Journal: w.name, Node: w.node, Incarnation: 1, Number: w.number, PrevSeq: w.last, PrevHash: w.hash, WallMs: time.Now().UnixMilli(),
		}
		w.bytes = 1024
	}
	w.bytes += size
	w.frame.Index = append(w.frame.Index, persistence.IndexEntry{
		Partition: persistence.PartitionOf(id, w.parts), Since: w.since, Aggregate: id, Version: v,
	})
	w.frame.Events = append(w.frame.Events, event)
	return nil
}

func (w *rewriter) flush(ctx context.Context) error {
	if w.frame == nil {
		return nil
	}
	f := w.frame
	w.frame = nil
	return w.append(ctx, f)
}
