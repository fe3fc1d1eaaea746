package jetstream

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"maitred/persistence"
)

// Many aggregates are opened at once after a restart, each reads the same long frames. The server drops a connection that has
// more than MaxPending bytes to send, and with it every reader's answer.
func TestManyReadersOfLongRecords(t *testing.T) {
	const readers, records = 64, 200
	o := testOptions(t.TempDir())
	o.Unsafe.LazySync, o.Unsafe.NoAssertions = true, true // only to fill it quickly
	j := openTest(t, o).Journal()
	data := make([]byte, persistence.MaxFrameBytes)
	var last persistence.Seq
	for range records {
		seq, err := j.Append(t.Context(), "j.w.n1", data, last)
		require.NoError(t, err)
		last = seq
	}
	group, ctx := errgroup.WithContext(context.Background())
	for range readers {
		group.Go(func() error {
			next := persistence.Seq(1)
			err := j.Read(ctx, 1, last, func(e persistence.Entry) error {
				if e.Seq != next || len(e.Data) != len(data) {
					return fmt.Errorf("record %d with %d bytes came as number %d", e.Seq, len(e.Data), next)
				}
				next++
				return nil
			})
			if err == nil && next != last+1 {
				err = fmt.Errorf("%d of %d records came", next-1, last)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
}
