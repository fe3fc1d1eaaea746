package actors

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence/memory"
)

// TestFramesKeepTheirDistance: under load no two appends begin closer than Config.FrameEvery, so that calls share one; a call that
// comes after a pause waits for nobody. By the clock of a bubble, so exact.
func TestFramesKeepTheirDistance(t *testing.T) {
	const every = 2 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, stays, func(c *Config) { c.FrameEvery = every })
		id := w.restaurant(1, 100)
		var mu sync.Mutex
		var began []time.Time
		onAppend := func(memory.Append) memory.Fault {
			mu.Lock()
			defer mu.Unlock()
			began = append(began, time.Now())
			return memory.Fault{}
		}
		w.fault.Store(&onAppend)

		<-time.After(time.Second)
		asked := time.Now()
		_, err := w.reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Zero(t, time.Since(asked), "a call alone takes what the journal takes, which is nothing here")

		var clients sync.WaitGroup
		for c := range uint64(20) {
			clients.Go(func() {
				for n := range uint64(5) {
					out, err := w.reserve(id, 2+c*5+n, 12*60)
					require.NoError(t, err)
					require.Contains(t, []engine.Code{engine.CodeCreated, engine.CodeSlotUnavailable}, out.Code)
				}
			})
		}
		clients.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i, at := range began[1:] {
			require.GreaterOrEqual(t, at.Sub(began[i]), every, "append %d", i+1)
		}
		require.Less(t, len(began), 50, "of 101 calls")
		require.NoError(t, w.house.Close())
	})
}
