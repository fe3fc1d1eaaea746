// Package persistencetest holds the contracts of persistence as suites that every implementation runs: memory, the embedded
// server and a cluster of three. Imported by tests only.
package persistencetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// Harness is a journal under test.
type Harness struct {
	Journal persistence.Journal
	// Reopen ends the journal (and its process, where there is one) and opens what it left.
	Reopen func(t *testing.T) persistence.Journal
}

// patience bounds every wait of the suites: a cluster may be in the middle of an election.
const patience = 30 * time.Second

// ExerciseJournal is the contract of persistence.Journal. open makes an empty journal with that limit (0 = plenty) and cleans
// up by itself.
func ExerciseJournal(t *testing.T, open func(t *testing.T, maxBytes uint64) Harness) {
	t.Run("shared", func(t *testing.T) {
		h := open(t, 0)
		for _, c := range []struct {
			name string
			run  func(*testing.T, persistence.Journal)
		}{
			{"empty", empty},
			{"first append expects zero", firstExpectsZero},
			{"wrong expectation stores nothing", wrongExpectation},
			{"subjects are independent", subjectsAreIndependent},
			{"read is ordered and without gaps", readInOrder},
			{"read outside the bounds", readOutside},
			{"read ends with the error of its function", readStops},
			{"bytes come back as they were", bytesAreKept},
			{"largest record", largestRecord},
			{"same subject raced for", raceForASubject},
			{"a writer for each slot", writersOnSlots},
			{"cancelled append", cancelledAppend},
		} {
			t.Run(c.name, func(t *testing.T) { c.run(t, h.Journal) })
		}
	})
	t.Run("claim decides what an unknown append became", func(t *testing.T) { claimDecides(t, open(t, 0)) })
	t.Run("reopen keeps everything", func(t *testing.T) { reopenKeeps(t, open(t, 0)) })
	t.Run("purge", func(t *testing.T) { purge(t, open(t, 0)) })
	t.Run("purge of everything", func(t *testing.T) { purgeAll(t, open(t, 0)) })
	t.Run("full", func(t *testing.T) { full(t, open(t, 1<<20)) })
	t.Run("closed", func(t *testing.T) { closed(t, open(t, 0)) })
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// record makes a decodable record of roughly size bytes, different for each n.
func record(node string, n, size int) []byte {
	f := &persistence.Frame{Journal: "jrn_suite", Node: node, Incarnation: 1, Number: uint64(n) + 1}
	for size > 0 {
		step := min(size, persistence.MaxEventBytes-64)
		f.Index = append(f.Index, persistence.IndexEntry{
			Aggregate: engine.AggregateID(fmt.Sprintf("rst_%013d", n)), Version: engine.Version(len(f.Index) + 1),
		})
		f.Events = append(f.Events, bytes.Repeat([]byte{byte(n) | 1}, step))
		size -= step
	}
	return persistence.Encode(nil, f)
}

// slot is a subject that no other test uses.
func slot(t *testing.T, i int) (string, persistence.Subject) {
	h := persistence.HashOf([]byte(t.Name()))
	node := fmt.Sprintf("n%x-%d", h[:6], i)
	return node, persistence.SlotSubject(node)
}

// settle appends as a writer does: the same bytes with the same expectation, until the journal has answered for good.
func settle(ctx context.Context, j persistence.Journal, s persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	for {
		seq, err := j.Append(ctx, s, data, expect)
		if err == nil || errors.Is(err, persistence.ErrFull) || errors.Is(err, persistence.ErrClosed) || ctx.Err() != nil {
			return seq, err
		}
		if !errors.Is(err, persistence.ErrConflict) {
			backOff(ctx)
			continue
		}
		last, lerr := j.Last(ctx, s)
		switch {
		case lerr == nil && last.Seq > expect && bytes.Equal(last.Data, data):
			return last.Seq, nil // an earlier try of this call
		case lerr == nil && last.Seq != expect:
			return 0, err
		case errors.Is(lerr, persistence.ErrNotFound) && expect != 0:
			return 0, err
		}
		backOff(ctx) // an append to the subject is under way (10164), or the answer was stale
	}
}

func backOff(ctx context.Context) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func mustAppend(t *testing.T, j persistence.Journal, s persistence.Subject, data []byte, expect persistence.Seq) persistence.Seq {
	t.Helper()
	seq, err := settle(testContext(t), j, s, data, expect)
	require.NoError(t, err)
	require.Greater(t, seq, expect)
	return seq
}

func bounds(t *testing.T, j persistence.Journal) persistence.Bounds {
	t.Helper()
	b, err := j.Bounds(testContext(t))
	require.NoError(t, err)
	return b
}

func readAll(t *testing.T, j persistence.Journal, from, to persistence.Seq) []persistence.Entry {
	t.Helper()
	var all []persistence.Entry
	require.NoError(t, j.Read(testContext(t), from, to, func(e persistence.Entry) error {
		all = append(all, e)
		return nil
	}))
	return all
}

func empty(t *testing.T, j persistence.Journal) {
	ctx := testContext(t)
	b := bounds(t, j)
	require.Equal(t, b.First-1, b.Last, "an empty journal")
	require.NotZero(t, b.MaxBytes, "the limit is explicit")
	_, s := slot(t, 0)
	_, err := j.Last(ctx, s)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	_, err = j.Get(ctx, b.First)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	require.NoError(t, j.Read(ctx, b.First, b.Last, func(persistence.Entry) error { return errors.New("no record") }))
}

func firstExpectsZero(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	before := bounds(t, j)
	_, err := j.Append(testContext(t), s, record(node, 0, 10), before.Last+1)
	require.ErrorIs(t, err, persistence.ErrConflict)
	require.Equal(t, before.Last, bounds(t, j).Last)
	first := mustAppend(t, j, s, record(node, 1, 10), 0)
	require.Equal(t, before.Last+1, first)
	_, err = j.Append(testContext(t), s, record(node, 2, 10), 0)
	require.ErrorIs(t, err, persistence.ErrConflict, "0 is refused once there is a record")
}

func wrongExpectation(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	first := mustAppend(t, j, s, record(node, 0, 10), 0)
	second := mustAppend(t, j, s, record(node, 1, 10), first)
	for _, expect := range []persistence.Seq{0, first, second + 1, second + 1000} {
		_, err := j.Append(testContext(t), s, record(node, 2, 10), expect)
		require.ErrorIs(t, err, persistence.ErrConflict, "expecting %d, the last is %d", expect, second)
	}
	require.Equal(t, second, bounds(t, j).Last)
	last, err := j.Last(testContext(t), s)
	require.NoError(t, err)
	require.Equal(t, second, last.Seq)
	require.Equal(t, record(node, 1, 10), last.Data)
}

func subjectsAreIndependent(t *testing.T, j persistence.Journal) {
	a, sa := slot(t, 0)
	b, sb := slot(t, 1)
	a1 := mustAppend(t, j, sa, record(a, 0, 10), 0)
	b1 := mustAppend(t, j, sb, record(b, 0, 10), 0)
	require.Equal(t, a1+1, b1, "one order over all subjects")
	a2 := mustAppend(t, j, sa, record(a, 1, 10), a1)
	require.Equal(t, b1+1, a2, "the expectation is the subject's last, not the stream's")
	_, err := j.Append(testContext(t), sb, record(b, 1, 10), a2)
	require.ErrorIs(t, err, persistence.ErrConflict)
	last, err := j.Last(testContext(t), sb)
	require.NoError(t, err)
	require.Equal(t, b1, last.Seq)
}

func readInOrder(t *testing.T, j persistence.Journal) {
	const n = 40
	var want []persistence.Entry
	var last [4]persistence.Seq
	for i := range n {
		node, s := slot(t, i%4)
		data := record(node, i, 10+i)
		last[i%4] = mustAppend(t, j, s, data, last[i%4])
		want = append(want, persistence.Entry{Seq: last[i%4], Subject: s, Data: data})
	}
	got := readAll(t, j, want[0].Seq, want[n-1].Seq)
	require.Len(t, got, n)
	for i, e := range got {
		require.Equal(t, want[i].Seq, e.Seq)
		require.Equal(t, want[i].Subject, e.Subject)
		require.Equal(t, want[i].Data, e.Data)
		require.False(t, e.Time.IsZero())
	}
	require.Equal(t, got[7:8], readAll(t, j, want[7].Seq, want[7].Seq), "one record")
	one, err := j.Get(testContext(t), want[7].Seq)
	require.NoError(t, err)
	require.Equal(t, want[7].Data, one.Data)
	require.Equal(t, want[7].Subject, one.Subject)
}

func readOutside(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	mustAppend(t, j, s, record(node, 0, 10), 0)
	b := bounds(t, j)
	none := func(persistence.Entry) error { return errors.New("called") }
	require.ErrorIs(t, j.Read(testContext(t), b.Last+1, b.Last+1, none), persistence.ErrNotFound)
	require.ErrorIs(t, j.Read(testContext(t), b.Last, b.Last+5, func(persistence.Entry) error { return nil }), persistence.ErrNotFound,
		"records that are not there yet are no silence")
	require.ErrorIs(t, j.Read(testContext(t), b.First-1, b.Last, none), persistence.ErrNotFound)
	require.NoError(t, j.Read(testContext(t), b.Last+1, b.Last, none), "an empty range")
	_, err := j.Get(testContext(t), b.Last+1)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	_, err = j.Get(testContext(t), 0)
	require.ErrorIs(t, err, persistence.ErrNotFound)
}

func readStops(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	var seq persistence.Seq
	first := bounds(t, j).Last + 1
	for i := range 10 {
		seq = mustAppend(t, j, s, record(node, i, 10), seq)
	}
	stop := errors.New("stop")
	calls := 0
	err := j.Read(testContext(t), first, seq, func(persistence.Entry) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	require.ErrorIs(t, err, stop)
	require.Equal(t, 3, calls)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, j.Read(ctx, first, seq, func(persistence.Entry) error { return nil }), context.Canceled)
}

func bytesAreKept(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	data := record(node, 0, 300)
	want := bytes.Clone(data)
	seq := mustAppend(t, j, s, data, 0)
	clear(data) // the journal keeps no reference
	e, err := j.Get(testContext(t), seq)
	require.NoError(t, err)
	require.Equal(t, want, e.Data)
	mustAppend(t, j, s, record(node, 1, 300), seq)
	require.Equal(t, want, e.Data, "what was read stays as it is")
}

func largestRecord(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	data := record(node, 0, persistence.MaxFrameBytes-2048)
	require.Greater(t, len(data), persistence.MaxFrameBytes-4096)
	seq := mustAppend(t, j, s, data, 0)
	e, err := j.Last(testContext(t), s)
	require.NoError(t, err)
	require.Equal(t, seq, e.Seq)
	require.True(t, bytes.Equal(data, e.Data))
}

func cancelledAppend(t *testing.T, j persistence.Journal) {
	node, s := slot(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := j.Append(ctx, s, record(node, 0, 10), 0)
	require.Error(t, err)
	require.NotErrorIs(t, err, persistence.ErrFull, "a cancelled append is not surely refused")
	require.NotErrorIs(t, err, persistence.ErrConflict)
	mustAppend(t, j, s, record(node, 0, 10), 0)
	last, err := j.Last(testContext(t), s)
	require.NoError(t, err)
	require.Equal(t, last.Seq, mustAppend(t, j, s, record(node, 1, 10), last.Seq)-1, "stored once")
}

func raceForASubject(t *testing.T, j persistence.Journal) {
	const rounds, racers = 15, 4
	_, s := slot(t, 0)
	var expect persistence.Seq
	for round := range rounds {
		data := make([][]byte, racers)
		seqs, errs := make([]persistence.Seq, racers), make([]error, racers)
		ctx := testContext(t)
		var wg sync.WaitGroup
		for i := range racers {
			data[i] = record(fmt.Sprintf("racer-%d", i), round, 20)
			wg.Go(func() { seqs[i], errs[i] = settle(ctx, j, s, data[i], expect) })
		}
		wg.Wait()
		last, err := j.Last(ctx, s)
		require.NoError(t, err)
		winners := 0
		for i := range racers {
			if errs[i] == nil {
				winners++
				require.Equal(t, last.Seq, seqs[i])
				require.Equal(t, last.Data, data[i])
				continue
			}
			require.ErrorIs(t, errs[i], persistence.ErrConflict)
		}
		require.Equal(t, 1, winners, "one append per expectation")
		require.Equal(t, bounds(t, j).Last, last.Seq, "the losers stored nothing")
		expect = last.Seq
	}
}

func writersOnSlots(t *testing.T, j persistence.Journal) {
	const writers, each = 4, 25
	first := bounds(t, j).Last + 1
	acked := make([]map[persistence.Seq][]byte, writers)
	errs := make([]error, writers)
	ctx := testContext(t)
	var wg sync.WaitGroup
	for w := range writers {
		acked[w] = map[persistence.Seq][]byte{}
		node, s := slot(t, w)
		wg.Go(func() {
			var expect persistence.Seq
			for i := range each {
				data := record(node, i, 50)
				seq, err := settle(ctx, j, s, data, expect)
				if err != nil {
					errs[w] = err
					return
				}
				acked[w][seq], expect = data, seq
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	all := readAll(t, j, first, bounds(t, j).Last)
	require.Len(t, all, writers*each, "as many records as acknowledgements")
	var next [writers]int
	for i, e := range all {
		require.Equal(t, first+persistence.Seq(i), e.Seq)
		for w := range writers {
			node, s := slot(t, w)
			if e.Subject == s {
				require.Equal(t, acked[w][e.Seq], e.Data, "record %d", e.Seq)
				require.Equal(t, record(node, next[w], 50), e.Data, "in the order of the writer")
				next[w]++
			}
		}
	}
}
