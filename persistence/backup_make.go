package persistence

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// BackupWriter makes a whole backup: what WriteBackup wrote, what belongs to it, and the sums.
type BackupWriter struct {
	to   *tar.Writer
	sums strings.Builder
	made time.Time
	has  bool // what WriteBackup writes last
}

// NewBackupWriter begins a backup.
func NewBackupWriter(to io.Writer) *BackupWriter {
	return &BackupWriter{to: tar.NewWriter(to), made: time.Now().UTC()}
}

// Journal takes over what WriteBackup writes, up to its end.
func (w *BackupWriter) Journal(from io.Reader) (info BackupInfo, err error) {
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) && w.has {
			return info, nil
		}
		if err != nil {
			return info, fmt.Errorf("the journal's part of the backup was cut off: %w", err)
		}
		var data []byte
		if h.Name == backupError || h.Name == backupInfo {
			if data, err = readAll(r); err != nil {
				return info, err
			}
		}
		switch h.Name {
		case backupError:
			return info, errors.New(string(data))
		case backupInfo:
			if err := json.Unmarshal(data, &info); err != nil {
				return info, fmt.Errorf("%s: %w", backupInfo, err)
			}
			w.has = true
			err = w.Add(h.Name, h.Size, strings.NewReader(string(data)))
		default:
			err = w.Add(h.Name, h.Size, r)
		}
		if err != nil {
			return info, err
		}
	}
}

// Add adds a file.
func (w *BackupWriter) Add(name string, size int64, data io.Reader) error {
	sum := sha256.New()
	if err := writeFile(w.to, name, size, io.TeeReader(data, sum), w.made); err != nil {
		return err
	}
	fmt.Fprintf(&w.sums, "%x  %s\n", sum.Sum(nil), name)
	return nil
}

// Close adds the sums.
func (w *BackupWriter) Close() error {
	if err := writeFile(w.to, backupSums, int64(w.sums.Len()), strings.NewReader(w.sums.String()), w.made); err != nil {
		return err
	}
	return w.to.Close()
}
