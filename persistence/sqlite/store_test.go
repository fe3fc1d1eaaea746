package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

func openIn(t *testing.T, dir string) *Store {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	s, err := Open(t.Context(), filepath.Join(dir, "store.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStore(t *testing.T) {
	persistencetest.ExerciseStore(t, func(t *testing.T, dir string) persistencetest.TestStore { return openIn(t, dir) })
}

func at(seq persistence.Seq) persistence.Position {
	return persistence.Position{Journal: "jrn_test", Seq: seq}
}

// copying copies the store's files each time that it is asked, which is what a kill at that moment leaves.
type copying struct {
	context.Context
	t        *testing.T
	from, to string
	copies   *int
}

func (c copying) Err() error {
	dir := filepath.Join(c.to, string('a'+rune(*c.copies%26))+string('a'+rune(*c.copies/26)))
	*c.copies++
	require.NoError(c.t, os.MkdirAll(dir, 0o700))
	for _, name := range []string{"store.db", "store.db-wal"} {
		b, err := os.ReadFile(filepath.Join(c.from, name))
		require.NoError(c.t, err)
		require.NoError(c.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return nil
}

func TestKilledWithinATransaction(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s, f := openIn(t, from), persistencetest.MakeFrames(29, 40)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(20), f.Events(0, 20)))
	model := persistencetest.NewModel()
	model.Apply(at(20), f.Events(0, 20))
	copies := 0
	require.NoError(t, s.Write(copying{t.Context(), t, from, to, &copies}, at(20), at(40), f.Events(20, 40)))
	require.Greater(t, copies, 20)

	dirs, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Len(t, dirs, copies)
	for _, d := range dirs[:min(len(dirs), 40)] {
		killed := openIn(t, filepath.Join(to, d.Name()))
		require.Equal(t, model.Dump(true), dumpOf(t, killed))
		require.NoError(t, killed.Write(t.Context(), at(20), at(40), f.Events(20, 40)))
	}
	model.Apply(at(40), f.Events(20, 40))
	require.Equal(t, model.Dump(true), dumpOf(t, openIn(t, filepath.Join(to, dirs[0].Name()))))
}

func dumpOf(t *testing.T, s *Store) string {
	t.Helper()
	var b dumpBuffer
	require.NoError(t, persistence.Dump(t.Context(), s, &b))
	return string(b)
}

type dumpBuffer []byte

func (b *dumpBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func TestSink(t *testing.T) {
	persistencetest.ExerciseSink(t, func(t *testing.T) persistencetest.SinkUnderTest {
		return persistencetest.StoreSink(t, func(t *testing.T, dir string) persistencetest.TestStore { return openIn(t, dir) })
	})
}
