package jetstream

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

func copyOne(t *testing.T, from, to Options) (*Copied, error) {
	t.Helper()
	return Copy(t.Context(), CopyOptions{From: from, To: []Options{to}})
}

func TestCopyKeepsSequences(t *testing.T) {
	from, to := testOptions(t.TempDir()), testOptions(filepath.Join(t.TempDir(), "new"))
	book(t, from, 30)
	cursor := moveCursor(t, from, "rabbitmq", 12)
	c, err := copyOne(t, from, to)
	require.NoError(t, err)
	require.Equal(t, Copied{Journal: "jrn-test", First: 1, Last: 32, Bases: 1, Cursors: 1, Digest: c.Digest}, *c)
	before, after := verify(t, from, nil), verify(t, to, nil)
	require.Empty(t, after.Findings)
	require.Equal(t, before.Folded, after.Folded)
	require.Equal(t, before.Journal, after.Journal)
	require.NoFileExists(t, filepath.Join(from.Dir, movedFile), "only a copy into a cluster takes the journal away")
	mark, err := ReadHighWater(to.Dir)
	require.NoError(t, err)
	require.EqualValues(t, 32, mark.Seq)
	require.EqualValues(t, 5, mark.Versions)
	at, err := openTest(t, to).Cursors().Cursor(t.Context(), "rabbitmq")
	require.NoError(t, err)
	require.Equal(t, cursor, at)
	_, err = copyOne(t, from, to)
	require.ErrorContains(t, err, "holds a journal already")
}

func moveCursor(t *testing.T, o Options, sink string, to persistence.Seq) persistence.Position {
	t.Helper()
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	at := persistence.Position{Journal: "jrn-test", Seq: to}
	require.NoError(t, e.Cursors().Move(t.Context(), sink, persistence.Position{}, at))
	return at
}

// The first kept sequence is the first one of the copy.
func TestCopyAfterAPurge(t *testing.T) {
	from, to := testOptions(t.TempDir()), testOptions(filepath.Join(t.TempDir(), "new"))
	bookAndPurge(t, from)
	c, err := copyOne(t, from, to)
	require.NoError(t, err)
	require.EqualValues(t, 1024, c.First)
	b, err := openTest(t, to).Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, persistence.Bounds{First: c.First, Last: c.Last, Bytes: b.Bytes, MaxBytes: b.MaxBytes}, b)
}

// bookAndPurge writes a journal that begins at a checkpoint.
func bookAndPurge(t *testing.T, o Options) {
	t.Helper()
	book(t, o, 1022) // with genesis and claim 1,024 records
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	custody := new(persistence.Custody)
	require.NoError(t, persistence.ReadRecords(t.Context(), e.Journal(), 1, 1024, custody.Apply))
	_, err = e.Journal().Append(t.Context(), persistence.Control, persistence.Encode(nil, custody.Checkpoint()), custody.Control())
	require.NoError(t, err)
	require.NoError(t, e.Journal().Purge(t.Context(), 1024))
}

// Of a source that is not whole nothing is made.
func TestCopyOfADamagedJournal(t *testing.T) {
	from, to := testOptions(t.TempDir()), testOptions(filepath.Join(t.TempDir(), "new"))
	book(t, from, 30)
	edit(t, onlyBlock(t, from.Dir), func(d []byte) []byte { d[len(d)*3/4] ^= 1; return d })
	_, err := copyOne(t, from, to)
	require.Error(t, err)
	if _, serr := os.Stat(to.Dir); serr == nil {
		_, err = Open(t.Context(), to)
		require.ErrorContains(t, err, "cut off")
	}
}

// What was cut off before its end is never served.
func TestCopyCutOff(t *testing.T) {
	from, to := testOptions(t.TempDir()), testOptions(filepath.Join(t.TempDir(), "new"))
	book(t, from, 30)
	failed := errors.New("power")
	_, err := Copy(t.Context(), CopyOptions{From: from, To: []Options{to}, Beside: func(string) error { return failed }})
	require.ErrorIs(t, err, failed)
	_, err = Open(t.Context(), to)
	require.ErrorContains(t, err, "was cut off: remove the directory and begin again")
	_, err = copyOne(t, from, to)
	require.ErrorContains(t, err, "or a part of one")
	openTest(t, from) // the source is as it was
}

