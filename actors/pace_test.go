package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	const most = 16_384
	settled := func(took time.Duration, bytes, calls int) int64 {
		var p pace
		p.init(most)
		require.EqualValues(t, most, p.room.Load(), "before the first append")
		for range 50 {
			p.acked(took, bytes, calls)
			p.acked(took, 200, 0) // heartbeats say nothing of a call's size
		}
		return p.room.Load()
	}
	require.EqualValues(t, most, settled(300*time.Microsecond, 10_000, 30), "a journal in good health limits nothing")
	require.InDelta(t, 583, settled(150*time.Millisecond, 250_000, 278), 10, "0.3 s of a journal that takes 1,942 calls a second")
	require.InDelta(t, 2*291, settled(3*time.Second, 250_000, 278), 10, "two frames at least")
}

func TestPaceFollows(t *testing.T) {
	var p pace
	p.init(16_384)
	p.acked(300*time.Microsecond, 10_000, 30)
	for range 30 {
		p.acked(150*time.Millisecond, 250_000, 278)
	}
	require.Less(t, p.room.Load(), int64(2500), "slow now")
	for range 100 {
		p.acked(300*time.Microsecond, 10_000, 30)
	}
	require.EqualValues(t, 16_384, p.room.Load(), "well again")
}
