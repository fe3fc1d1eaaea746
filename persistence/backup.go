package persistence

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"maitred/engine"
)

// A backup is a copy of a journal and its bases as of one record, in a tar: chunks of records and of bases, then what they are. Whoever
// keeps it adds to the tar what else belongs to it, and the SHA-256 of every file as the last one, so that also `sha256sum -c` tells.
const (
	backupFormat  = 1
	backupChunk   = 1 << 20 // of records or bases; one base may be longer
	backupJournal = "journal/"
	backupBases   = "bases/"
	backupInfo    = "backup.json"
	backupSums    = "SHA256SUMS"
	backupError   = "error" // in the place of what could not be read
)

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Format     int       `json:"format"`
	Journal    string    `json:"journal"` // id
	First      Seq       `json:"first"`   // record of the journal
	Last       Seq       `json:"last"`    // the backup is as of this one
	Partitions int       `json:"partitions"`
	Made       time.Time `json:"made"`

	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"` // of the records
	Events  uint64 `json:"events"`
	Bases   uint64 `json:"bases"`
	Digest  string `json:"digest"` // of events and bases: ContentDigest

	Cursors map[string]Position `json:"cursors,omitempty"` // of sinks
}

// BackupSource is what is backed up.
type BackupSource struct {
	Journal Journal
	Bases   Bases
	Cursors map[string]Position
	Now     func() time.Time
	// Progress is told how much of what is done, of how many as far as is known; nil = nobody asks.
	Progress func(what string, done, all uint64)
}

// WriteBackup writes a journal with its bases as of the record that is its last when it has read the rest; others may write meanwhile.
// It reads what there is of the journal, then the bases, then what came since. So a base holds whatever was purged before, and none is of
// a record that the backup lacks. A purge of what is being read ends it with ErrNotFound: to be tried again. On any error the backup
// says so itself, and is refused by whoever reads it.
func WriteBackup(ctx context.Context, to *tar.Writer, s BackupSource) (BackupInfo, error) {
	w := &backupWriter{to: to, source: s, content: newContents()}
	err := w.write(ctx)
	if err != nil {
		err = fmt.Errorf("back up the journal: %w", err)
		_ = w.file(backupError, []byte(err.Error())) // then the backup is cut off, which is noticed as well
	}
	return w.info, err
}

type backupWriter struct {
	to      *tar.Writer
	source  BackupSource
	info    BackupInfo
	content *contents
	chunk   []byte
	chunks  int
}

func (w *backupWriter) write(ctx context.Context) error {
	b, err := w.source.Journal.Bounds(ctx)
	if err != nil {
		return err
	}
	if b.Last < b.First {
		return errors.New("the journal is empty")
	}
	w.info = BackupInfo{Format: backupFormat, First: b.First, Made: w.source.Now().UTC(), Cursors: w.source.Cursors}
	if w.info.Journal, err = JournalOf(ctx, w.source.Journal, b.First); err != nil {
		return err
	}
	if err := w.records(ctx, b.First, b.Last); err != nil {
		return err
	}
	if err := w.bases(ctx); err != nil {
		return err
	}
	now, err := w.source.Journal.Bounds(ctx)
	if err != nil {
		return err
	}
	if err := w.records(ctx, b.Last+1, now.Last); err != nil {
		return err
	}
	w.info.Last = now.Last
	return w.finish()
}

func (w *backupWriter) finish() error {
	if err := w.content.check(w.info.Last); err != nil {
		return err
	}
	w.info.Events, w.info.Bases, w.info.Partitions = w.content.events, uint64(len(w.content.bases)), w.content.partitions
	w.info.Digest = w.content.hex()
	data, err := json.MarshalIndent(w.info, "", "  ")
	if err != nil {
		return err
	}
	return w.file(backupInfo, append(data, '\n'))
}

