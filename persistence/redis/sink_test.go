package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

const (
	journalID = "jrn_test"
	ages      = 200 * 365 * 24 * time.Hour // the days of the test are past
)

func at(seq persistence.Seq) persistence.Position {
	if seq == 0 {
		return persistence.Position{}
	}
	return persistence.Position{Journal: journalID, Seq: seq}
}

// rig is a sink with its cursor and the history that it follows.
type rig struct {
	*Sink
	c       *Client
	cursors persistence.Cursors
	f       persistencetest.Frames
	source  *history
}

// history is a Source that knows the events up to seq.
type history struct {
	mu     sync.Mutex
	f      persistencetest.Frames
	seq    persistence.Seq
	pages  int
	before func(page int) error // nil = nothing
}

func (h *history) Position(context.Context) (persistence.Position, time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return at(h.seq), time.Time{}, nil
}

func (h *history) Restaurants(_ context.Context, after string, limit int) (states []persistence.AggregateState, next string, err error) {
	h.mu.Lock()
	seq, before, page := h.seq, h.before, h.pages
	h.pages++
	h.mu.Unlock()
	if before != nil {
		if err := before(page); err != nil {
			return nil, "", err
		}
	}
	all := places(h.f.Events(0, seq))
	for _, id := range slices.Sorted(func(yield func(engine.AggregateID) bool) {
		for id := range all {
			if !yield(id) {
				return
			}
		}
	}) {
		if string(id) <= after {
			continue
		}
		if len(states) == min(limit, 2) {
			return states, string(states[len(states)-1].ID), nil
		}
		p := all[id]
		a := persistence.AggregateState{ID: id, Version: p.version, Restaurant: p.details}
		for _, t := range p.tables {
			a.Tables = append(a.Tables, t)
		}
		for _, r := range p.reservations {
			a.Reservations = append(a.Reservations, r)
		}
		states = append(states, a)
	}
	return states, "", nil
}

func newRig(t testing.TB, o Options, f persistencetest.Frames) *rig {
	t.Helper()
	r := &rig{c: open(t, o), cursors: &memory.Cursors{}, f: f, source: &history{f: f}}
	r.Sink = r.another(t)
	return r
}

// another is a second sink with the same cursor.
func (r *rig) another(t testing.TB) *Sink {
	t.Helper()
	s, err := NewSink(r.c, SinkOptions{Cursors: r.cursors, Source: r.source, Retain: ages, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	return s
}

// follow brings the sink to a sequence, in batches of random size, as a projector does.
func (r *rig) bring(t *testing.T, to persistence.Seq, rng *rand.Rand) {
	t.Helper()
	old, err := r.Cursor(t.Context())
	require.NoError(t, err)
	for old.Seq < to {
		next := min(old.Seq+persistence.Seq(1+rng.IntN(12)), to)
		require.NoError(t, r.Write(t.Context(), old, at(next), r.f.Events(old.Seq, next)))
		old = at(next)
	}
}

func (r *rig) requireFold(t *testing.T, seq persistence.Seq) {
	t.Helper()
	require.Equal(t, expected(r.f.Events(0, seq)), found(t, r.c), "at %d", seq)
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

// What is in Redis is the fold of the journal, after each batch.
func TestEqualsTheFold(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		for seed := range uint64(4) {
			flush(t, open(t, o))
			r, rng := newRig(t, o, frames(seed, 240)), random(seed)
			for seq := persistence.Seq(0); seq < 240; {
				seq = min(seq+persistence.Seq(1+rng.IntN(60)), 240)
				r.bring(t, seq, rng)
				r.requireFold(t, seq)
			}
		}
	})
}

// Replays change nothing, from wherever, and no older version wins, also when a late writer comes.
func TestNewerWins(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(11, 200)), random(11)
		r.bring(t, 200, rng)
		for range 5 {
			back := persistence.Seq(rng.IntN(200))
			require.NoError(t, r.cursors.Move(t.Context(), SinkName, at(200), at(back)))
			if back > 0 {
				require.NoError(t, r.Write(t.Context(), at(back), at(back+1), r.f.Events(back, back+1)))
				r.requireFold(t, 200)
			}
			r.bring(t, 200, rng)
			r.requireFold(t, 200)
		}
	})
}

