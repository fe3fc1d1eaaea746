package persistence_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

func TestRecentConformance(t *testing.T) {
	for _, limit := range []int{1 << 30, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			persistencetest.ExerciseJournal(t, func(_ *testing.T, maxBytes uint64) persistencetest.Harness {
				j := memory.NewJournal(memory.Options{MaxBytes: maxBytes})
				return persistencetest.Harness{
					Journal: persistence.NewRecent(j, limit),
					Reopen: func(*testing.T) persistence.Journal {
						return persistence.NewRecent(j.Reopen(memory.Options{}), limit)
					},
				}
			})
		})
	}
}

// counted counts the records that a journal is asked for.
type counted struct {
	persistence.Journal
	records atomic.Int64
}

func (a *counted) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	a.records.Add(1)
	return a.Journal.Get(ctx, seq)
}

func (a *counted) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	return a.Journal.Read(ctx, from, to, func(e persistence.Entry) error {
		a.records.Add(1)
		return fn(e)
	})
}

func TestRecentAsksForNothingTwice(t *testing.T) {
	j := &counted{Journal: memory.NewJournal(memory.Options{})}
	read := func(r *persistence.Recent, from, to persistence.Seq) (got []string) {
		require.NoError(t, r.Read(t.Context(), from, to, func(e persistence.Entry) error {
			got = append(got, string(e.Data))
			return nil
		}))
		return got
	}
	all := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	last := persistence.Seq(0)
	for _, data := range all {
		seq, err := j.Append(t.Context(), "j.w.n1", []byte(data), last)
		require.NoError(t, err)
		last = seq
	}
	reader := persistence.NewRecent(j, 1<<20)
	require.Equal(t, all[:5], read(reader, 1, 5))
	require.Equal(t, all, read(reader, 1, 10))
	require.EqualValues(t, 10, j.records.Load())
	require.Equal(t, all, read(reader, 1, 10))
	require.EqualValues(t, 10, j.records.Load())
	e, err := reader.Get(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, "d", string(e.Data))
	require.EqualValues(t, 10, j.records.Load())

	small := persistence.NewRecent(j, 3*201)
	require.Equal(t, all, read(small, 1, 10))
	require.Equal(t, all[7:], read(small, 8, 10))
	require.EqualValues(t, 20, j.records.Load(), "the last three are kept")
	_, err = small.Get(t.Context(), 1)
	require.NoError(t, err)
	require.EqualValues(t, 21, j.records.Load())
}
