package persistence_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/engine/enginepb"
	"maitred/persistence"
)

// recordingSink keeps what it was given. fail is asked before each write.
type recordingSink struct {
	mu      sync.Mutex
	at      persistence.Position
	seqs    []persistence.Seq
	batches []int
	fail    func(try int) error
	slow    time.Duration
	tries   int
}

func (s *recordingSink) Cursor(context.Context) (persistence.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, nil
}

func (s *recordingSink) Write(_ context.Context, old, next persistence.Position, events []persistence.Committed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.fail != nil {
		if err := s.fail(s.tries); err != nil {
			return err
		}
	}
	if old != s.at {
		return persistence.ErrConflict
	}
	if s.slow > 0 {
		<-time.After(s.slow)
	}
	s.at = next
	for _, e := range events {
		s.seqs = append(s.seqs, e.Seq)
	}
	s.batches = append(s.batches, len(events))
	return nil
}

type projecting struct {
	*persistence.Projector
	feed *persistence.Feed
	sink *recordingSink
	last persistence.Seq
}

// startProjector runs inside synctest: its clock and its waits are virtual.
func startProjector(t *testing.T, sink *recordingSink, bounds persistence.Bounds, change func(*persistence.ProjectorConfig)) *projecting {
	feed := persistence.NewFeed(nil, 1<<30)
	cfg := persistence.ProjectorConfig{
		Name: "test", Journal: journalID, Events: feed, Sink: sink, Log: slog.New(slog.DiscardHandler),
		Bounds: func(context.Context) (persistence.Bounds, error) { return bounds, nil },
	}
	if change != nil {
		change(&cfg)
	}
	p := &projecting{Projector: persistence.NewProjector(cfg), feed: feed, sink: sink}
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// publish makes frames of n events durable now.
func (p *projecting) publish(frames, n int) {
	for range frames {
		p.last++
		events := make([]persistence.Committed, n)
		for i := range events {
			events[i] = persistence.Committed{Seq: p.last, Index: i, Aggregate: "a", Event: &enginepb.Event{AtMs: time.Now().UnixMilli()}}
		}
		p.feed.Publish(p.last, 100*n, events)
	}
}

func (p *projecting) requireAll(t *testing.T, each int) {
	t.Helper()
	require.NoError(t, p.Wait(t.Context(), p.last))
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	require.Equal(t, persistence.Position{Journal: journalID, Seq: p.last}, p.sink.at)
	require.Len(t, p.sink.seqs, int(p.last)*each)
	for i, seq := range p.sink.seqs {
		require.Equal(t, persistence.Seq(1+i/each), seq)
	}
}

func TestProjectorGathersLargeTransactions(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		p := startProjector(t, &recordingSink{}, persistence.Bounds{First: 1, Last: 1 << 40}, nil)
		p.Start()
		p.Start()
		for range 10 { // 10,000 events a second for a second
			p.publish(100, 10)
			<-time.After(100 * time.Millisecond)
		}
		p.requireAll(t, 10)
		require.LessOrEqual(t, len(p.sink.batches), 12, "%v", p.sink.batches)

		before := len(p.sink.batches)
		p.publish(1, 10)
		start := time.Now()
		p.requireAll(t, 10)
		require.LessOrEqual(t, time.Since(start), 250*time.Millisecond, "little waits for no more than Linger")
		require.Len(t, p.sink.batches, before+1)

		p.publish(20_000, 10)
		p.requireAll(t, 10)
		for _, n := range p.sink.batches {
			require.LessOrEqual(t, n, 6_000)
		}
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		require.Equal(t, persistence.ProjectorStopped, p.Status().State)
	})
}

func TestProjectorKeepsTransactionsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &recordingSink{}
		p := startProjector(t, sink, persistence.Bounds{First: 1, Last: 1 << 40}, func(c *persistence.ProjectorConfig) {
			c.MinEvents, c.MaxEvents, c.Linger, c.Every, c.Idle = 1, 100, 20*time.Millisecond, 100*time.Millisecond, time.Second
		})
		p.Start()
		for range 200 { // one each 5 ms, for a second
			p.publish(1, 1)
			<-time.After(5 * time.Millisecond)
		}
		p.requireAll(t, 1)
		require.InDelta(t, 11, len(sink.batches), 2, "%v", sink.batches)

		<-time.After(time.Minute)
		p.publish(1, 1)
		start := time.Now()
		p.requireAll(t, 1)
		require.LessOrEqual(t, time.Since(start), 20*time.Millisecond, "what comes alone waits for nobody")

		<-time.After(time.Second)
		p.publish(1_000, 1)
		start = time.Now()
		p.requireAll(t, 1)
		// The first transaction may find all that was there when it looked; the ten behind it do not wait for each other.
		require.LessOrEqual(t, time.Since(start), 120*time.Millisecond, "nor does what was left behind")
		require.NoError(t, p.Close())
	})
}

