package jetstream

import (
	"archive/tar"
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// busyBases does something each time that somebody begins to read them.
type busyBases struct {
	persistence.Bases
	meanwhile func()
}

func (b *busyBases) Scan(ctx context.Context, fn func(persistence.BaseHeader) error) (persistence.Revision, error) {
	b.meanwhile()
	return b.Bases.Scan(ctx, fn)
}

// What is decided and put between the journal and the bases is in the backup, on both sides.
func TestBackupBesideAWriter(t *testing.T) {
	e := openTest(t, testOptions(t.TempDir()))
	w := &rewriter{put: e.Journal().Append, name: "jrn-test", node: "n1", parts: 8}
	require.NoError(t, w.begin(t.Context()))
	require.NoError(t, w.add(t.Context(), restaurant(0), 1, event(0)))
	require.NoError(t, w.flush(t.Context()))
	bases := &busyBases{e.Bases(), func() {
		require.NoError(t, w.add(t.Context(), restaurant(0), 2, event(1)))
		require.NoError(t, w.flush(t.Context()))
		_, err := e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: restaurant(0), Version: 2, Position: w.last}, State: []byte("state")})
		require.NoError(t, err)
	}}
	info, err := persistence.WriteBackup(t.Context(), tar.NewWriter(io.Discard), persistence.BackupSource{Journal: e.Journal(), Bases: bases, Now: time.Now})
	require.NoError(t, err)
	require.Equal(t, []uint64{uint64(w.last), 2, 1}, []uint64{uint64(info.Last), info.Events, info.Bases})
}
