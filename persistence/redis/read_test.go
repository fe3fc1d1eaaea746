package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
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

// evenings is what the real engine decides about a restaurant over some days to come, one frame a command.
type evenings struct {
	id     engine.RestaurantID
	a      engine.Aggregate
	now    engine.Instant
	rng    *rand.Rand
	made   []engine.ReservationID
	frames persistencetest.Frames
	codes  map[engine.Code]int
	t      testing.TB
}

var evening = engine.OpeningHours{Days: 127, Open: 18 * 60, Close: 42 * 60, LastSeating: 41*60 + 30}

func newEvenings(t testing.TB, seed uint64, zone string) *evenings {
	e := &evenings{id: engine.MakeRestaurantID(100 + seed), rng: dice(seed), codes: map[engine.Code]int{}, t: t}
	e.a = engine.NewAggregate(engine.AggregateID(e.id))
	e.now = engine.Instant(time.Now().UnixMilli())
	require.Equal(t, engine.CodeCreated, e.do(e.owner(), &engine.CreateRestaurant{ID: e.id, Details: engine.Details{
		Name: "Da Mario", TimeZone: zone, OpeningHours: []engine.OpeningHours{evening}}}).Code)
	for i := range uint64(5) {
		require.Equal(t, engine.CodeCreated, e.do(e.owner(), &engine.AddTable{ID: engine.MakeTableID(e.id, i),
			Table: engine.TableSpec{Number: fmt.Sprint(i), Capacity: 2 + int(i), MinCapacity: 1, InService: true}}).Code)
	}
	return e
}

func (e *evenings) owner() engine.Caller {
	return engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
}

func (e *evenings) do(by engine.Caller, body engine.Body) engine.Outcome {
	e.now += 1000
	out, made := e.a.Decide(e.now, &engine.Command{Caller: by, Body: body})
	e.codes[out.Code]++
	var frame []persistence.Committed
	for i, event := range made {
		e.a.Apply(event)
		frame = append(frame, persistence.Committed{Seq: persistence.Seq(len(e.frames) + 1), Index: i, Aggregate: engine.AggregateID(e.id), Version: e.a.Version(), Event: event})
	}
	e.frames = append(e.frames, frame)
	return out
}

func (e *evenings) today() engine.Day { return engine.Day(e.now / 86_400_000) }

func (e *evenings) when() engine.When {
	return engine.When{HasLocal: true, Day: e.today() + engine.Day(e.rng.IntN(5)), LocalMin: 18*60 + 30*e.rng.IntN(12)}
}

