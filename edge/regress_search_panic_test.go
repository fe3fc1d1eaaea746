package edge

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// A handler that panics answers 500 and the server lives. "Free for N" asks the books in goroutines of its own, where nobody
// recovers: a book at which a view panics is a 500 for GET availability, and the end of the process, again and again, for every
// search that finds it. (On the code as it was this test ends the whole test binary.)
func TestAPanicInABookDoesNotEndTheProcess(t *testing.T) {
	const fine = engine.RestaurantID("rst_0000000000001")
	store := &searched{search: func(context.Context, persistence.SearchFilter) (persistence.SearchPage, error) {
		return persistence.SearchPage{Rows: []persistence.SearchRow{{ID: fine, Zone: "Europe/Rome", Place: "1"}, {ID: "rst_0000000000002", Zone: "Europe/Rome", Place: "2"}}, AsOf: time.Now()}, nil
	}}
	house := &script{view: func(id engine.AggregateID) (*actors.View, error) {
		if id != engine.AggregateID(fine) {
			panic("engine: I7: a reservation is not on its day sheet")
		}
		return &actors.View{View: engine.NewAggregate(id).View()}, nil
	}}
	s := listen(t, house, func(c *Config) { c.Lists = store })
	a := s.ask("GET", "/api/v1/restaurants?open_at=2026-12-01T20:00&guests=2", "", "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, 200, s.ask("GET", "/healthz", "", "").StatusCode)
}
