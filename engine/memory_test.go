package engine_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// TestIdleWeight: an open restaurant with 20 tables and no reservations, with its view, stays small. The details are part of
// the figure, and so are the tables.
func TestIdleWeight(t *testing.T) {
	a, id, _ := floorOf(t, 20, 0)
	base := a.AppendBase(nil)
	const n = 500
	kept := make([]any, 0, 2*n)
	before := heap()
	for range n {
		b, err := engine.OpenBase(engine.AggregateID(id), base)
		require.NoError(t, err)
		kept = append(kept, b, b.View())
	}
	each := int(heap()-before) / n
	runtime.KeepAlive(kept)
	t.Logf("%d bytes", each)
	require.Less(t, each, 6_000)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
