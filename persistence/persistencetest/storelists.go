package persistencetest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

func storeReviews(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(29, 500)
	defer s.Close()
	end := persistence.Seq(len(f))
	project(t, s, f, end, rand.New(rand.NewPCG(1, 1)), nil)
	m, seen := fold(f, end), 0
	for r := range m.restaurants {
		for _, filter := range []persistence.ReviewFilter{{Limit: 100}, {Limit: 2}, {Limit: 1, Rating: 4}} {
			var want, got []persistence.ReviewRow
			for _, v := range slices.Backward(m.reviews) {
				if v.Restaurant == engine.RestaurantID(r) && (filter.Rating == 0 || v.Rating == filter.Rating) {
					want = append(want, v)
				}
			}
			for {
				page, err := s.ReviewsOf(t.Context(), engine.RestaurantID(r), filter)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page.Rows), filter.Limit)
				require.False(t, page.AsOf.IsZero())
				got = append(got, page.Rows...)
				if filter.After = page.Next; page.Next == "" {
					break
				}
			}
			require.Equal(t, want, got)
			seen += len(got)
		}
	}
	require.Greater(t, seen, 20)
	_, err := s.ReviewsOf(t.Context(), "rst_x", persistence.ReviewFilter{After: "?"})
	require.ErrorIs(t, err, persistence.ErrBadPlace)
}

func storePlaces(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(31, 500)
	defer s.Close()
	end := persistence.Seq(len(f))
	project(t, s, f, end, rand.New(rand.NewPCG(1, 1)), nil)
	m, worked := fold(f, end), 0
	for a := range m.accounts {
		var want []persistence.PlaceRow
		for id, r := range m.restaurants {
			row := persistence.PlaceRow{Restaurant: engine.RestaurantID(id), Name: r.Name, City: r.City}
			if r.Owner == string(a) {
				row.Role = engine.RoleOwner
				want = append(want, row)
			} else if member := m.staff[id][string(a)]; member != nil {
				row.Role = member.Role
				want = append(want, row)
				worked++
			}
		}
		for _, limit := range []int{100, 1} {
			var got []persistence.PlaceRow
			for after := ""; ; {
				page, err := s.PlacesOf(t.Context(), engine.AccountID(a), after, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page.Rows), limit)
				got = append(got, page.Rows...)
				if after = page.Next; after == "" {
					break
				}
			}
			require.ElementsMatch(t, want, got, "limit %d", limit)
		}
	}
	require.Positive(t, worked)
	_, err := s.PlacesOf(t.Context(), "usr_x", "?", 1)
	require.ErrorIs(t, err, persistence.ErrBadPlace)
}
