package actors

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// A revocation that is in a base, below the checkpoint and below every floor is read by nobody at a start, unless it is asked for.
func TestAStartTellsOfAccountsAgain(t *testing.T) {
	var mu sync.Mutex
	var told []string
	take := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(maps.Keys(maps.Collect(func(yield func(string, bool) bool) {
			for _, s := range told {
				yield(s, true)
			}
		})))
	}
	w := newWorld(t, stays, func(c *Config) {
		c.BaseAge, c.Recall = 50*time.Millisecond, time.Hour
		c.OnAccount = func(id engine.AccountID, v engine.Version, e *engine.Event) {
			mu.Lock()
			defer mu.Unlock()
			if part, ok := engine.Revokes(e); ok {
				told = append(told, fmt.Sprint(id, v, part))
			}
		}
	})
	id := engine.AggregateID(engine.MakeAccountID([16]byte{1}))
	self := engine.Caller{Account: engine.AccountID(id)}
	open := &engine.OpenSession{Family: "f", Refresh: engine.Hash32{1}, Expires: w.house.now() + 1_000_000}
	_, err := w.do(id, engine.Caller{}, &engine.Register{Session: open, Profile: engine.Profile{
		ID: engine.AccountID(id), Email: "a@b.it", PasswordHash: "x", Role: engine.RoleCustomer}})
	require.NoError(t, err)
	_, err = w.do(id, self, &engine.RevokeSession{All: true})
	require.NoError(t, err)
	revoked := take()
	require.Len(t, revoked, 1)
	w.checkpointed()

	told = nil
	w.restart()
	require.Equal(t, revoked, take())
	w.cfg.Recall, told = 0, nil
	w.restart()
	require.Empty(t, take(), "the start did not need it: the case was no test")
}

// checkpointed waits until a start reads nothing of what there was: floors above it, and then a checkpoint that has these floors.
func (w *world) checkpointed() {
	w.t.Helper()
	b, err := w.journal.Bounds(w.t.Context())
	require.NoError(w.t, err)
	other := w.restaurant(1, 1)
	require.Eventually(w.t, func() bool { low, all := w.lowest(); return all && low > b.Last }, 20*time.Second, 10*time.Millisecond)
	floored := w.house.fold.seq()
	for n := range uint64(persistence.CheckpointEvery) {
		_, err := w.do(other, owner, &engine.ChangeRestaurant{Change: engine.DetailsChange{Phone: new(fmt.Sprint(n))}})
		require.NoError(w.t, err)
	}
	require.Eventually(w.t, func() bool {
		w.house.fold.mu.Lock()
		defer w.house.fold.mu.Unlock()
		return w.house.fold.custody.Compared() > floored
	}, 20*time.Second, 10*time.Millisecond)
}

// The start goes back far enough, and not through the whole journal: also when one of three nodes has a clock an hour behind.
func TestRecallGoesBackFarEnough(t *testing.T) {
	journal := memory.NewJournal(memory.Options{})
	defer journal.Close()
	begun := time.UnixMilli(1_800_000_000_000)
	const records, every = 60_000, 100 * time.Millisecond
	last := map[string]persistence.Seq{}
	wall := func(i int) time.Time { return begun.Add(time.Duration(i) * every) }
	for i := range records {
		node := []string{"n1", "n2", "n3"}[i%3]
		f := &persistence.Frame{Journal: "jrn_x", Node: node, WallMs: wall(i).UnixMilli()}
		if node == "n3" {
			f.WallMs -= time.Hour.Milliseconds()
		}
		seq, err := journal.Append(t.Context(), persistence.SlotSubject(node), persistence.Encode(nil, f), last[node])
		require.NoError(t, err)
		last[node] = seq
	}
	b, err := journal.Bounds(t.Context())
	require.NoError(t, err)
	for _, ago := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour} {
		c := &Config{Journal: journal, Recall: ago, OnAccount: func(engine.AccountID, engine.Version, *engine.Event) {}, Now: func() time.Time { return wall(records) }}
		from, err := c.recallFrom(t.Context(), b)
		require.NoError(t, err)
		needed := b.Last - min(persistence.Seq(ago/every), records-1)
		require.LessOrEqual(t, from, needed, "%v", ago)
		require.LessOrEqual(t, b.Last-from, max(2*(b.Last-needed), 2*recallStep), "%v", ago)
	}
	silent := &Config{Journal: journal, Recall: time.Hour, Now: time.Now}
	from, err := silent.recallFrom(t.Context(), b)
	require.NoError(t, err)
	require.Greater(t, from, b.Last, "nobody is to be told")
}
