package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/edge"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// takeBackup runs maitred backup and gives back what it printed.
func takeBackup(t *testing.T, data, admin string) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "backup.tar")
	var out bytes.Buffer
	cmd := &BackupCmd{To: path, Data: data, adminFlag: adminFlag{Admin: admin}}
	require.NoError(t, cmd.run(t.Context(), &out, io.Discard))
	require.NoFileExists(t, path+".partial")
	require.NoFileExists(t, path+".store.partial")
	return path, out.String()
}

func infoOf(t *testing.T, path string) persistence.BackupInfo {
	t.Helper()
	b, err := persistence.OpenBackup(path)
	require.NoError(t, err)
	defer b.Close()
	return b.Info
}

func restoreTo(t *testing.T, path, to string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, (&RestoreCmd{From: path, To: to, Node: "n1"}).run(t.Context(), &out, io.Discard))
	return out.String()
}

// load books and cancels at several restaurants until it is stopped.
type load struct {
	stop   chan struct{}
	once   sync.Once
	done   sync.WaitGroup
	booked atomic.Int64
}

func (s *site) load(restaurants []string) *load {
	l := &load{stop: make(chan struct{})}
	s.t.Cleanup(l.end)
	for i, r := range restaurants {
		guest := s.token(byte(10+i), engine.RoleCustomer)
		l.done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				if got, k := s.reserve(guest, r, fmt.Sprintf("load-%d-%d", i, n), "20:00"); got.status == 201 {
					l.booked.Add(1)
					_, _ = s.do(request{method: "POST", path: "/reservations/" + k.ID + "/cancel", token: guest})
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.done.Wait()
}

// reopen serves a restored directory.
func reopen(t *testing.T, data string) *site {
	t.Helper()
	s := openSite(t, data)
	keys, err := edge.OpenKeys(data)
	require.NoError(t, err)
	s.tokens = edge.NewTokens(keys)
	return s
}

// TestBackupUnderLoad: a backup that is made while guests book and bases are written is the state at one record, exactly; what is restored
// from it is that state under another journal's name, and is served.
func TestBackupUnderLoad(t *testing.T) {
	data := t.TempDir()
	s := openSite(t, data, func(c *Config) { c.TestKeeping = 50 * time.Millisecond; c.IdleAfter = 100 * time.Millisecond })
	guest := s.token(2, engine.RoleCustomer)
	mine := s.trattoria(0, 2)
	got, kept0 := s.reserve(guest, mine, "before", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	var busy []string
	for i := range 6 {
		busy = append(busy, s.trattoria(1+i, 1))
	}
	l := s.load(busy)
	var backups []string
	put := func() persistence.Revision {
		r, err := s.embedded.Bases().Scan(t.Context(), func(persistence.BaseHeader) error { return nil })
		require.NoError(t, err)
		return r
	}
	for range 4 {
		booked, bases := l.booked.Load(), put()
		require.Eventually(t, func() bool { return l.booked.Load() > booked+100 && put() > bases+3 }, readyWithin, pollEvery)
		path, said := takeBackup(t, data, s.AdminAddr())
		require.Contains(t, said, "read back and checked")
		require.NotContains(t, said, "no store is in it")
		require.Positive(t, infoOf(t, path).Bases)
		backups = append(backups, path)
	}
	l.end()
	s.follow()
	id, err := journalID(t.Context(), s.embedded.Journal())
	require.NoError(t, err)
	for _, path := range backups {
		info := infoOf(t, path)
		require.Equal(t, id, info.Journal)
		want := foldOf(t, s.embedded.Journal(), nil, s.seal, info.Last)
		restored := filepath.Join(t.TempDir(), "restored")
		said := restoreTo(t, path, restored)
		require.NotContains(t, said, "it is journal "+id, "a journal of its own")
		require.Equal(t, want, foldOfDir(t, restored))
	}
	require.NoError(t, s.Close())

	restored := filepath.Join(t.TempDir(), "restored")
	restoreTo(t, backups[3], restored)
	r := reopen(t, restored)
	var again kept
	r.get(guest, "/reservations/"+kept0.ID, &again)
	require.Equal(t, kept0, again)
	got, again = r.reserve(guest, mine, "before", "20:00")
	require.True(t, got.status == 201 && got.replayed, "%d %s", got.status, got.body)
	require.Equal(t, kept0, again)
	got, next := r.reserve(guest, mine, "after", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	r.requireMine(guest, kept0, next)
	got, _ = r.reserve(guest, mine, "one too many", "20:00")
	require.Equal(t, 409, got.status, "%s", got.body)
	r.requireStoreIsTheFold()
}

// requireStoreIsTheFold waits until the store has everything, and compares it with one that is made anew: whatever the backup left out of
// the store would be missing.
func (s *site) requireStoreIsTheFold() {
	s.t.Helper()
	s.follow()
	want := foldOf(s.t, s.embedded.Journal(), s.embedded.Bases(), s.seal, 0)
	have := 0
	require.NoError(s.t, s.store.Heads(s.t.Context(), func(id engine.AggregateID, v engine.Version) error {
		have++
		if !strings.HasPrefix(want[id], fmt.Sprintf("version %d,", v)) {
			return fmt.Errorf("%s is at version %d in the store, and %s", id, v, want[id])
		}
		return nil
	}))
	require.Equal(s.t, len(want), have)
}

// A stopped node whose journal was purged, with sinks' cursors: all of it comes back, the audit of what was purged too.
func TestBackupOfAStoppedNode(t *testing.T) {
	h := newHistory(t)
	e, err := jetstream.Open(t.Context(), repairOptions(h.data))
	require.NoError(t, err)
	b, err := e.Journal().Bounds(t.Context())
	require.NoError(t, err)
	id, err := persistence.JournalOf(t.Context(), e.Journal(), b.First)
	require.NoError(t, err)
	require.NoError(t, e.Cursors().Move(t.Context(), "rabbitmq", persistence.Position{}, persistence.Position{Journal: id, Seq: b.Last - 5}))
	require.NoError(t, e.Cursors().Move(t.Context(), "redis", persistence.Position{}, persistence.Position{Journal: "jrn_other", Seq: b.Last}))
	require.NoError(t, e.Close())
	path, _ := takeBackup(t, h.data, "")
	restored := filepath.Join(t.TempDir(), "restored")
	require.Contains(t, restoreTo(t, path, restored), "with 1 cursors of sinks")
	require.Equal(t, h.fold, foldOfDir(t, restored))
	require.ErrorContains(t, (&RestoreCmd{From: path, To: restored, Node: "n1"}).run(t.Context(), io.Discard, io.Discard), "holds a journal already")

	r := reopen(t, restored)
	require.Equal(t, missing(t, h, "rabbitmq"), eventsAfter(t, r.embedded, "rabbitmq"), "the sink goes on at the same event")
	for i, want := range h.mine {
		got, again := r.reserve(h.guest, h.restaurant, fmt.Sprintf("kept-%d", i), "20:00")
		require.True(t, got.status == 201 && got.replayed, "%d %s", got.status, got.body)
		require.Equal(t, want, again)
	}
	r.requireStoreIsTheFold()
	var out bytes.Buffer
	require.NoError(t, (&AuditCmd{Data: restored, ID: h.restaurant, Limit: 10_000}).run(t.Context(), &out))
	require.Contains(t, out.String(), h.restaurant+" v1 ")
}

// missing are the events that a sink of a stopped node has not got.
func missing(t *testing.T, h *history, sink string) []string {
	t.Helper()
	e, err := jetstream.OpenForRepair(t.Context(), repairOptions(h.data))
	require.NoError(t, err)
	defer e.Close()
	return eventsAfter(t, e, sink)
}

func eventsAfter(t *testing.T, e *jetstream.Embedded, sink string) (events []string) {
	t.Helper()
	at, err := e.Cursors().Cursor(t.Context(), sink)
	require.NoError(t, err)
	b, err := e.Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.NoError(t, persistence.ReadRecords(t.Context(), e.Journal(), at.Seq+1, b.Last, func(_ persistence.Entry, r persistence.Record) error {
		if f, ok := r.(*persistence.Frame); ok {
			for _, x := range f.Index {
				events = append(events, fmt.Sprintf("%s v%d", x.Aggregate, x.Version))
			}
		}
		return nil
	}))
	return events
}

// TestBackupIntoACluster: one backup, three nodes.
func TestBackupIntoACluster(t *testing.T) {
	h, nodes := newHistory(t), []string{"a", "b", "c"}
	path, _ := takeBackup(t, h.data, "")
	to := filepath.Join(t.TempDir(), "cell")
	require.NoError(t, (&RestoreCmd{From: path, To: to, Nodes: nodes}).run(t.Context(), io.Discard, io.Discard))
	secrets := filepath.Join(to, "secrets")
	c := movedCluster(t, h, nodes, to, secrets)
	c.start()
	for _, s := range c.nodes {
		c.hasAll(s, h)
	}
	backup := filepath.Join(t.TempDir(), "of-the-cluster.tar") // and of the cluster, while it runs
	out, err := c.nodes[1].run("backup", backup, "--data", c.nodes[1].data, "--cluster-dir", secrets, "--admin", c.nodes[1].admin)
	require.NoError(t, err, out)
	for _, s := range c.nodes {
		s.kill()
	}
	single := filepath.Join(t.TempDir(), "single")
	restoreTo(t, backup, single)
	r := reopen(t, single)
	for i, want := range h.mine {
		got, again := r.reserve(h.guest, h.restaurant, fmt.Sprintf("kept-%d", i), "20:00")
		require.True(t, got.status == 201 && got.replayed, "%d %s", got.status, got.body)
		require.Equal(t, want, again)
	}
	r.requireStoreIsTheFold()
}

// A restored journal is not taken for the one that went on after the backup (holes H10): a store that has seen more ends the start with
// the names of what is lost, one that has not is of another journal.
func TestRestoredJournalIsAnother(t *testing.T) {
	data := t.TempDir()
	s := openSite(t, data)
	guest, restaurant := s.token(2, engine.RoleCustomer), s.trattoria(0, 5)
	for i := range 3 {
		got, _ := s.reserve(guest, restaurant, fmt.Sprint(i), "20:00")
		require.Equal(t, 201, got.status, "%s", got.body)
	}
	s.follow()
	path, _ := takeBackup(t, data, s.AdminAddr())
	same, ahead := t.TempDir(), t.TempDir()
	store := func(to string) {
		require.NoError(t, (&JournalCopyCmd{Data: data}).copyStore(to))
	}
	store(same)
	got, _ := s.reserve(guest, restaurant, "after the backup", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	s.follow()
	store(ahead)
	lost, err := s.store.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())

	restored := filepath.Join(t.TempDir(), "restored")
	restoreTo(t, path, restored)
	require.NoError(t, os.Rename(storePath(ahead), storePath(restored)))
	err = newNode(nodeConfig(t, restored)).Open(t.Context())
	require.ErrorContains(t, err, "journal_regressed")
	require.ErrorContains(t, err, restaurant)

	require.NoError(t, os.Rename(storePath(same), storePath(restored)))
	r := reopen(t, restored)
	require.Greater(t, r.house.Status().Last, lost.Seq+1<<31, "beyond every sequence that the old one can have reached")
	require.Eventually(t, func() bool { return r.projector.Status().State == persistence.ProjectorForeign }, readyWithin, pollEvery)
	got, _ = r.reserve(guest, restaurant, "another guest", "20:00")
	require.Equal(t, 201, got.status, "bookings go on: %s", got.body)
}

// TestDamagedBackup: cut off anywhere, or with one bit of any file changed, a backup is refused with a sentence, and nothing is made of it.
func TestDamagedBackup(t *testing.T) {
	data := t.TempDir()
	s := openSite(t, data, func(c *Config) { c.TestKeeping = 100 * time.Millisecond })
	guest, restaurant := s.token(2, engine.RoleCustomer), s.trattoria(0, 5)
	got, _ := s.reserve(guest, restaurant, "k", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	require.Eventually(t, func() bool {
		_, err := s.embedded.Bases().Get(t.Context(), engine.AggregateID(restaurant))
		return err == nil && s.stored.Load() > 0 // a store that shows nothing yet is left out
	}, readyWithin, pollEvery)
	path, _ := takeBackup(t, data, s.AdminAddr())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "restored")
	refused := func(what string, damaged []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		for _, cmd := range []*RestoreCmd{{From: path, Check: true}, {From: path, To: to, Node: "n1"}} {
			err := cmd.run(t.Context(), io.Discard, io.Discard)
			require.ErrorIs(t, err, persistence.ErrBackup, what)
			require.ErrorContains(t, err, "the backup is damaged", what)
		}
		require.NoDirExists(t, to)
	}
	files := map[string]bool{}
	r := bytes.NewReader(whole)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		files[h.Name[:1+max(strings.IndexByte(h.Name, '/'), 0)]], files[h.Name] = true, true
		at := r.Size() - int64(r.Len())
		for _, bit := range []int64{at, at + h.Size/2, at + h.Size - 1, at - 500} { // the last one is in the tar's own header
			damaged := bytes.Clone(whole)
			damaged[bit] ^= 4
			refused(fmt.Sprintf("bit in %s at %d", h.Name, bit-at), damaged)
		}
		refused("cut off in "+h.Name, whole[:at+h.Size/2])
		refused("cut off before "+h.Name, whole[:at-512])
	}
	for _, name := range []string{"journal/", "bases/", "backup.json", "store.db", "keys/seal.key", "keys/keys.json", "SHA256SUMS"} {
		require.True(t, files[name], "no %s in %v", name, files)
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	require.NoError(t, (&RestoreCmd{From: path, Check: true}).run(t.Context(), io.Discard, io.Discard))

	other := openSite(t, t.TempDir()) // another node's keys do not open it
	cmd := &BackupCmd{To: filepath.Join(t.TempDir(), "b.tar"), Data: filepath.Dir(storePath(other.Config.Data)), adminFlag: adminFlag{Admin: s.AdminAddr()}}
	require.ErrorContains(t, cmd.run(t.Context(), io.Discard, io.Discard), "another --data, --cluster-dir or --admin?")
	require.NoFileExists(t, cmd.To)
}
