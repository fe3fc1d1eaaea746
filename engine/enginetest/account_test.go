package enginetest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/engine"
)

// runAccount sends n commands to the engine and the oracle and compares every answer, view and base.
func runAccount(t require.TestingT, src Source, n int, seen map[engine.Code]int) {
	s := NewAccountStream(src)
	a, dumb := engine.NewAggregate(engine.AggregateID(s.ID)), &Account{ID: s.ID}
	view := a.View()
	for i := range n {
		now, cmd := s.Next()
		want := dumb.Do(now, cmd)
		got, events := a.Decide(now, cmd)
		require.Equal(t, want, got, "command %d at %d: %T %+v by %+v", i, now, cmd.Body, cmd.Body, cmd.Caller)
		for j, e := range events {
			d, err := engine.DecodeEvent(engine.AppendEvent(nil, e))
			require.NoError(t, err)
			require.Equal(t, cmd.Caller.From, d.From)
			events[j] = d
			a.Apply(d)
		}
		view = view.Next(events)
		require.Equal(t, dumb.Version, a.Version(), "I5: version after %T", cmd.Body)
		require.NoError(t, engine.CheckInvariants(a))
		for _, v := range []*engine.AccountView{view.(*engine.AccountView), a.View().(*engine.AccountView)} {
			require.Equal(t, dumb.Info, v.Info(), "I11")
			require.ElementsMatch(t, dumb.keys, v.APIKeys())
			require.Equal(t, dumb.factor == nil, v.SecondFactor() == nil)
			if f := dumb.factor; f != nil {
				require.Equal(t, f.active, v.SecondFactor().Active)
				require.Len(t, v.SecondFactor().Recovery, len(f.recovery)-len(f.spent))
			}
		}
		again, err := engine.OpenBase(engine.AggregateID(s.ID), a.AppendBase(nil))
		require.NoError(t, err)
		require.Equal(t, a.Digest(), again.Digest(), "I12: a base is the state")
		if i%32 == 31 {
			a = again
		}
		seen[got.Code]++
	}
}

func TestDifferentialAccount(t *testing.T) {
	seen := map[engine.Code]int{}
	for seed := range uint64(25) {
		ok := t.Run("", func(t *testing.T) { runAccount(t, rand.New(rand.NewPCG(seed, 1)), 600, seen) })
		require.True(t, ok, "seed %d", seed)
	}
	for _, c := range []engine.Code{
		engine.CodeOK, engine.CodeCreated, engine.CodeKeyReused, engine.CodeNotFound, engine.CodeForbidden, engine.CodeUnauthorized,
		engine.CodeExists, engine.CodeStale, engine.CodeInvalid, engine.CodeLimit,
	} {
		require.Positive(t, seen[c], "%s", c)
	}
	t.Logf("answers: %v", seen)
}

func TestDifferentialAccountShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runAccount(t, FromRapid(t), rapid.IntRange(1, 60).Draw(t, "commands"), map[engine.Code]int{})
	})
}
