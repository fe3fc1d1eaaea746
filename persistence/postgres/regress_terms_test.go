package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// A restaurant has the words of its last description alone, and a store of before migration 2 loses those that nobody has.
func TestWordsThatAreGoneLeaveTheIndex(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	var old persistence.Position
	for i, description := range []string{"alpha bravo", "bravo charlie", "delta"} {
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(1)), Owner: string(engine.MakeAccountID([16]byte{1})), Name: "Osteria", Description: description, TimeZone: "UTC"}
		e := &enginepb.Event{AtMs: 1, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
		if i > 0 {
			e.Body = &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: r}}
		}
		next := persistence.Position{Journal: "j", Seq: persistence.Seq(i + 1)}
		require.NoError(t, s.Write(t.Context(), old, next, []persistence.Committed{{Seq: next.Seq, Aggregate: engine.AggregateID(r.Id), Version: engine.Version(i + 1), Event: e}}))
		old = next
	}
	terms := func() []string {
		rows, err := s.read.Query(t.Context(), "SELECT term FROM terms ORDER BY term")
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return found
	}
	require.Equal(t, []string{"delta", "osteria"}, terms())
	for _, older := range []string{"DELETE FROM goose_db_version WHERE version_id >= 2", "INSERT INTO terms VALUES ('nobody')",
		"ALTER TABLE restaurants DROP COLUMN rules", "ALTER TABLE reservations DROP COLUMN buffer_minutes",
		"ALTER TABLE tables DROP COLUMN channel", "ALTER TABLE tables DROP COLUMN blocks", "ALTER TABLE reservations DROP COLUMN hold_until"} {
		_, err := s.write.Exec(t.Context(), older)
		require.NoError(t, err)
	}
	s = openIn(t, dir)
	_, err = s.Cursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"delta", "osteria"}, terms())
}