// Two sinks write the same events at once, in batches of their own: one of them moves the cursor, and nothing is doubled or lost.
func TestTwoSinks(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r := newRig(t, o, frames(12, 200))
		sinks := []*Sink{r.Sink, r.another(t)}
		var wg sync.WaitGroup
		for i, s := range sinks {
			wg.Go(func() {
				rng := random(uint64(i))
				for {
					old, err := s.Cursor(t.Context())
					if err == nil && old.Seq == 200 {
						return
					}
					if err == nil {
						next := min(old.Seq+persistence.Seq(1+rng.IntN(12)), 200)
						err = s.Write(t.Context(), old, at(next), r.f.Events(old.Seq, next))
					}
					if err != nil && !errors.Is(err, persistence.ErrConflict) && !errors.Is(err, errLoading) && !errors.Is(err, errNotWhole) {
						t.Errorf("sink %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		r.requireFold(t, 200)
	})
}

// failingCursors do not move when they are told to fail.
type failingCursors struct {
	persistence.Cursors
	fail func() bool
}

func (c *failingCursors) Move(ctx context.Context, sink string, old, next persistence.Position) error {
	if c.fail() {
		return errors.New("the process died here")
	}
	return c.Cursors.Move(ctx, sink, old, next)
}

// Stopped between Redis and the cursor, or within a batch: the next try makes it whole.
func TestStoppedWithinABatch(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(13, 200)), random(13)
		r.cursors = &failingCursors{r.cursors, func() bool { return rng.IntN(3) == 0 }}
		r.Sink = r.another(t)
		for tries := 0; ; tries++ {
			require.Less(t, tries, 2000)
			old, err := r.Cursor(t.Context())
			if err != nil {
				continue
			}
			if old.Seq == 200 {
				break
			}
			next := min(old.Seq+persistence.Seq(1+rng.IntN(12)), 200)
			ctx, cancel := context.WithCancel(t.Context())
			if rng.IntN(4) == 0 { // cut off at any moment
				go func() { time.AfterFunc(time.Duration(rand.IntN(800))*time.Microsecond, cancel) }()
			}
			_ = r.Write(ctx, old, at(next), r.f.Events(old.Seq, next))
			cancel()
		}
		r.requireFold(t, 200)
	})
}

// A server whose connections are cut mid-batch, and one that is killed and comes back empty.
func TestServerKilled(t *testing.T) {
	s := server(t)
	r, rng := newRig(t, alone(t), frames(14, 200)), random(14)
	admin := goredis.NewClient(&goredis.Options{Addr: s.Addr})
	defer admin.Close()
	for tries := 0; ; tries++ {
		require.Less(t, tries, 5000)
		old, err := r.Cursor(t.Context())
		if err != nil {
			continue
		}
		r.source.mu.Lock()
		r.source.seq = old.Seq
		r.source.mu.Unlock()
		if old.Seq == 200 {
			break
		}
		next := min(old.Seq+persistence.Seq(1+rng.IntN(12)), 200)
		switch {
		case tries%5 == 1:
			_ = admin.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err()
		case tries == 8 || tries == 20:
			require.NoError(t, s.Kill(t.Context()))
			require.Error(t, r.Write(t.Context(), old, at(next), r.f.Events(old.Seq, next)))
			require.NoError(t, s.Start(t.Context()))
		}
		_ = r.Write(t.Context(), old, at(next), r.f.Events(old.Seq, next))
	}
	r.requireFold(t, 200)
}

// FLUSHALL, of everything or of one master: the next look finds it, and it is whole again from the source and the journal's tail.
func TestFlushed(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(15, 200)), random(15)
		for seq := persistence.Seq(20); seq <= 200; seq += 20 {
			r.bring(t, seq, rng)
			r.source.mu.Lock()
			r.source.seq = persistence.Seq(rng.IntN(int(seq) + 1)) // the store is behind, as it may be
			r.source.mu.Unlock()
			one := false
			var mu sync.Mutex
			masters(t, r.c, func(ctx context.Context, db *goredis.Client) error {
				mu.Lock()
				skip := seq%40 == 0 && one
				one = true
				mu.Unlock()
				if skip {
					return nil
				}
				return db.FlushAll(ctx).Err()
			})
			require.ErrorIs(t, r.Write(t.Context(), at(seq), at(seq), nil), errNotWhole, "an empty batch notices")
			_, _, err := availabilityOf(r)
			if seq%40 != 0 {
				require.ErrorIs(t, err, persistence.ErrNotFound, "unknown, not free")
			}
			r.bring(t, seq, rng)
			r.requireFold(t, seq)
		}
	})
}

