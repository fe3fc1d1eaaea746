package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Pages of Copy.
const (
	copyStates = 500
	copyEvents = 4_000
)

// ErrOlder says that a copy would take a store back.
var ErrOlder = errors.New("the target has followed the same journal further: is it the other way round?")

// Copy makes to what from is: rows, audit, cursor. to is emptied first. A copy that was cut off among the rows left a target whose cursor
// is zero; one that was cut off within the audit left one that is whole as far as its cursor says. Nobody may write either meanwhile. progress is told about each page; nil = nobody asks.
func Copy(ctx context.Context, from, to Rebuildable, progress func(aggregates, events int)) error {
	at, err := from.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("copy: read the cursor: %w", err)
	}
	there, err := to.Cursor(ctx)
	if err != nil {
		return fmt.Errorf("copy: read the target's cursor: %w", err)
	}
	if there.Journal == at.Journal && there.Seq > at.Seq {
		return fmt.Errorf("copy: to record %d what is at %d: %w", at.Seq, there.Seq, ErrOlder)
	}
	if err := to.Reset(ctx); err != nil {
		return fmt.Errorf("copy: empty the target: %w", err)
	}
	aggregates, events := 0, 0
	tell := func() {
		if progress != nil {
			progress(aggregates, events)
		}
	}
	err = eachStates(ctx, from, func(states []AggregateState) error {
		aggregates += len(states)
		defer tell()
		return to.Load(ctx, states)
	})
	if err != nil {
		return fmt.Errorf("copy: the rows: %w", err)
	}
	here := Position{}
	move := func(seq Seq, page []Committed) error {
		next := Position{Journal: at.Journal, Seq: seq}
		if next == here {
			return nil
		}
		events += len(page)
		defer tell()
		err := to.Write(ctx, here, next, page)
		here = next
		return err
	}
	err = eachEvents(ctx, from, func(page []Committed, reached Seq) error { return move(reached, page) })
	if err == nil && at != (Position{}) {
		err = move(at.Seq, nil)
	}
	if err != nil {
		return fmt.Errorf("copy: the audit: %w", err)
	}
	return nil
}

func eachStates(ctx context.Context, store Rebuildable, fn func([]AggregateState) error) error {
	for f := (StatesFilter{Limit: copyStates}); ; {
		states, next, err := store.States(ctx, f)
		if err != nil {
			return err
		}
		if len(states) > 0 {
			if err := fn(states); err != nil {
				return err
			}
		}
		if f.After = next; next == "" {
			return nil
		}
	}
}

func eachEvents(ctx context.Context, store Audit, fn func(page []Committed, reached Seq) error) error {
	for after := Seq(0); ; {
		page, reached, err := store.Events(ctx, after, copyEvents)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := fn(page, reached); err != nil {
			return err
		}
		after = reached
	}
}

// Content says what a store holds, so that two can be compared: for each kind of a Dump's lines their number and the sum of their
// SHA-256 modulo 2^256, which does not depend on their order.
type Content map[string]*ContentPart

// ContentPart is one kind of lines.
type ContentPart struct {
	Lines int
	Sum   [4]uint64 // lowest first
}

// ContentOf reads all of a store, cursor and audit too, in bounded memory. It reads the rows themselves and not their States, so that what
// these would leave out of a copy is missed in its content.
func ContentOf(ctx context.Context, store Dumper) (Content, error) {
	d := Content{}
	if err := store.Lines(ctx, d.add); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	return d, nil
}

func (d Content) add(line []byte) {
	kind, _, _ := strings.Cut(string(line), " ")
	part := d[kind]
	if part == nil {
		part = &ContentPart{}
		d[kind] = part
	}
	part.Lines++
	sum := sha256.Sum256(line)
	carry := uint64(0)
	for i := range part.Sum {
		before := part.Sum[i]
		part.Sum[i] += binary.LittleEndian.Uint64(sum[8*i:]) + carry
		if part.Sum[i] < before || carry == 1 && part.Sum[i] == before {
			carry = 1
		} else {
			carry = 0
		}
	}
}

// String has a line for each kind: name, number, the first half of the sum.
func (d Content) String() string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(d)) {
		var sum []byte
		for _, word := range d[kind].Sum[:2] {
			sum = binary.LittleEndian.AppendUint64(sum, word)
		}
		fmt.Fprintf(&b, "%-12s %10d  %s\n", kind, d[kind].Lines, hex.EncodeToString(sum))
	}
	return b.String()
}

// Equal says whether two stores hold the same.
func (d Content) Equal(other Content) bool {
	return maps.EqualFunc(d, other, func(a, b *ContentPart) bool { return *a == *b })
}
