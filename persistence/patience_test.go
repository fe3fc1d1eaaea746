package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

func TestPatientlyWaitsForWhoeverMayAnswerYet(t *testing.T) {
	away := fmt.Errorf("no leader: %w", persistence.ErrUnknown)
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		again := func(errs ...error) func() error {
			tries = 0
			return func() error { tries++; return errs[min(tries, len(errs))-1] }
		}
		require.NoError(t, persistence.Patiently(t.Context(), time.Minute, again(away, away, nil)))
		require.Equal(t, 3, tries)
		other := errors.New("corrupt")
		require.ErrorIs(t, persistence.Patiently(t.Context(), time.Minute, again(away, other, nil)), other)
		begun := time.Now()
		require.ErrorIs(t, persistence.Patiently(t.Context(), time.Minute, again(away)), persistence.ErrUnknown)
		require.Equal(t, time.Minute, time.Since(begun))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, persistence.Patiently(ctx, time.Minute, again(away)), persistence.ErrUnknown)
	})
}
