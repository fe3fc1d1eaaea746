package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// A restaurant that is changed so often that it would take long to open gets a base at once, however young its events are; and not
// at every turn.
func TestALongTailGetsABase(t *testing.T) {
	w := newWorld(t, stays)
	busy, quiet := w.restaurant(1, 1), w.restaurant(2, 1)
	change := func(id engine.AggregateID, n int) {
		for range n / 2 {
			serial := w.serial.Add(1)
			out, err := w.reserve(id, serial, 12*60)
			require.NoError(t, err)
			require.Equal(t, engine.CodeCreated, out.Code)
			_, err = w.do(id, guest, &engine.Transition{ID: reservationOf(id, serial), Action: engine.ActionCancel})
			require.NoError(t, err)
		}
	}
	outside := func(id engine.AggregateID) int {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		return len(w.house.fold.tail.Positions(id, nil))
	}
	change(quiet, persistence.LongTail/2)
	change(busy, persistence.LongTail)
	require.Eventually(t, func() bool { return outside(busy) == 0 }, 10*time.Second, 10*time.Millisecond)
	require.Greater(t, outside(quiet), persistence.LongTail/2)
	hd := w.opened(busy)
	limit := int(hd.baseBytes.Load()) / bytesPerEvent
	require.Positive(t, limit)

	hd.baseBytes.Store(4 * persistence.LongTail * bytesPerEvent) // as if it were large
	change(busy, 2*persistence.LongTail)
	w.house.shorten()
	require.GreaterOrEqual(t, outside(busy), 2*persistence.LongTail, "a large base is not written for a few events")
	change(busy, 2*persistence.LongTail)
	require.Eventually(t, func() bool { return outside(busy) == 0 }, 10*time.Second, 10*time.Millisecond)
}
