package actors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// A bucket that lost a base without a trace: the floors say that the base has the events, so nobody looks for them in the
// journal. The store has seen them: the house is not opened.
func TestLostBaseIsNoticed(t *testing.T) {
	w := newWorld(t, stays, func(c *Config) { c.BaseAge = 50 * time.Millisecond })
	id := w.restaurant(1, 3)
	_, err := w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	version := w.view(id).Version()
	floor := func() persistence.Seq {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		return w.house.fold.custody.Part(persistence.PartitionOf(id, w.cfg.Partitions)).Floor
	}
	b, err := w.journal.Bounds(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return floor() >= b.Last }, 10*time.Second, 10*time.Millisecond, "the floor rises")
	known := func(id engine.AggregateID, v engine.Version) func(context.Context, func(engine.AggregateID, engine.Version) error) error {
		return func(_ context.Context, fn func(engine.AggregateID, engine.Version) error) error { return fn(id, v) }
	}
	w.cfg.Known = known(id, version)
	w.restart()
	require.Len(t, w.view(id).DaySheet(day, nil), 1)
	require.NoError(t, w.house.Close())

	refused := func(why string) {
		t.Helper()
		w.journal = w.journal.Reopen(memory.Options{OnAppend: w.onAppend})
		w.cfg.Journal, w.cfg.Feed = w.journal, persistence.NewFeed(w.journal, 1<<20)
		_, err := Open(context.Background(), w.cfg)
		require.ErrorIs(t, err, persistence.ErrCorrupt, why)
		require.ErrorContains(t, err, string(id))
	}
	w.cfg.Known = known(id, version+1)
	refused("the store has seen one more")

	other := engine.AggregateID(engine.MakeRestaurantID(9))
	lost := memory.NewBases(memory.BasesOptions{})
	for rev := persistence.Revision(0); rev < 50; { // as many as the floors rely on
		rev, err = lost.Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: other, Version: 1, Revision: rev}, State: []byte{1}})
		require.NoError(t, err)
	}
	w.cfg.Bases, w.cfg.Known = lost, known(id, version)
	refused("the base is gone")
}