// random is one random command.
func (e *evenings) random() {
	one := func() engine.ReservationID { return e.made[e.rng.IntN(len(e.made))] }
	switch n := e.rng.IntN(20); {
	case n < 10 || len(e.made) == 0:
		id := engine.MakeReservationID(e.id, e.rng.Uint64())
		guest := engine.Caller{Account: engine.MakeAccountID([16]byte{byte(2 + e.rng.IntN(200))}), Role: engine.RoleCustomer}
		if e.do(guest, &engine.CreateReservation{ID: id, Want: e.when(), GuestsCount: 1 + e.rng.IntN(6)}).Code == engine.CodeCreated {
			e.made = append(e.made, id)
		}
	case n == 10 && e.rng.IntN(2) == 0:
		id := engine.MakeReservationID(e.id, e.rng.Uint64())
		guest := engine.Caller{Account: engine.MakeAccountID([16]byte{byte(2 + e.rng.IntN(200))}), Role: engine.RoleCustomer}
		if e.do(guest, &engine.Hold{ID: id, Want: e.when(), GuestsCount: 1 + e.rng.IntN(6)}).Code == engine.CodeCreated {
			e.now += engine.Instant(e.rng.IntN(200_000)) // it may be over before anybody says so
		}
	case n < 13:
		guests, want := 1+e.rng.IntN(4), e.when()
		e.do(e.owner(), &engine.Reschedule{ID: one(), GuestsCount: &guests, Want: &want})
	case n < 18:
		actions := []engine.Action{engine.ActionCancel, engine.ActionSeat, engine.ActionNoShow, engine.ActionReinstate, engine.ActionComplete}
		e.do(e.owner(), &engine.Transition{ID: one(), Action: actions[e.rng.IntN(len(actions))]})
	case n == 18 && e.rng.IntN(3) == 0:
		parties := e.rng.IntN(4)
		c := engine.RulesChange{BufferMin: new(15 * e.rng.IntN(3)), Pacing: &engine.Pacing{WindowMin: 60, Parties: parties, OnlineParties: min(parties, 2), Covers: 4 * e.rng.IntN(5)},
			TurnTimes: &[]engine.TurnTime{{MinParty: 1, MaxParty: 3, Minutes: 60 + 30*e.rng.IntN(4)}}, MinNoticeMin: new(60 * e.rng.IntN(3)),
			Combinations: &[]engine.Combination{{Tables: []engine.TableID{engine.MakeTableID(e.id, 3), engine.MakeTableID(e.id, 4)}, MinParty: 3, MaxParty: 7 + e.rng.IntN(3)}},
			Cancellation: &engine.Policy{LateFee: e.rng.IntN(3), Currency: "EUR"}, Approval: new(engine.ApprovalLarge), ApprovalFrom: new(2 + e.rng.IntN(5))}
		require.Equal(e.t, engine.CodeOK, e.do(e.owner(), &engine.SetRules{Change: c}).Code)
	case n < 19:
		in, channel := e.rng.IntN(3) > 0, engine.Channel(e.rng.IntN(4)%3)
		e.do(e.owner(), &engine.ChangeTable{ID: engine.MakeTableID(e.id, uint64(e.rng.IntN(5))), Change: engine.TableChange{InService: &in, Channel: &channel,
			Blocks: &[]engine.Block{{From: int64(e.now / 1000), Until: int64(e.now/1000) + int64(1+e.rng.IntN(200_000))}}}})
	default:
		hours := []engine.OpeningHours{evening}
		hours[0].Open += 60 * e.rng.IntN(3)
		e.do(e.owner(), &engine.ChangeRestaurant{Change: engine.DetailsChange{OpeningHours: &hours}})
	}
}

// What Redis answers is what the engine answers, also after a load of what the engine's base says.
func TestAnswersAsTheEngine(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		seen := map[engine.Code]int{}
		for i, zone := range []string{"Europe/Rome", "Pacific/Honolulu", "Pacific/Kiritimati"} {
			e := newEvenings(t, uint64(i), zone)
			b.flush(t)
			source := &states{}
			s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
			begun(t, s)
			check := func() {
				view := e.a.View().(*engine.RestaurantView)
				for day := e.today() - 1; day <= e.today()+6; day++ {
					for _, guests := range []int{1, 4, 6, 7} {
						got, err := s.c.Availability(t.Context(), e.now, e.id, day, guests)
						require.NoError(t, err)
						require.Equal(t, view.Availability(e.now, day, guests, nil), got.Starts)
						require.Equal(t, view.Terms(guests), got.Terms)
						require.LessOrEqual(t, got.AsOf.UnixMilli(), int64(e.now))
					}
					requireDay(t, s.c, view, day)
				}
			}
			p := persistence.Position{}
			for range 14 {
				for range 18 {
					e.random()
				}
				next := at(persistence.Seq(len(e.frames)))
				require.NoError(t, s.Write(t.Context(), p, next, e.frames.Events(p.Seq, next.Seq)))
				p = next
				check()
			}
			for code, n := range e.codes {
				seen[code] += n
			}
			b.flush(t)
			state, err := persistence.StateOf(persistence.Base{BaseHeader: persistence.BaseHeader{ID: engine.AggregateID(e.id), Version: e.a.Version()}, State: e.a.AppendBase(nil)})
			require.NoError(t, err)
			source.set(&states{at: p, all: []persistence.AggregateState{state}})
			begun(t, s)
			check()
		}
		for code, least := range map[engine.Code]int{engine.CodeCreated: 60, engine.CodeOK: 60, engine.CodeSlotUnavailable: 10, engine.CodePacingLimit: 10} {
			require.Greater(t, seen[code], least, code)
		}
	})
}

