package sqlite

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// lunchRoom is open from noon to two. The i-th lies i/1000 of the way across a town of 20 km.
func lunchRoom(i int, name, description string) persistence.Committed {
	r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(i + 1))), Owner: string(engine.MakeAccountID([16]byte{1})), Name: name, Description: description,
		City: "Roma", CuisineType: "romana", TimeZone: "Europe/Rome", Latitude: 41.8 + float64(i%200)/1000, Longitude: 12.4 + float64(i/200%200)/1000,
		OpeningHours: []*enginepb.OpeningHours{{Days: 127, OpenMin: 720, LastSeatingMin: 840, CloseMin: 900}}}
	e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
	return persistence.Committed{Seq: 1, Index: i, Aggregate: engine.AggregateID(r.Id), Version: 1, Event: e}
}

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
