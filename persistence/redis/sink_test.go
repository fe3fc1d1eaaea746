package redis

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// states is a Source in memory.
type states struct {
	mu   sync.Mutex
	at   persistence.Position
	asOf time.Time
	all  []persistence.AggregateState // by id
	page func(after string) error     // asked before each page
}

func (s *states) Position(ctx context.Context) (persistence.Position, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.asOf, ctx.Err()
}

func (s *states) Restaurants(ctx context.Context, after string, limit int) (page []persistence.AggregateState, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page != nil {
		err = s.page(after)
	}
	for _, a := range s.all {
		if string(a.ID) <= after {
			continue
		}
		if len(page) == limit {
			return page, string(page[limit-1].ID), errors.Join(err, ctx.Err())
		}
		page = append(page, a)
	}
	return page, "", errors.Join(err, ctx.Err())
}

// set takes the place of another.
func (s *states) set(next *states) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.all = next.at, next.all
}

// sourceAt stands at a sequence; its states are of that time or any later one.
func sourceAt(t testing.TB, frames persistencetest.Frames, seq persistence.Seq, rng *rand.Rand) *states {
	t.Helper()
	s := &states{at: at(seq)}
	begun := map[engine.AggregateID]persistence.Seq{}
	for _, c := range frames.Events(0, persistence.Seq(len(frames))) {
		if begun[c.Aggregate] == 0 {
			begun[c.Aggregate] = c.Seq
		}
	}
	for id, first := range begun {
		to := seq
		if rng != nil {
			to += persistence.Seq(rng.IntN(len(frames) - int(seq) + 1))
		}
		if first > to {
			continue
		}
		m := persistencetest.NewModel()
		m.Apply(at(to), frames.Events(0, to))
		state, err := persistence.StateOf(m.Base(id))
		require.NoError(t, err)
		s.all = append(s.all, state)
	}
	slices.SortFunc(s.all, func(a, b persistence.AggregateState) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return s
}

// sinkOf makes a sink that is whole from the beginning, with nothing in its source.
func sinkOf(t testing.TB, c *Client, cursors persistence.Cursors, change ...func(*SinkOptions)) *Sink {
	t.Helper()
	o := SinkOptions{Cursors: cursors, Source: &states{}, Log: slog.New(slog.DiscardHandler)}
	for _, fn := range change {
		fn(&o)
	}
	s, err := NewSink(c, o)
	require.NoError(t, err)
	return s
}

func from(source Source) func(*SinkOptions) { return func(o *SinkOptions) { o.Source = source } }

// begun is a sink at its cursor.
func begun(t testing.TB, s *Sink) (*Sink, persistence.Position) {
	t.Helper()
	p, err := s.Cursor(t.Context())
	require.NoError(t, err)
	return s, p
}

// write carries frames from the sink's cursor to a sequence, in batches of random size.
func write(t testing.TB, s *Sink, frames persistencetest.Frames, to persistence.Seq, rng *rand.Rand, after func(at persistence.Position)) {
	t.Helper()
	_, old := begun(t, s)
	for _, end := range batches(rng, old.Seq, to) {
		require.NoError(t, s.Write(t.Context(), old, at(end), frames.Events(old.Seq, end)))
		if old = at(end); after != nil {
			after(old)
		}
	}
}

func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

func TestEqualsTheFoldAfterEachBatch(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		for seed := range uint64(2) {
			b.flush(t)
			frames, n := history(seed, 200), naive{}
			s := sinkOf(t, b.client(t), &memory.Cursors{})
			done := persistence.Seq(0)
			write(t, s, frames, 200, dice(seed), func(p persistence.Position) {
				n.apply(frames.Events(done, p.Seq)...)
				requireHolds(t, b, n, "seed %d up to %d", seed, p.Seq)
				done = p.Seq
			})
			_, p := begun(t, s)
			require.Equal(t, at(200), p)
		}
	})
}

// What is here already changes nothing, by the same sink or another one, in one batch or many.
func TestReplayedFromAnOlderCursor(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors, rng := history(7, 200), &memory.Cursors{}, dice(7)
		want := folded(frames, 200)
		s := sinkOf(t, b.client(t), cursors)
		write(t, s, frames, 200, rng, nil)
		for range 4 {
			older := at(persistence.Seq(rng.IntN(200)))
			require.NoError(t, cursors.Move(t.Context(), SinkName, at(200), older))
			if rng.IntN(2) == 0 {
				s = sinkOf(t, b.client(t), cursors)
			}
			write(t, s, frames, 200, rng, func(persistence.Position) { requireHolds(t, b, want) })
		}
	})
}