// requireDay compares a day with the engine's sheet and floor.
func requireDay(t testing.TB, c *Client, view *engine.RestaurantView, day engine.Day) {
	t.Helper()
	got, err := c.Day(t.Context(), view.Restaurant().ID, day)
	require.NoError(t, err)
	want := DayState{Version: view.Version(), Changed: got.Changed, AsOf: got.AsOf}
	for _, r := range view.DaySheet(day, nil) {
		if s, counts := stayOf(r); counts {
			want.Stays = append(want.Stays, s)
		}
	}
	info := view.Restaurant()
	if rules := view.Rules(); rules.Version > 1 {
		require.EqualValues(t, rules.Version, got.Floor.Rules.GetVersion())
		require.EqualValues(t, rules.BufferMin, got.Floor.Rules.GetBufferMin())
	}
	want.Floor = Floor{Rules: got.Floor.Rules, Name: info.Name, TimeZone: info.TimeZone, GridMin: engine.DefaultGridMin, OpeningHours: info.OpeningHours}
	for _, table := range view.Tables() {
		want.Floor.Tables = append(want.Floor.Tables, Table{table.ID, table.Number, table.Capacity, table.MinCapacity, table.InService, table.Location, table.Channel, blocksOf(table)})
	}
	require.Equal(t, want, got)
	require.LessOrEqual(t, got.Changed, got.Version)
}

func blocksOf(t *engine.Table) (list []*enginepb.Block) {
	for _, b := range t.Blocks {
		list = append(list, &enginepb.Block{From: b.From, Until: b.Until})
	}
	return list
}

// stayOf is what Redis has of a reservation, and whether it has it.
func stayOf(r *engine.Reservation) (Stay, bool) {
	over, until := r.Status == engine.StatusCompleted, engine.Instant(0)
	if r.Status == engine.StatusHeld {
		until = r.HoldUntil
	}
	return Stay{HoldUntil: until, ID: r.ID, Tables: r.Tables, StartsAt: r.StartsAt, EndsAt: r.EndsAt, Guests: r.GuestsCount, BufferMin: r.BufferMin, LocalMin: r.LocalMin,
		Online: r.Guest != "", Over: over}, over || r.Status == engine.StatusHeld || r.Status == engine.StatusPending || r.Status == engine.StatusConfirmed || r.Status == engine.StatusSeated
}

// What is read beside a writer is of one version, whatever happens meanwhile.
func TestReadsAreOfOneVersion(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		e := newEvenings(t, 21, "Europe/Rome")
		sheets := map[engine.Version]*engine.RestaurantView{}
		for len(e.frames) < 400 {
			e.random()
			sheets[e.a.Version()] = e.a.View().(*engine.RestaurantView)
		}
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		begun(t, s)
		done := make(chan error, 1)
		go func() {
			old := persistence.Position{}
			for end := persistence.Seq(8); end <= 400; end++ {
				if err := s.Write(context.Background(), old, at(end), e.frames.Events(old.Seq, end)); err != nil {
					done <- err
					return
				}
				old = at(end)
			}
			done <- nil
		}()
		reader, seen, running := b.client(t), map[engine.Version]bool{}, true
		if b == single { // a server that hears the commands one after the other
			r := newRelay(t, b.nodes[0].Addr, 24)
			reader = open(t, Options{Addrs: []string{r.addr}})
		}
		for day := e.today(); running; day = e.today() + (day+1)%5 {
			select {
			case err := <-done:
				require.NoError(t, err)
				running = false
			default:
			}
			d, err := reader.Day(t.Context(), e.id, day)
			if errors.Is(err, persistence.ErrNotFound) {
				continue
			}
			require.NoError(t, err)
			seen[d.Version] = true
			var want []Stay
			for _, r := range sheets[d.Version].DaySheet(day, nil) {
				if s, counts := stayOf(r); counts {
					want = append(want, s)
				}
			}
			require.Equal(t, want, d.Stays, "version %d", d.Version)
			for _, table := range d.Floor.Tables {
				require.Equal(t, sheets[d.Version].Table(table.ID).InService, table.InService)
			}
		}
		require.Greater(t, len(seen), 20)
	})
}

