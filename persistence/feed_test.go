package persistence_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// book writes frames with real events into a journal.
type book struct {
	*chain
	j *memory.Journal
}

func newBook(t testing.TB) *book {
	b := &book{newChain(t, 8, "a"), memory.NewJournal(memory.Options{})}
	b.append(b.entries[0])
	b.append(b.last(b.claim("a", "a")))
	return b
}

func (b *book) last(persistence.Seq) persistence.Entry { return b.entries[len(b.entries)-1] }

func (b *book) append(e persistence.Entry) {
	var expect persistence.Seq
	if last, err := b.j.Last(context.Background(), e.Subject); err == nil {
		expect = last.Seq
	}
	seq, err := b.j.Append(context.Background(), e.Subject, e.Data, expect)
	require.NoError(b.t, err)
	require.Equal(b.t, e.Seq, seq)
}

// add appends a frame with an event for each id and returns what a writer publishes.
func (b *book) add(ids ...engine.AggregateID) (persistence.Seq, int, []persistence.Committed) {
	f := b.frame("a", ids...)
	events := make([]*enginepb.Event, len(ids))
	for i := range f.Events {
		events[i] = &enginepb.Event{AtMs: int64(f.Index[i].Version)*1000 + 1, ByAccount: string(f.Index[i].Aggregate),
			Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}}
		f.Events[i] = engine.AppendEvent(nil, events[i])
	}
	seq := b.write(f)
	e := b.last(seq)
	b.append(e)
	var out []persistence.Committed
	for i, x := range f.Index {
		out = append(out, persistence.Committed{Seq: seq, Index: i, Aggregate: x.Aggregate, Version: x.Version, Event: events[i]})
	}
	return seq, len(e.Data), out
}

// same compares without the protobuf's own bookkeeping.
func same(t testing.TB, want, got []persistence.Committed) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		w, g := want[i], got[i]
		require.Equal(t, w.Event.AtMs, g.Event.AtMs)
		require.Equal(t, w.Event.ByAccount, g.Event.ByAccount)
		w.Event, g.Event = nil, nil
		require.Equal(t, w, g)
	}
}

// drain reads the feed up to seq in steps of at most max events.
func drain(t testing.TB, f *persistence.Feed, after, to persistence.Seq, max int) []persistence.Committed {
	var all []persistence.Committed
	for after < to {
		events, reached, err := f.Next(t.Context(), after, max)
		require.NoError(t, err)
		require.Greater(t, reached, after)
		for _, e := range events {
			require.Greater(t, e.Seq, after, "whole frames, each once")
			require.LessOrEqual(t, e.Seq, reached)
		}
		all, after = append(all, events...), reached
	}
	require.Equal(t, to, after)
	return all
}

func TestFeedServesFromMemoryAndFromTheJournal(t *testing.T) {
	for _, memoryBytes := range []int{0, 2_000, 1 << 20} {
		b := newBook(t)
		feed := persistence.NewFeed(b.j, memoryBytes)
		var want []persistence.Committed
		rng := rand.New(rand.NewPCG(5, 6))
		for range 200 {
			var ids []engine.AggregateID
			for range rng.IntN(6) {
				ids = append(ids, aggregate(rng.IntN(10)))
			}
			seq, bytes, events := b.add(ids...)
			want = append(want, events...)
			feed.Publish(seq, bytes, append([]persistence.Committed(nil), events...))
			require.LessOrEqual(t, feed.MemoryBytes(), memoryBytes)
		}
		last := b.c.Seq()
		require.Equal(t, last, feed.Last())
		for _, max := range []int{1, 7, 10_000} {
			same(t, want, drain(t, feed, 0, last, max))
		}
		for _, after := range []persistence.Seq{1, 50, last - 20, last - 1} {
			var rest []persistence.Committed
			for _, e := range want {
				if e.Seq > after {
					rest = append(rest, e)
				}
			}
			same(t, rest, drain(t, feed, after, last, 25))
		}
		var rebuilt []persistence.Committed
		next := persistence.Seq(1)
		require.NoError(t, persistence.ReadCommitted(t.Context(), b.j, 1, last, func(s persistence.Seq, events []persistence.Committed) error {
			require.Equal(t, next, s)
			next++
			rebuilt = append(rebuilt, events...)
			return nil
		}))
		same(t, want, rebuilt)
	}
}