// failing are cursors whose Move fails, having moved or not.
type failing struct {
	memory.Cursors
	moves, fails int
	moved        bool
}

var errLost = errors.New("lost")

func (f *failing) Move(ctx context.Context, sink string, old, next persistence.Position) error {
	f.moves++
	if f.fails--; f.fails < 0 {
		return f.Cursors.Move(ctx, sink, old, next)
	}
	if f.moved {
		if err := f.Cursors.Move(ctx, sink, old, next); err != nil {
			return err
		}
	}
	return errors.Join(persistence.ErrUnknown, errLost)
}

// Between the scripts and the cursor: everything is here, the cursor does not know.
func TestTheCursorDoesNotMove(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		for _, moved := range []bool{false, true} {
			b.flush(t)
			frames, cursors := history(8, 120), &failing{moved: moved}
			s := sinkOf(t, b.client(t), cursors)
			write(t, s, frames, 60, dice(1), nil)
			cursors.fails = 1
			require.ErrorIs(t, s.Write(t.Context(), at(60), at(90), frames.Events(60, 90)), errLost)
			requireHolds(t, b, folded(frames, 90))
			_, p := begun(t, s)
			if moved {
				require.Equal(t, at(90), p)
			} else {
				require.Equal(t, at(60), p)
			}
			write(t, s, frames, 120, dice(2), nil)
			requireHolds(t, b, folded(frames, 120))
		}
	})
}

func TestRefusesWhatIsNotItsTurn(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(5, 40), &memory.Cursors{}
		s := sinkOf(t, b.client(t), cursors)
		write(t, s, frames, 20, dice(1), nil)
		want := folded(frames, 20)
		for _, old := range []persistence.Position{{}, at(19), at(21), {Journal: "J2", Seq: 20}} {
			err := s.Write(t.Context(), old, persistence.Position{Journal: old.Journal, Seq: 22}, nil)
			require.ErrorIs(t, err, persistence.ErrConflict)
		}
		require.Error(t, s.Write(t.Context(), at(20), persistence.Position{Journal: "J2", Seq: 22}, nil))
		require.Error(t, s.Write(t.Context(), at(20), at(22), frames.Events(21, 30)), "events beyond the new cursor")
		require.Error(t, s.Write(t.Context(), at(20), at(22), frames.Events(10, 22)), "events before the old cursor")
		requireHolds(t, b, want)
		_, p := begun(t, s)
		require.Equal(t, at(20), p)
	})
}

// An event that is missing is noticed, nothing is written, and the next Cursor loads everything anew.
func TestAGapIsLoaded(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors, source := history(17, 60), &memory.Cursors{}, &states{}
		s := sinkOf(t, b.client(t), cursors, from(source))
		write(t, s, frames, 30, dice(1), nil)
		source.set(sourceAt(t, frames, 40, nil))
		events, gaps := frames.Events(30, 60), 0
		for i, c := range events {
			rest := append(slices.Clone(events[:i]), events[i+1:]...)
			followed := slices.ContainsFunc(events[i+1:], func(later persistence.Committed) bool { return later.Aggregate == c.Aggregate })
			if !followed || engine.IsAccountID(string(c.Aggregate)) {
				continue
			}
			gaps++
			_, old := begun(t, s)
			if old.Seq != 30 {
				break
			}
			require.ErrorIs(t, s.Write(t.Context(), old, at(60), rest), ErrGap, "without event %d", i)
			requireHolds(t, b, folded(frames, 30))
		}
		require.NotZero(t, gaps)
		_, p := begun(t, s)
		require.Equal(t, at(40), p)
		requireLoaded(t, b, folded(frames, 40))
		write(t, s, frames, 60, dice(2), nil)
		requireLoaded(t, b, folded(frames, 60))
	})
}

// Two sinks carry the same history, one of them always late; then one begins again and again with what is long here.
func TestTwoSinksAtOnce(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(13, 150), &memory.Cursors{}
		a, z := sinkOf(t, b.client(t), cursors), sinkOf(t, b.client(t), cursors)
		begun(t, a)
		for old := (persistence.Position{}); old.Seq < 150; {
			next := at(min(150, old.Seq+10))
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, s := range []*Sink{a, z} {
				wg.Go(func() { errs[i] = s.Write(t.Context(), old, next, frames.Events(old.Seq, next.Seq)) })
			}
			wg.Wait()
			if errs[0] == nil {
				errs[0], errs[1] = errs[1], errs[0]
			}
			require.ErrorIs(t, errs[0], persistence.ErrConflict, "one of two loses")
			require.NoError(t, errs[1], "one of two wins")
			requireHolds(t, b, folded(frames, next.Seq))
			old = next
		}
	})
}

