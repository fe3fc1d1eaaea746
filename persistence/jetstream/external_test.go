package jetstream

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// foreign is a NATS server as an operator runs one; more is added to its file.
func foreign(t *testing.T, name, sync, more string) *server.Server {
	t.Helper()
	return startForeign(t, foreignOptions(t, name, sync, more))
}

func foreignOptions(t *testing.T, name, sync, more string) *server.Options {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
server_name: %s
listen: 127.0.0.1:-1
max_payload: 33554432
jetstream { store_dir: %q, sync_interval: %s, max_file_store: 100G }
accounts {
  MAITRED { jetstream: enabled, users: [ { user: maitred, password: secret } ] }
  SYS { users: [ { user: admin, password: secret } ] }
}
system_account: SYS
%s`, name, dir, sync, more), 0o600))
	o, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	o.NoSigs, o.NoLog = true, true
	return o
}

func startForeign(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(s.WaitForShutdown)
	t.Cleanup(s.Shutdown)
	require.True(t, s.ReadyForConnections(10*time.Second))
	return s
}

// foreigners are n of them as one.
func foreigners(t *testing.T, n int) (all []*server.Server) {
	ports := freePorts(t, n)
	var routes []string
	for _, p := range ports {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", p))
	}
	for i, p := range ports {
		all = append(all, foreign(t, fmt.Sprintf("f%d", i), "always", fmt.Sprintf("cluster { name: f, listen: 127.0.0.1:%d, routes: [%s] }", p, strings.Join(routes, ","))))
	}
	return all
}

// externalOptions reach servers by one user or the other.
func externalOptions(t *testing.T, servers ...*server.Server) Options {
	o := testOptions(t.TempDir())
	urls := func(user string) string {
		var all []string
		for _, s := range servers {
			all = append(all, strings.Replace(s.ClientURL(), "//", "//"+user+":secret@", 1))
		}
		return strings.Join(all, ",")
	}
	o.External = &External{URL: urls("maitred"), SystemURL: urls("admin"), Cluster: len(servers) > 1}
	return o
}

func TestJournalExternal(t *testing.T) {
	persistencetest.ExerciseJournal(t, func(t *testing.T, maxBytes uint64) persistencetest.Harness {
		o := externalOptions(t, foreign(t, "alone", "always", ""))
		o.MaxBytes = int64(maxBytes)
		e := openTest(t, o)
		return persistencetest.Harness{Journal: e.Journal(), Reopen: func(t *testing.T) persistence.Journal {
			require.NoError(t, e.Close())
			e = openTest(t, o)
			return e.Journal()
		}}
	})
}

func TestCursorsExternal(t *testing.T) {
	o := externalOptions(t, foreign(t, "alone", "always", ""))
	e := openTest(t, o)
	persistencetest.ExerciseCursors(t, e.Cursors(), func(t *testing.T) persistence.Cursors {
		require.NoError(t, e.Close())
		e = openTest(t, o)
		return e.Cursors()
	})
	require.Equal(t, "alone", e.Leader(t.Context()))
}

func TestBasesExternal(t *testing.T) {
	persistencetest.ExerciseBases(t, func(t *testing.T) persistencetest.BasesHarness {
		o := externalOptions(t, foreign(t, "alone", "always", ""))
		e := openTest(t, o)
		_, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("so that the bases have a journal"), 0)
		require.NoError(t, err)
		return persistencetest.BasesHarness{Bases: e.Bases(), Reopen: func(t *testing.T) persistence.Bases {
			require.NoError(t, e.Close())
			o.AcceptLoss = true // the suite's bases stand at positions that its journal never had
			return openTest(t, o).Bases()
		}}
	})
}

// Settings that could lose acknowledged reservations are refused, with a sentence that names the server and the setting; secrets are not told.
func TestExternalServersThatAreNotSafe(t *testing.T) {
	lazy, small := foreign(t, "lazy", "2m", ""), foreign(t, "small", "always", "max_payload: 1048576")
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"acknowledges before fsync":    {externalOptions(t, lazy), "server lazy does not keep a reservation safe: it acknowledges before it fsyncs"},
		"takes small messages only":    {externalOptions(t, small), "it takes messages of 1048576 bytes"},
		"one server for several nodes": {externalOptions(t, foreign(t, "alone", "always", "")), "alone is one by itself"},
		"nobody who may ask":           {externalOptions(t, foreign(t, "alone", "always", "")), "is not one of their system account"},
		"a system URL of other ones":   {externalOptions(t, lazy), "the server lazy has not said how it is set"},
		"another password":             {externalOptions(t, foreign(t, "alone", "always", "")), "Authorization Violation"},
	} {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "one server for several nodes":
				c.o.External.Cluster = true
			case "nobody who may ask":
				c.o.External.SystemURL = c.o.External.URL
			case "a system URL of other ones":
				c.o.External.SystemURL = externalOptions(t, foreign(t, "other", "always", "")).External.SystemURL
			case "another password":
				c.o.External.URL = strings.ReplaceAll(c.o.External.URL, "secret", "geheim")
			}
			_, err := Open(t.Context(), c.o)
			require.ErrorContains(t, err, c.want)
			made, jerr := lazy.Jsz(&server.JSzOptions{})
			require.NoError(t, jerr)
			require.Zero(t, made.Streams, "nothing is made there")
			require.NotContains(t, err.Error(), "secret@")
			require.NotContains(t, err.Error(), "geheim")
		})
	}
}

func TestReleases(t *testing.T) {
	for text, old := range map[string]bool{"2.14.8": true, "2.14.9": false, "2.9.10": true, "2.15.0-RC.1": false, "3.0.0": false, "1.99.99": true} {
		r, err := parseRelease(text)
		require.NoError(t, err)
		require.Equal(t, old, r.before(oldestServer), text)
	}
	_, err := parseRelease("new")
	require.Error(t, err)
}

// A directory belongs to the servers that it had, and to their journal.
func TestExternalDirectories(t *testing.T) {
	o := externalOptions(t, foreign(t, "alone", "always", ""))
	e := openTest(t, o)
	_, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("record"), 0)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	inside := testOptions(o.Dir)
	_, err = Open(t.Context(), inside)
	require.ErrorContains(t, err, "is external, not standalone")

	other := externalOptions(t, foreign(t, "other", "always", ""))
	other.Dir = o.Dir
	_, err = Open(t.Context(), other)
	require.ErrorAs(t, err, new(*RegressedError), "the other servers do not have what was acknowledged")
}

// A server that its operator restarts is found again.
func TestExternalServerComesBack(t *testing.T) {
	so := foreignOptions(t, "alone", "always", "")
	s := startForeign(t, so)
	so.Port = s.Addr().(*net.TCPAddr).Port
	e := openTest(t, externalOptions(t, s))
	last, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("before"), 0)
	require.NoError(t, err)
	s.Shutdown()
	s.WaitForShutdown()
	_, err = e.Journal().Append(t.Context(), "j.w.n1", []byte("meanwhile"), last)
	require.ErrorIs(t, err, persistence.ErrUnknown)
	startForeign(t, so)
	require.Eventually(t, func() bool {
		_, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("after"), last)
		return err == nil
	}, electionLimit, 20*time.Millisecond)
}

// Three external servers: one is killed, the journal goes on, and nothing acknowledged is missing.
func TestExternalClusterLosesItsLeader(t *testing.T) {
	servers := foreigners(t, 3)
	o := externalOptions(t, servers...)
	o.External.Cluster = true
	ctx, cancel := context.WithTimeout(t.Context(), electionLimit)
	defer cancel()
	e, err := Open(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	require.Equal(t, 3, e.now.Load().journal.CachedInfo().Config.Replicas)
	acked := map[persistence.Seq]string{}
	last := persistence.Seq(0)
	write := func(n int) {
		for i := range n {
			data := fmt.Sprintf("%d after %d", i, last)
			require.Eventually(t, func() bool {
				seq, err := e.Journal().Append(t.Context(), "j.w.n1", []byte(data), last)
				if err != nil { // perhaps it is there
					if found, lerr := e.Journal().Last(t.Context(), "j.w.n1"); lerr == nil && string(found.Data) == data {
						seq, err = found.Seq, nil
					}
				}
				if err == nil {
					acked[seq], last = data, seq
				}
				return err == nil
			}, electionLimit, 20*time.Millisecond)
		}
	}
	write(20)
	leader := e.Leader(t.Context())
	var stopped sync.WaitGroup
	for _, s := range servers {
		if s.Name() == leader {
			stopped.Go(func() { s.Shutdown(); s.WaitForShutdown() })
		}
	}
	write(20)
	stopped.Wait()
	require.NotEqual(t, leader, e.Leader(t.Context()))
	got := map[persistence.Seq]string{}
	require.NoError(t, e.Journal().Read(t.Context(), 1, last, func(r persistence.Entry) error {
		got[r.Seq] = string(r.Data)
		return nil
	}))
	require.Equal(t, acked, got)
}
