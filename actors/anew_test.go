package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// lowest is the lowest floor that the node's bases stand for, and whether each of them relies on bases that are there.
func (w *world) lowest() (persistence.Seq, bool) {
	f := w.house.fold
	f.mu.Lock()
	defer f.mu.Unlock()
	low := f.custody.Seq()
	for p := range f.custody.Partitions() {
		low = min(low, f.floor(p))
	}
	return low, low > 0
}

// Every base is lost, and the floors say that the bases have the events. As long as the journal has them too, everything is
// read from there, and bases and floors come back. (TestPurgeBelow: nothing is purged meanwhile.)
func TestBasesBeginAnew(t *testing.T) {
	w := newWorld(t, stays, func(c *Config) { c.BaseAge = 50 * time.Millisecond })
	var ids []engine.AggregateID
	for n := range uint64(5) {
		id := w.restaurant(n+1, 3)
		_, err := w.reserve(id, 1, 12*60)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	risen := func(above persistence.Seq) {
		t.Helper()
		require.Eventually(t, func() bool { low, all := w.lowest(); return all && low >= above }, 20*time.Second, 10*time.Millisecond, "the floors rise")
	}
	whole := func() {
		t.Helper()
		for _, id := range ids {
			require.Len(t, w.view(id).DaySheet(day, nil), 1)
		}
		w.requireQuarantined(0)
	}
	b, err := w.journal.Bounds(t.Context())
	require.NoError(t, err)
	risen(b.Last)
	require.NoError(t, w.house.Close())
	w.bases.Forget()
	w.cfg.BaseAge = time.Hour
	w.restart()
	low, _ := w.lowest()
	require.Zero(t, low, "floors that rely on lost bases are not believed")
	whole()
	w.cfg.BaseAge = 50 * time.Millisecond
	w.restart()
	risen(b.Last)
	for _, id := range ids {
		_, err := w.bases.Get(t.Context(), id)
		require.NoError(t, err)
	}
	w.restart()
	low, _ = w.lowest()
	require.GreaterOrEqual(t, low, b.Last, "and are believed after a restart")
	whole()
}
