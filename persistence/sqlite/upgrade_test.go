package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// TestSearchIsFilledAfterAnUpgrade: a store of before migration 5 has no word for a whole city, and finds by it all the same. Words that
// nobody has any more (migration 6) go.
func TestSearchIsFilledAfterAnUpgrade(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), filepath.Join(dir, "store.db"))
	require.NoError(t, err)
	d := &diary{T: t, s: s, versions: map[engine.AggregateID]engine.Version{}}
	id := engine.MakeRestaurantID(1)
	d.add([]engine.AggregateID{engine.AggregateID(id)}, &enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{
		Restaurant: &enginepb.Restaurant{Id: string(id), Owner: string(engine.MakeAccountID([16]byte{1})), TimeZone: "America/New_York",
			Name: "Da Mario", City: "New York", CuisineType: "Pizza"}}}})
	for _, older := range []string{
		"DELETE FROM goose_db_version WHERE version_id >= 5",
		"ALTER TABLE reviews DROP COLUMN id",
		"ALTER TABLE reviews DROP COLUMN version",
		"ALTER TABLE restaurants DROP COLUMN rules",
		"ALTER TABLE reservations DROP COLUMN buffer_min",
		"ALTER TABLE reservations DROP COLUMN hold_until_ms",
		"ALTER TABLE tables DROP COLUMN channel",
		"ALTER TABLE tables DROP COLUMN blocks",
		"DELETE FROM search_words",
		"INSERT INTO terms (n, term) VALUES (999, 'nobody')",
		"INSERT INTO term_trigrams (rowid, term) VALUES (999, 'nobody')",
		"INSERT INTO search_words (rowid, name, cuisine, city, text) SELECT n, name, cuisine, city, '' FROM search",
	} {
		_, err := s.conn.ExecContext(t.Context(), older)
		require.NoError(t, err)
	}
	found := func(s *Store) int {
		page, err := s.Search(t.Context(), persistence.SearchFilter{Text: "mario", City: "new york", Limit: 5})
		require.NoError(t, err)
		return len(page.Rows)
	}
	require.Zero(t, found(s), "the control: the older words do not do")
	require.NoError(t, s.Close())
	s = openIn(t, dir)
	require.Equal(t, 1, found(s))
	var terms, trigrams int
	require.NoError(t, s.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM terms").Scan(&terms))
	require.NoError(t, s.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM term_trigrams WHERE term_trigrams MATCH 'nob'").Scan(&trigrams))
	require.Equal(t, []int{3, 0}, []int{terms, trigrams}, "mario, york, pizza; the words of nobody are gone")
}

// TestAReviewOfBeforeKeepsItsID: a row of before migration 7 has no id of its own, and was named after its reservation.
func TestAReviewOfBeforeKeepsItsID(t *testing.T) {
	s := openIn(t, t.TempDir())
	d := &diary{T: t, s: s, versions: map[engine.AggregateID]engine.Version{}}
	r := engine.MakeRestaurantID(1)
	visit, name := engine.MakeReservationID(r, 7), engine.MakeReviewID(r, 8)
	d.add([]engine.AggregateID{engine.AggregateID(r)}, lunchRoom(0, "A", "").Event, booked(string(visit), "", ""),
		&enginepb.Event{Body: &enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{Id: string(name), Reservation: string(visit), Rating: 5}}})
	reviewed := func() engine.ReviewID {
		page, err := s.ReviewsOf(t.Context(), r, persistence.ReviewFilter{Limit: 1})
		require.NoError(t, err)
		require.Len(t, page.Rows, 1)
		return page.Rows[0].ID
	}
	require.Equal(t, name, reviewed())
	_, err := s.conn.ExecContext(t.Context(), "UPDATE reviews SET id = NULL, version = NULL")
	require.NoError(t, err)
	require.Equal(t, engine.MakeReviewID(r, 7), reviewed())
	states, _, err := s.States(t.Context(), persistence.StatesFilter{Limit: 1, RestaurantsOnly: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, states[0].Reviews[0].Order, "nor a version: its rank stands in")
}
