package jetstream

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHoursLeft(t *testing.T) {
	var g growth
	now := time.Unix(1_800_000_000, 0)
	require.True(t, math.IsInf(g.hoursLeft(now, 1<<30, 0.1), 1), "nothing is known yet")
	bytes, left := uint64(1<<30), 0.0
	for range 3600 / 5 { // an hour, 1 MiB a second; every tenth look finds that half was purged
		now = now.Add(5 * time.Second)
		if bytes += 5 << 20; bytes > 2<<30 {
			bytes /= 2
		}
		left = g.hoursLeft(now, bytes, float64(bytes)/(16<<30))
	}
	rest := 0.9*(16<<30) - float64(bytes)
	require.InDelta(t, rest/(1<<20)/3600, left, 0.05*left)
	for range 3600 / 5 {
		now = now.Add(5 * time.Second)
		left = g.hoursLeft(now, bytes, 0.95)
	}
	require.Zero(t, left, "beyond the mark")
	for range 3600 {
		now = now.Add(5 * time.Second)
	}
	require.True(t, math.IsInf(g.hoursLeft(now, bytes, 0.5), 1), "it stands still")
}
