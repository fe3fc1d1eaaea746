package jetstream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAgain(t *testing.T) {
	lost := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	after := func(d time.Duration) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(d):
				return 7, nil
			}
		}
	}
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		tries []func(context.Context) (int, error)
		took  time.Duration
		want  error
	}{
		"at once":                   {[]func(context.Context) (int, error){after(0)}, 0, nil},
		"the first is lost":         {[]func(context.Context) (int, error){lost, after(0)}, askAgain, nil},
		"the first two are lost":    {[]func(context.Context) (int, error){lost, lost, after(0)}, 3 * askAgain, nil},
		"slow, and still the first": {[]func(context.Context) (int, error){after(2 * askAgain), lost}, 2 * askAgain, nil},
		"refused":                   {[]func(context.Context) (int, error){func(context.Context) (int, error) { return 0, refused }}, 0, refused},
		"nobody answers":            {[]func(context.Context) (int, error){lost, lost, lost, lost}, requestTimeout, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int32
				began := time.Now()
				got, err := again(t.Context(), func(ctx context.Context) (int, error) {
					return c.tries[n.Add(1)-1](ctx)
				})
				require.ErrorIs(t, err, c.want)
				require.Equal(t, c.took, time.Since(began))
				if c.want == nil {
					require.Equal(t, 7, got)
				}
			})
		})
	}
}