func TestUnknownRestaurants(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		c := b.client(t)
		_, err := c.Day(t.Context(), "rst_nobody", 20_000)
		require.ErrorIs(t, err, persistence.ErrNotFound)
		_, err = c.Availability(t.Context(), 0, "rst_nobody", 20_000, 2)
		require.ErrorIs(t, err, persistence.ErrNotFound)
	})
}

// AsOf is a time at which nothing was missing: of everything, or at least of the restaurant.
func TestAsOf(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		a, z := newEvenings(t, 11, "Europe/Rome"), newEvenings(t, 12, "Europe/Rome")
		z.now += 100_000
		for range 20 {
			a.random()
			z.random()
		}
		var events []persistence.Committed
		for i, c := range append(a.frames.Events(0, persistence.Seq(len(a.frames))), z.frames.Events(0, persistence.Seq(len(z.frames)))...) {
			c.Seq = persistence.Seq(i + 1)
			events = append(events, c)
		}
		end := at(persistence.Seq(len(events)))
		source := &states{}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		begun(t, s)
		require.NoError(t, s.Write(t.Context(), persistence.Position{}, end, events))
		last := func(e *evenings) int64 {
			return slices.MaxFunc(e.frames.Events(0, persistence.Seq(len(e.frames))), func(x, y persistence.Committed) int { return int(x.Version) - int(y.Version) }).Event.AtMs
		}
		asOf := func(e *evenings) int64 {
			d, err := s.c.Day(t.Context(), e.id, 1)
			require.NoError(t, err)
			return d.AsOf.UnixMilli()
		}
		require.Equal(t, last(z), asOf(a), "nothing of a is missing at the time of z's last event")
		require.Equal(t, last(z), asOf(z))

		during := int64(0)
		source.set(&states{at: end})
		source.asOf = time.UnixMilli(last(z) + 5000)
		source.page = func(string) error {
			during = asOf(a)
			return nil
		}
		require.NoError(t, s.Rebuild(t.Context()))
		require.Equal(t, last(a), during, "while a load runs, only what the restaurant itself says")
		require.Equal(t, last(z)+5000, asOf(a), "what the source says")
		keys, err := s.c.markerKeys(t.Context())
		require.NoError(t, err)
		for _, key := range keys {
			whole := asOf(a)
			require.NoError(t, s.c.db.HSet(t.Context(), key, "as_of", 5).Err())
			require.Equal(t, last(a), asOf(a), "a marker is behind the others")
			require.NoError(t, s.c.db.HSet(t.Context(), key, "as_of", whole).Err())
		}
		for _, key := range keys {
			require.NoError(t, s.c.db.Del(t.Context(), key).Err())
			require.Equal(t, last(a), asOf(a), "a marker is missing")
		}
		source.set(&states{at: end})
		source.asOf, source.page = time.Time{}, nil
		require.NoError(t, s.Rebuild(t.Context()))
		require.Equal(t, last(a), asOf(a), "a source that does not know")
	})
}

// While nothing happens, what is here does not grow old: a batch without events says that nothing was missing.
func TestAsOfMovesOnAQuietEvening(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		e := newEvenings(t, 11, "Europe/Rome")
		for range 5 {
			e.random()
		}
		events := e.frames.Events(0, persistence.Seq(len(e.frames)))
		for i := range events {
			events[i].Seq = persistence.Seq(i + 1)
		}
		newest := time.UnixMilli(events[len(events)-1].Event.AtMs)
		clock := newest.Add(time.Second)
		s, old := begun(t, sinkOf(t, b.client(t), &memory.Cursors{}, func(o *SinkOptions) { o.Now = func() time.Time { return clock } }))
		asOf := func() time.Duration {
			d, err := s.c.Day(t.Context(), e.id, 1)
			require.NoError(t, err)
			return d.AsOf.Sub(newest)
		}
		end := at(persistence.Seq(len(events)))
		require.NoError(t, s.Write(t.Context(), old, end, events))
		require.Zero(t, asOf())
		for hour := range time.Duration(3) {
			clock = newest.Add((hour + 1) * time.Hour)
			require.NoError(t, s.Write(t.Context(), end, end, nil))
			require.Equal(t, max(time.Second, hour*time.Hour), asOf(), "as of the end of the write before")
		}
	})
}

