package postgres

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

const (
	polled = 5 * time.Millisecond
	soon   = 20 * time.Second
)

// pair is a server with a streaming replica and a store that reads from it.
type pair struct {
	*testing.T
	server, replica *dev.Postgres
	store           *Store
	frames          persistencetest.Frames
}

func openPair(t *testing.T, through func(dsn string) string) *pair {
	t.Helper()
	p := &pair{T: t, frames: persistencetest.MakeFrames(61, 400)}
	var err error
	p.server, err = dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.server.Close()) })
	p.replica, err = p.server.StartReplica(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.replica.Close()) })
	p.store, err = Open(t.Context(), p.server.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	dsn := p.replica.DSN
	if through != nil {
		dsn = through(dsn)
	}
	require.NoError(t, p.store.ReadFrom(t.Context(), dsn))
	return p
}

func (p *pair) position() persistence.Position {
	p.Helper()
	at, err := p.store.Cursor(p.Context())
	require.NoError(p, err)
	return at
}

// write brings the next frames into the server and returns the time of the last event.
func (p *pair) write(frames persistence.Seq) (asOf time.Time) {
	p.Helper()
	old := p.position()
	next := persistence.Position{Journal: "jrn_test", Seq: old.Seq + frames}
	require.NoError(p, p.store.Write(p.Context(), old, next, p.frames.Events(old.Seq, next.Seq)))
	all := p.frames.Events(0, next.Seq)
	return time.UnixMilli(all[len(all)-1].Event.AtMs).UTC()
}

// asOf is of when a list is.
func (p *pair) asOf() time.Time {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 2*time.Second) // as the edge gives it
	defer cancel()
	page, err := p.store.ReservationsOf(ctx, "nobody", persistence.ListFilter{Limit: 1})
	require.NoError(p, err)
	return page.AsOf
}

func (p *pair) reads(result string) float64 {
	if result == "used" {
		return testutil.ToFloat64(p.store.metrics.replicaReads)
	}
	return testutil.ToFloat64(p.store.metrics.fallbacks.WithLabelValues(result))
}

// untilUsed waits until the replica answers.
func (p *pair) untilUsed() {
	p.Helper()
	before := p.reads("used")
	require.Eventually(p, func() bool { p.asOf(); return p.reads("used") > before }, soon, polled)
}

// TestReplicaAnswersLists: lists, searches and reviews come from the replica, also when the server is gone; the rest asks the server.
func TestReplicaAnswersLists(t *testing.T) {
	p := openPair(t, nil)
	want := p.write(200)
	require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
	p.untilUsed()
	var seen int
	conn, err := pgx.Connect(t.Context(), p.replica.DSN)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maitred'").Scan(&seen))
	require.Positive(t, seen, "the replica knows its readers")

	reviews, err := p.store.ReviewsOf(t.Context(), "odd", persistence.ReviewFilter{Limit: 100})
	require.NoError(t, err)
	states, _, err := p.store.States(t.Context(), persistence.StatesFilter{Limit: 100})
	require.NoError(t, err, "the server answers what is no list")
	require.NotEmpty(t, states)
	require.NoError(t, p.server.Stop(t.Context()))
	require.Equal(t, want, p.asOf())
	again, err := p.store.ReviewsOf(t.Context(), "odd", persistence.ReviewFilter{Limit: 100})
	require.NoError(t, err)
	require.Equal(t, reviews, again)
	found, err := p.store.Search(t.Context(), persistence.SearchFilter{City: "Roma", Limit: 10})
	require.NoError(t, err)
	require.NotEmpty(t, found.Rows)
	_, err = p.store.PlacesOf(t.Context(), "usr_nobody", "", 10)
	require.NoError(t, err)
	_, err = p.store.ReviewsOf(t.Context(), "odd", persistence.ReviewFilter{After: "?"})
	require.ErrorIs(t, err, persistence.ErrBadPlace)
	_, err = p.store.Cursor(t.Context())
	require.Error(t, err, "the cursor is the server's")
	_, err = p.store.PendingErasures(t.Context(), 10)
	require.Error(t, err, "and so are erasures")
	require.Zero(t, p.reads("away"))
}

