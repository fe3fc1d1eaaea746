package jetstream

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"maitred/persistence"
)

const (
	hwmFile      = "hwm"
	witnessEvery = time.Second
)

// HighWater is a record that was acknowledged, told outside the journal.
type HighWater struct {
	Journal string          `json:"journal"` // id of the genesis; empty before one
	Seq     persistence.Seq `json:"seq"`
	Hash    string          `json:"hash"` // persistence.HashOf the record, hexadecimal
}

// RegressedError says that the journal lacks what a witness knows. Never serve: maitred journal verify names the ids,
// salvage --accept-loss is the way out.
type RegressedError struct {
	Dir     string
	Witness string          // who knows better
	Known   persistence.Seq // what it knows of
	Last    persistence.Seq // the journal's last record
	Other   bool            // there is a record at Known, and it is another one
}

// Code is the stable name of the fault.
func (e *RegressedError) Code() string { return "journal_regressed" }

func (e *RegressedError) Error() string {
	what := fmt.Sprintf("it ends at %d, so at least records %d to %d are missing", e.Last, e.Last+1, e.Known)
	if e.Other {
		what = fmt.Sprintf("its record %d is another one than was acknowledged", e.Known)
	}
	return fmt.Sprintf("journal_regressed: the journal in %s is not the one that %s knows: %s; run maitred journal verify", e.Dir, e.Witness, what)
}

// witness keeps the file hwm: at most witnessEvery behind the last acknowledgement, so it costs the appends nothing.
type witness struct {
	home    *Embedded
	acked   atomic.Uint64
	written uint64
}

func newWitness(e *Embedded) *witness { return &witness{home: e} }

func (w *witness) saw(seq persistence.Seq, _ []byte) {
	for {
		old := w.acked.Load()
		if uint64(seq) <= old || w.acked.CompareAndSwap(old, uint64(seq)) {
			return
		}
	}
}

func (w *witness) run(ctx context.Context) {
	tick := time.NewTicker(witnessEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.log(w.write(ctx))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), requestTimeout)
			defer cancel()
			w.log(w.write(last))
			return
		}
	}
}

func (w *witness) log(err error) {
	if err != nil {
		w.home.opts.Logger.Warn("jetstream: high-water mark not written", "err", err)
	}
}

// write puts the last acknowledged record into the file.
func (w *witness) write(ctx context.Context) error {
	seq := w.acked.Load()
	if seq == w.written {
		return nil
	}
	l := w.home.now.Load()
	if l == nil {
		return nil // the server restarts; the next tick is soon
	}
	m, err := l.get(ctx, journalStream, getRequest{Seq: seq})
	if err != nil {
		return err
	}
	if err := writeHighWater(w.home.opts.Dir, m); err != nil {
		return err
	}
	w.written = seq
	return nil
}

func writeHighWater(dir string, m *message) error {
	hash := persistence.HashOf(m.Data)
	mark := HighWater{Seq: persistence.Seq(m.Seq), Hash: hex.EncodeToString(hash[:])}
	if r, err := persistence.Decode(m.Data); err == nil {
		mark.Journal = journalOf(r)
	}
	data, err := json.Marshal(mark)
	if err != nil {
		return fmt.Errorf("jetstream: high-water mark: %w", err)
	}
	return writeDurably(filepath.Join(dir, hwmFile), append(data, '\n'))
}

// ReadHighWater reads the high-water mark of a data directory; zero when there is none.
func ReadHighWater(dir string) (HighWater, error) {
	var mark HighWater
	data, err := os.ReadFile(filepath.Join(dir, hwmFile))
	if errors.Is(err, os.ErrNotExist) {
		return mark, nil
	}
	if err == nil {
		err = unmarshal(data, &mark)
	}
	if err != nil {
		return mark, fmt.Errorf("jetstream: read high-water mark: %w", err)
	}
	return mark, nil
}

func journalOf(r persistence.Record) string {
	switch r := r.(type) {
	case *persistence.Frame:
		return r.Journal
	case *persistence.Claim:
		return r.Journal
	case *persistence.Genesis:
		return r.Journal
	case *persistence.Checkpoint:
		return r.Journal
	}
	return ""
}

// compare asserts that the journal holds what the high-water mark and the newest base know of. A journal shorter than
// either lost acknowledged records; the next append would give their sequences to others.
func (w *witness) compare(ctx context.Context, l *link) error {
	if w.home.opts.AdoptEmpty {
		return nil
	}
	b, err := l.bounds(ctx)
	if err != nil {
		return err
	}
	mark, err := ReadHighWater(w.home.opts.Dir)
	if err != nil {
		return err
	}
	if err := w.compareMark(ctx, l, b, mark); err != nil {
		return err
	}
	w.acked.Store(uint64(mark.Seq))
	w.written = uint64(mark.Seq)
	return w.compareBase(ctx, l, b)
}

func (w *witness) compareMark(ctx context.Context, l *link, b persistence.Bounds, mark HighWater) error {
	regressed := &RegressedError{Dir: w.home.opts.Dir, Witness: "the high-water mark", Known: mark.Seq, Last: b.Last}
	switch {
	case mark.Seq == 0:
		return nil
	case b.Last < mark.Seq:
		return regressed
	case mark.Seq < b.First: // purged since
		return nil
	}
	m, err := l.get(ctx, journalStream, getRequest{Seq: uint64(mark.Seq)})
	if isNotFound(err) {
		return regressed
	}
	if err != nil {
		return err
	}
	if hash := persistence.HashOf(m.Data); hex.EncodeToString(hash[:]) != mark.Hash {
		regressed.Other = true
		return regressed
	}
	return nil
}

// compareBase looks at the base that was put last: its position is nearly the highest. Verify looks at all.
func (w *witness) compareBase(ctx context.Context, l *link, b persistence.Bounds) error {
	info, err := streamInfo(ctx, l.bases)
	if err != nil || info.State.Msgs == 0 {
		return err
	}
	m, err := l.get(ctx, baseStream, getRequest{Seq: info.State.LastSeq})
	if isNotFound(err) {
		return nil // replaced this moment
	}
	if err != nil {
		return err
	}
	header, err := parseHeader(m.Header)
	if err != nil {
		return err
	}
	base, err := baseHeader(m.Subject, m.Seq, header)
	if err != nil {
		return err
	}
	if base.Position > b.Last {
		return &RegressedError{Dir: w.home.opts.Dir, Witness: "the base of " + string(base.ID), Known: base.Position, Last: b.Last}
	}
	if b.Last == 0 {
		return fmt.Errorf("jetstream: empty journal beside %d bases in %s; see maitred journal adopt", info.State.Msgs, w.home.opts.Dir)
	}
	return nil
}
