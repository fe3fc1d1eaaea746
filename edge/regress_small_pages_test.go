package edge

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// limit=1 of the client was the limit of each question to the store too: on a night on which nothing is free, one request asked it
// 200 times. In a city of 20,000 that is 1.1 s of one of its two readers (each question sorts the city anew), of 40,000 a 503.
func TestASmallPageOfFreeTablesAsksTheStoreNotOftener(t *testing.T) {
	calls := 0
	store := &searched{search: func(_ context.Context, f persistence.SearchFilter) (page persistence.SearchPage, err error) {
		calls++
		at, _ := strconv.Atoi(f.After)
		for i := at + 1; i <= min(at+f.Limit, 1000); i++ {
			page.Rows = append(page.Rows, persistence.SearchRow{ID: engine.RestaurantID(fmt.Sprintf("rst_%013d", i)), Zone: "Europe/Rome", Place: strconv.Itoa(i)})
		}
		page.AsOf, page.Next = time.Now(), strconv.Itoa(at+len(page.Rows))
		return page, nil
	}}
	house := &script{view: func(id engine.AggregateID) (*actors.View, error) {
		return &actors.View{View: engine.NewAggregate(id).View()}, nil
	}}
	s := listen(t, house, func(c *Config) { c.Lists = store })
	a := s.ask("GET", "/api/v1/restaurants?open_at=2026-12-01T20:00&guests=2&limit=1", "", "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Empty(t, a.doc["items"])
	require.NotNil(t, a.doc["next_cursor"])
	require.EqualValues(t, maxLooks, house.calls.Load())
	require.LessOrEqual(t, calls, 20)
}
