package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// ack is one acknowledged reservation as the client process wrote it down.
type ack struct {
	id    string
	token int32
	key   string
}

// ledger is the file of acknowledged reservations: what the client was promised, kept outside of the server's reach.
type ledger struct {
	file *os.File
	w    *bufio.Writer
	line []byte
}

func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &ledger{file: file, w: bufio.NewWriterSize(file, 1<<18)}, nil
}

func (l *ledger) add(id []byte, token int32, key func([]byte) []byte) error {
	l.line = append(l.line[:0], id...)
	l.line = append(l.line, ' ')
	l.line = strconv.AppendInt(l.line, int64(token), 10)
	l.line = append(l.line, ' ')
	l.line = append(key(l.line), '\n')
	_, err := l.w.Write(l.line)
	return err
}

// sync makes what was added survive a power cut.
func (l *ledger) sync() error {
	if err := errors.Join(l.w.Flush(), l.file.Sync()); err != nil {
		return fmt.Errorf("sync the ledger: %w", err)
	}
	return nil
}

func (l *ledger) close() error { return errors.Join(l.sync(), l.file.Close()) }

func readAcks(path string) ([]ack, error) {
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	acks := make([]ack, 0, len(lines))
	for _, line := range lines {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("ledger %s: torn line %q", path, line)
		}
		token, err := strconv.ParseInt(string(fields[1]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("ledger %s: %w", path, err)
		}
		acks = append(acks, ack{id: string(fields[0]), token: int32(token), key: string(fields[2])})
	}
	return acks, nil
}

// readLines reads the non-empty lines of a file.
func readLines(path string) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	var lines [][]byte
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
