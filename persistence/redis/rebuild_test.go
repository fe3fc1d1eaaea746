package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// A source that is behind the cursor or before it, with states of any later time, into a server that has something or nothing.
func TestLoadedFromASource(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		for seed := range uint64(6) {
			b.flush(t)
			rng, frames, cursors, source := dice(seed), history(40+seed, 150), &memory.Cursors{}, &states{}
			s := sinkOf(t, b.client(t), cursors, from(slow{source, 1 + rng.IntN(3)}))
			here := persistence.Seq(rng.IntN(120))
			write(t, s, frames, here, rng, nil)
			there := persistence.Seq(rng.IntN(120))
			source.set(sourceAt(t, frames, there, rng))
			newest := map[engine.AggregateID]engine.Version{}
			for id, r := range folded(frames, here) {
				newest[id] = r.position["v"].(engine.Version)
			}
			require.NoError(t, s.Rebuild(t.Context()))
			_, p := begun(t, s)
			require.Equal(t, at(there), p)
			for _, a := range source.all {
				newest[a.ID] = max(newest[a.ID], a.Version)
			}
			for id, v := range newest {
				if engine.IsAccountID(string(id)) {
					continue
				}
				d, err := s.c.Day(t.Context(), engine.RestaurantID(id), 1)
				require.NoError(t, err)
				require.Equal(t, v, d.Version, "the newer version wins")
			}
			write(t, s, frames, 150, rng, nil)
			requireLoaded(t, b, folded(frames, 150), "seed %d", seed)
		}
	})
}

// blocked is a sink whose source stands still within a page until it is let go.
func blocked(t testing.TB, b *backend, source *states, cursors persistence.Cursors) (s *Sink, inside, goOn chan struct{}) {
	t.Helper()
	inside, goOn = make(chan struct{}), make(chan struct{})
	var once sync.Once
	own := &states{at: source.at, all: source.all, page: func(after string) error {
		if after != "" {
			once.Do(func() {
				close(inside)
				<-goOn
			})
		}
		return nil
	}}
	return sinkOf(t, b.client(t), cursors, from(slow{own, 1})), inside, goOn
}

func TestTwoLoadersAtOnce(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(51, 80), &memory.Cursors{}
		source := sourceAt(t, frames, 80, nil)
		a, inside, goOn := blocked(t, b, source, cursors)
		z := sinkOf(t, b.client(t), cursors, from(source))
		begun(t, z)
		done := make(chan error, 1)
		go func() { done <- a.Rebuild(context.Background()) }()
		<-inside
		require.ErrorIs(t, z.Rebuild(t.Context()), errLoading)
		_, err := z.Cursor(t.Context())
		require.ErrorIs(t, err, errLoading)
		require.ErrorIs(t, z.Write(t.Context(), at(80), at(81), nil), errNotWhole, "nobody moves the markers meanwhile")
		close(goOn)
		require.NoError(t, <-done)
		_, p := begun(t, z)
		require.Equal(t, at(80), p)
		requireLoaded(t, b, folded(frames, 80))

		for range 5 { // and with nobody to say who is first
			b.flush(t)
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, s := range []*Sink{a, z} {
				wg.Go(func() { errs[i] = s.Rebuild(t.Context()) })
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil {
					require.True(t, errors.Is(err, errLoading) || errors.Is(err, errNotWhole), err)
				}
			}
			_, err := a.Cursor(t.Context())
			require.NoError(t, err, "nobody is left behind")
			requireLoaded(t, b, folded(frames, 80))
		}
	})
}

// A loader that dies is replaced when its lease is over, not before. Its own sink need not wait.
func TestALoaderDies(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors, died := history(52, 80), &memory.Cursors{}, errors.New("died")
		source := sourceAt(t, frames, 80, nil)
		source.page = func(after string) error {
			if after != "" {
				return died
			}
			return nil
		}
		a := sinkOf(t, b.client(t), cursors, from(slow{source, 1}))
		a.lease = 300 * time.Millisecond
		began := time.Now()
		require.ErrorIs(t, a.Rebuild(t.Context()), died)
		z := sinkOf(t, b.client(t), cursors, from(sourceAt(t, frames, 80, nil)))
		foreign := &states{at: persistence.Position{Journal: "J2", Seq: 1}}
		x := sinkOf(t, b.client(t), &memory.Cursors{}, from(foreign))
		for _, s := range []*Sink{z, x} {
			err := s.Rebuild(t.Context())
			require.Error(t, err)
			require.True(t, errors.Is(err, errLoading) || errors.Is(err, ErrForeign), err)
		}
		require.Eventually(t, func() bool { return z.Rebuild(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond)
		require.Greater(t, time.Since(began), a.lease)
		requireLoaded(t, b, folded(frames, 80))

		b.flush(t)
		a.lease = time.Hour
		require.ErrorIs(t, a.Rebuild(t.Context()), died)
		source.page = nil
		require.NoError(t, a.Rebuild(t.Context()))
		requireLoaded(t, b, folded(frames, 80))
	})
}

