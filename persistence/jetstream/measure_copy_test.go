package jetstream

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// TestMeasureCopy prints how long a journal of 50,000 frames takes to be copied, backed up and restored: JETSTREAM_MEASURE=1.
func TestMeasureCopy(t *testing.T) {
	if os.Getenv(measureEnv) == "" {
		t.Skip("set " + measureEnv + "=1 to measure")
	}
	const frames = 50_000
	from := testOptions(t.TempDir())
	e, err := Open(t.Context(), from)
	require.NoError(t, err)
	l, err := e.current()
	require.NoError(t, err)
	out, err := newBulk(l, 1)
	require.NoError(t, err)
	w := &rewriter{put: bulkPut(out), name: "jrn-test", node: "n1", parts: 256}
	require.NoError(t, w.begin(t.Context()))
	begun := time.Now()
	for i := range frames {
		for k := range 4 {
			n := 4*i + k
			require.NoError(t, w.add(t.Context(), restaurant(n%1000), engine.Version(n/1000+1), event(n)))
		}
		require.NoError(t, w.flush(t.Context()))
	}
	require.NoError(t, out.flush(t.Context()))
	out.close()
	t.Logf("%d frames, written by the bulk writer: %v", frames, time.Since(begun))
	path := filepath.Join(t.TempDir(), "b.tar")
	begun = time.Now()
	writeTestBackup(t, e, path)
	t.Logf("backed up: %v", time.Since(begun))
	require.NoError(t, e.Close())

	begun = time.Now()
	_, err = copyOne(t, from, testOptions(filepath.Join(t.TempDir(), "new")))
	require.NoError(t, err)
	t.Logf("copied to one: %v", time.Since(begun))
	to, err := ClusterOptions("test", "s", []string{"a", "b", "c"}, testOptions(t.TempDir()))
	require.NoError(t, err)
	begun = time.Now()
	_, err = Copy(t.Context(), CopyOptions{From: from, To: to})
	require.NoError(t, err)
	t.Logf("copied to a cluster of three on one disk: %v", time.Since(begun))

	b, err := persistence.OpenBackup(path)
	require.NoError(t, err)
	defer b.Close()
	begun = time.Now()
	require.NoError(t, b.Check(nil, nil))
	t.Logf("backup checked: %v", time.Since(begun))
	begun = time.Now()
	_, err = Restore(t.Context(), RestoreOptions{Backup: b, Node: "n1", To: []Options{testOptions(filepath.Join(t.TempDir(), "r"))}})
	require.NoError(t, err)
	t.Logf("restored to one: %v", time.Since(begun))
}

// writeTestBackup backs up a journal without keys.
func writeTestBackup(t *testing.T, e *Embedded, path string) {
	t.Helper()
	part := filepath.Join(t.TempDir(), "part.tar")
	f, err := os.Create(part)
	require.NoError(t, err)
	tw := tar.NewWriter(f)
	_, err = persistence.WriteBackup(t.Context(), tw, persistence.BackupSource{Journal: e.Journal(), Bases: e.Bases(), Now: time.Now})
	require.NoError(t, err)
	require.NoError(t, tw.Close())
	_, err = f.Seek(0, 0)
	require.NoError(t, err)
	whole, err := os.Create(path)
	require.NoError(t, err)
	w := persistence.NewBackupWriter(whole)
	_, err = w.Journal(f)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, whole.Close())
	require.NoError(t, f.Close())
}