func TestFeedGivesWholeFrames(t *testing.T) {
	b := newBook(t)
	for _, memoryBytes := range []int{0, 1 << 20} {
		feed := persistence.NewFeed(b.j, memoryBytes)
		before := b.c.Seq()
		for range 3 {
			feed.Publish(b.add(aggregate(1), aggregate(2), aggregate(3)))
		}
		for _, c := range []struct{ max, events int }{{1, 3}, {3, 3}, {5, 3}, {6, 6}, {8, 6}, {9, 9}} {
			events, reached, err := feed.Next(t.Context(), before, c.max)
			require.NoError(t, err)
			require.Len(t, events, c.events, "at most %d", c.max)
			require.Equal(t, before+persistence.Seq(c.events/3), reached)
		}
	}
}

func TestFeedWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		feed := persistence.NewFeed(b.j, 1<<20)
		var got [3]persistence.Seq
		for i := range got {
			go func() {
				_, reached, err := feed.Next(t.Context(), 0, 100)
				if err == nil {
					got[i] = reached
				}
			}()
		}
		synctest.Wait()
		require.Zero(t, got, "nothing was published: what merely lies in the journal is not handed out")
		feed.Publish(2, 100, nil)
		synctest.Wait()
		require.Equal(t, [3]persistence.Seq{2 - 1, 2 - 1, 2 - 1}, got, "the journal has what came before")

		ctx, cancel := context.WithCancel(t.Context())
		var err error
		go func() { _, _, err = feed.Next(ctx, 2, 100) }()
		synctest.Wait()
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		require.ErrorIs(t, err, context.Canceled)
	})
}

// Records that nobody published (another node's, a checkpoint) are not skipped.
func TestFeedReadsAGapFromTheJournal(t *testing.T) {
	b := newBook(t)
	feed := persistence.NewFeed(b.j, 1<<20)
	feed.Publish(2, 10, nil)
	var want []persistence.Committed
	for i := range 9 {
		seq, bytes, events := b.add(aggregate(i))
		want = append(want, events...)
		if i%3 != 1 {
			feed.Publish(seq, bytes, events)
		}
	}
	same(t, want, drain(t, feed, 2, b.c.Seq(), 100))
	feed.Publish(5, 10, []persistence.Committed{{Seq: 5}})
	same(t, want, drain(t, feed, 2, b.c.Seq(), 100))
}

func TestFeedSaysWhenTheJournalIsPurged(t *testing.T) {
	b := newBook(t)
	feed := persistence.NewFeed(b.j, 0)
	for i := range 10 {
		feed.Publish(b.add(aggregate(i)))
	}
	require.NoError(t, b.j.Purge(t.Context(), 6))
	_, _, err := feed.Next(t.Context(), 3, 100)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	events, _, err := feed.Next(t.Context(), 5, 100)
	require.NoError(t, err)
	require.Equal(t, persistence.Seq(6), events[0].Seq)
}

// A sink that stands still holds nobody up, and three that run at their own pace get everything once and in order.
func TestFeedWithSlowSinks(t *testing.T) {
	b := newBook(t)
	feed := persistence.NewFeed(b.j, 5_000)
	const frames = 300
	end := b.c.Seq() + frames
	got := make([][]persistence.Committed, 3)
	errs := make([]error, len(got))
	var sinks sync.WaitGroup
	for i := range got {
		sinks.Go(func() {
			after := persistence.Seq(2)
			for after < end {
				events, reached, err := feed.Next(t.Context(), after, 1+i*40)
				if err != nil {
					errs[i] = err
					return
				}
				got[i], after = append(got[i], events...), reached
			}
		})
	}
	var want []persistence.Committed
	for i := range frames {
		seq, bytes, events := b.add(aggregate(i%7), aggregate(i%5))
		want = append(want, events...)
		feed.Publish(seq, bytes, events)
	}
	sinks.Wait()
	require.NoError(t, errors.Join(errs...))
	for i := range got {
		same(t, want, got[i])
	}
}

