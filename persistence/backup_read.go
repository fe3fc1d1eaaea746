package persistence

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// ErrBackup says that a backup is not whole: it was cut off, or changed since it was made.
var ErrBackup = errors.New("the backup is damaged")

// maxBackupFile bounds what is read into memory: a chunk of one base of the greatest size, and room.
const maxBackupFile = MaxBaseBytes + 2*backupChunk

// Backup reads a backup. Info is to be believed after Check.
type Backup struct {
	Info BackupInfo

	file    *os.File
	members []member // in order
}

type member struct {
	name         string
	offset, size int64
}

// OpenBackup opens a backup and reads what it says of itself.
func OpenBackup(path string) (*Backup, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	a := &Backup{file: f}
	if err := a.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return a, nil
}

// Close ends the use of the backup.
func (a *Backup) Close() error { return a.file.Close() }

func (a *Backup) open() error {
	r := tar.NewReader(a.file)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: it is no tar, or cut off: %w", ErrBackup, err)
		}
		at, err := a.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if a.Has(h.Name) {
			return fmt.Errorf("%w: it has two files %q", ErrBackup, h.Name)
		}
		a.members = append(a.members, member{h.Name, at, h.Size})
	}
	if a.Has(backupError) {
		why, _ := a.ReadFile(backupError)
		return fmt.Errorf("%w: it was not finished: %s", ErrBackup, why)
	}
	if n := len(a.members); n == 0 || a.members[n-1].name != backupSums {
		return fmt.Errorf("%w: it is cut off: %s is not its last file", ErrBackup, backupSums)
	}
	data, err := a.ReadFile(backupInfo)
	if err == nil {
		err = json.Unmarshal(data, &a.Info)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	if a.Info.Format != backupFormat {
		return fmt.Errorf("it is of format %d, this build reads %d", a.Info.Format, backupFormat)
	}
	return nil
}

// Has tells whether the backup has a file.
func (a *Backup) Has(name string) bool {
	return slices.ContainsFunc(a.members, func(m member) bool { return m.name == name })
}

// Names are the files whose names begin so, in order.
func (a *Backup) Names(prefix string) (names []string) {
	for _, m := range a.members {
		if strings.HasPrefix(m.name, prefix) {
			names = append(names, m.name)
		}
	}
	return names
}

// Open reads one file.
func (a *Backup) Open(name string) (io.Reader, error) {
	i := slices.IndexFunc(a.members, func(m member) bool { return m.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: it has no %s", ErrBackup, name)
	}
	return a.members[i].open(a.file), nil
}

func (m member) open(f *os.File) io.Reader { return io.NewSectionReader(f, m.offset, m.size) }

// ReadFile reads one file into memory, of 34 MiB at most.
func (a *Backup) ReadFile(name string) ([]byte, error) {
	r, err := a.Open(name)
	if err != nil {
		return nil, err
	}
	return readAll(r)
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBackupFile+1))
	if err == nil && len(data) > maxBackupFile {
		err = fmt.Errorf("%w: a file of more than %d bytes", ErrBackup, maxBackupFile)
	}
	return data, err
}

// Check reads everything: the sum of each file; that records follow each other, aggregates are whole, and all of it is what the backup
// says; and that what is sealed opens with seal. ErrBackup, or what else is wrong.
func (a *Backup) Check(seal *Seal, progress func(what string, done, all uint64)) error {
	if err := a.checkSums(progress); err != nil {
		return err
	}
	c, next, records := newContents(), a.Info.First, uint64(0)
	err := a.Records(func(e Entry, r Record) error {
		if e.Seq != next {
			return fmt.Errorf("%w: record %d came in the place of %d", ErrBackup, e.Seq, next)
		}
		next++
		records++
		if _, err := seal.EventsIn(e.Seq, r); err != nil {
			return err
		}
		return c.record(e.Seq, r)
	})
	if err != nil {
		return err
	}
	err = a.Bases(func(b Base) error {
		if _, err := (&sealedBases{seal: seal}).opened(b); err != nil {
			return err
		}
		return c.base(b)
	})
	if err == nil {
		err = c.check(a.Info.Last)
	}
	if err != nil {
		return err
	}
	have := BackupInfo{Last: next - 1, Records: records, Events: c.events, Bases: uint64(len(c.bases)), Digest: c.hex()}
	said := BackupInfo{Last: a.Info.Last, Records: a.Info.Records, Events: a.Info.Events, Bases: a.Info.Bases, Digest: a.Info.Digest}
	if fmt.Sprint(have) != fmt.Sprint(said) {
		return fmt.Errorf("%w: it holds %+v and says %+v", ErrBackup, have, said)
	}
	return nil
}

func (a *Backup) checkSums(progress func(what string, done, all uint64)) error {
	data, err := a.ReadFile(backupSums)
	if err != nil {
		return err
	}
	want := map[string]string{}
	for line := range strings.Lines(string(data)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		want[name] = sum
	}
	files := a.members[:len(a.members)-1]
	if len(want) != len(files) {
		return fmt.Errorf("%w: it has %d files, %s names %d", ErrBackup, len(files), backupSums, len(want))
	}
	for i, m := range files {
		sum := sha256.New()
		if _, err := io.Copy(sum, m.open(a.file)); err != nil {
			return fmt.Errorf("%w: read %s: %w", ErrBackup, m.name, err)
		}
		if want[m.name] != hex.EncodeToString(sum.Sum(nil)) {
			return fmt.Errorf("%w: %s is not what was written", ErrBackup, m.name)
		}
		if progress != nil {
			progress("files checked", uint64(i)+1, uint64(len(files)))
		}
	}
	return nil
}

// Records calls fn for each record, in order.
func (a *Backup) Records(fn func(Entry, Record) error) error {
	return a.items(backupJournal, func(i backupItem) error {
		e := i.entry()
		r, err := Decode(e.Data)
		if err != nil {
			return fmt.Errorf("record %d: %w", e.Seq, err)
		}
		return fn(e, r)
	})
}

// Bases calls fn for each base, in the order of their ids.
func (a *Backup) Bases(fn func(Base) error) error {
	return a.items(backupBases, func(i backupItem) error { return fn(i.base()) })
}

func (a *Backup) items(kind string, fn func(backupItem) error) error {
	for _, m := range a.members {
		if !strings.HasPrefix(m.name, kind) {
			continue
		}
		chunk, err := readAll(m.open(a.file))
		if err != nil {
			return fmt.Errorf("read %s: %w", m.name, err)
		}
		for len(chunk) > 0 {
			var i backupItem
			if i, chunk, err = nextItem(chunk); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if err := fn(i); err != nil {
				return err
			}
		}
	}
	return nil
}
