package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// A search over the API, on the real store and real books.
func TestSearchFindsFreeTables(t *testing.T) {
	s := openSite(t, t.TempDir())
	owner := s.token(1, engine.RoleOwner)
	for i, name := range []string{"Trattoria da Nonna", "Caffè Nonno", "Osteria del Ponte"} {
		made := create(t, s.api, owner, "/restaurants", fmt.Sprint("r", i), map[string]any{
			"name": name, "city": "Forlì", "cuisine_type": "romana", "time_zone": "Europe/Rome", "latitude": 44.2 + float64(i)/100, "longitude": 12.0,
			"opening_hours": []map[string]any{{"days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "open": "18:00", "close": "02:00", "last_seating": "01:00"}},
		})
		var r struct{ ID string }
		require.NoError(t, json.Unmarshal(made.body, &r))
		create(t, s.api, owner, "/restaurants/"+r.ID+"/tables", "t", map[string]any{"table_number": "1", "capacity": 4, "min_capacity": 1})
	}
	type found struct {
		Items []struct {
			ID       string  `json:"id"`
			Name     string  `json:"name"`
			StartsAt string  `json:"starts_at"`
			Km       float64 `json:"distance_km"`
		} `json:"items"`
		Next *string `json:"next_cursor"`
	}
	get := func(query string) (a found) {
		t.Helper()
		got, err := s.do(request{method: "GET", path: "/restaurants?" + query})
		require.NoError(t, err)
		require.Equal(t, 200, got.status, "%s", got.body)
		require.NoError(t, json.Unmarshal(got.body, &a))
		return a
	}
	names := func(query string) string {
		var all []string
		for _, i := range get(query).Items {
			all = append(all, i.Name)
		}
		return strings.Join(all, ", ")
	}
	require.Eventually(t, func() bool { return len(get("city=forli").Items) == 3 }, 10*time.Second, 10*time.Millisecond, "the store follows")
	require.Equal(t, "Caffè Nonno, Osteria del Ponte, Trattoria da Nonna", names(""), "by name")
	require.Equal(t, "Caffè Nonno", names("q=caffe"))
	require.Equal(t, "Trattoria da Nonna", names("q=tratoria"), "misspelt")
	require.Empty(t, names("q="+url.QueryEscape(`" OR nonna *`)), "nothing of the query is syntax: or is a word")
	require.Equal(t, "Osteria del Ponte, Caffè Nonno", names("lat=44.22&lon=12&radius_km=1.5"), "nearest first")
	require.Equal(t, "Caffè Nonno", names("box=44.205,11.9,44.215,12.1"))

	tomorrow := time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	require.Equal(t, "", names("open_at="+tomorrow+"T12:00"))
	require.Len(t, get("open_at="+tomorrow+"T00:45").Items, 3, "the shift of the day before")
	free := get("guests=2&open_at=" + tomorrow + "T19:10")
	require.Len(t, free.Items, 3)
	require.Contains(t, free.Items[0].StartsAt, tomorrow+"T19:15:00")
	create(t, s.api, s.token(7, engine.RoleCustomer), "/reservations", "b", map[string]any{
		"restaurant_id": free.Items[0].ID, "date": tomorrow, "time_slot": "19:15", "guests_count": 2})
	require.Equal(t, "Osteria del Ponte, Trattoria da Nonna", names("guests=2&open_at="+tomorrow+"T19:10"), "its only table is taken, at once")
	require.Empty(t, names("guests=5&open_at="+tomorrow+"T19:10"))

	page := get("limit=1&guests=2&open_at=" + tomorrow + "T19:10")
	require.Len(t, page.Items, 1)
	require.NotNil(t, page.Next)
	rest := get("limit=1&guests=2&open_at=" + tomorrow + "T19:10&cursor=" + *page.Next)
	require.Equal(t, "Trattoria da Nonna", rest.Items[0].Name)
	require.Nil(t, rest.Next)
	for query, want := range map[string]int{
		"lat=44": 422, "lat=91&lon=0": 422, "lat=44&lon=12&radius_km=101": 422, "lat=NaN&lon=0": 422, "box=1,2,3": 422, "box=3,2,1,4": 422, "open_at=noon": 422, "guests=2": 422,
		"guests=0&open_at=" + tomorrow + "T19:00": 422, "limit=101": 422, "x=1": 422, "cursor=abc": 400, "q=" + strings.Repeat("a", 201): 422, "q=%00": 422,
		"limit=1&cursor=" + *page.Next: 400,
	} {
		got, err := s.do(request{method: "GET", path: "/restaurants?" + query})
		require.NoError(t, err)
		require.Equal(t, want, got.status, "%s: %s", query, got.body)
	}
}