// A loader that slept beyond its lease has loaded in vain, and harms nobody.
func TestALoaderSleeps(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(53, 120), &memory.Cursors{}
		a, inside, goOn := blocked(t, b, sourceAt(t, frames, 40, nil), cursors)
		a.lease = time.Millisecond
		done := make(chan error, 1)
		go func() { done <- a.Rebuild(context.Background()) }()
		<-inside
		z := sinkOf(t, b.client(t), cursors, from(sourceAt(t, frames, 60, nil)))
		require.Eventually(t, func() bool { return z.Rebuild(t.Context()) == nil }, 10*time.Second, time.Millisecond)
		write(t, z, frames, 120, dice(1), nil)
		close(goOn)
		require.ErrorIs(t, <-done, errNotWhole)
		requireLoaded(t, b, folded(frames, 120))
		_, p := begun(t, z)
		require.Equal(t, at(120), p)
	})
}

// Another sink takes over at any step of a load: that was in vain, stops soon, and leaves the markers to the other one.
func TestTakenOverAtEveryStep(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames := history(64, 120)
		first, pace := int64(1), int64(1) // behind the call that begins
		if b == cluster {
			first, pace = 4, 4 // it has more calls and no other steps
		}
		n := first
		for taken := true; taken; n += pace {
			b.flush(t)
			cursors, source, late := &memory.Cursors{}, sourceAt(t, frames, 40, nil), 0
			c, step := b.stepping(t)
			a, z := sinkOf(t, c, cursors, from(slow{source, 1})), sinkOf(t, b.client(t), cursors, from(sourceAt(t, frames, 60, nil)))
			a.lease = time.Millisecond
			taken = false
			source.page = func(string) error {
				if taken {
					late++
				}
				return nil
			}
			step.do = func(_ context.Context, call func() error) error {
				require.Eventually(t, func() bool { return z.Rebuild(t.Context()) == nil }, 10*time.Second, time.Millisecond)
				taken = true
				return call()
			}
			require.NoError(t, c.db.Ping(t.Context()).Err()) // the connection's beginning is a call too
			step.left.Store(n)
			err := a.Rebuild(t.Context())
			if !taken {
				require.NoError(t, err)
				break
			}
			require.ErrorIs(t, err, errNotWhole, "step %d", n)
			require.LessOrEqual(t, late, 1, "step %d", n)
			why, err := z.missing(t.Context(), at(60))
			require.NoError(t, err)
			require.Empty(t, why, "step %d", n)
			requireLoaded(t, b, folded(frames, 60), "step %d", n)
		}
		require.Greater(t, n, first+10)
	})
}

// A write that was under way while somebody else loaded everything does not say that it is here.
func TestALoadWithinAWrite(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(54, 60), &memory.Cursors{}
		c, step := b.stepping(t)
		s := sinkOf(t, c, cursors, from(sourceAt(t, frames, 30, nil)))
		begun(t, s)
		z := sinkOf(t, b.client(t), cursors, from(sourceAt(t, frames, 30, nil)))
		step.do = func(_ context.Context, call func() error) error {
			err := call()
			b.flush(t)
			return errors.Join(err, z.Rebuild(t.Context()))
		}
		calls := int64(3) // epoch, read, scripts
		if b == cluster {
			calls += 3 // slots, two more epochs
		}
		step.left.Store(calls - 1)
		require.ErrorIs(t, s.Write(t.Context(), at(30), at(60), frames.Events(30, 60)), errNotWhole)
		_, p := begun(t, s)
		require.Equal(t, at(30), p)
		requireLoaded(t, b, folded(frames, 30))
		write(t, s, frames, 60, dice(1), nil)
		requireLoaded(t, b, folded(frames, 60))
	})
}