func availabilityOf(r *rig) (engine.AggregateID, persistence.Availability, error) {
	for id := range places(r.f.Events(0, persistence.Seq(len(r.f)))) {
		if engine.IsRestaurantID(string(id)) {
			a, err := r.c.Availability(context.Background(), 1_790_000_000_000, engine.RestaurantID(id), 20_000, 2)
			return id, a, err
		}
	}
	panic("no restaurant")
}

// While one loads, another waits; when the loader dies, its lease ends and the next one loads.
func TestALoaderDies(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(16, 100)), random(16)
		r.bring(t, 100, rng)
		r.source.seq = 100
		flush(t, r.c)
		dying := errors.New("died")
		r.source.before = func(page int) error {
			if page == 1 {
				return dying
			}
			return nil
		}
		_, err := r.Cursor(t.Context())
		require.ErrorIs(t, err, dying)
		other := r.another(t)
		_, err = other.Cursor(t.Context())
		require.ErrorIs(t, err, errLoading, "its lease runs")
		masters(t, r.c, func(ctx context.Context, db *goredis.Client) error { // as if the lease were over
			it := db.Scan(ctx, 0, "*cursor", 1000).Iterator()
			for it.Next(ctx) {
				if left := db.PTTL(ctx, it.Val()).Val(); left <= 0 || left > loadLease {
					return fmt.Errorf("%s lives %v longer", it.Val(), left)
				}
				if err := db.Del(ctx, it.Val()).Err(); err != nil {
					return err
				}
			}
			return it.Err()
		})
		at, err := other.Cursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, persistence.Seq(100), at.Seq)
		r.requireFold(t, 100)
	})
}

// Another journal's server is refused, and so is a source of another journal; what the journal has no more comes from the source.
func TestOtherHistories(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(17, 100)), random(17)
		r.bring(t, 60, rng)
		foreign := &memory.Cursors{}
		require.NoError(t, foreign.Move(t.Context(), SinkName, persistence.Position{}, persistence.Position{Journal: "jrn_other", Seq: 1}))
		s, err := NewSink(r.c, SinkOptions{Cursors: foreign, Source: r.source})
		require.NoError(t, err)
		_, err = s.Cursor(t.Context())
		require.ErrorIs(t, err, ErrForeign)

		flush(t, r.c)
		r.source.seq = 50
		_, err = s.Cursor(t.Context())
		require.ErrorIs(t, err, errOtherSource)
		flush(t, r.c)

		r.bring(t, 60, rng)
		purged, err := NewSink(r.c, SinkOptions{Cursors: r.cursors, Source: r.source, Retain: ages,
			Bounds: func(context.Context) (persistence.Bounds, error) {
				return persistence.Bounds{First: 80, Last: 100}, nil
			}})
		require.NoError(t, err)
		r.source.seq = 90
		got, err := purged.Cursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, at(90), got)
		r.Sink = purged
		r.bring(t, 100, rng)
		r.requireFold(t, 100)
	})
}

