package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// A party that asks at 23:50 may sit down within 30 minutes: at 23:55, or at 00:00 and after, which is a start of the next day
// where a restaurant is open around the clock. Only the day asked and the one before are looked at.
func TestFreeWithinHalfAnHourOverMidnight(t *testing.T) {
	s := openSite(t, t.TempDir())
	owner := s.token(1, engine.RoleOwner)
	made := create(t, s.api, owner, "/restaurants", "r", map[string]any{
		"name": "Diner", "city": "Roma", "time_zone": "Europe/Rome",
		"opening_hours": []map[string]any{{"days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "open": "00:00", "close": "24:00", "last_seating": "23:55"}},
	})
	var r struct{ ID string }
	require.NoError(t, json.Unmarshal(made.body, &r))
	create(t, s.api, owner, "/restaurants/"+r.ID+"/tables", "t1", map[string]any{"table_number": "1", "capacity": 4, "min_capacity": 1})
	day := func(n int) string { return time.Now().AddDate(0, 0, n).Format(time.DateOnly) }
	free := func(at string) (starts []string) {
		got, err := s.do(request{method: "GET", path: "/restaurants?guests=2&open_at=" + at})
		require.NoError(t, err)
		require.Equal(t, 200, got.status, "%s", got.body)
		var a struct {
			Items []struct {
				StartsAt string `json:"starts_at"`
			} `json:"items"`
		}
		require.NoError(t, json.Unmarshal(got.body, &a))
		for _, i := range a.Items {
			starts = append(starts, i.StartsAt)
		}
		return starts
	}
	// The only table is taken until midnight.
	require.Eventually(t, func() bool { return len(free(day(3)+"T23:50")) == 1 }, 10*time.Second, 10*time.Millisecond)
	create(t, s.api, s.token(7, engine.RoleCustomer), "/reservations", "b", map[string]any{ // until 24:00
		"restaurant_id": r.ID, "date": day(3), "time_slot": "22:30", "guests_count": 2})
	for at, want := range map[string]string{day(3) + "&time=23:55": `"available":false`, day(4) + "&time=00:00": `"available":true`} {
		got, err := s.do(request{method: "GET", path: "/restaurants/" + r.ID + "/availability?guests_count=2&date=" + at})
		require.NoError(t, err)
		require.Contains(t, string(got.body), want, at)
	}
	require.Len(t, free(day(4)+"T00:00"), 1)
	require.Len(t, free(day(3)+"T23:50"), 1, "ten minutes after 23:50 the table is free")
}
