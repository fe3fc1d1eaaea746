package jetstream

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"maitred/persistence"
)

const (
	hwmFile      = "hwm"
	witnessEvery = time.Second
)

// HighWater is what is known of the journal outside it: a record that was acknowledged, and from where on it must be whole.
type HighWater struct {
	Journal string          `json:"journal"` // id of the genesis; empty before one
	First   persistence.Seq `json:"first"`   // purged below; told before the purge
	Seq     persistence.Seq `json:"seq"`
	Hash    string          `json:"hash"` // persistence.HashOf the record, hexadecimal

	Revision persistence.Revision `json:"revision,omitempty"` // of SNAP, acknowledged
	Versions uint64               `json:"versions,omitempty"` // of all bases, summed up
}

// RegressedError says that the journal lacks what a witness knows. Never serve: maitred journal verify names the ids,
// salvage --accept-loss is the way out.
type RegressedError struct {
	Dir     string
	Witness string          // who knows better
	Known   persistence.Seq // what it knows of
	First   persistence.Seq // the journal's first record
	Last    persistence.Seq // the journal's last record
	Missing string          // in words
}

// Code is the stable name of the fault.
func (e *RegressedError) Code() string { return "journal_regressed" }

func (e *RegressedError) Error() string {
	return fmt.Sprintf("journal_regressed: the journal in %s (records %d to %d) is not the one that %s knows: %s; run maitred journal verify",
		e.Dir, e.First, e.Last, e.Witness, e.Missing)
}

// witness keeps the file hwm: at most witnessEvery behind the last acknowledgement, so it costs the appends nothing.
type witness struct {
	home  *Embedded
	acked atomic.Uint64

	mu      sync.Mutex
	written uint64
	mark    HighWater
}

func newWitness(e *Embedded) *witness { return &witness{home: e} }

func (w *witness) saw(seq persistence.Seq) {
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
	w.mu.Lock()
	defer w.mu.Unlock()
	seq, versions, revision := w.acked.Load(), w.home.bases.versions.Load(), w.home.bases.revision.Load()
	if seq == w.written && versions <= w.mark.Versions || seq == 0 {
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
	hash := persistence.HashOf(m.Data)
	w.mark.Seq, w.mark.Hash = persistence.Seq(seq), hex.EncodeToString(hash[:])
	w.mark.Versions, w.mark.Revision = max(w.mark.Versions, versions), max(w.mark.Revision, persistence.Revision(revision))
	if r, err := persistence.Decode(m.Data); err == nil {
		w.mark.Journal = journalOf(r)
	}
	if err := w.mark.write(w.home.opts.Dir); err != nil {
		return err
	}
	w.written = seq
	return nil
}

// purging tells the file, before it is done, that everything below first goes on purpose.
func (w *witness) purging(first persistence.Seq) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	mark := w.mark
	mark.First = first
	if err := mark.write(w.home.opts.Dir); err != nil {
		return err
	}
	w.mark = mark
	return nil
}

func (m HighWater) write(dir string) error {
	data, err := json.Marshal(m)
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
	info, err := streamInfo(ctx, l.journal)
	if err != nil {
		return err
	}
	mark, err := ReadHighWater(w.home.opts.Dir)
	if err != nil {
		return err
	}
	b := boundsOf(info)
	if mark == (HighWater{}) { // a new journal, or nobody remembers
		mark.First = b.First
	}
	w.mark, w.written = mark, uint64(mark.Seq)
	w.acked.Store(uint64(mark.Seq))
	if w.home.opts.AcceptLoss {
		return nil
	}
	if err := w.compareMark(ctx, l, b, mark); err != nil {
		return err
	}
	if held := uint64(b.Last + 1 - b.First); info.State.Msgs != held || info.State.Lost != nil {
		return w.regressed(b, "its own count", b.Last, fmt.Sprintf("%d of %d records are left; records are never deleted singly", info.State.Msgs, held))
	}
	return w.compareBase(ctx, l, b)
}

func (w *witness) regressed(b persistence.Bounds, who string, known persistence.Seq, missing string) error {
	return &RegressedError{Dir: w.home.opts.Dir, Witness: who, Known: known, First: b.First, Last: b.Last, Missing: missing}
}

func (w *witness) compareMark(ctx context.Context, l *link, b persistence.Bounds, mark HighWater) error {
	const who = "the high-water mark"
	alone := !w.home.opts.remote()
	switch {
	case mark.Seq == 0:
		return nil
	case b.Last < mark.Seq:
		return w.regressed(b, who, mark.Seq, fmt.Sprintf("at least records %d to %d are missing", b.Last+1, mark.Seq))
	case alone && b.First > max(mark.First, 1): // in a cluster another server may have purged
		return w.regressed(b, who, mark.Seq, fmt.Sprintf("records %d to %d are missing and were not purged", max(mark.First, 1), b.First-1))
	case mark.Seq < b.First:
		return nil
	}
	m, err := l.get(ctx, journalStream, getRequest{Seq: uint64(mark.Seq)})
	if isNotFound(err) {
		return w.regressed(b, who, mark.Seq, fmt.Sprintf("record %d is not readable", mark.Seq))
	}
	if err != nil {
		return err
	}
	if hash := persistence.HashOf(m.Data); hex.EncodeToString(hash[:]) != mark.Hash {
		return w.regressed(b, who, mark.Seq, fmt.Sprintf("its record %d is another one than was acknowledged", mark.Seq))
	}
	return nil
}

// compareBase looks at the base that was put last: its position is nearly the highest. Verify looks at all.
func (w *witness) compareBase(ctx context.Context, l *link, b persistence.Bounds) error {
	info, err := streamInfo(ctx, l.bases)
	if err != nil || info.State.Msgs == 0 {
		return err
	}
	if b.Last < b.First {
		return w.regressed(b, "the bucket of bases", 0, fmt.Sprintf("it is empty beside %d bases; see also maitred journal adopt", info.State.Msgs))
	}
	m, err := l.get(ctx, baseStream, getRequest{Seq: info.State.LastSeq})
	if err != nil && errors.Is(err, persistence.ErrUnknown) {
		return err
	}
	if err != nil {
		return nil // replaced this moment, or not readable: the survey of the bases says so
	}
	header, err := parseHeader(m.Header)
	if err != nil {
		return nil
	}
	base, err := baseHeader(m.Subject, m.Seq, header)
	if err != nil {
		return nil
	}
	if base.Position > b.Last {
		return w.regressed(b, "the base of "+string(base.ID), base.Position, fmt.Sprintf("at least records %d to %d are missing", b.Last+1, base.Position))
	}
	return nil
}

// compareNow is compare against the newest acknowledgement instead of the file: for a server that was restarted.
func (w *witness) compareNow(ctx context.Context, l *link) error {
	b, err := l.bounds(ctx)
	if err != nil {
		return err
	}
	if acked := persistence.Seq(w.acked.Load()); b.Last < acked {
		return w.regressed(b, "this process", acked, fmt.Sprintf("at least records %d to %d are missing", b.Last+1, acked))
	}
	return nil
}
