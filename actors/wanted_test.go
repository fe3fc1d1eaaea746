package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// Only what is asked for twice is worth a place: a sweep over many days leaves the answers that are asked for often.
func TestAnAnswerIsWantedTheSecondTime(t *testing.T) {
	w := newWorld(t, stays)
	v, err := w.house.View(w.restaurant(1, 2), soon())
	require.NoError(t, err)
	require.False(t, v.Wanted(day, 2), "asked for once")
	require.True(t, v.Wanted(day, 2))
	v.Keep(day, 2, 7, []byte("kept"))
	require.Equal(t, "kept", string(v.Cached(day, 2, 7)))
	for d := range cacheSlots * 3 {
		require.False(t, v.Wanted(day+1+engine.Day(d), 3))
	}
	require.Equal(t, "kept", string(v.Cached(day, 2, 7)))
}
