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

// On the night on which the clocks go back 02:30 comes twice. Who asks for the second one by an instant is told of a table at the
// first one: an hour before the moment that he asked for, though "at or within 30 minutes after" is promised.
func TestFreeForNInTheNightOfTheClocks(t *testing.T) {
	now := time.Date(2026, 10, 20, 12, 0, 0, 0, time.UTC)
	id := engine.MakeRestaurantID(7)
	book := engine.NewAggregate(engine.AggregateID(id))
	for _, body := range []engine.Body{
		&engine.CreateRestaurant{ID: id, Details: engine.Details{Name: "Night", TimeZone: "Europe/Rome",
			OpeningHours: []engine.OpeningHours{{Days: 127, Open: 18 * 60, Close: 30 * 60, LastSeating: 29 * 60}}}},
		&engine.AddTable{ID: engine.MakeTableID(id, 1), Table: engine.TableSpec{Number: "1", Capacity: 4, MinCapacity: 1, InService: true}},
	} {
		out, events := book.Decide(engine.Instant(now.UnixMilli()), &engine.Command{Caller: engine.Caller{Account: guestID, Role: engine.RoleOwner}, Body: body})
		require.True(t, done(out.Code), "%v %s", out.Code, out.Field)
		for _, e := range events {
			book.Apply(e)
		}
	}
	store := &searched{search: func(context.Context, persistence.SearchFilter) (persistence.SearchPage, error) {
		return persistence.SearchPage{Rows: []persistence.SearchRow{{ID: id, Zone: "Europe/Rome", Place: "1"}}, AsOf: now}, nil
	}}
	view := book.View()
	house := &script{view: func(engine.AggregateID) (*actors.View, error) { return &actors.View{View: view}, nil }}
	s := listen(t, house, func(c *Config) { c.Lists, c.Now = store, func() time.Time { return now } })
	for _, asked := range []string{"2026-10-24T20:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"} {
		a := s.ask("GET", "/api/v1/restaurants?guests=2&open_at="+asked, "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		at, err := time.Parse(time.RFC3339, asked)
		require.NoError(t, err)
		for _, item := range a.doc["items"].([]any) {
			starts, err := time.Parse(time.RFC3339, item.(map[string]any)["starts_at"].(string))
			require.NoError(t, err)
			t.Logf("asked for %s, told %s", asked, starts)
			require.False(t, starts.Before(at), "asked for %s, told %s", asked, starts)
			require.LessOrEqual(t, starts.Sub(at), 30*time.Minute, "asked for %s, told %s", asked, starts)
		}
	}
}
