package sqlite

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// A search by text went on by counting (OFFSET). A restaurant that is registered, or whose description changes, between two pages
// moved the others: the second page showed again what the first one had shown, or left one out.
func TestPagesByRelevanceNeitherRepeatNorSkip(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	defer s.Close()
	var events []persistence.Committed
	for i := range 6 {
		events = append(events, lunchRoom(i, fmt.Sprintf("Trattoria %c", 'a'+i), ""))
	}
	for i := range 20 {
		events = append(events, lunchRoom(6+i, "Bar", ""))
	}
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(1), events))
	f := persistence.SearchFilter{Text: "trattoria", Limit: 3}
	first, err := s.Search(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, first.Rows, 3)
	better := lunchRoom(100, "Trattoria Trattoria", "") // it has the word twice
	better.Seq, better.Index = 2, 0
	require.NoError(t, s.Write(t.Context(), at(1), at(2), []persistence.Committed{better}))
	f.After = first.Next
	second, err := s.Search(t.Context(), f)
	require.NoError(t, err)
	seen := map[engine.RestaurantID]bool{}
	for _, r := range append(first.Rows, second.Rows...) {
		require.False(t, seen[r.ID], "%s is on two pages", r.Name)
		seen[r.ID] = true
	}
}
