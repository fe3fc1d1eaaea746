package persistencetest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// ExerciseCursors is the contract of persistence.Cursors. c is empty; reopen opens what c left.
func ExerciseCursors(t *testing.T, c persistence.Cursors, reopen func(t *testing.T) persistence.Cursors) {
	get := func(sink string) persistence.Position {
		t.Helper()
		p, err := c.Cursor(testContext(t), sink)
		require.NoError(t, err)
		return p
	}
	require.Zero(t, get("rabbitmq"))
	require.ErrorIs(t, c.Move(testContext(t), "rabbitmq", at(1), at(2)), persistence.ErrConflict)
	require.Zero(t, get("rabbitmq"))
	require.NoError(t, c.Move(testContext(t), "rabbitmq", persistence.Position{}, at(5)))
	require.NoError(t, c.Move(testContext(t), "redis", persistence.Position{}, at(3)))
	require.ErrorIs(t, c.Move(testContext(t), "rabbitmq", persistence.Position{}, at(9)), persistence.ErrConflict)
	require.ErrorIs(t, c.Move(testContext(t), "rabbitmq", persistence.Position{Journal: "jrn_other", Seq: 5}, at(9)), persistence.ErrConflict)
	require.NoError(t, c.Move(testContext(t), "rabbitmq", at(5), at(4)), "back: a replay")
	require.Equal(t, at(4), get("rabbitmq"))
	require.Equal(t, at(3), get("redis"))

	for from := persistence.Seq(4); from < 30; from++ { // of two that move at once one loses
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { errs[i] = c.Move(testContext(t), "rabbitmq", at(from), at(from+1)) })
		}
		wg.Wait()
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.ErrorIs(t, errs[0], persistence.ErrConflict)
		require.NoError(t, errs[1])
	}
	c = reopen(t)
	require.Equal(t, at(30), get("rabbitmq"))
	require.Equal(t, at(3), get("redis"))
}
