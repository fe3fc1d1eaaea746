package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

func TestBookAndRestart(t *testing.T) {
	for _, all := range []bool{false, true} {
		w := newWorld(t, func(c *Config) { c.PassivateAll = all })
		id := w.restaurant(1, 2)
		out, err := w.reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code, out.Field)
		require.NotNil(t, w.view(id).Reservation(out.Reservation.ID))
		incarnation := w.house.Status().Incarnation

		w.restart()
		require.Greater(t, w.house.Status().Incarnation, incarnation)
		require.NotNil(t, w.view(id).Reservation(out.Reservation.ID))
		again, err := w.reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.Equal(t, out.Reservation.ID, again.Reservation.ID)
		require.NoError(t, w.house.Close())
		require.NoError(t, w.house.Close())
		_, err = w.house.Do(id, &engine.Command{Body: &engine.Sweep{}}, time.Now().Add(time.Second))
		require.ErrorIs(t, err, ErrUnavailable)
	}
}

// Events get into bases when they grow old, and floors follow in frames; what is opened from base and floor is the same.
func TestOldEventsGetBasesAndFloors(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BaseAge = 10 * time.Millisecond })
	id := w.restaurant(1, 2)
	out, err := w.reserve(id, 1, 12*60)
	require.NoError(t, err)
	f := w.house.fold
	done := w.house.fold.seq()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for p := range f.custody.Partitions() {
			if f.custody.Part(persistence.Partition(p)).Floor < done {
				return false
			}
		}
		return f.tail.Len() == 0
	}, 15*time.Second, 5*time.Millisecond)
	w.restart()
	require.NotNil(t, w.view(id).Reservation(out.Reservation.ID))
}