func TestForeign(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, stranger := history(55, 40), history(155, 4).Events(0, 4)
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(sourceAt(t, frames, 40, nil)))
		begun(t, s)
		other := &memory.Cursors{}
		x := sinkOf(t, b.client(t), other, from(&states{at: persistence.Position{Journal: "J2", Seq: 7}}))
		for range 2 {
			require.Error(t, x.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: "J2", Seq: 4}, stranger))
			_, err := x.Cursor(t.Context())
			require.ErrorIs(t, err, ErrForeign)
			require.ErrorIs(t, x.Rebuild(t.Context()), ErrForeign)
			require.NoError(t, other.Move(t.Context(), SinkName, persistence.Position{}, persistence.Position{Journal: "J2", Seq: 3}))
			require.Error(t, x.Write(t.Context(), persistence.Position{Journal: "J2", Seq: 3}, persistence.Position{Journal: "J2", Seq: 4}, nil))
			require.NoError(t, other.Move(t.Context(), SinkName, persistence.Position{Journal: "J2", Seq: 3}, persistence.Position{}))
		}
		requireLoaded(t, b, folded(frames, 40))
		_, p := begun(t, s)
		require.Equal(t, at(40), p)
	})
}

func TestSourcesThatDoNotFit(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors, source := history(56, 60), &memory.Cursors{}, &states{}
		bounds := persistence.Bounds{First: 1, Last: 60}
		s := sinkOf(t, b.client(t), cursors, from(source), func(o *SinkOptions) {
			o.Bounds = func(ctx context.Context) (persistence.Bounds, error) { return bounds, ctx.Err() }
		})
		write(t, s, frames, 30, dice(1), nil)
		source.set(&states{at: persistence.Position{Journal: "J2", Seq: 30}})
		require.ErrorIs(t, s.Rebuild(t.Context()), errOtherSource)
		source.set(sourceAt(t, frames, 35, nil))
		bounds.First = 40
		_, err := s.Cursor(t.Context())
		require.ErrorIs(t, err, errSourceBehind, "the journal was purged beyond the cursor, and the source is not further")
		source.set(&states{})
		_, err = s.Cursor(t.Context())
		require.ErrorIs(t, err, errSourceBehind, "a source that is being made anew")
		source.set(sourceAt(t, frames, 39, nil))
		_, p := begun(t, s)
		require.Equal(t, at(39), p)
		write(t, s, frames, 60, dice(1), nil)
		requireLoaded(t, b, folded(frames, 60))

		lost := errors.New("lost")
		s.o.Bounds = func(context.Context) (persistence.Bounds, error) { return bounds, lost }
		_, err = s.Cursor(t.Context())
		require.ErrorIs(t, err, lost)
		require.ErrorIs(t, s.Rebuild(t.Context()), lost)
	})
}

// Whatever somebody else writes into maitred's keys: an error, and a load makes it good.
func TestGarbageInTheKeys(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(57, 80), &states{}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		write(t, s, frames, 40, dice(1), nil)
		source.set(sourceAt(t, frames, 40, nil))
		var spoilt []string
		for key := range b.contents(t) {
			if strings.HasSuffix(key, "}:v") || strings.Contains(key, "}:r:") {
				require.NoError(t, s.c.db.Set(t.Context(), key, `{"v":"x","d":"y"`, 0).Err())
				spoilt = append(spoilt, key)
			}
		}
		require.Greater(t, len(spoilt), 10)
		p, _ := carry(t, s, frames, 80)
		finish(t, p, 80)
		requireLoaded(t, b, folded(frames, 80))
		require.NoError(t, p.Close())
	})
}

// A record alone is spoilt, of a restaurant whose version the source has: one load makes it good.
func TestGarbageInARecord(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(57, 120), sourceAt(t, history(57, 120), 40, nil)
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		begun(t, s)
		loads := 0
		for seq := persistence.Seq(40); seq < 65; seq++ {
			for key := range b.contents(t) {
				if strings.Contains(key, "}:r:") {
					require.NoError(t, s.c.db.Set(t.Context(), key, `?`, 0).Err())
				}
			}
			for { // each time one restaurant is found out
				err := s.Write(t.Context(), at(seq), at(seq+1), frames.Events(seq, seq+1))
				if err == nil {
					break
				}
				require.ErrorIs(t, err, errNotOurs)
				source.set(sourceAt(t, frames, seq, nil))
				_, p := begun(t, s)
				require.Equal(t, at(seq), p)
				loads++
				require.Less(t, loads, 500)
			}
		}
		require.Greater(t, loads, 10)
		source.set(sourceAt(t, frames, 65, nil))
		b.flush(t)
		begun(t, s)
		requireLoaded(t, b, folded(frames, 65))
	})
}

