package postgres

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// drive writes all the frames as a projector does: after an error it reads the cursor and goes on from there. It tells before each
// write; it ends when everything is in the store.
func drive(t *testing.T, s *Store, f persistencetest.Frames, before func(done, all int)) (failures int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rng := rand.New(rand.NewPCG(1, 1))
	for {
		old, err := s.Cursor(ctx)
		for err == nil && int(old.Seq) < len(f) {
			before(int(old.Seq), len(f))
			next := persistence.Position{Journal: "jrn_test", Seq: min(persistence.Seq(len(f)), old.Seq+1+persistence.Seq(rng.IntN(60)))}
			if err = s.Write(ctx, old, next, f.Events(old.Seq, next.Seq)); err == nil {
				old = next
			}
		}
		if err == nil {
			return failures
		}
		require.NoError(t, ctx.Err())
		require.NotErrorIs(t, err, persistence.ErrConflict)
		require.NotErrorIs(t, err, ErrGap)
		failures++
	}
}

func requireFold(t *testing.T, s *Store, f persistencetest.Frames) {
	t.Helper()
	m := persistencetest.NewModel()
	m.Apply(persistence.Position{Journal: "jrn_test", Seq: persistence.Seq(len(f))}, f.Events(0, persistence.Seq(len(f))))
	var b strings.Builder
	require.NoError(t, persistence.Dump(t.Context(), s, &b))
	require.Equal(t, m.Dump(true), b.String())
}

// TestServerKilledWithinABatch: the server is killed with -9 at any time of a load and comes back; the store is the fold.
func TestServerKilledWithinABatch(t *testing.T) {
	pg, err := dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, pg.Close()) }()
	s, err := Open(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer s.Close()
	f := persistencetest.MakeFrames(51, 3_000)
	kills := 0
	var killing sync.WaitGroup
	failures := drive(t, s, f, func(done, all int) {
		if done*4 <= kills*all {
			return
		}
		killing.Wait()
		kills++
		killing.Go(func() { // while the batch is written
			if err := errors.Join(pg.Kill(context.Background()), pg.Start(context.Background())); err != nil {
				t.Error(err)
			}
		})
	})
	killing.Wait()
	require.Equal(t, 4, kills)
	require.GreaterOrEqual(t, failures, 3, "the kills had an effect")
	requireFold(t, s, f)
}

// TestConnectionCutWithinAMessage: a connection ends after any number of bytes; the store is the fold.
func TestConnectionCutWithinAMessage(t *testing.T) {
	dsn := database(t, nameOf(t.TempDir()))
	p := newCutter(t, "unix", server.Dir+"/.s.PGSQL."+dsnPart(dsn, "port"))
	host, port, err := net.SplitHostPort(p.ln.Addr().String())
	require.NoError(t, err)
	s, err := Open(t.Context(), "host="+host+" port="+port+" user=postgres sslmode=disable dbname="+dsnPart(dsn, "dbname"))
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Cursor(t.Context())
	require.NoError(t, err)
	p.cut(true)
	f := persistencetest.MakeFrames(53, 500)
	failures := drive(t, s, f, func(done, all int) { p.cut(done < all*9/10) })
	p.cut(false)
	require.Greater(t, failures, 5)
	requireFold(t, s, f)
}

// TestAnEmptyDatabaseInItsPlace: a store that has been written is replaced by nothing at all while it is in use; it becomes the fold
// without a restart.
func TestAnEmptyDatabaseInItsPlace(t *testing.T) {
	s, f, emptied := openIn(t, t.TempDir()), persistencetest.MakeFrames(55, 300), false
	failures := drive(t, s, f, func(done, all int) {
		if emptied || done < all/2 {
			return
		}
		emptied = true
		_, err := s.read.Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		require.NoError(t, err)
	})
	require.Equal(t, 2, failures, "of the write, and of the cursor")
	requireFold(t, s, f)
}

func dsnPart(dsn, name string) string {
	for _, part := range strings.Fields(dsn) {
		if value, ok := strings.CutPrefix(part, name+"="); ok {
			return value
		}
	}
	return ""
}

// cutter is a proxy whose connections end after a random number of bytes from the client.
type cutter struct {
	ln  net.Listener
	mu  sync.Mutex
	on  bool
	rng *rand.Rand
}

func newCutter(t *testing.T, network, to string) *cutter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{ln: ln, rng: rand.New(rand.NewPCG(3, 3))}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.carry(from, network, to) })
		}
	})
	return c
}

func (c *cutter) cut(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

func (c *cutter) carry(from net.Conn, network, to string) {
	defer from.Close()
	there, err := net.Dial(network, to)
	if err != nil {
		return
	}
	defer there.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, there)
		_ = from.Close()
	})
	c.mu.Lock()
	var source io.Reader = from
	if c.on {
		source = io.LimitReader(from, 500+c.rng.Int64N(60_000))
	}
	c.mu.Unlock()
	_, _ = io.Copy(there, source)
	_ = there.Close()
	back.Wait()
}
