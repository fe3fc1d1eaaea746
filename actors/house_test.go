package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
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