// A command fails in the middle of a script: what it had done before is done again, and the restaurant is not said to be there.
func TestACommandFails(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames := history(59, 80)
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		write(t, s, frames, 40, dice(1), nil)
		before, after := folded(frames, 40), folded(frames, 80)
		broken := map[engine.AggregateID]string{}
		for id, r := range after {
			for date := range r.dayAt {
				if before[id].dayAt[date] == nil {
					broken[id] = dayKey(id, date)
				}
			}
		}
		require.NotEmpty(t, broken)
		for _, key := range broken {
			require.NoError(t, s.c.db.LPush(t.Context(), key, "x").Err())
		}
		require.ErrorContains(t, s.Write(t.Context(), at(40), at(80), frames.Events(40, 80)), "WRONGTYPE")
		for id, key := range broken {
			require.JSONEq(t, text(before[id].position), s.c.db.Get(t.Context(), versionKey(id)).Val())
			require.NoError(t, s.c.db.Del(t.Context(), key).Err())
		}
		write(t, s, frames, 80, dice(1), nil)
		requireHolds(t, b, after)
	})
}

// A load that cannot read what is in its way stops, also when the restaurant before is unknown, which is no error.
func TestALoadDoesNotLookAway(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(60, 80), &states{}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		write(t, s, frames, 40, dice(1), nil)
		source.set(sourceAt(t, frames, 80, nil))
		unknown := source.all[0]
		unknown.ID = "rst_0" // the first one
		source.all = append([]persistence.AggregateState{unknown}, source.all...)
		id := source.all[1].ID
		require.NoError(t, s.c.db.Rename(t.Context(), daysKey(id), daysKey(id)+"x").Err())
		require.NoError(t, s.c.db.LPush(t.Context(), daysKey(id), "x").Err())
		require.ErrorContains(t, s.Rebuild(t.Context()), "WRONGTYPE")
		require.NoError(t, s.c.db.Rename(t.Context(), daysKey(id)+"x", daysKey(id)).Err())
		source.all = source.all[1:]
		require.NoError(t, s.Rebuild(t.Context()))
	})
}

// The largest restaurant that the engine allows comes in one piece, and so does a long batch about one restaurant.
func TestAHugeRestaurant(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		reservations, events := engine.MaxReservations, 20_000
		if b == cluster { // it makes no difference
			reservations, events = 5_000, 5_000
		}
		id := engine.AggregateID(engine.MakeRestaurantID(1))
		a := persistence.AggregateState{ID: id, Version: 7, Restaurant: &enginepb.Restaurant{Id: string(id), Name: "Vast", TimeZone: "Europe/Rome"}}
		table := string(engine.MakeTableID(engine.RestaurantID(id), 1))
		made := func(i int) *enginepb.Reservation {
			day := today() + int32(i%90)
			starts := int64(day)*daySeconds + 64_800
			return &enginepb.Reservation{Id: string(engine.MakeReservationID(engine.RestaurantID(id), uint64(i))), TableIds: []string{table},
				ServiceDay: day, StartsAt: starts, EndsAt: starts + 7200, GuestsCount: 2, Status: enginepb.Status(1 + i%8)}
		}
		for i := range reservations {
			a.Reservations = append(a.Reservations, made(i))
		}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(&states{at: at(1), all: []persistence.AggregateState{a}}))
		began := time.Now()
		begun(t, s)
		t.Logf("%d reservations in %v", reservations, time.Since(began).Round(time.Millisecond))
		stays := 0
		for i := range 90 {
			d, err := s.c.Day(t.Context(), engine.RestaurantID(id), engine.Day(today()+int32(i)))
			require.NoError(t, err)
			stays += len(d.Stays)
		}
		want := 0
		for _, r := range a.Reservations {
			if slices.Contains([]string{"STATUS_HELD", "STATUS_PENDING", "STATUS_CONFIRMED", "STATUS_SEATED", "STATUS_COMPLETED"}, r.Status.String()) {
				want++
			}
		}
		require.Equal(t, want, stays)
		var batch []persistence.Committed
		for i := range events {
			r := made(reservations + i)
			r.Status = enginepb.Status_STATUS_CONFIRMED
			batch = append(batch, persistence.Committed{Seq: 2, Aggregate: id, Version: engine.Version(8 + i),
				Event: &enginepb.Event{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}}})
		}
		began = time.Now()
		require.NoError(t, s.Write(t.Context(), at(1), at(2), batch))
		t.Logf("%d events in %v", events, time.Since(began).Round(time.Millisecond))
		d, err := s.c.Day(t.Context(), engine.RestaurantID(id), engine.Day(today()))
		require.NoError(t, err)
		require.Equal(t, engine.Version(7+events), d.Version)
		b.flush(t)
	})
}