// A reader never hangs longer than a second, whatever the server does.
func TestReadsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, o := range map[string]Options{
		"silent": {Addrs: []string{l.Addr().String()}}, "silent cluster": {Addrs: []string{l.Addr().String()}, Cluster: true},
		"silent sentinel": {Addrs: []string{l.Addr().String()}, Master: "m"},
		"away":            {Addrs: []string{gone.Addr().String()}}, "away cluster": {Addrs: []string{gone.Addr().String()}, Cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, o)
			began := time.Now()
			_, err := c.Day(t.Context(), "rst_1", 20_000)
			require.Error(t, err)
			require.NotErrorIs(t, err, persistence.ErrNotFound)
			_, err = c.Availability(t.Context(), 0, "rst_1", 20_000, 2)
			require.Error(t, err)
			require.Less(t, time.Since(began), 2*readTimeout+time.Second)
		})
	}
}

// Whatever stands in the keys, a reader gets an answer or an error, never a panic.
func TestGarbageIsRead(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		e, rng := newEvenings(t, 13, "Europe/Rome"), dice(13)
		for range 60 {
			e.random()
		}
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		begun(t, s)
		end := persistence.Seq(len(e.frames))
		require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(end), e.frames.Events(0, end)))
		values := []any{"", "{", "null", "[]", "-1", `"x"`, true, -1, 0, 1e300, int64(1) << 62, nil, obj{}, []any{}, []any{"tbl_x"}, "Nowhere/City", 1 << 31}
		ctx, errs := t.Context(), 0
		for key, v := range b.contents(t) {
			_, rest, _ := strings.Cut(key, "}:")
			hash, isHash := v.(map[string]string)
			if !isHash || rest != "floor" && !strings.HasPrefix(rest, "day:") {
				continue
			}
			for field, good := range hash {
				for _, bad := range spoilt(rng, good, values) {
					require.NoError(t, s.c.db.HSet(ctx, key, field, bad).Err())
					for day := e.today(); day < e.today()+5; day++ {
						_, err1 := s.c.Day(ctx, e.id, day)
						_, err2 := s.c.Availability(ctx, e.now, e.id, day, 2)
						if err1 != nil || err2 != nil {
							errs++
						}
					}
				}
				require.NoError(t, s.c.db.HSet(ctx, key, field, good).Err())
			}
		}
		require.Greater(t, errs, 100)
		kept := e.today() // a day that somebody has changed has a key
		for ; s.c.db.Exists(ctx, keyOf(engine.AggregateID(e.id), "day:"+dateOf(int32(kept)))).Val() == 0; kept++ {
			require.Less(t, kept, e.today()+5)
		}
		for _, rest := range []string{"v", "floor", "day:" + dateOf(int32(kept))} { // of another type
			key := keyOf(engine.AggregateID(e.id), rest)
			require.NoError(t, s.c.db.Rename(ctx, key, key+"x").Err())
			require.NoError(t, s.c.db.LPush(ctx, key, 1).Err())
			_, err := s.c.Day(ctx, e.id, kept)
			require.ErrorContains(t, err, "WRONGTYPE")
			require.NoError(t, s.c.db.Rename(ctx, key+"x", key).Err())
		}
		_, err := s.c.Day(ctx, e.id, kept)
		require.NoError(t, err)
	})
}

// spoilt is a value with one of its parts replaced, in a few ways.
func spoilt(rng *rand.Rand, good string, values []any) (bad []string) {
	for range 4 {
		var v any
		if err := json.Unmarshal([]byte(good), &v); err != nil || rng.IntN(6) == 0 {
			bad = append(bad, fmt.Sprint(values[rng.IntN(6)]))
			continue
		}
		o := v.(obj)
		for at := o; ; {
			names := make([]string, 0, len(at))
			for name := range at {
				names = append(names, name)
			}
			slices.Sort(names)
			name := names[rng.IntN(len(names))]
			if list, ok := at[name].([]any); ok && len(list) > 0 {
				if inner, ok := list[0].(obj); ok && rng.IntN(3) > 0 {
					at = inner
					continue
				}
			}
			at[name] = values[rng.IntN(len(values))]
			break
		}
		bad = append(bad, text(o))
	}
	return bad
}