func TestProjectorMovesTheCursorOverHeartbeatsNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startProjector(t, &recordingSink{}, persistence.Bounds{First: 1, Last: 1 << 40}, nil)
		p.Start()
		for range 60 { // 30 s of heartbeats
			p.publish(1, 0)
			<-time.After(500 * time.Millisecond)
		}
		require.NoError(t, p.Wait(t.Context(), p.last))
		require.LessOrEqual(t, len(p.sink.batches), 8)
	})
}

func TestProjectorTriesAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		sink := &recordingSink{fail: func(try int) error {
			if try%3 != 0 {
				return away
			}
			return nil
		}}
		p := startProjector(t, sink, persistence.Bounds{First: 1, Last: 1 << 40}, func(c *persistence.ProjectorConfig) { c.MaxEvents = 100 })
		p.Start()
		p.publish(200, 10)
		p.requireAll(t, 10)
		require.EqualValues(t, 2*len(sink.batches), p.Status().Failures)
		require.EqualValues(t, len(sink.batches), p.Status().Recoveries, "each came after failures")

		sink.mu.Lock()
		sink.tries, sink.fail = 0, func(int) error { return away }
		sink.mu.Unlock()
		p.publish(1, 10)
		<-time.After(10 * time.Minute)
		s := p.Status()
		require.Equal(t, persistence.ProjectorRetrying, s.State)
		require.ErrorIs(t, s.Err, away)
		require.EqualValues(t, 1, s.LagRecords)
		require.InDelta(t, 600, s.Lag.Seconds(), 1)
		sink.mu.Lock()
		require.Less(t, sink.tries, 600, "an absent sink is not asked in a hurry")
		require.Greater(t, sink.tries, 100, "nor forgotten")
		sink.fail = nil
		sink.mu.Unlock()
		p.requireAll(t, 10)
		require.Zero(t, p.Status().Lag)
	})
}

func TestProjectorThatLosesReadsTheCursorAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &recordingSink{}
		p := startProjector(t, sink, persistence.Bounds{First: 1, Last: 1 << 40}, nil)
		p.publish(50, 10)
		sink.fail = func(try int) error {
			if try == 1 { // another projector was faster
				sink.at = persistence.Position{Journal: journalID, Seq: 20}
				for seq := range 200 {
					sink.seqs = append(sink.seqs, persistence.Seq(1+seq/10))
				}
			}
			return nil
		}
		p.Start()
		p.requireAll(t, 10)
		require.EqualValues(t, 1, p.Status().Failures)
	})
}

func TestProjectorGivesUpOnAnotherHistory(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, c := range []struct {
		at     persistence.Position
		bounds persistence.Bounds
		want   persistence.ProjectorState
	}{
		{persistence.Position{Journal: journalID, Seq: 8}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorBehind},
		{persistence.Position{}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorBehind},
		{persistence.Position{Journal: journalID, Seq: 21}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorAhead},
		{persistence.Position{Journal: "jrn_other", Seq: 15}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorForeign},
		{persistence.Position{Journal: journalID, Seq: 9}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorRunning},
		{persistence.Position{Journal: journalID, Seq: 20}, persistence.Bounds{First: 10, Last: 20}, persistence.ProjectorRunning},
		{persistence.Position{}, persistence.Bounds{First: 1, Last: 0}, persistence.ProjectorRunning},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := startProjector(t, &recordingSink{at: c.at}, c.bounds, nil)
			p.Start()
			synctest.Wait()
			require.Equal(t, c.want, p.Status().State, "%+v", c)
			require.NoError(t, testutil.CollectAndCompare(p, strings.NewReader(`
# HELP maitred_sink_batches_total Transactions that reached the sink.
# TYPE maitred_sink_batches_total counter
maitred_sink_batches_total{sink="test"} 0
`), "maitred_sink_batches_total"))
			if c.want != persistence.ProjectorRunning {
				require.ErrorContains(t, p.Wait(t.Context(), 1_000), c.want.String())
			}
		})
	}
}

func TestProjectorKeepsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, moved := 0, persistence.Position{}
		p := startProjector(t, &recordingSink{}, persistence.Bounds{First: 1, Last: 1 << 40}, func(c *persistence.ProjectorConfig) {
			c.MaxEvents = 1_000
			c.Pace = func() time.Duration {
				if asked++; asked%3 == 0 {
					return 0
				}
				return time.Hour
			}
			c.Moved = func(at persistence.Position) { moved = at }
		})
		p.publish(1_000, 10)
		start := time.Now()
		p.Start()
		p.requireAll(t, 10)
		require.Equal(t, 20*persistence.MaxPace, time.Since(start), "asked twice for an hour, waited twice for MaxPace before each of ten")
		synctest.Wait()
		require.Equal(t, p.last, moved.Seq)
		require.Equal(t, 31, asked, "three times for each of ten, and once for the batch that never comes")
	})
}

func TestProjectorMakesSlowTransactionsSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startProjector(t, &recordingSink{slow: time.Second}, persistence.Bounds{First: 1, Last: 1 << 40}, nil)
		p.publish(3_000, 10)
		p.Start()
		p.requireAll(t, 10)
		require.Equal(t, []int{6_000, 3_000, 1_500, 750, 520}, p.sink.batches[:5])
	})
}

// A sink that neither answers nor fails is no sink that runs.
func TestProjectorTellsOfASilentSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startProjector(t, &recordingSink{slow: 2 * time.Minute}, persistence.Bounds{First: 1, Last: 1 << 40}, nil)
		p.publish(1, 1)
		p.Start()
		<-time.After(50 * time.Second)
		require.Equal(t, persistence.ProjectorRunning, p.Status().State)
		<-time.After(20 * time.Second)
		require.Equal(t, persistence.ProjectorRetrying, p.Status().State)
		require.ErrorContains(t, p.Status().Err, "has not answered")
		p.requireAll(t, 1)
		synctest.Wait()
		require.Equal(t, persistence.ProjectorRunning, p.Status().State)
		require.NoError(t, p.Status().Err)
		require.EqualValues(t, 1, p.Status().Recoveries)
		require.Zero(t, p.Status().Failures)
	})
}

func TestProjectorCloseWithoutStart(t *testing.T) {
	p := persistence.NewProjector(persistence.ProjectorConfig{Events: persistence.NewFeed(nil, 1)})
	require.NoError(t, p.Close())
	p.Start()
	require.NoError(t, p.Close())
	require.Equal(t, persistence.ProjectorStopped, p.Status().State)
}

// archive has frames of one event each, from to up to.
type archive struct{ from, upTo persistence.Seq }

func (a *archive) Cursor(context.Context) (persistence.Position, error) {
	return persistence.Position{Journal: journalID, Seq: a.upTo}, nil
}

func (a *archive) Events(_ context.Context, after persistence.Seq, limit int) (out []persistence.Committed, reached persistence.Seq, err error) {
	reached = after
	for seq := max(a.from, after+1); seq <= a.upTo && len(out) < limit; seq++ {
		out, reached = append(out, persistence.Committed{Seq: seq, Aggregate: "a", Event: &enginepb.Event{}}), seq
	}
	return out, reached, nil
}

// A sink that fell below the journal catches up from the store and goes on with the journal: everything once and in order (holes H15).
func TestProjectorCatchesUpFromTheArchive(t *testing.T) {
	for name, c := range map[string]struct {
		at      persistence.Seq // of the sink; 0 = new
		archive archive
		seqs    []persistence.Seq // first and last of what it gets
		state   persistence.ProjectorState
	}{
		"fell below":                   {at: 10, archive: archive{1, 120}, seqs: []persistence.Seq{11, 103}, state: persistence.ProjectorRunning},
		"the audit begins just there":  {at: 10, archive: archive{11, 99}, seqs: []persistence.Seq{11, 103}, state: persistence.ProjectorRunning},
		"the store was made anew":      {at: 10, archive: archive{12, 120}, state: persistence.ProjectorBehind},
		"the store is behind":          {at: 10, archive: archive{1, 98}, state: persistence.ProjectorRetrying},
		"new: it begins with the rest": {archive: archive{50, 120}, seqs: []persistence.Seq{100, 103}, state: persistence.ProjectorRunning},
		"it has all that was purged":   {at: 99, archive: archive{100, 100}, seqs: []persistence.Seq{100, 103}, state: persistence.ProjectorRunning},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			synctest.Test(t, func(t *testing.T) {
				sink := &recordingSink{}
				if c.at > 0 {
					sink.at = persistence.Position{Journal: journalID, Seq: c.at}
				}
				var detached bool
				sink.fail = func(int) error { return nil }
				p := startProjector(t, sink, persistence.Bounds{First: 100, Last: 103}, func(cfg *persistence.ProjectorConfig) {
					cfg.Archive, cfg.MaxEvents = &c.archive, 7
				})
				sink.fail = func(int) error {
					detached = detached || p.Status().State == persistence.ProjectorDetached
					return nil
				}
				p.last = 99
				p.publish(4, 1)
				p.Start()
				<-time.After(time.Minute)
				synctest.Wait()
				require.Equal(t, c.state, p.Status().State)
				require.NoError(t, p.Close())
				if c.seqs == nil {
					require.Empty(t, sink.seqs)
					return
				}
				require.Equal(t, c.at > 0 && c.at < 99, detached, "it says so meanwhile")
				for i, seq := range sink.seqs {
					require.Equal(t, c.seqs[0]+persistence.Seq(i), seq)
				}
				require.Equal(t, c.seqs[1], sink.seqs[len(sink.seqs)-1])
			})
		})
	}
}