// A sink with a cursor of its own writes old batches while the other one goes on: no older version ever wins, and the version of
// a restaurant never goes back.
func TestNoOlderVersionWins(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, rng := history(14, 160), dice(14)
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		begun(t, s)
		ctx, stop := context.WithCancel(t.Context())
		late := &memory.Cursors{}
		old := sinkOf(t, b.client(t), late)
		var replays atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			rng := dice(15)
			for ctx.Err() == nil {
				p, err := s.o.Cursors.Cursor(ctx, SinkName)
				if err != nil || p.Seq == 0 {
					continue
				}
				from := persistence.Seq(rng.IntN(int(p.Seq)))
				to := from + 1 + persistence.Seq(rng.IntN(int(p.Seq-from)))
				was, _ := late.Cursor(ctx, SinkName)
				if late.Move(ctx, SinkName, was, at(from)) == nil && old.Write(ctx, at(from), at(to), frames.Events(from, to)) == nil {
					replays.Add(1)
				}
			}
		})
		reader, newest := b.client(t), map[engine.AggregateID]engine.Version{}
		write(t, s, frames, 160, rng, func(p persistence.Position) {
			for id := range folded(frames, p.Seq) {
				d, err := reader.Day(t.Context(), engine.RestaurantID(id), engine.Day(today()))
				require.NoError(t, err)
				require.GreaterOrEqual(t, d.Version, newest[id])
				newest[id] = d.Version
			}
			requireHolds(t, b, folded(frames, p.Seq))
		})
		require.Eventually(t, func() bool { return replays.Load() > 0 }, 10*time.Second, time.Millisecond)
		stop()
		wg.Wait()
		requireHolds(t, b, folded(frames, 160))
	})
}

// overtake writes the events of some frames without looking at cursor or markers, as a writer does that looked long before.
func overtake(t testing.TB, s *Sink, events []persistence.Committed) {
	t.Helper()
	of, ids := map[engine.AggregateID][]*persistence.Committed{}, []engine.AggregateID(nil)
	for i := range events {
		if c := &events[i]; aboutRestaurant(c.Aggregate) {
			if of[c.Aggregate] == nil {
				ids = append(ids, c.Aggregate)
			}
			of[c.Aggregate] = append(of[c.Aggregate], c)
		}
	}
	require.NoError(t, s.follow(t.Context(), ids, of))
}

// Another writer comes at any step of a write or a load, and is further or not as far: the newest version of both stays.
func TestOvertakenAtEveryStep(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, pace := history(16, 60), int64(1)
		if b == cluster {
			pace = 3 // it has more calls and no other steps
		}
		for name, run := range map[string]func(s *Sink) error{
			"write": func(s *Sink) error { return s.Write(t.Context(), at(30), at(45), frames.Events(30, 45)) },
			"load":  func(s *Sink) error { return s.Rebuild(t.Context()) },
		} {
			for _, to := range []persistence.Seq{36, 60} {
				for n := int64(0); overtaken(t, b, run, frames, to, n); n += pace {
					require.Less(t, n, int64(50), name)
				}
			}
		}
	})
}

// overtaken tells whether step n of run was reached: then the other writer came before it.
func overtaken(t *testing.T, b *backend, run func(s *Sink) error, frames persistencetest.Frames, to persistence.Seq, n int64) (reached bool) {
	t.Helper()
	b.flush(t)
	source := &states{}
	c, step := b.stepping(t)
	s, z := sinkOf(t, c, &memory.Cursors{}, from(source)), sinkOf(t, b.client(t), &memory.Cursors{})
	write(t, s, frames, 30, dice(1), nil)
	source.set(sourceAt(t, frames, 45, nil))
	step.do = func(_ context.Context, call func() error) error {
		reached = true
		overtake(t, z, frames.Events(30, to))
		return call()
	}
	step.left.Store(n)
	require.NoError(t, run(s), "step %d", n)
	if reached {
		requireLoaded(t, b, folded(frames, max(45, to)), "step %d", n)
	}
	require.True(t, reached || n > 3)
	return reached
}
