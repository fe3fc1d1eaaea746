package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func TestParseHours(t *testing.T) {
	const lunch, dinner = 12*60 + 30, 19*60 + 30
	for _, tt := range []struct {
		in   string
		ok   bool
		want []engine.OpeningHours
	}{
		{"Mo-Sa 12:30-15:00, 19:30-24:00", true, []engine.OpeningHours{
			{Days: 0b0111111, Open: lunch, Close: 900, LastSeating: 825}, {Days: 0b0111111, Open: dinner, Close: 1440, LastSeating: 1350}}},
		{"18:00-02:00", true, []engine.OpeningHours{{Days: everyDay, Open: 1080, Close: 1560, LastSeating: 1470}}},
		{"Th-Tu 12:00-15:00", true, []engine.OpeningHours{{Days: 0b1111011, Open: 720, Close: 900, LastSeating: 810}}},
		{"Mo 17:00-24:00; We-Su 17:00-01:00", true, []engine.OpeningHours{
			{Days: 1, Open: 1020, Close: 1440, LastSeating: 1350}, {Days: 0b1111100, Open: 1020, Close: 1500, LastSeating: 1410}}},
		{"Mo-Su 10:00-22:00; Sa 12:00-21:00", true, []engine.OpeningHours{
			{Days: 0b1011111, Open: 600, Close: 1320, LastSeating: 1230}, {Days: 1 << 5, Open: 720, Close: 1260, LastSeating: 1170}}},
		{"Tu-Su", true, usualShifts(0b1111110)},
		{"mezze, serra", false, nil},
		{"11:00/15:30 19:00/22:30", false, nil},
		{"", false, nil},
		{"Su off", false, nil},
	} {
		got, ok := ParseHours(tt.in)
		require.Equal(t, tt.ok, ok, tt.in)
		if ok {
			require.Equal(t, tt.want, got, tt.in)
		}
	}
}

func TestRestaurantsAreThe500OfTheFileAndTheSameEachTime(t *testing.T) {
	first, err := Restaurants()
	require.NoError(t, err)
	require.Len(t, first, 500)
	again, err := Restaurants()
	require.NoError(t, err)
	require.Equal(t, first, again)
	ids := map[engine.RestaurantID]bool{}
	realHours := 0
	for _, r := range first {
		require.NotEmpty(t, r.Details.Name)
		require.NotEmpty(t, r.Details.OpeningHours, r.Details.Name)
		require.GreaterOrEqual(t, len(r.Tables), 6)
		require.False(t, ids[r.ID], "id twice")
		ids[r.ID] = true
		if len(r.Details.OpeningHours) > 0 && r.Details.OpeningHours[0].Open != 12*60+30 {
			realHours++
		}
	}
	require.Greater(t, realHours, 15, "the map's own opening hours are used")
}