// expectedMessages is what a batch publishes, by the naive worlds before and after it.
func expectedMessages(before, after naive) (want []string) {
	for id, r := range after {
		old := before[id]
		if old == nil {
			old = &naiveRestaurant{}
		}
		say := func(m obj) {
			m["restaurant_id"], m["version"] = id, r.position["v"]
			want = append(want, channelPrefix+string(id)+" "+text(m))
		}
		if text(old.floorAt) != text(r.floorAt) {
			say(obj{})
			continue
		}
		for date := range r.dayAt {
			if text(old.dayAt[date]) != text(r.dayAt[date]) {
				say(obj{"service_date": date})
			}
		}
	}
	slices.Sort(want)
	return want
}

// Each change is published once, and who reads on a message sees at least that version; a subscriber of any server hears it.
func TestMessages(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, reader := history(61, 150), b.client(t)
		sub := b.node(t, len(b.nodes)-1).PSubscribe(t.Context(), channelPrefix+"*")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		heard := sub.Channel(goredis.WithChannelSize(10_000))
		s := sinkOf(t, b.client(t), &memory.Cursors{})
		begun(t, s)
		published := 0
		var old persistence.Position
		for _, end := range batches(dice(61), 0, 150) {
			want := expectedMessages(folded(frames, old.Seq), folded(frames, end))
			var wg sync.WaitGroup
			var failed error
			wg.Go(func() { failed = s.Write(context.Background(), old, at(end), frames.Events(old.Seq, end)) })
			var got []string
			for range want {
				select {
				case m := <-heard:
					var v any
					require.NoError(t, json.Unmarshal([]byte(m.Payload), &v))
					got = append(got, m.Channel+" "+text(v))
					said, err := decode[message](m.Channel, m.Payload)
					require.NoError(t, err)
					date := dateOf(today())
					if said.Date != "" {
						date = said.Date
					}
					day, ok := engine.ParseDate(date)
					require.True(t, ok)
					d, err := reader.Day(t.Context(), engine.RestaurantID(said.Restaurant), day)
					require.NoError(t, err)
					require.GreaterOrEqual(t, d.Version, said.Version)
				case <-time.After(10 * time.Second):
					require.Fail(t, "a change was not published", "%v of %v", got, want)
				}
			}
			wg.Wait()
			require.NoError(t, failed)
			slices.Sort(got)
			require.Equal(t, want, got)
			published += len(got)
			old = at(end)
		}
		require.Greater(t, published, 20)
		require.Empty(t, heard)

		s.o.Source = sourceAt(t, frames, 150, nil) // a load says that everything may be another, of what was not here
		require.NoError(t, s.Rebuild(t.Context()))
		b.flush(t)
		begun(t, s)
		for range folded(frames, 150) {
			select {
			case m := <-heard:
				require.NotContains(t, m.Payload, "service_date")
			case <-time.After(10 * time.Second):
				require.Fail(t, "a load was not published")
			}
		}
		require.Empty(t, heard)
	})
}

// A message leaves with the change or not at all: a write that is refused publishes nothing.
func TestNoMessageWithoutAChange(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(62, 80), &memory.Cursors{}
		s := sinkOf(t, b.client(t), cursors)
		write(t, s, frames, 80, dice(1), nil)
		sub := b.node(t, 0).PSubscribe(t.Context(), channelPrefix+"*")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		require.NoError(t, cursors.Move(t.Context(), SinkName, at(80), at(10)))
		write(t, s, frames, 80, dice(2), nil)
		require.NoError(t, s.c.db.Publish(t.Context(), channelPrefix+"end", "end").Err())
		m, err := sub.ReceiveMessage(t.Context())
		require.NoError(t, err)
		require.Equal(t, "end", m.Payload)
	})
}
