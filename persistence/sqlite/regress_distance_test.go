package sqlite

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// "A search looks at a bounded number of restaurants" (persistence.SearchPage). By distance it did not: with open_at at an hour
// at which nobody is open, one page read every restaurant of the circle, at each of the growing radii, with all columns and
// hours. Over 50,000 it took 1.0 s and 380 MB (2.4 s and 760 MB with a word beside), against 4 ms by name; over 100,000 the
// 2 s of the edge were over, so the honest question "near me, open now" at night was 503, and since the store has two readers,
// two clients who asked it kept lists, reviews and searches of all the others waiting.
func TestASearchByDistanceLooksAtABoundedNumber(t *testing.T) {
	night := &persistence.Moment{Day: 20_786, Minutes: 300}
	town := func(n int) *Store {
		s, err := Open(t.Context(), t.TempDir()+"/store.db")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		var events []persistence.Committed
		for i := range n {
			events = append(events, lunchRoom(i, fmt.Sprintf("Da %05d", i), ""))
		}
		require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(1), events))
		return s
	}
	small, large := town(2_000), town(16_000)
	cost := func(s *Store, f persistence.SearchFilter) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		page, err := s.Search(t.Context(), f)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Empty(t, page.Rows)
		return (after.TotalAlloc - before.TotalAlloc) >> 10
	}
	near := &persistence.Circle{Latitude: 41.9, Longitude: 12.5, RadiusKm: 100}
	for name, f := range map[string]persistence.SearchFilter{
		"by name":          {Limit: 50, OpenAt: night},
		"by text":          {Limit: 50, OpenAt: night, Text: "romana"},
		"by distance":      {Limit: 50, OpenAt: night, Near: near},
		"text by distance": {Limit: 50, OpenAt: night, Near: near, Text: "romana"},
	} {
		t.Run(name, func(t *testing.T) {
			few, many := cost(small, f), cost(large, f)
			t.Logf("KiB of memory for a page over 2,000: %d, over 16,000: %d", few, many)
			require.Less(t, many, 3*few, "eight times the restaurants must not cost a page eight times as much")
		})
	}
}