func TestEventsOf(t *testing.T) {
	b := newBook(t)
	a, other := aggregate(1), aggregate(2)
	tail := persistence.NewTail(8)
	note := func(seq persistence.Seq, _ int, _ []persistence.Committed) {
		r, err := persistence.Decode(b.last(seq).Data)
		require.NoError(t, err)
		require.NoError(t, tail.Add(seq, r.(*persistence.Frame)))
	}
	note(b.add(a, a, other))
	for range 3 {
		note(b.add(other))
	}
	note(b.add(a))
	for range 30 {
		note(b.add(other))
	}
	note(b.add(a, other, a))
	at := tail.Positions(a, nil)
	require.Len(t, at, 3)

	read := func(at []persistence.Seq, after engine.Version) ([]*engine.Event, error) {
		return persistence.EventsOf(t.Context(), b.j, at, a, after)
	}
	events, err := read(at, 0)
	require.NoError(t, err)
	require.Len(t, events, 5)
	for i, e := range events {
		require.EqualValues(t, (i+1)*1000+1, e.AtMs)
	}
	events, err = read(at, 1)
	require.NoError(t, err)
	require.Len(t, events, 4, "the base has the first one of the frame")
	events, err = read(nil, 5)
	require.NoError(t, err)
	require.Empty(t, events)

	var hole *persistence.HoleError
	for name, c := range map[string]struct {
		at    []persistence.Seq
		after engine.Version
		want  engine.Version
	}{
		"first position missing":   {at[1:], 0, 1},
		"middle position missing":  {[]persistence.Seq{at[0], at[2]}, 0, 3},
		"base older than the tail": {at[1:], 1, 2},
		"no event at a position":   {[]persistence.Seq{at[0], at[0] + 1, at[1]}, 0, 3},
		"a claim at a position":    {[]persistence.Seq{2}, 0, 1},
	} {
		_, err := read(c.at, c.after)
		require.ErrorAs(t, err, &hole, name)
		require.Equal(t, c.want, hole.Want, name)
		require.Equal(t, a, hole.Aggregate)
	}
	require.NoError(t, b.j.Purge(t.Context(), at[0]+1))
	_, err = read(at, 0)
	require.ErrorIs(t, err, persistence.ErrNotFound, "purged while it was opened (holes H22)")
}

// asked counts what is asked of a journal.
type asked struct {
	persistence.Journal
	gets, reads atomic.Int64
}

func (j *asked) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	j.gets.Add(1)
	return j.Journal.Get(ctx, seq)
}

func (j *asked) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	j.reads.Add(1)
	return j.Journal.Read(ctx, from, to, fn)
}

// Events that lie close are read in one go, those that do not are asked for: an open that begins a Read for every few of them takes
// longer than a caller waits.
func TestEventsOfAsksForFewOrReadsMany(t *testing.T) {
	a, other := aggregate(1), aggregate(2)
	for name, c := range map[string]struct {
		events, gap int
		gets, reads int64
	}{
		"close":        {60, 4, 0, 1},
		"far apart":    {60, 12, 60, 0},
		"few":          {10, 4, 10, 0},
		"one":          {1, 0, 1, 0},
		"in each":      {60, 0, 0, 1},
		"just so many": {16, 9, 0, 1},
		"one too few":  {15, 9, 15, 0},
	} {
		b := newBook(t)
		at := make([]persistence.Seq, c.events)
		for i := range at {
			at[i], _, _ = b.add(a)
			for range c.gap {
				b.add(other)
			}
		}
		j := &asked{Journal: b.j}
		events, err := persistence.EventsOf(t.Context(), j, at, a, 0)
		require.NoError(t, err, name)
		require.Len(t, events, c.events, name)
		require.Equal(t, [2]int64{c.gets, c.reads}, [2]int64{j.gets.Load(), j.reads.Load()}, name)
		if c.reads == 1 {
			var hole *persistence.HoleError
			_, err = persistence.EventsOf(t.Context(), j, append(at[:5:5], at[6:]...), a, 0)
			require.ErrorAs(t, err, &hole, name)
		}
	}
}
