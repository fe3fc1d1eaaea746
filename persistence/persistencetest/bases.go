package persistencetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// BasesHarness is a bucket under test.
type BasesHarness struct {
	Bases persistence.Bases
	// Reopen ends the bucket (and its process, where there is one) and opens what it left.
	Reopen func(t *testing.T) persistence.Bases
}

// ExerciseBases is the contract of persistence.Bases. open makes an empty bucket and cleans up by itself.
func ExerciseBases(t *testing.T, open func(t *testing.T) BasesHarness) {
	h := open(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, persistence.Bases)
	}{
		{"empty", basesEmpty},
		{"put and get", putAndGet},
		{"revision is compared", revisionIsCompared},
		{"never a lower version", neverLower},
		{"put raced for", putRacedFor},
		{"large state", largeState},
		{"scan", scan},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h.Bases) })
	}
	t.Run("reopen keeps everything", func(t *testing.T) { basesReopen(t, h) })
}

// base is one that no other test uses.
func base(t *testing.T, i int, v engine.Version) persistence.Base {
	h := persistence.HashOf([]byte(t.Name()))
	return persistence.Base{
		BaseHeader: persistence.BaseHeader{
			ID: engine.AggregateID(fmt.Sprintf("rst_%x%03d", h[:5], i)), Version: v, Position: persistence.Seq(v) * 10,
			NextDue: engine.Instant(v) * 1000,
		},
		State: fmt.Appendf(nil, "state of version %d", v),
	}
}

func mustPut(t *testing.T, b persistence.Bases, x persistence.Base) persistence.Revision {
	t.Helper()
	rev, err := b.Put(testContext(t), x)
	require.NoError(t, err)
	require.Greater(t, rev, x.Revision)
	return rev
}

func basesEmpty(t *testing.T, b persistence.Bases) {
	_, err := b.Get(testContext(t), base(t, 0, 1).ID)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	rev, err := b.Scan(testContext(t), func(persistence.BaseHeader) error { return errors.New("no base") })
	require.NoError(t, err)
	require.Zero(t, rev)
}

func putAndGet(t *testing.T, b persistence.Bases) {
	x := base(t, 0, 3)
	want := bytes.Clone(x.State)
	rev := mustPut(t, b, x)
	clear(x.State)
	got, err := b.Get(testContext(t), x.ID)
	require.NoError(t, err)
	x.State, x.Revision = want, rev
	require.Equal(t, x, got)
}

func revisionIsCompared(t *testing.T, b persistence.Bases) {
	first := mustPut(t, b, base(t, 0, 1))
	_, err := b.Put(testContext(t), base(t, 0, 2))
	require.ErrorIs(t, err, persistence.ErrConflict, "0 is refused once there is a base")
	two := base(t, 0, 2)
	two.Revision = first
	second := mustPut(t, b, two)
	three := base(t, 0, 3)
	for _, rev := range []persistence.Revision{first, second + 1} {
		three.Revision = rev
		_, err = b.Put(testContext(t), three)
		require.ErrorIs(t, err, persistence.ErrConflict)
	}
	got, err := b.Get(testContext(t), two.ID)
	require.NoError(t, err)
	require.Equal(t, engine.Version(2), got.Version)
	fresh := base(t, 1, 1)
	fresh.Revision = second
	_, err = b.Put(testContext(t), fresh)
	require.ErrorIs(t, err, persistence.ErrConflict, "there is none yet")
}

func neverLower(t *testing.T, b persistence.Bases) {
	rev := mustPut(t, b, base(t, 0, 120))
	late := base(t, 0, 100)
	late.Revision = rev
	_, err := b.Put(testContext(t), late)
	require.ErrorIs(t, err, persistence.ErrConflict)
	got, err := b.Get(testContext(t), late.ID)
	require.NoError(t, err)
	require.Equal(t, engine.Version(120), got.Version)
	require.Equal(t, rev, got.Revision)
}

func putRacedFor(t *testing.T, b persistence.Bases) {
	const rounds, racers = 5, 4
	var rev persistence.Revision
	for round := range rounds {
		errs, revs := make([]error, racers), make([]persistence.Revision, racers)
		ctx := testContext(t)
		var wg sync.WaitGroup
		for i := range racers {
			x := base(t, 0, engine.Version(round+1))
			x.Revision, x.State = rev, fmt.Appendf(nil, "racer %d", i)
			wg.Go(func() { revs[i], errs[i] = b.Put(ctx, x) })
		}
		wg.Wait()
		got, err := b.Get(ctx, base(t, 0, 1).ID)
		require.NoError(t, err)
		winners := 0
		for i := range racers {
			if errs[i] == nil {
				winners++
				require.Equal(t, fmt.Sprintf("racer %d", i), string(got.State))
				require.Equal(t, got.Revision, revs[i])
				continue
			}
			require.ErrorIs(t, errs[i], persistence.ErrConflict)
		}
		require.Equal(t, 1, winners, "one put per revision")
		rev = got.Revision
	}
}

func largeState(t *testing.T, b persistence.Bases) {
	x := base(t, 0, 1)
	x.State = bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	mustPut(t, b, x)
	got, err := b.Get(testContext(t), x.ID)
	require.NoError(t, err)
	require.True(t, bytes.Equal(x.State, got.State))
}

func scan(t *testing.T, b persistence.Bases) {
	want := map[engine.AggregateID]persistence.BaseHeader{}
	var last persistence.Revision
	for i := range 20 {
		x := base(t, i, engine.Version(i+1))
		x.Revision = mustPut(t, b, x)
		if i%2 == 0 {
			x.Version++
			x.NextDue = 0
			x.Revision = mustPut(t, b, x)
		}
		want[x.ID], last = x.BaseHeader, x.Revision
	}
	got := map[engine.AggregateID]persistence.BaseHeader{}
	covered, err := b.Scan(testContext(t), func(h persistence.BaseHeader) error {
		_, twice := got[h.ID]
		require.False(t, twice, "each base once")
		got[h.ID] = h
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, last, covered)
	for id, h := range want {
		require.Equal(t, h, got[id])
	}
	stop := errors.New("stop")
	_, err = b.Scan(testContext(t), func(persistence.BaseHeader) error { return stop })
	require.ErrorIs(t, err, stop)
}

func basesReopen(t *testing.T, h BasesHarness) {
	x := base(t, 0, 7)
	x.Revision = mustPut(t, h.Bases, x)
	b := h.Reopen(t)
	got, err := b.Get(testContext(t), x.ID)
	require.NoError(t, err)
	require.Equal(t, x, got)
	late := base(t, 0, 8)
	for tries := 0; tries < 100; tries++ { // servers that have just come back may have no leader yet: nobody knows then, and asks again
		if _, err = b.Put(testContext(t), late); !errors.Is(err, persistence.ErrUnknown) {
			break
		}
	}
	require.ErrorIs(t, err, persistence.ErrConflict, "the fence outlives the process")
	late.Revision = x.Revision
	require.Greater(t, mustPut(t, b, late), x.Revision)
}
