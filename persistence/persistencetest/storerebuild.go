package persistencetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// Base is the base that the owner of id would put: what the model knows of it.
func (m *Model) Base(id engine.AggregateID) persistence.Base {
	b := persistence.Base{}
	b.ID, b.Version, b.Position = id, m.heads[id], m.Position.Seq
	if engine.IsAccountID(string(id)) {
		a := m.accounts[id]
		pb := &enginepb.AccountBase{Version: uint64(b.Version), Erased: a.Erased != persistence.NotErased, ErasureCompleted: a.Erased == persistence.ErasureCompleted}
		if !pb.Erased {
			pb.Account = &enginepb.Account{Id: string(id), Role: a.Role, CreatedMs: a.CreatedMs}
		}
		b.State, _ = pb.MarshalVT()
		return b
	}
	pb := &enginepb.RestaurantBase{Version: uint64(b.Version), Restaurant: m.restaurants[id], RestaurantVersion: uint64(m.versions[id]), Rules: m.rules[id]}
	for _, t := range m.tables[id] {
		pb.Tables = append(pb.Tables, t)
	}
	for _, member := range m.staff[id] {
		pb.Staff = append(pb.Staff, member)
	}
	pb.RatingSum, pb.RatingCount = m.ratings[id].Sum, m.ratings[id].Count
	for _, r := range m.reservations {
		if engine.AggregateID(r.Restaurant) != id {
			continue
		}
		v := &enginepb.Reservation{Id: string(r.ID), Guest: string(r.Guest), ServiceDay: r.ServiceDay, LocalMin: r.LocalMin,
			StartsAt: r.StartsAt.Unix(), EndsAt: r.EndsAt.Unix(), GuestsCount: r.GuestsCount, SpecialRequests: r.SpecialRequests,
			Status: r.Status, Version: uint64(r.Version), CreatedMs: int64(r.made), BufferMin: r.BufferMin, HoldUntilMs: r.HoldUntilMs}
		for _, t := range r.Tables {
			v.TableIds = append(v.TableIds, string(t))
		}
		pb.Reservations = append(pb.Reservations, v)
	}
	b.State, _ = pb.MarshalVT()
	return b
}

// rebuildScene is a journal of frames with bases: each aggregate's base is of a random time not before purged, and may be
// missing when purged is 0.
func rebuildScene(t *testing.T, f Frames, purged persistence.Seq, rng *rand.Rand) (persistence.Journal, persistence.Bases) {
	t.Helper()
	j, bases := memory.NewJournal(memory.Options{}), memory.NewBases(memory.BasesOptions{})
	subject := persistence.SlotSubject("n1")
	for i, events := range f {
		frame := &persistence.Frame{Journal: journalID, Node: "n1", Number: uint64(i + 1)}
		for _, c := range events {
			frame.Index = append(frame.Index, persistence.IndexEntry{Aggregate: c.Aggregate, Version: c.Version})
			frame.Events = append(frame.Events, engine.AppendEvent(nil, c.Event))
		}
		_, err := j.Append(t.Context(), subject, persistence.Encode(nil, frame), persistence.Seq(i))
		require.NoError(t, err)
	}
	for id := range fold(f, persistence.Seq(len(f))).heads {
		m := fold(f, purged+persistence.Seq(rng.IntN(len(f)-int(purged)+1)))
		if m.heads[id] == 0 || purged == 0 && rng.IntN(3) == 0 {
			continue
		}
		_, err := bases.Put(t.Context(), m.Base(id))
		require.NoError(t, err)
	}
	require.NoError(t, j.Purge(t.Context(), purged+1))
	return j, bases
}

func storeRebuilt(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	for seed, purged := range []persistence.Seq{0, 50, 120, 199} {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		f := slices.DeleteFunc(MakeFrames(uint64(seed), 200), func(events []persistence.Committed) bool { return events == nil })
		for i := range f {
			for k := range f[i] {
				f[i][k].Seq = persistence.Seq(i + 1)
			}
		}
		if int(purged) >= len(f) {
			purged = persistence.Seq(len(f) - 1)
		}
		s := open(t, dir+"/"+string('a'+rune(seed)))
		want := fold(f, persistence.Seq(len(f)))
		project(t, s, f, persistence.Seq(len(f))/2, rng, nil) // something that is in the way

		j, bases := rebuildScene(t, f, purged, rng)
		require.NoError(t, persistence.Rebuild(t.Context(), s, j, bases, nil))
		require.Equal(t, want.Dump(false), withoutAudit(dump(t, s)), "purged to %d", purged)
		require.NoError(t, s.Close())
	}
}

