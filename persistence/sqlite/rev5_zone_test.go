package sqlite

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// One restaurant whose zone this machine does not know (it was made on another: see edge's TestAZoneIsOneThatEveryMachineKnows)
// was the end of every search with open_at that met it: an error for the whole page, 503 for everybody.
func TestOneUnknownZoneEndsNoSearch(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	defer s.Close()
	strange := lunchRoom(0, "A", "")
	strange.Event.GetRestaurantCreated().GetRestaurant().TimeZone = "posix/Nowhere"
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(1), []persistence.Committed{strange, lunchRoom(1, "B", "")}))
	for _, near := range []*persistence.Circle{nil, {Latitude: 41.8, Longitude: 12.4, RadiusKm: 5}} {
		page, err := s.Search(t.Context(), persistence.SearchFilter{Limit: 10, Near: near, OpenAt: &persistence.Moment{Day: 20_786, Minutes: 750}})
		require.NoError(t, err)
		require.Len(t, page.Rows, 1)
	}
}