// TestReplicaIsNeverBehindWhatWasShown: while it replays with random pauses, no list is older than one before it, or than what was written.
func TestReplicaIsNeverBehindWhatWasShown(t *testing.T) {
	p := openPair(t, nil)
	p.write(10)
	require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
	p.untilUsed()
	rng := rand.New(rand.NewPCG(1, 1))
	paused := false
	for range 60 {
		switch {
		case rng.IntN(4) == 0 && !paused:
			require.NoError(t, p.replica.PauseReplay(t.Context()))
			paused = true
		case rng.IntN(3) == 0 && paused:
			require.NoError(t, p.replica.ResumeReplay(t.Context()))
			paused = false
		}
		want := p.write(1 + persistence.Seq(rng.IntN(4)))
		for range 5 {
			require.False(t, p.asOf().Before(want), "own writes are seen")
		}
		if !paused {
			require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
			p.untilUsed()
		}
	}
	require.Positive(t, p.reads("behind"))
	require.Zero(t, p.reads("away"))
}

// TestReplicaGoesAndReturns: killed, it is not waited for; when it returns it is used again.
func TestReplicaGoesAndReturns(t *testing.T) {
	p := openPair(t, nil)
	p.write(100)
	require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
	p.untilUsed()
	require.NoError(t, p.replica.Kill(t.Context()))
	used := p.reads("used")
	longest := time.Duration(0)
	for range 300 {
		begun := time.Now()
		p.asOf()
		longest = max(longest, time.Since(begun))
	}
	require.Less(t, longest, time.Second)
	require.Equal(t, used, p.reads("used"))
	require.LessOrEqual(t, p.reads("away"), 10.0, "it is not asked each time")
	want := p.write(50)
	require.NoError(t, p.replica.Start(t.Context()))
	require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
	p.untilUsed()
	require.Equal(t, want, p.asOf())
}

// TestReplicaThatSaysNothing: a network that swallows everything costs one reader a quarter of a second, and no other anything.
func TestReplicaThatSaysNothing(t *testing.T) {
	var hole *swallower
	p := openPair(t, func(dsn string) string {
		hole = newSwallower(t, "127.0.0.1:"+dsnPart(dsn, "port"))
		return "host=127.0.0.1 port=" + hole.port() + " user=postgres dbname=postgres sslmode=disable"
	})
	p.write(100)
	require.NoError(t, p.replica.AwaitReplay(t.Context(), p.server))
	p.untilUsed()
	hole.swallow(true)
	for range 3 {
		var wg sync.WaitGroup
		begun := time.Now()
		for range 20 {
			wg.Go(func() {
				_, err := p.store.ReservationsOf(t.Context(), "nobody", persistence.ListFilter{Limit: 1})
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Less(t, time.Since(begun), time.Second)
	}
	hole.swallow(false)
	p.untilUsed()
}

// TestReplicaOfAnotherJournal: a server that follows something else is never believed.
func TestReplicaOfAnotherJournal(t *testing.T) {
	s := openIn(t, t.TempDir())
	other := openIn(t, t.TempDir())
	f := persistencetest.MakeFrames(1, 50)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: "jrn_a", Seq: 20}, f.Events(0, 20)))
	require.NoError(t, other.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: "jrn_b", Seq: 50}, f.Events(0, 50)))
	require.NoError(t, s.ReadFrom(t.Context(), other.read.Config().ConnString()))
	for range 5 {
		page, err := s.ReservationsOf(t.Context(), "nobody", persistence.ListFilter{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, f.Events(0, 20)[len(f.Events(0, 20))-1].Event.AtMs, page.AsOf.UnixMilli())
	}
	require.Zero(t, testutil.ToFloat64(s.metrics.replicaReads))
}

// swallower is a proxy that may pass on nothing and say nothing.
type swallower struct {
	ln net.Listener
	mu sync.Mutex
	on bool
	ok *sync.Cond

	conns []net.Conn
}

func newSwallower(t *testing.T, to string) *swallower {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &swallower{ln: ln}
	h.ok = sync.NewCond(&h.mu)
	var all sync.WaitGroup
	t.Cleanup(func() {
		h.swallow(false)
		_ = ln.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			_ = c.Close()
		}
		h.mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			h.mu.Lock()
			h.conns = append(h.conns, from, there)
			h.mu.Unlock()
			all.Go(func() { h.carry(there, from) })
			all.Go(func() { h.carry(from, there) })
		}
	})
	return h
}

func (h *swallower) port() string {
	_, port, _ := net.SplitHostPort(h.ln.Addr().String())
	return port
}

func (h *swallower) swallow(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = on
	h.ok.Broadcast()
}

func (h *swallower) carry(to io.WriteCloser, from io.Reader) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		h.mu.Lock()
		for h.on {
			h.ok.Wait()
		}
		h.mu.Unlock()
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}