// One node's journal becomes the journal of three, each record at its place; whoever opens the old directory afterwards is refused.
func TestCopyToCluster(t *testing.T) {
	from, dir := testOptions(t.TempDir()), t.TempDir()
	bookAndPurge(t, from)
	cursor := moveCursor(t, from, "rabbitmq", 1024)
	base := testOptions(dir)
	to, err := ClusterOptions("test", "for the test", []string{"a", "b", "c"}, base)
	require.NoError(t, err)
	var beside []string
	c, err := Copy(t.Context(), CopyOptions{From: from, To: to, Beside: func(dir string) error {
		beside = append(beside, filepath.Base(dir))
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, beside)

	_, err = Open(t.Context(), from)
	require.ErrorContains(t, err, "was moved to the nodes of a cluster")
	alone := to[0]
	alone.Cluster, alone.Replicas, alone.Name = nil, 1, ""
	_, err = Open(t.Context(), alone)
	require.ErrorContains(t, err, "is a clustered directory")

	again, err := ClusterOptions("test", "for the test", []string{"a", "b", "c"}, base) // on other ports, as on other machines
	require.NoError(t, err)
	all := openCluster(t, again)
	require.Eventually(t, func() bool { // a consumer needs the meta leader
		_, err := all[0].Bases().Scan(t.Context(), func(persistence.BaseHeader) error { return nil })
		return err == nil
	}, electionLimit, freshLook)
	for i, e := range all {
		r, err := Verify(t.Context(), e, nil)
		require.NoError(t, err)
		require.Empty(t, r.Findings)
		require.Equal(t, []any{"jrn-test", c.First, c.Last, 1}, []any{r.Journal, r.Bounds.First, r.Bounds.Last, r.Bases})
		mark, err := ReadHighWater(all[i].opts.Dir)
		require.NoError(t, err)
		require.Equal(t, c.Last, mark.Seq, "each server remembers what its cluster has")
	}
	at, err := all[1].Cursors().Cursor(t.Context(), "rabbitmq")
	require.NoError(t, err)
	require.Equal(t, cursor, at)
	custody, err := foldStart(t.Context(), all[2].Journal(), persistence.Bounds{First: c.First, Last: c.Last})
	require.NoError(t, err)
	require.NoError(t, persistence.ReadRecords(t.Context(), all[2].Journal(), custody.Seq()+1, c.Last, custody.Apply))
	slot := custody.Slot("n1")
	seq, err := all[1].Journal().Append(t.Context(), "j.w.n1", []byte("next"), slot.Seq)
	require.NoError(t, err)
	require.Equal(t, c.Last+1, seq)
	_, err = all[2].Journal().Append(t.Context(), "j.w.n1", []byte("zombie"), slot.Seq)
	require.ErrorIs(t, err, persistence.ErrConflict)
}

// A directory of a node that stands alone is not opened by a server of a cluster, and not one file of it changes (holes H7).
func TestStandaloneDirectoryIsNotOpenedClustered(t *testing.T) {
	dir := t.TempDir()
	all := clusterOptions(t, dir, 3)
	alone := testOptions(all[0].Dir)
	book(t, alone, 30)
	before := tree(t, alone.Dir)
	_, err := Open(t.Context(), all[0])
	require.ErrorContains(t, err, "is a standalone directory and is not opened clustered")
	require.NoError(t, os.Remove(filepath.Join(alone.Dir, modeFile)))
	_, err = Open(t.Context(), all[0])
	require.ErrorContains(t, err, "holds a standalone journal without a mode file")
	delete(before, modeFile)
	require.Equal(t, before, tree(t, alone.Dir))
	require.Empty(t, verify(t, alone, nil).Findings)
}

// tree is the content of every file under dir, but the lock's, which names a process.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == lockFile {
			return err
		}
		data, err := os.ReadFile(path)
		name, rerr := filepath.Rel(dir, path)
		files[name] = string(data)
		return errors.Join(err, rerr)
	})
	require.NoError(t, err)
	return files
}

// The bulk writer takes nothing for granted: another writer in between is noticed.
func TestBulkIsAlone(t *testing.T) {
	e := openTest(t, testOptions(t.TempDir()))
	l, err := e.current()
	require.NoError(t, err)
	out, err := newBulk(l, 1)
	require.NoError(t, err)
	defer out.close()
	for range 3 {
		_, err := out.putRecord(t.Context(), "j.w.n1", []byte("mine"))
		require.NoError(t, err)
	}
	require.NoError(t, out.flush(t.Context()))
	_, err = e.Journal().Append(t.Context(), "j.w.n2", []byte("somebody else's"), 0)
	require.NoError(t, err)
	_, err = out.putRecord(t.Context(), "j.w.n1", []byte("mine"))
	require.NoError(t, err)
	require.ErrorIs(t, out.flush(t.Context()), persistence.ErrConflict)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, out.flush(ctx), context.Canceled)
}