// withoutAudit leaves out what no base holds.
func withoutAudit(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, "event ") && !strings.HasPrefix(line, "review ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func storeCopied(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	from, to := open(t, dir+"/from"), open(t, dir+"/to")
	ExerciseCopy(t, from, to)
	require.NoError(t, from.Close())
	require.NoError(t, to.Close())
}

// ExerciseCopy copies a store into another one, of whatever kind: all lines are the same, and so is the content by number and sum; pages
// of any size say the same; both go on alike. Both are empty.
func ExerciseCopy(t *testing.T, from, to TestStore) {
	f := MakeFrames(5, 300)
	project(t, from, f, persistence.Seq(len(f)), rand.New(rand.NewPCG(5, 5)), nil)
	project(t, to, MakeFrames(6, 20), 20, rand.New(rand.NewPCG(6, 6)), nil) // something that is in the way

	for after := 1; ; after++ { // cut off after each page, then once more
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		err := persistence.Copy(ctx, from, to, func(int, int) {
			if told++; told == after {
				cancel()
			}
		})
		cancel()
		if err == nil {
			require.Greater(t, after, 1)
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, dump(t, from), dump(t, to))
	digest := func(s TestStore) persistence.Content {
		d, err := persistence.ContentOf(t.Context(), s)
		require.NoError(t, err)
		return d
	}
	want := digest(from)
	require.True(t, want.Equal(digest(to)), "%s\n%s", want, digest(to))
	for kind, part := range want {
		require.Equal(t, part.Lines, strings.Count("\n"+dump(t, from), "\n"+kind+" "), kind)
	}

	requireStates(t, from)
	requireReviewVersions(t, f, from, to)

	// What comes afterwards goes on from there, in both.
	more := MakeFrames(5, 360)
	for _, s := range []TestStore{from, to} {
		project(t, s, more, persistence.Seq(len(more)), rand.New(rand.NewPCG(7, 7)), nil)
	}
	require.Equal(t, dump(t, from), dump(t, to))

	// An older store does not take a newer one back.
	further := MakeFrames(5, 380)
	project(t, to, further, persistence.Seq(len(further)), rand.New(rand.NewPCG(8, 8)), nil)
	newer := dump(t, to)
	require.ErrorIs(t, persistence.Copy(t.Context(), from, to, nil), persistence.ErrOlder)
	require.Equal(t, newer, dump(t, to))
	require.NoError(t, persistence.Copy(t.Context(), to, from, nil))
	require.Equal(t, newer, dump(t, from))
}

// requireStates reads a store in pages of any size, and late days only.
func requireStates(t *testing.T, s TestStore) {
	t.Helper()
	read := func(f persistence.StatesFilter) (all []persistence.AggregateState) {
		for {
			page, next, err := s.States(t.Context(), f)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), f.Limit)
			all = append(all, page...)
			if f.After = next; next == "" {
				return all
			}
		}
	}
	all := read(persistence.StatesFilter{Limit: persistence.MaxStates})
	require.Equal(t, all, read(persistence.StatesFilter{Limit: 1}))
	late := int32(0)
	for _, a := range all {
		for _, r := range a.Reservations {
			late = max(late, r.ServiceDay)
		}
	}
	found := 0
	for _, a := range read(persistence.StatesFilter{Limit: 3, FromDay: late, RestaurantsOnly: true}) {
		require.True(t, engine.IsRestaurantID(string(a.ID)))
		require.Empty(t, a.Reviews)
		for _, r := range a.Reservations {
			require.Equal(t, late, r.ServiceDay)
			found++
		}
	}
	require.Positive(t, found)
}

// requireReviewVersions: a store knows the version of the restaurant with each review, which no list shows.
func requireReviewVersions(t *testing.T, f Frames, stores ...TestStore) {
	t.Helper()
	want := map[string]engine.Version{}
	for _, c := range slices.Concat(f...) {
		if e := c.Event.GetReviewAdded(); e != nil {
			want[e.GetId()] = c.Version
		}
	}
	for _, s := range stores {
		got := map[string]engine.Version{}
		page, _, err := s.States(t.Context(), persistence.StatesFilter{Limit: persistence.MaxStates})
		require.NoError(t, err)
		for _, v := range page {
			for _, r := range v.Reviews {
				got[r.GetId()] = r.Order
			}
		}
		require.Equal(t, want, got)
	}
}
