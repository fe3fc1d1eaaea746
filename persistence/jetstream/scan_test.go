package jetstream

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// manyBases writes a whole journal, and bases of many restaurants, some of them put twice. It returns the last revision.
func manyBases(t *testing.T, o Options) persistence.Revision {
	t.Helper()
	book(t, o, 30)
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	var last persistence.Revision
	for i := range 20 {
		b := persistence.Base{BaseHeader: persistence.BaseHeader{ID: restaurant(i + 10), Version: 1, Position: 1}, State: make([]byte, 300)}
		for range 1 + i%2 {
			last, err = e.Bases().Put(t.Context(), b)
			require.NoError(t, err)
			b.Version, b.Revision = b.Version+1, last
		}
	}
	return last
}

func baseBlock(t *testing.T, dir string) string {
	t.Helper()
	blocks, err := blockFiles(filepath.Join(streamDir(dir, baseStream), "msgs"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	return blocks[0]
}

// scanned counts the bases, and tells whether the bucket was begun anew, above every revision that anybody can rely on.
func scanned(t *testing.T, e *Embedded, last persistence.Revision) (n int, anew bool) {
	t.Helper()
	covered, err := e.Bases().Scan(t.Context(), func(persistence.BaseHeader) error { n++; return nil })
	require.NoError(t, err)
	require.GreaterOrEqual(t, covered, last, "a floor relies on what is not there")
	if e.Bases().Anew() == 0 {
		return n, false
	}
	require.Greater(t, e.Bases().Anew(), last)
	require.Zero(t, n)
	return n, true
}

// A bit flips anywhere in the bases while the journal is whole: all are there, or all are read from the journal. Never some.
func TestFlippedBitsInTheBases(t *testing.T) {
	const positions = 40
	o := testOptions(t.TempDir())
	last := manyBases(t, o)
	size, err := os.Stat(baseBlock(t, o.Dir))
	require.NoError(t, err)
	renewed := 0
	for i := range positions {
		d := o
		d.Dir = t.TempDir()
		require.NoError(t, os.CopyFS(d.Dir, os.DirFS(o.Dir)))
		at := int(size.Size()) * i / positions
		edit(t, baseBlock(t, d.Dir), func(b []byte) []byte { b[at] ^= 0x10; return b })
		e, err := Open(t.Context(), d)
		require.NoError(t, err, "position %d", at)
		n, anew := scanned(t, e, last)
		if anew {
			renewed++
			_, err := e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: restaurant(10), Version: 2, Position: 2}, State: []byte("state")})
			require.NoError(t, err, "position %d", at)
		} else {
			require.Equal(t, 21, n, "position %d: some are missing, and nobody says so", at)
		}
		require.NoError(t, e.Close())
		e, err = Open(t.Context(), d)
		require.NoError(t, err, "position %d", at)
		require.Equal(t, anew, e.Bases().Anew() > 0, "position %d: forgotten after a restart", at)
		require.NoError(t, e.Close())
	}
	t.Logf("%d of %d positions began the bases anew", renewed, positions)
	require.Greater(t, renewed, positions/2)
}

// The bases go without a trace of their own: the high-water mark knows of them.
func TestBasesThatWentAway(t *testing.T) {
	o := testOptions(t.TempDir())
	last := manyBases(t, o)
	for name, spoil := range map[string]func(dir string) error{
		"block":  func(dir string) error { return os.Remove(baseBlock(t, dir)) },
		"bucket": func(dir string) error { return os.RemoveAll(streamDir(dir, baseStream)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := o
			d.Dir = t.TempDir()
			require.NoError(t, os.CopyFS(d.Dir, os.DirFS(o.Dir)))
			require.NoError(t, spoil(d.Dir))
			_, anew := scanned(t, openTest(t, d), last)
			require.True(t, anew)
		})
	}
}

// When the journal was purged, what the bases lost is gone: Scan says so, and goes on saying so.
func TestLostBasesOfAPurgedJournal(t *testing.T) {
	o := testOptions(t.TempDir())
	manyBases(t, o)
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, e.Journal().Purge(t.Context(), 5))
	require.NoError(t, e.Close())
	edit(t, baseBlock(t, o.Dir), func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b })
	for range 2 {
		e, err := Open(t.Context(), o)
		require.NoError(t, err)
		seen := map[engine.AggregateID]bool{}
		_, err = e.Bases().Scan(t.Context(), func(h persistence.BaseHeader) error { seen[h.ID] = true; return nil })
		require.ErrorIs(t, err, persistence.ErrCorrupt)
		require.Len(t, seen, 20, "the others are there")
		require.Zero(t, e.Bases().Anew())
		require.NoError(t, e.Close())
	}
}
