package persistencetest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// TestStore is what the contract of stores is shown with.
type TestStore interface{ persistence.Rebuildable }

const journalID = "jrn_test"

// ExerciseStore is the contract of persistence.Store. open opens the store that lives in dir and makes it when there is none;
// two that are open on one dir are two projectors.
func ExerciseStore(t *testing.T, open func(t *testing.T, dir string) TestStore) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, dir string, open func(t *testing.T, dir string) TestStore)
	}{
		{"equals the fold after each batch", storeFold},
		{"refuses another cursor, journal or place", storeRefuses},
		{"replayed from an older cursor", storeReplayed},
		{"stopped within a transaction", storeStopped},
		{"two projectors at once", storeTwo},
		{"refuses a gap", storeGap},
		{"lists", storeLists},
		{"searches", storeSearch},
		{"searches after words are gone", storeSearchTerms},
		{"lists of long names", storeSearchLongNames},
		{"searches while restaurants come", storeSearchPages},
		{"searches among many", storeSearchMany},
		{"lists reviews", storeReviews},
		{"lists restaurants of an account", storePlaces},
		{"audit", storeAudit},
		{"erasures", storeErasures},
		{"reset", storeReset},
		{"rebuilt from bases and tail", storeRebuilt},
		{"copied", storeCopied},
		{"equals the bases of the engine", storeEqualsBases},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, t.TempDir(), open) })
	}
}

func dump(t *testing.T, d persistence.Dumper) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, persistence.Dump(t.Context(), d, &b))
	return b.String()
}

func cursor(t *testing.T, s persistence.Sink) persistence.Position {
	t.Helper()
	p, err := s.Cursor(t.Context())
	require.NoError(t, err)
	return p
}

func at(seq persistence.Seq) persistence.Position {
	return persistence.Position{Journal: journalID, Seq: seq}
}

// project writes frames after the store's cursor up to to, in batches of random size.
func project(t *testing.T, s TestStore, f Frames, to persistence.Seq, rng *rand.Rand, after func(old, next persistence.Position)) {
	t.Helper()
	for old := cursor(t, s); old.Seq < to; {
		next := at(min(to, old.Seq+1+persistence.Seq(rng.IntN(40))))
		require.NoError(t, s.Write(t.Context(), old, next, f.Events(old.Seq, next.Seq)))
		if after != nil {
			after(old, next)
		}
		old = next
	}
}

func fold(f Frames, to persistence.Seq) *Model {
	m := NewModel()
	m.Apply(at(to), f.Events(0, to))
	return m
}

func storeFold(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	for seed := range uint64(3) {
		s := open(t, dir+"/"+string('a'+rune(seed)))
		f, m := MakeFrames(seed, 250), NewModel()
		require.Equal(t, m.Dump(true), dump(t, s), "empty")
		project(t, s, f, persistence.Seq(len(f)), rand.New(rand.NewPCG(seed, 2)), func(old, next persistence.Position) {
			m.Apply(next, f.Events(old.Seq, next.Seq))
			require.Equal(t, m.Dump(true), dump(t, s), "seed %d up to %d", seed, next.Seq)
		})
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "second close")
		again := open(t, dir+"/"+string('a'+rune(seed)))
		require.Equal(t, m.Dump(true), dump(t, again), "opened again")
		require.NoError(t, again.Close())
	}
}

func storeRefuses(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(5, 40)
	defer s.Close()
	project(t, s, f, 20, rand.New(rand.NewPCG(1, 1)), nil)
	before := dump(t, s)
	for _, old := range []persistence.Position{{}, at(19), at(21), {Journal: "jrn_other", Seq: 20}} {
		require.ErrorIs(t, s.Write(t.Context(), old, at(22), nil), persistence.ErrConflict)
	}
	require.Error(t, s.Write(t.Context(), at(20), persistence.Position{Journal: "jrn_other", Seq: 22}, nil))
	require.Error(t, s.Write(t.Context(), at(20), at(22), f.Events(21, 30)), "events beyond the new cursor")
	require.Error(t, s.Write(t.Context(), at(20), at(22), f.Events(10, 22)), "events before the old cursor")
	require.Equal(t, before, dump(t, s))
	_, err := s.ReservationsOf(t.Context(), "nobody", persistence.ListFilter{After: "not a place"})
	require.ErrorIs(t, err, persistence.ErrBadPlace)
}

func storeReplayed(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(7, 200)
	defer s.Close()
	rng := rand.New(rand.NewPCG(7, 7))
	end := persistence.Seq(len(f))
	for range 6 {
		project(t, s, f, end, rng, nil)
		require.Equal(t, fold(f, end).Dump(true), dump(t, s))
		older := at(persistence.Seq(rng.IntN(int(end))))
		require.NoError(t, s.Write(t.Context(), at(end), older, nil))
		require.Equal(t, older, cursor(t, s))
	}
}

// ending is a context that ends when it was asked n times.
type ending struct {
	context.Context
	left *int
}

func (e ending) Err() error {
	if *e.left--; *e.left < 0 {
		return context.Canceled
	}
	return e.Context.Err()
}

