package actors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// restoreTries is how often a journal into which others write meanwhile is read: a floor that rises, or a purge, may fall between two
// questions and look like a loss.
const restoreTries = 3

// restore folds the journal from its newest checkpoint, or its genesis, to its end, and tells the timers what may be due.
// An empty journal gets a genesis.
func restore(ctx context.Context, cfg *Config, t *timers) (*fold, error) {
	for try := 1; ; try++ {
		f, err := restoreOnce(ctx, cfg, t)
		if err == nil || !cfg.Shared || try == restoreTries || ctx.Err() != nil {
			return f, err
		}
	}
}

func restoreOnce(ctx context.Context, cfg *Config, t *timers) (*fold, error) {
	b, err := cfg.Journal.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("bounds of the journal: %w", err)
	}
	if b.Last < b.First {
		if err := genesis(ctx, cfg); err != nil {
			return nil, err
		}
		if b, err = cfg.Journal.Bounds(ctx); err != nil {
			return nil, fmt.Errorf("bounds of the journal: %w", err)
		}
	}
	f := new(fold)
	if f.custody, err = beginFold(ctx, cfg.Journal, b); err != nil {
		return nil, err
	}
	if f.custody.Partitions() == 0 {
		if err := f.readGenesis(ctx, cfg.Journal, b.First); err != nil {
			return nil, err
		}
	}
	return f, f.read(ctx, cfg, t, b)
}

// genesis begins a journal. Another node may be faster.
func genesis(ctx context.Context, cfg *Config) error {
	if err := noBases(ctx, cfg.Bases); err != nil {
		return err
	}
	var id [10]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("random journal id: %w", err)
	}
	g := &persistence.Genesis{
		Journal: "jrn_" + hex.EncodeToString(id[:]), Partitions: cfg.Partitions, Node: cfg.Node,
		WallMs: cfg.Now().UnixMilli(),
	}
	_, err := cfg.Journal.Append(ctx, persistence.Control, persistence.Encode(nil, g), 0)
	if errors.Is(err, persistence.ErrConflict) {
		err = awaitGenesis(ctx, cfg.Journal)
	}
	if err != nil {
		return fmt.Errorf("begin a journal: %w", err)
	}
	return nil
}

// What refuses an append may be on its way still: the journal's leader judges before a majority has the record.
const (
	genesisWithin = 10 * time.Second
	genesisLook   = 20 * time.Millisecond
)

// awaitGenesis waits until the record of the node that was faster can be read.
func awaitGenesis(ctx context.Context, j persistence.Journal) error {
	ctx, cancel := context.WithTimeout(ctx, genesisWithin)
	defer cancel()
	for {
		_, err := j.Last(ctx, persistence.Control)
		if err == nil || !errors.Is(err, persistence.ErrNotFound) {
			return err
		}
		select {
		case <-time.After(genesisLook):
		case <-ctx.Done():
			return err
		}
	}
}

// noBases refuses to begin a journal beside the bases of another one.
func noBases(ctx context.Context, bases persistence.Bases) error {
	_, err := bases.Scan(ctx, func(h persistence.BaseHeader) error {
		return fmt.Errorf("the journal is empty, but there is a base of %s at version %d: refused", h.ID, h.Version)
	})
	return err
}

// beginFold finds the newest checkpoint that the journal can go on from.
func beginFold(ctx context.Context, j persistence.Journal, b persistence.Bounds) (*persistence.Custody, error) {
	last, err := j.Last(ctx, persistence.Control)
	if err != nil {
		return nil, fmt.Errorf("newest record on %s: %w", persistence.Control, err)
	}
	r, err := persistence.Decode(last.Data)
	if err != nil {
		return nil, fmt.Errorf("record %d on %s: %w", last.Seq, persistence.Control, err)
	}
	if cp, ok := r.(*persistence.Checkpoint); ok && cp.Seq+1 >= b.First {
		return persistence.FromCheckpoint(cp)
	}
	return new(persistence.Custody), nil
}

func (f *fold) readGenesis(ctx context.Context, j persistence.Journal, first persistence.Seq) error {
	e, err := j.Get(ctx, first)
	if err != nil {
		return fmt.Errorf("first record %d: %w", first, err)
	}
	r, err := persistence.Decode(e.Data)
	if err != nil {
		return fmt.Errorf("first record %d: %w", first, err)
	}
	return f.custody.Apply(e, r)
}

