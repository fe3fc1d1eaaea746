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

// One restaurant whose book does not answer (quarantined) is left out, says look. With a page of one row it is an error instead:
// the search answers 503, and as the cursor lies before that restaurant nobody with limit=1 ever gets past it.
func TestOneBookThatDoesNotAnswerEndsNoSearch(t *testing.T) {
	const broken, fine = engine.RestaurantID("rst_0000000000001"), engine.RestaurantID("rst_0000000000002")
	store := &searched{search: func(_ context.Context, f persistence.SearchFilter) (persistence.SearchPage, error) {
		rows := []persistence.SearchRow{{ID: broken, Zone: "Europe/Rome", Place: "1"}, {ID: fine, Zone: "Europe/Rome", Place: "2"}}
		if f.After == "1" {
			rows = rows[1:]
		}
		page := persistence.SearchPage{Rows: rows[:min(f.Limit, len(rows))], AsOf: time.Now()}
		if len(page.Rows) < len(rows) {
			page.Next = page.Rows[len(page.Rows)-1].Place
		}
		return page, nil
	}}
	house := &script{view: func(id engine.AggregateID) (*actors.View, error) {
		if id == engine.AggregateID(broken) {
			return nil, actors.ErrQuarantined
		}
		return &actors.View{View: engine.NewAggregate(id).View()}, nil // a restaurant without a free table
	}}
	s := listen(t, house, func(c *Config) { c.Lists = store })
	for _, limit := range []string{"2", "1"} {
		a := s.ask("GET", "/api/v1/restaurants?open_at=2026-12-01T20:00&guests=2&limit="+limit, "", "")
		require.Equal(t, 200, a.StatusCode, "limit=%s: %s", limit, a.text)
	}
}