func storeStopped(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(11, 60)
	defer s.Close()
	project(t, s, f, 30, rand.New(rand.NewPCG(1, 1)), nil)
	before, stops := dump(t, s), 0
	for n := 0; ; n++ {
		left := n
		err := s.Write(ending{t.Context(), &left}, at(30), at(60), f.Events(30, 60))
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, dump(t, s), "stopped after %d statements", n)
		stops++
	}
	require.Greater(t, stops, 20, "too few places were tried")
	require.Equal(t, fold(f, 60).Dump(true), dump(t, s))
}

func storeTwo(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	f, stores := MakeFrames(13, 300), []TestStore{open(t, dir), open(t, dir)}
	end := persistence.Seq(len(f))
	for old := (persistence.Position{}); old.Seq < end; {
		next := at(min(end, old.Seq+5))
		require.Equal(t, old, cursor(t, stores[0]))
		require.Equal(t, old, cursor(t, stores[1]))
		var wg sync.WaitGroup
		errs := make([]error, len(stores))
		for i, s := range stores {
			wg.Go(func() { errs[i] = s.Write(t.Context(), old, next, f.Events(old.Seq, next.Seq)) })
		}
		wg.Wait()
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.ErrorIs(t, errs[0], persistence.ErrConflict, "one of two loses")
		require.NoError(t, errs[1], "one of two wins")
		old = next
	}
	// In turns nobody loses, and nobody may rely on what it knew of the store before.
	require.NoError(t, stores[0].Reset(t.Context()))
	for old, turn := (persistence.Position{}), 0; old.Seq < end; turn++ {
		next := at(min(end, old.Seq+5))
		require.NoError(t, stores[turn%2].Write(t.Context(), old, next, f.Events(old.Seq, next.Seq)))
		old = next
	}
	for _, s := range stores {
		require.Equal(t, fold(f, end).Dump(true), dump(t, s))
		require.NoError(t, s.Close())
	}
}

func storeGap(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(17, 60)
	defer s.Close()
	project(t, s, f, 30, rand.New(rand.NewPCG(1, 1)), nil)
	before := dump(t, s)
	events := f.Events(30, 60)
	for i, c := range events[:len(events)-1] {
		rest := append(append([]persistence.Committed{}, events[:i]...), events[i+1:]...)
		followed := false
		for _, later := range events[i+1:] {
			followed = followed || later.Aggregate == c.Aggregate
		}
		if followed {
			require.Error(t, s.Write(t.Context(), at(30), at(60), rest), "without event %d", i)
			require.Equal(t, before, dump(t, s))
		}
	}
}

func storeReset(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(19, 60)
	defer s.Close()
	project(t, s, f, 60, rand.New(rand.NewPCG(1, 1)), nil)
	require.NoError(t, s.Reset(t.Context()))
	require.Equal(t, NewModel().Dump(true), dump(t, s))
	project(t, s, f, 60, rand.New(rand.NewPCG(2, 1)), nil)
	require.Equal(t, fold(f, 60).Dump(true), dump(t, s))
}

func storeLists(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(23, 400)
	defer s.Close()
	end := persistence.Seq(len(f))
	project(t, s, f, end, rand.New(rand.NewPCG(1, 1)), nil)
	m := fold(f, end)
	for _, filter := range []persistence.ListFilter{
		{Limit: 100}, {Limit: 1}, {Limit: 7, Status: enginepb.Status_STATUS_CANCELLED}, {Limit: 3, From: 20_701, To: 20_702},
		{Limit: 5, From: 20_703}, {Limit: 5, To: 20_700, Status: enginepb.Status_STATUS_CONFIRMED},
	} {
		for a := range m.accounts {
			want := m.list(func(r *modelReservation) bool { return r.Guest == engine.AccountID(a) && passes(r, filter) })
			requirePages(t, want, filter, newestFirst, func(f persistence.ListFilter) (persistence.Page, error) {
				return s.ReservationsOf(t.Context(), engine.AccountID(a), f)
			})
		}
	}
	page, err := s.ReservationsOf(t.Context(), "nobody", persistence.ListFilter{Limit: 5})
	require.NoError(t, err)
	require.Empty(t, page.Rows)
	require.Equal(t, f.Events(0, end)[len(f.Events(0, end))-1].Event.AtMs, page.AsOf.UnixMilli())
}

func passes(r *modelReservation, f persistence.ListFilter) bool {
	return (f.Status == 0 || r.Status == f.Status) && (f.From == 0 || r.ServiceDay >= f.From) && (f.To == 0 || r.ServiceDay <= f.To)
}

func newestFirst(a, b persistence.ReservationRow) int { return b.StartsAt.Compare(a.StartsAt) }

// requirePages walks a list to its end and compares what it saw with want. Rows of one start time may come in any order.
func requirePages(t *testing.T, want []persistence.ReservationRow, f persistence.ListFilter, order func(a, b persistence.ReservationRow) int, list func(persistence.ListFilter) (persistence.Page, error)) {
	t.Helper()
	var got []persistence.ReservationRow
	for {
		page, err := list(f)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Rows), f.Limit)
		got = append(got, page.Rows...)
		if f.After = page.Next; page.Next == "" {
			break
		}
		require.Len(t, page.Rows, f.Limit, "a page before the last one is full")
	}
	require.True(t, slices.IsSortedFunc(got, order))
	require.Equal(t, sortedLines(want), sortedLines(got))
}

func sortedLines(rows []persistence.ReservationRow) string {
	var lines []string
	for i := range rows {
		lines = append(lines, string(persistence.AppendReservation(nil, &rows[i])))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
