package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
	"maitred/persistence/sqlite"
)

func TestCopyBetweenKinds(t *testing.T) {
	embedded := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), t.TempDir()+"/store.db")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	t.Run("to PostgreSQL", func(t *testing.T) { persistencetest.ExerciseCopy(t, embedded(), openIn(t, t.TempDir())) })
	t.Run("from PostgreSQL", func(t *testing.T) { persistencetest.ExerciseCopy(t, openIn(t, t.TempDir()), embedded()) })
}

// What another store says of two parties at one table is loaded, and the later row leaves the exclusion.
func TestLoadParksWhatIsGivenTwice(t *testing.T) {
	s := openIn(t, t.TempDir())
	r := engine.MakeRestaurantID(1)
	a := persistence.AggregateState{ID: engine.AggregateID(r), Version: 3, RestaurantVersion: 1,
		Restaurant: &enginepb.Restaurant{Id: string(r), Owner: string(engine.MakeAccountID([16]byte{1})), TimeZone: "UTC"}}
	for i := range uint64(2) {
		a.Reservations = append(a.Reservations, &enginepb.Reservation{Id: string(engine.MakeReservationID(r, i)), StartsAt: 100, EndsAt: 200, Version: 1,
			Status: enginepb.Status_STATUS_CONFIRMED, TableIds: []string{string(engine.MakeTableID(r, 1))}})
	}
	require.NoError(t, s.Load(t.Context(), []persistence.AggregateState{a}))
	var rows, parked int
	require.NoError(t, s.read.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE parked) FROM reservation_tables").Scan(&rows, &parked))
	require.Equal(t, []int{2, 1}, []int{rows, parked})
}