func (w *backupWriter) records(ctx context.Context, from, to Seq) error {
	if to < from {
		return nil
	}
	err := ReadRecords(ctx, w.source.Journal, from, to, func(e Entry, r Record) error {
		if err := w.content.record(e.Seq, r); err != nil {
			return err
		}
		w.info.Records++
		w.info.Bytes += uint64(len(e.Data))
		w.tell("records", w.info.Records, uint64(to-w.info.First)+1)
		return w.item(backupJournal, backupItem{string(e.Subject), [3]uint64{uint64(e.Seq), uint64(e.Time.UnixNano())}, e.Data})
	})
	if err != nil {
		return err
	}
	return w.flush(backupJournal)
}

func (w *backupWriter) bases(ctx context.Context) error {
	ids, err := baseIDs(ctx, w.source.Bases)
	if err != nil {
		return err
	}
	for i, id := range ids {
		b, err := w.source.Bases.Get(ctx, id)
		if err != nil {
			return err
		}
		if err := w.content.base(b); err != nil {
			return err
		}
		w.tell("bases", uint64(i)+1, uint64(len(ids)))
		if err := w.item(backupBases, backupItem{string(id), [3]uint64{uint64(b.Version), uint64(b.Position), uint64(b.NextDue)}, b.State}); err != nil {
			return err
		}
	}
	return w.flush(backupBases)
}

func (w *backupWriter) tell(what string, done, all uint64) {
	if w.source.Progress != nil {
		w.source.Progress(what, done, all)
	}
}

// item adds to the chunk that is being gathered.
func (w *backupWriter) item(kind string, a backupItem) error {
	w.chunk = a.append(w.chunk)
	if len(w.chunk) < backupChunk {
		return nil
	}
	return w.flush(kind)
}

func (w *backupWriter) flush(kind string) error {
	if len(w.chunk) == 0 {
		return nil
	}
	w.chunks++
	err := w.file(fmt.Sprintf("%s%08d", kind, w.chunks), w.chunk)
	w.chunk = w.chunk[:0]
	return err
}

func (w *backupWriter) file(name string, data []byte) error {
	return writeFile(w.to, name, int64(len(data)), bytes.NewReader(data), w.info.Made)
}

func writeFile(to *tar.Writer, name string, size int64, data io.Reader, at time.Time) error {
	if err := to.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: at}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if _, err := io.Copy(to, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// backupItem is a record (subject; sequence, time) or a base (id; version, position, next_due) in a chunk.
type backupItem struct {
	name    string
	numbers [3]uint64
	data    []byte
}

func (a backupItem) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(a.name)))
	dst = append(dst, a.name...)
	for _, n := range a.numbers {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(a.data)))
	return append(dst, a.data...)
}

var errChunk = fmt.Errorf("%w: a chunk of the backup", ErrCorrupt)

// nextItem takes the first item off a chunk.
func nextItem(b []byte) (a backupItem, rest []byte, err error) {
	if len(b) < 2 {
		return a, nil, errChunk
	}
	n := int(binary.LittleEndian.Uint16(b))
	if b = b[2:]; len(b) < n+3*8+4 {
		return a, nil, errChunk
	}
	a.name, b = string(b[:n]), b[n:]
	for i := range a.numbers {
		a.numbers[i], b = binary.LittleEndian.Uint64(b), b[8:]
	}
	size := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; len(b) < size {
		return a, nil, errChunk
	}
	a.data = b[:size:size]
	return a, b[size:], nil
}

func (a backupItem) entry() Entry {
	return Entry{Subject: Subject(a.name), Seq: Seq(a.numbers[0]), Time: time.Unix(0, int64(a.numbers[1])).UTC(), Data: a.data}
}

func (a backupItem) base() Base {
	return Base{State: a.data, BaseHeader: BaseHeader{
		ID: engine.AggregateID(a.name), Version: engine.Version(a.numbers[0]), Position: Seq(a.numbers[1]), NextDue: engine.Instant(a.numbers[2]),
	}}
}
