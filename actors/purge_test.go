package actors

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// The journal is purged up to what bases, store, checkpoint and keep window allow, and what is left opens everything.
func TestPurge(t *testing.T) {
	var stored atomic.Uint64
	w := newWorld(t, stays, func(c *Config) {
		c.Keep, c.PurgeEvery, c.BaseAge = time.Nanosecond, time.Millisecond, 50*time.Millisecond
		c.StoreCursor = func() persistence.Seq { return persistence.Seq(stored.Load()) }
	})
	id := w.restaurant(1, 4)
	first := func() persistence.Seq {
		b, err := w.journal.Bounds(t.Context())
		require.NoError(t, err)
		return b.First
	}
	out, err := w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	// Each toggle is one event and, one after the other, one frame: two checkpoints' worth.
	for i := range 9_000 {
		on := i%2 == 1
		_, err := w.do(id, owner, &engine.ChangeTable{ID: engine.MakeTableID(engine.RestaurantID(id), 4), Change: engine.TableChange{InService: &on}})
		require.NoError(t, err)
	}
	stored.Store(10)
	require.Eventually(t, func() bool { return first() == 11 }, 20*time.Second, 10*time.Millisecond, "the store's cursor pins the journal")
	b, err := w.journal.Bounds(t.Context())
	require.NoError(t, err)
	stored.Store(uint64(b.Last))
	require.Eventually(t, func() bool { return first() > 4_000 }, 20*time.Second, 10*time.Millisecond)
	w.restart()
	require.NotNil(t, w.view(id).Reservation(reservationOf(id, 1)), "what was purged is in the base")
	out, err = w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	require.True(t, out.Replayed, "and so is its key")
}

func TestPurgeKeepsTheWindow(t *testing.T) {
	w := newWorld(t, stays)
	w.restaurant(1, 4)
	b, err := w.journal.Bounds(t.Context())
	require.NoError(t, err)
	var middle persistence.Entry
	middle, err = w.journal.Get(t.Context(), b.First+(b.Last-b.First)/2)
	require.NoError(t, err)
	got, err := firstSince(t.Context(), w.journal, b, middle.Time)
	require.NoError(t, err)
	before, err := w.journal.Get(t.Context(), got)
	require.NoError(t, err)
	require.False(t, before.Time.Before(middle.Time))
	require.LessOrEqual(t, got, middle.Seq)
	got, err = firstSince(t.Context(), w.journal, b, middle.Time.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, b.Last+1, got, "nothing is that young")
}
