package persistencetest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"maitred/engine"
	"maitred/persistence"
)

// storeAudit: history, events and recent events are the frames, also after a replay.
func storeAudit(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f := open(t, dir), MakeFrames(3, 300)
	defer s.Close()
	project(t, s, f, 300, rand.New(rand.NewPCG(3, 1)), nil)
	require.NoError(t, s.Write(t.Context(), at(300), at(100), nil))
	require.NoError(t, s.Write(t.Context(), at(100), at(300), f.Events(100, 300)), "a replay leaves the audit alone")
	all := f.Events(0, 300)
	requireHistories(t, s, all)

	left := len(all)
	require.NoError(t, s.Recent(t.Context(), func(c persistence.Committed) bool {
		left--
		requireEvent(t, all[left], c)
		return left > 0
	}))
	require.Zero(t, left)
	require.NoError(t, s.Recent(t.Context(), func(persistence.Committed) bool { left++; return left < 3 }))
	require.Equal(t, 3, left, "it ends when it is told")

	var reached persistence.Seq
	for len(all) > 0 {
		events, next, err := s.Events(t.Context(), reached, 50)
		require.NoError(t, err)
		require.Greater(t, next, reached)
		for _, c := range events {
			require.LessOrEqual(t, c.Seq, next)
			requireEvent(t, all[0], c)
			all = all[1:]
		}
		if len(all) > 0 {
			require.Greater(t, all[0].Seq, next, "frames are whole")
		}
		reached = next
	}
}

func requireHistories(t *testing.T, s TestStore, all []persistence.Committed) {
	t.Helper()
	seen := map[engine.AggregateID]bool{}
	for _, c := range all {
		if seen[c.Aggregate] {
			continue
		}
		seen[c.Aggregate] = true
		got, err := s.History(t.Context(), c.Aggregate, 10_000)
		require.NoError(t, err)
		for _, want := range slices.Backward(all) {
			if want.Aggregate == c.Aggregate {
				require.NotEmpty(t, got)
				requireEvent(t, want, got[0])
				got = got[1:]
			}
		}
		require.Empty(t, got)
		few, err := s.History(t.Context(), c.Aggregate, 2)
		require.NoError(t, err)
		require.Len(t, few, 2)
	}
	require.Greater(t, len(seen), 5)
}

func requireEvent(t *testing.T, want, got persistence.Committed) {
	t.Helper()
	require.True(t, proto.Equal(engine.StripPersonal(want.Event), got.Event))
	want.Event, got.Event = nil, nil
	require.Equal(t, want, got)
}

// storeErasures: which accounts are being erased, who knows them, and who owns what.
func storeErasures(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s, f, m := open(t, dir), MakeFrames(31, 300), NewModel()
	defer s.Close()
	pending, known := 0, 0
	project(t, s, f, 300, rand.New(rand.NewPCG(31, 1)), func(old, next persistence.Position) {
		m.Apply(next, f.Events(old.Seq, next.Seq))
		var erasing []engine.AccountID
		for id, a := range m.accounts {
			if a.Erased == persistence.ErasurePending {
				erasing = append(erasing, engine.AccountID(id))
			}
			of, err := s.RestaurantsOf(t.Context(), engine.AccountID(id), 10_000)
			require.NoError(t, err)
			require.ElementsMatch(t, m.restaurantsOf(engine.AccountID(id)), of)
			known += len(of)
			owns, err := s.OwnsRestaurant(t.Context(), engine.AccountID(id))
			require.NoError(t, err)
			require.Equal(t, m.owns(id), owns)
		}
		got, err := s.PendingErasures(t.Context(), 10_000)
		require.NoError(t, err)
		require.ElementsMatch(t, erasing, got)
		pending += len(got)
	})
	require.Greater(t, pending, 5)
	require.Greater(t, known, 50)
}

func (m *Model) restaurantsOf(guest engine.AccountID) (ids []engine.RestaurantID) {
	for id := range m.restaurants {
		_, works := m.staff[id][string(guest)]
		for _, r := range m.reservations {
			works = works || engine.AggregateID(r.Restaurant) == id && r.Guest == guest
		}
		if works {
			ids = append(ids, engine.RestaurantID(id))
		}
	}
	return ids
}

func (m *Model) owns(account engine.AggregateID) bool {
	for _, r := range m.restaurants {
		if r.Owner == string(account) {
			return true
		}
	}
	return false
}
