package jetstream

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testOptions are for directories of the test's own, wherever its temporary files lie.
func testOptions(dir string) Options {
	return Options{Dir: dir, MaxBytes: 256 << 20, BaseMaxBytes: 128 << 20, MinFree: 1, Logger: slog.New(slog.DiscardHandler), Unsafe: Unsafe{AnyFS: true}}
}

func openTest(t testing.TB, o Options) *Embedded {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e, err := Open(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}