// What a day was needs no record when the day is over: its events change nothing, and a reservation that is moved away is there.
func TestRecordsThatHaveExpired(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		id := engine.AggregateID(engine.MakeRestaurantID(2))
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		version, p := engine.Version(0), persistence.Position{}
		begun(t, s)
		do := func(e *enginepb.Event) {
			version++
			next := at(p.Seq + 1)
			require.NoError(t, s.Write(t.Context(), p, next, []persistence.Committed{{Seq: next.Seq, Aggregate: id, Version: version, Event: e}}))
			p = next
		}
		status := func(reservation string, st enginepb.Status) {
			do(&enginepb.Event{Body: &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: reservation, Status: st}}})
		}
		do(&enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: &enginepb.Restaurant{Id: string(id), TimeZone: "UTC"}}}})
		past := today() - 30
		for i := range 3 {
			do(&enginepb.Event{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: &enginepb.Reservation{
				Id: fmt.Sprint("rsv_", i), TableIds: []string{"tbl_1"}, ServiceDay: past, StartsAt: int64(past) * daySeconds, EndsAt: int64(past)*daySeconds + 7200,
				GuestsCount: 2, Status: enginepb.Status_STATUS_CONFIRMED}}}})
		}
		status("rsv_0", enginepb.Status_STATUS_SEATED)
		status("rsv_1", enginepb.Status_STATUS_NO_SHOW)
		day := today() + 5
		do(&enginepb.Event{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{Id: "rsv_2",
			TableIds: []string{"tbl_2"}, ServiceDay: day, StartsAt: int64(day) * daySeconds, EndsAt: int64(day)*daySeconds + 7200, GuestsCount: 3}}})
		var keys []string
		for key := range b.contents(t) {
			if _, rest, ours := strings.Cut(key, "}:"); ours && rest != "cursor" {
				keys = append(keys, rest)
			}
		}
		slices.Sort(keys)
		require.Equal(t, []string{"day:" + naiveDate(day), "days", "floor", "r:rsv_2", "v"}, keys, "no key of a day long past")
		d, err := s.c.Day(t.Context(), engine.RestaurantID(id), engine.Day(day))
		require.NoError(t, err)
		require.Len(t, d.Stays, 1)
		require.Equal(t, engine.Version(7), d.Changed)
		status("rsv_2", enginepb.Status_STATUS_CANCELLED)
		d, err = s.c.Day(t.Context(), engine.RestaurantID(id), engine.Day(day))
		require.NoError(t, err)
		require.Empty(t, d.Stays)
	})
}

// Everything about a service day expires at one time, the rest never.
func TestWhatExpires(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		const retain = 50 * time.Hour
		frames := history(58, 200)
		s := sinkOf(t, b.client(t), &memory.Cursors{}, func(o *SinkOptions) { o.Retain = retain })
		write(t, s, frames, 200, dice(1), nil)
		check := func() {
			days, records := 0, 0
			for key, v := range b.contents(t) {
				lives := s.c.db.ExpireTime(t.Context(), key).Val() // Unix time; negative = for ever
				expires := int64(lives / time.Second)
				_, rest, _ := strings.Cut(key, "}:")
				switch {
				case strings.HasPrefix(rest, "day:"):
					begins, err := time.Parse(time.DateOnly, rest[4:])
					require.NoError(t, err)
					require.Equal(t, begins.Add(24*time.Hour+retain).Unix(), expires, key)
					days++
				case strings.HasPrefix(rest, "r:"):
					r, err := decode[record](key, v.(string))
					require.NoError(t, err)
					require.Equal(t, (int64(r.Day)+1)*86_400+int64(retain/time.Second), expires, key)
					records++
				default:
					require.Negative(t, lives, key)
				}
			}
			require.Greater(t, days, 10)
			require.Greater(t, records, 50)
		}
		check()
		b.flush(t)
		s.o.Source = sourceAt(t, frames, 200, nil)
		begun(t, s)
		check()
	})
}
