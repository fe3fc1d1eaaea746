package jetstream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// Bases that are put while others scan are no damage, and none is missed.
func TestScanOfABusyBucket(t *testing.T) {
	e := openTest(t, testOptions(t.TempDir()))
	const ids = 20
	revisions := make([]persistence.Revision, ids)
	put := func(i int, v engine.Version) {
		r, err := e.Bases().Put(t.Context(), persistence.Base{
			BaseHeader: persistence.BaseHeader{ID: restaurant(i), Version: v, Position: 1, Revision: revisions[i]}, State: []byte("state"),
		})
		if err != nil {
			t.Error(err)
		}
		revisions[i] = r
	}
	for i := range ids {
		put(i, 1)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for v := engine.Version(2); ; v++ {
			for i := range ids {
				select {
				case <-stop:
					return
				default:
					put(i, v)
				}
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for range 200 {
		seen := map[engine.AggregateID]bool{}
		_, err := e.Bases().Scan(t.Context(), func(h persistence.BaseHeader) error {
			seen[h.ID] = true
			return nil
		})
		require.NoError(t, err)
		require.Len(t, seen, ids)
	}
}
