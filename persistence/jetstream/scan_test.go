package jetstream

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
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
	var renewed atomic.Int64
	t.Cleanup(func() { require.Greater(t, renewed.Load(), int64(positions/2), "most of it is alive") })
	for i := range positions {
		at := int(size.Size()) * i / positions
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			t.Parallel()
			if flipped(t, o, at, last) {
				renewed.Add(1)
			}
		})
	}
}

// flipped opens a copy with a bit flipped in the bases, and tells whether they were begun anew.
func flipped(t *testing.T, o Options, at int, last persistence.Revision) bool {
	whole := o.Dir
	o.Dir = t.TempDir()
	require.NoError(t, os.CopyFS(o.Dir, os.DirFS(whole)))
	edit(t, baseBlock(t, o.Dir), func(b []byte) []byte { b[at] ^= 0x10; return b })
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	n, anew := scanned(t, e, last)
	if anew {
		_, err := e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: restaurant(10), Version: 2, Position: 2}, State: []byte("state")})
		require.NoError(t, err)
	} else {
		require.Equal(t, 21, n, "some are missing, and nobody says so")
	}
	require.NoError(t, e.Close())
	e, err = Open(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, anew, e.Bases().Anew() > 0, "forgotten after a restart")
	require.NoError(t, e.Close())
	return anew
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
			mark, err := os.ReadFile(filepath.Join(d.Dir, hwmFile))
			require.NoError(t, err)
			e, err := Open(t.Context(), d)
			require.NoError(t, err)
			_, anew := scanned(t, e, last)
			require.True(t, anew)
			first := e.Bases().Anew()
			require.NoError(t, e.Close())

			// A crash before the high-water mark was written: it is done again.
			require.NoError(t, os.WriteFile(filepath.Join(d.Dir, hwmFile), mark, 0o600))
			e = openTest(t, d)
			_, anew = scanned(t, e, last)
			require.True(t, anew)
			require.Greater(t, e.Bases().Anew(), first)
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
	require.Contains(t, findings(verify(t, o, nil)), "scan bases")
}

func findings(r *Report) (all string) {
	for _, f := range r.Findings {
		all += f.String() + "\n"
	}
	return all
}

// Looking at a damaged directory names the loss and changes nothing.
func TestVerifyOfLostBases(t *testing.T) {
	o := testOptions(t.TempDir())
	manyBases(t, o)
	require.NoError(t, os.RemoveAll(streamDir(o.Dir, baseStream)))
	for range 2 {
		require.Contains(t, findings(verify(t, o, nil)), "scan bases")
	}
	require.NotZero(t, openTest(t, o).Bases().Anew())
}