// An event that does not follow is refused, and the restaurant is made anew.
func TestAGapIsMadeGood(t *testing.T) {
	r, rng := newRig(t, alone(t), frames(18, 100)), random(18)
	r.bring(t, 50, rng)
	for _, key := range keys(t, r.c) { // somebody tampered: a position is gone, or an older one is there
		if key[len(key)-2:] == ":v" {
			require.NoError(t, r.c.db.Set(t.Context(), key, `{"v":1,"as_of":1}`, 0).Err())
		}
	}
	r.source.seq = 50
	var gap error
	for seq := persistence.Seq(50); seq < 100 && gap == nil; seq++ {
		gap = r.Write(t.Context(), at(seq), at(seq+1), r.f.Events(seq, seq+1))
	}
	require.ErrorIs(t, gap, ErrGap)
	r.bring(t, 100, rng)
	r.requireFold(t, 100)
}

// Each change is told, and who reads on the message sees at least its version.
func TestSubscribers(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(19, 120)), random(19)
		sub := open(t, o).db.PSubscribe(t.Context(), channelPrefix+"*")
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		var mu sync.Mutex
		told := map[engine.AggregateID]engine.Version{}
		done := make(chan error, 1)
		go func() {
			for {
				m, err := sub.ReceiveMessage(t.Context())
				if err != nil {
					done <- nil
					return
				}
				v := into[message](t, m.Payload)
				head := into[position](t, r.c.db.Get(t.Context(), versionKey(v.Restaurant)).Val())
				if m.Channel != channelPrefix+string(v.Restaurant) || head.Version < v.Version {
					done <- fmt.Errorf("%s says %+v, there is %+v", m.Channel, v, head)
					return
				}
				mu.Lock()
				told[v.Restaurant] = max(told[v.Restaurant], v.Version)
				mu.Unlock()
			}
		}()
		r.bring(t, 120, rng)
		last := map[engine.AggregateID]engine.Version{} // newest that changed what is free
		for _, c := range r.f.Events(0, 120) {
			switch c.Event.Body.(type) {
			case *enginepb.Event_RestaurantCreated, *enginepb.Event_RestaurantChanged, *enginepb.Event_TableAdded, *enginepb.Event_TableChanged,
				*enginepb.Event_TableRemoved, *enginepb.Event_ReservationCreated:
				last[c.Aggregate] = c.Version
			}
		}
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for id, version := range last {
				if told[id] < version {
					return false
				}
			}
			return true
		}, 5*time.Second, time.Millisecond)
		require.NoError(t, sub.Close())
		require.NoError(t, <-done)
	})
}

// Days expire some time after their end, what holds no date does not.
func TestExpiry(t *testing.T) {
	r := newRig(t, alone(t), frames(20, 100))
	r.bring(t, 100, random(20))
	days := 0
	for _, key := range keys(t, r.c) {
		ends := r.c.db.ExpireTime(t.Context(), key).Val()
		var date string
		if at := slices.Index([]byte(key), '}'); at > 0 && len(key) > at+6 && key[at+2:at+6] == "day:" {
			date = key[at+6:]
		}
		switch {
		case date != "":
			day, ok := engine.ParseDate(date)
			require.True(t, ok)
			require.Equal(t, time.Duration(int64(day)+1)*24*time.Hour+ages, ends, key)
			days++
		case key[len(key)-2:] == ":v", key == markerKey, key[len(key)-6:] == ":floor", key[len(key)-5:] == ":days":
			require.Equal(t, time.Duration(-1), ends, key)
		default:
			require.Greater(t, ends, time.Duration(time.Now().Unix())*time.Second, key)
		}
	}
	require.Positive(t, days)
}

// A load from a source that is behind leaves alone what is newer: no reader sees a restaurant go back.
func TestALoadNeverGoesBack(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		r, rng := newRig(t, o, frames(22, 200)), random(22)
		r.bring(t, 200, rng)
		for _, key := range keys(t, r.c) {
			if isMarker(key) {
				require.NoError(t, r.c.db.Del(t.Context(), key).Err())
			}
		}
		r.source.seq = 120
		got, err := r.Cursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, at(120), got)
		r.requireFold(t, 200)
	})
}
