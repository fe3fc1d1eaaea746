package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence/memory"
)

// What make passivate rests on: after each command nothing is in memory, and a base has every event.
func TestPassivateAllLeavesNothingInMemory(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PassivateAll = true })
	id := w.restaurant(1, 2)
	for serial := range uint64(3) {
		out, err := w.reserve(id, serial+1, turns[serial])
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
		require.Zero(t, w.house.handles.Size())
		require.Zero(t, w.house.fold.tail.Len())
	}
	require.Len(t, w.view(id).DaySheet(day, nil), 3)
}

// Without a base an aggregate stays in memory, whatever becomes of the put; it serves meanwhile, and leaves when a put works.
func TestPassivateOnlyWithABase(t *testing.T) {
	for _, kind := range []memory.FaultKind{memory.Lost, memory.LostAck, memory.Conflict, memory.StoredConflict, memory.Full} {
		t.Run(kind.String(), func(t *testing.T) {
			w := newWorld(t, stays)
			id := w.restaurant(1, 2)
			w.basesFault.Store(&memory.Fault{Kind: kind})
			hd := w.opened(id)
			w.house.passivate(hd)
			require.Positive(t, w.bases.Taken(kind))
			stayed, ok := w.house.handles.Load(id)
			require.True(t, ok)
			require.Same(t, hd, stayed)
			out, err := w.reserve(id, 1, 12*60)
			require.NoError(t, err)
			require.Equal(t, engine.CodeCreated, out.Code)
			w.basesFault.Store(nil)
			w.house.passivate(hd)
			require.Zero(t, w.house.handles.Size())
			b, err := w.bases.Get(t.Context(), id)
			require.NoError(t, err)
			require.EqualValues(t, hd.durable.Load(), b.Version)
			require.Len(t, w.view(id).DaySheet(day, nil), 1)
		})
	}
}
