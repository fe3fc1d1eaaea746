package edge

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// searched is a store whose search is a function.
type searched struct {
	list
	search func(ctx context.Context, f persistence.SearchFilter) (persistence.SearchPage, error)
}

func (s *searched) Search(ctx context.Context, f persistence.SearchFilter) (persistence.SearchPage, error) {
	return s.search(ctx, f)
}

// A store may answer a page without rows and with a place to go on from: it has looked at 512 restaurants, none is open. 5 ms is
// what it takes for that over 50,000. "Free for N" must hand the place on like a search without N does, and not walk the whole
// country in one request until the time is over, answer 503 and give the client nothing to go on from.
func TestFreeForNGoesOnFromAPageWithoutRows(t *testing.T) {
	calls := 0
	store := &searched{search: func(ctx context.Context, f persistence.SearchFilter) (persistence.SearchPage, error) {
		calls++
		select {
		case <-ctx.Done():
			return persistence.SearchPage{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		return persistence.SearchPage{Next: "place" + strconv.Itoa(calls), AsOf: time.Now()}, nil
	}}
	s := listen(t, &script{}, func(c *Config) { c.Lists = store })
	a := s.ask("GET", "/api/v1/restaurants?open_at=2026-12-01T04:00", "", "")
	require.Equal(t, 200, a.StatusCode, "without guests: %s", a.text)
	require.NotNil(t, a.doc["next_cursor"])
	require.Equal(t, 1, calls)
	began := time.Now()
	a = s.ask("GET", "/api/v1/restaurants?open_at=2026-12-01T04:00&guests=2", "", "")
	t.Logf("%d questions to the store for one request, %v", calls-1, time.Since(began))
	require.Equal(t, 200, a.StatusCode, "%s", a.text)
	require.NotNil(t, a.doc["next_cursor"])
}