// read takes the bases' headers and folds the records up to b.Last.
func (f *fold) read(ctx context.Context, cfg *Config, t *timers, b persistence.Bounds) error {
	n := f.custody.Partitions()
	f.tail = persistence.NewTail(n)
	scanned := map[engine.AggregateID]engine.Version{}
	f.anew = cfg.Bases.Anew()
	var err error
	var farthest persistence.BaseHeader
	f.revision, err = cfg.Bases.Scan(ctx, func(h persistence.BaseHeader) error {
		if h.Position > farthest.Position {
			farthest = h
		}
		f.tail.Based(h.ID, h.Version)
		scanned[h.ID] = max(scanned[h.ID], h.Version)
		t.set(h.ID, h.NextDue)
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan bases: %w", err)
	}
	if farthest.Position > b.Last { // another node may have written since
		if b, err = cfg.Journal.Bounds(ctx); err != nil {
			return fmt.Errorf("bounds of the journal: %w", err)
		}
	}
	if farthest.Position > b.Last {
		return fmt.Errorf("base of %s stands at %d, the journal ends at %d: it lost what was durable", farthest.ID, farthest.Position, b.Last)
	}
	if err := f.readTail(ctx, cfg, b); err != nil {
		return err
	}
	if err := f.compare(ctx, cfg, scanned); err != nil {
		return err
	}
	// Events after a base may have set a timer that its header does not know: these are looked at soon.
	f.tail.Oldest(b.Last, func(id engine.AggregateID, _ persistence.Seq) bool {
		t.look(id)
		return true
	})
	return nil
}

// readTail folds the records up to b.Last. The tail begins at the lowest floor.
func (f *fold) readTail(ctx context.Context, cfg *Config, b persistence.Bounds) error {
	n := f.custody.Partitions()
	from := f.custody.Seq() + 1
	tailFrom := from
	for p := range n {
		part := f.custody.Part(persistence.Partition(p))
		if part.Base > f.revision {
			return fmt.Errorf("%w: bases end at revision %d, the floor of partition %d relies on %d", persistence.ErrCorrupt, f.revision, p, part.Base)
		}
		f.tail.Floored(persistence.Partition(p), f.floor(p))
		tailFrom = min(tailFrom, f.floor(p)+1)
	}
	// Floors that rose after the checkpoint may have let the journal go beyond those that it holds: what the fold ends with
	// is checked below.
	tailFrom = min(max(tailFrom, b.First), from)
	err := persistence.ReadRecords(ctx, cfg.Journal, tailFrom, b.Last, func(e persistence.Entry, r persistence.Record) error {
		if e.Seq >= from {
			return f.apply(e, r)
		}
		if fr, ok := r.(*persistence.Frame); ok {
			return f.index(e.Seq, fr)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fold the journal: %w", err)
	}
	for p := range n {
		if floor := f.floor(p); floor+1 < b.First {
			return fmt.Errorf("the journal begins at %d, events of partition %d after %d are in no base", b.First, p, floor)
		}
	}
	return nil
}

// compare looks for aggregates whose base is gone although a floor relies on it, and for those of which the store has seen
// more. A bucket that was damaged may have lost bases without a trace of its own.
func (f *fold) compare(ctx context.Context, cfg *Config, scanned map[engine.AggregateID]engine.Version) error {
	lost := map[engine.AggregateID]string{}
	f.tail.Bases(func(id engine.AggregateID, needed engine.Version) {
		if have := scanned[id]; have < needed {
			lost[id] = fmt.Sprintf("%s (a base of version %d is needed, there is %d)", id, needed, have)
		}
	})
	if err := f.compareStore(ctx, cfg, lost); err != nil {
		return fmt.Errorf("compare with the store: %w", err)
	}
	if len(lost) == 0 {
		return nil
	}
	named := slices.Sorted(maps.Values(lost))
	return fmt.Errorf("%w: journal_regressed: journal and bases have lost %d aggregates: %s", persistence.ErrCorrupt, len(lost),
		strings.Join(named[:min(len(named), maxNamed)], ", "))
}

// compareStore looks for what the store has seen and this node has not, also not in what came since it began to read.
func (f *fold) compareStore(ctx context.Context, cfg *Config, lost map[engine.AggregateID]string) error {
	if cfg.Known == nil {
		return nil
	}
	ahead := map[engine.AggregateID]engine.Version{}
	have := func(id engine.AggregateID) engine.Version { return max(f.tail.Last(id), f.tail.Base(id)) }
	err := cfg.Known(ctx, func(id engine.AggregateID, v engine.Version) error {
		if have(id) < v {
			ahead[id] = v
		}
		return nil
	})
	if err != nil || len(ahead) == 0 {
		return err
	}
	b, err := cfg.Journal.Bounds(ctx)
	if err == nil && b.Last > f.custody.Seq() {
		err = persistence.ReadRecords(ctx, cfg.Journal, f.custody.Seq()+1, b.Last, f.apply)
	}
	for id, v := range ahead {
		if have(id) < v {
			lost[id] = fmt.Sprintf("%s (version %d, the store has seen %d)", id, have(id), v)
		}
	}
	return err
}

// maxNamed is how many lost aggregates an error names; journal verify names them all.
const maxNamed = 20
