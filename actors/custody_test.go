package actors

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// cell is several houses on one journal and one bucket of bases, in a bubble of testing/synctest.
type cell struct {
	t       *testing.T
	begun   time.Time
	from    time.Duration // of the clock, after the beginning of day
	journal *memory.Journal
	bases   *memory.Bases
	nodes   []*cellNode
	serial  atomic.Uint64
	sent    func([]byte) []byte // what becomes of a state on its way
}

type cellNode struct {
	*House
	name  string
	link  *link
	ahead atomic.Int64 // of its wall clock, in nanoseconds
}

// link is a node's way to the journal. While it is cut nothing is appended or read.
type link struct {
	persistence.Journal
	cut atomic.Bool
}

func (l *link) away(ctx context.Context) error {
	if !l.cut.Load() {
		return nil
	}
	pause(ctx, 100*time.Millisecond)
	return fmt.Errorf("cut: %w", persistence.ErrUnknown)
}

func (l *link) Append(ctx context.Context, s persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	if err := l.away(ctx); err != nil {
		return 0, err
	}
	return l.Journal.Append(ctx, s, data, expect)
}

func (l *link) Last(ctx context.Context, s persistence.Subject) (persistence.Entry, error) {
	if err := l.away(ctx); err != nil {
		return persistence.Entry{}, err
	}
	return l.Journal.Last(ctx, s)
}

func (l *link) Bounds(ctx context.Context) (persistence.Bounds, error) {
	if err := l.away(ctx); err != nil {
		return persistence.Bounds{}, err
	}
	return l.Journal.Bounds(ctx)
}

func newCell(t *testing.T, nodes int) *cell {
	quietLog(t)
	c := &cell{t: t, begun: time.Now(), from: 6 * time.Hour, sent: bytes.Clone}
	c.journal = memory.NewJournal(memory.Options{Latency: func(int) time.Duration { return time.Millisecond }})
	c.bases = memory.NewBases(memory.BasesOptions{})
	for i := range nodes {
		n := &cellNode{name: fmt.Sprintf("n%d", i+1), link: &link{Journal: c.journal}}
		var err error
		n.House, err = Open(t.Context(), Config{
			Node: n.name, Shared: true, Partitions: 8, Journal: n.link, Bases: c.bases, Feed: persistence.NewFeed(n.link, 1<<20),
			Now: func() time.Time { return c.now().Add(time.Duration(n.ahead.Load())) }, Boottime: func() time.Duration { return time.Since(c.begun) }, SweepGrid: time.Second, BaseAge: 24 * time.Hour, PassivateAll: passivateAll,
			Hand: func(_ context.Context, to string, b persistence.Base) error {
				b.State = c.sent(b.State)
				return c.node(to).Take(b)
			},
		})
		require.NoError(t, err)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func (c *cell) now() time.Time {
	return time.UnixMilli(int64(day) * 86_400_000).Add(c.from + time.Since(c.begun))
}

func (c *cell) close() {
	for _, n := range c.nodes {
		require.NoError(c.t, n.Close())
	}
}

// as is a world on one of the houses.
func (c *cell) as(n *cellNode) *world {
	w := &world{t: c.t, house: n.House}
	w.serial.Store(c.serial.Add(1 << 20))
	return w
}

func (c *cell) node(name string) *cellNode {
	i := slices.IndexFunc(c.nodes, func(n *cellNode) bool { return n.name == name })
	require.GreaterOrEqual(c.t, i, 0, name)
	return c.nodes[i]
}

// ask does a command where the partition is, wherever that is by now, under one key; from is where it is tried first.
func (c *cell) ask(from *cellNode, id engine.AggregateID, key uint64, body func(try uint64) engine.Body, within time.Duration) (engine.Outcome, error) {
	end := time.Now().Add(within)
	for try := uint64(0); ; try++ {
		cmd := &engine.Command{Caller: guest, Body: body(try)}
		binary.LittleEndian.PutUint64(cmd.Key[:], key)
		cmd.Payload = cmd.Key
		out, err := from.Do(id, cmd, end)
		if err == nil || time.Now().After(end) {
			return out, err
		}
		if foreign := new(NotOwnerError); errors.As(err, &foreign) {
			from = c.node(foreign.Owner)
			ctx, cancel := context.WithDeadline(c.t.Context(), end)
			_ = from.Reach(ctx, foreign.Since) // what it cannot reach it will refuse
			cancel()
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Partitions move between three nodes while guests reserve: everybody is answered, and what was acknowledged is there once.
func TestPartitionsMoveUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 3)
		defer c.close()
		var ids []engine.AggregateID
		for i := range uint64(6) {
			ids = append(ids, c.as(c.nodes[0]).restaurant(i+1, 20))
		}
		var mu sync.Mutex
		made := map[engine.AggregateID]map[uint64]engine.ReservationID{}
		var guests, movers sync.WaitGroup
		done := make(chan struct{})
		moves := 0
		movers.Go(func() {
			rng := rand.New(rand.NewPCG(7, 7))
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
				p := persistence.PartitionOf(ids[rng.IntN(len(ids))], 8)
				owner, to := c.node(c.nodes[rng.IntN(3)].Owners()[p]), c.nodes[rng.IntN(3)]
				if err := owner.Release(t.Context(), p, to.name); err == nil {
					moves++
				} else {
					require.ErrorIs(t, err, ErrNotHeld)
				}
			}
		})
		for g := range uint64(8) {
			guests.Go(func() {
				rng := rand.New(rand.NewPCG(g, 1))
				for i := range uint64(200) {
					id, key := ids[rng.IntN(len(ids))], g<<32|i+1
					minute := turns[rng.IntN(len(turns))]
					out, err := c.ask(c.nodes[rng.IntN(3)], id, key, func(try uint64) engine.Body {
						return reservation(id, key<<8|try, minute)
					}, 10*time.Second)
					require.NoError(t, err)
					if out.Code == engine.CodeCreated || out.Replayed {
						mu.Lock()
						if made[id] == nil {
							made[id] = map[uint64]engine.ReservationID{}
						}
						made[id][key] = out.Reservation.ID
						mu.Unlock()
					}
				}
			})
		}
		guests.Wait()
		close(done)
		movers.Wait()
		require.Greater(t, moves, 50)
		require.NoError(t, c.nodes[0].Reach(t.Context(), c.last()))
		for _, id := range ids {
			w := c.as(c.node(c.nodes[0].Owners()[persistence.PartitionOf(id, 8)]))
			require.NoError(t, w.house.Reach(t.Context(), c.last()))
			var want, got []engine.ReservationID
			for _, r := range made[id] {
				want = append(want, r)
			}
			for _, r := range w.view(id).DaySheet(day, nil) {
				got = append(got, r.ID)
			}
			require.ElementsMatch(t, want, got)
			require.NotEmpty(t, got)
		}
	})
}

func (c *cell) last() persistence.Seq {
	b, err := c.journal.Bounds(c.t.Context())
	require.NoError(c.t, err)
	return b.Last
}

// A node that does not write any more is claimed when its lease is surely over, not before, and knows it when it is back.
func TestASilentNodeIsClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 3)
		defer c.close()
		n1, n2, n3 := c.nodes[0], c.nodes[1], c.nodes[2]
		id := c.as(n1).restaurant(1, 1)
		out, err := c.as(n1).reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
		<-time.After(10 * time.Second)
		give := func(persistence.Partition) string { return n3.name }
		require.ErrorIs(t, n2.Claim(t.Context(), n1.name, give), ErrNotSilent, "it lives")

		n1.link.cut.Store(true)
		cut := time.Now()
		for ; ; <-time.After(10 * time.Millisecond) {
			if err := n2.Claim(t.Context(), n1.name, give); err == nil {
				break
			} else {
				require.ErrorIs(t, err, ErrNotSilent)
			}
			_, err := n1.View(id, soon())
			require.True(t, err == nil || errors.Is(err, ErrUnavailable), "%v", err)
			require.Less(t, time.Since(cut), 10*time.Second)
		}
		t.Logf("claimed %v after its last chance to write", time.Since(cut))
		require.GreaterOrEqual(t, time.Since(cut), LeaseTime)
		require.LessOrEqual(t, time.Since(cut), Silence+readEvery+HeartbeatEvery)
		_, err = n1.View(id, soon())
		require.ErrorIs(t, err, ErrUnavailable, "its lease is over")
		require.NoError(t, n3.Reach(t.Context(), c.last()))
		require.Equal(t, slices.Repeat([]string{n3.name}, 8), n3.Owners())
		out, err = c.as(n3).reserve(id, 2, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeSlotUnavailable, out.Code, "the only table is taken")
		out, err = c.as(n3).reserve(id, 3, 19*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)

		n1.link.cut.Store(false)
		<-time.After(5 * time.Second)
		_, err = c.as(n1).reserve(id, 4, 21*60)
		foreign := new(NotOwnerError)
		require.ErrorAs(t, err, &foreign)
		require.Equal(t, n3.name, foreign.Owner)
		_, err = n1.View(id, soon())
		require.ErrorAs(t, err, &foreign, "its lease is good, but not for this")
		require.True(t, n1.Status().Serving)
		p := persistence.PartitionOf(id, 8)
		require.NoError(t, n3.Release(t.Context(), p, n1.name))
		require.NoError(t, n1.Reach(t.Context(), c.last()))
		for serial, minute := range map[uint64]int{5: 12 * 60, 6: 19 * 60} {
			out, err = c.as(n1).reserve(id, serial, minute)
			require.NoError(t, err)
			require.Equal(t, engine.CodeSlotUnavailable, out.Code, "what was in its memory before is not believed")
		}
	})
}

// From the moment that a partition is on its way, nobody is let in, not even to read what is in memory.
func TestNobodyEntersAShutPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 1)
		defer c.close()
		n1 := c.nodes[0]
		id, other := c.as(n1).restaurant(1, 1), c.as(n1).restaurant(2, 1)
		p := persistence.PartitionOf(id, 8)
		require.NotEqual(t, p, persistence.PartitionOf(other, 8))
		c.as(n1).view(id)
		require.True(t, n1.writer.shut(p))
		require.False(t, n1.writer.shut(p), "once")
		foreign := new(NotOwnerError)
		_, err := n1.View(id, soon())
		require.ErrorAs(t, err, &foreign)
		require.Equal(t, n1.name, foreign.Owner, "it has not gone yet")
		_, err = c.as(n1).reserve(id, 1, 12*60)
		require.ErrorAs(t, err, &foreign)
		c.as(n1).view(other)
		n1.writer.reopen(p)
		c.as(n1).view(id)
		out, err := c.as(n1).reserve(id, 2, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
	})
}

// What waits to be written keeps its partition: after a release no event of it may follow.
func TestCoreReleasesNothingThatWaits(t *testing.T) {
	c := newCore("n1", "jrn_x")
	c.phase, c.since = phaseServing, []persistence.Seq{5, 5}
	c.enqueue(entry{kind: entryOpened, id: "rst_a", stands: 3}, nil)
	require.Empty(t, c.enqueue(entry{id: "rst_a", partition: 1, since: 5, first: 4, stands: 4, events: [][]byte{{1}}, bytes: 1}, nil))
	require.False(t, c.release(persistence.Give{Partition: 1, To: "n2"}), "it is in the queue")
	require.True(t, c.release(persistence.Give{Partition: 0, To: "n2"}))
	require.False(t, c.release(persistence.Give{Partition: 0, To: "n2"}), "it is gone")
	c.next(moment{}, nil)
	require.False(t, c.release(persistence.Give{Partition: 1, To: "n2"}), "it is on its way")
	c.hold([]persistence.Seq{5, 5})
	require.Equal(t, []persistence.Seq{0, 5}, c.since, "the fold does not know yet")
	c.acked(moment{}, 9, nil)
	require.True(t, c.release(persistence.Give{Partition: 1, To: "n2"}))
	out := c.enqueue(entry{id: "rst_a", partition: 1, since: 5, first: 5, stands: 5, events: [][]byte{{1}}, bytes: 1}, nil)
	require.Len(t, out, 1)
	require.ErrorIs(t, out[0].err, errRefused)
}

// The journal is away for everybody: nobody is claimed when it is back, although everybody was silent (holes H30).
func TestNobodyIsClaimedAfterAnOutage(t *testing.T) {
	for away := 2 * time.Second; away < 9*time.Second; away += 200 * time.Millisecond { // the writers are at another step each time
		synctest.Test(t, func(t *testing.T) { journalAway(t, away) })
	}
}

func journalAway(t *testing.T, away time.Duration) {
	c := newCell(t, 3)
	defer c.close()
	<-time.After(5 * time.Second)
	for _, n := range c.nodes {
		n.link.cut.Store(true)
	}
	<-time.After(away)
	for i := range c.nodes {
		c.nodes[(i+1)%3].link.cut.Store(false)
		end := time.Now().Add(time.Second) // the first one that is back has nobody who could have written
		for time.Now().Before(end) {
			for _, n := range c.nodes {
				for _, other := range c.nodes {
					if n != other {
						require.Error(t, n.Claim(t.Context(), other.name, func(persistence.Partition) string { return "" }), "away for %v", away)
					}
				}
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	<-time.After(5 * time.Second)
	require.Equal(t, slices.Repeat([]string{"n1"}, 8), c.nodes[2].Owners())
}

// What falls due in a partition that has come is done there, once.
func TestTimersMoveWithThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		id := c.as(n1).restaurant(1, 2)
		out, err := c.as(n1).reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
		if !passivateAll {
			require.True(t, n1.passivate(c.as(n1).opened(id)), "a base has all of it: nobody has another reason to open it")
		}
		require.NoError(t, n1.Release(t.Context(), persistence.PartitionOf(id, 8), n2.name))
		require.NoError(t, n2.Reach(t.Context(), c.last()))
		due := time.UnixMilli(int64(day) * 86_400_000).Add(14 * time.Hour) // noon in Rome, half an hour, and some
		<-time.After(due.Sub(c.now()))
		sheet := c.as(n2).view(id).DaySheet(day, nil)
		require.Len(t, sheet, 1)
		require.Equal(t, engine.StatusNoShow, sheet[0].Status)
		_, err = n1.View(id, soon())
		require.ErrorIs(t, err, ErrUnavailable)
	})
}

// A passivation that has looked at an aggregate meets the loss of its partition: the actor is not gone before it has answered.
func TestPassivationMeetsALostPartition(t *testing.T) {
	c := newCell(t, 1)
	defer c.close()
	n := c.nodes[0]
	id := c.as(n).restaurant(1, 1)
	hd := c.as(n).opened(id)
	hd.mu.Lock() // holds both up, the passivation first
	passivated, lost := make(chan bool, 1), make(chan error, 1)
	go func() { passivated <- n.passivate(hd) }()
	<-time.After(50 * time.Millisecond)
	go func() { lost <- n.drop(t.Context(), hd.partition) }()
	<-time.After(50 * time.Millisecond)
	hd.mu.Unlock()
	select {
	case <-passivated:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for an actor that is gone")
	}
	require.NoError(t, <-lost)
	_, there := n.handles.Load(id)
	require.False(t, there)
}

// Who owns what is said by records whose events this node cannot open: it goes on, and its sinks do not pass them.
func TestEventsThatCannotBeOpenedStopNoFold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		for i, n := range c.nodes {
			seal, err := persistence.NewSeal(bytes.Repeat([]byte{byte(i)}, persistence.SealKeyBytes))
			require.NoError(t, err)
			n.cfg.Seal, n.cfg.Feed.Seal = seal, seal
		}
		account := engine.MakeAccountID([16]byte{1})
		out, err := n1.Do(engine.AggregateID(account), &engine.Command{
			Caller: engine.Caller{Account: account, Role: engine.RoleCustomer},
			Body:   &engine.Register{Profile: engine.Profile{ID: account, Email: "a@b.example", Role: engine.RoleCustomer, PasswordHash: "x"}},
		}, soon())
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
		<-time.After(10 * time.Second)
		require.True(t, n2.Status().Serving, n2.Status().Reason)
		require.NoError(t, n2.Reach(t.Context(), c.last()))
		for seq := persistence.Seq(0); err == nil; {
			var events []persistence.Committed
			events, seq, err = n2.cfg.Feed.Next(t.Context(), seq, 100)
			require.Empty(t, events)
			require.Less(t, seq, c.last(), "a sink passed what it was not given")
		}
		require.ErrorIs(t, err, persistence.ErrSealed)
		id := c.as(n1).restaurant(1, 1)
		c.move(id, n1, n2)
		_, err = c.as(n2).reserve(id, 1, 12*60)
		require.NoError(t, err)
	})
}

// noBasesNow cannot be read.
type noBasesNow struct{ persistence.Bases }

func (noBasesNow) Get(context.Context, engine.AggregateID) (persistence.Base, error) {
	return persistence.Base{}, persistence.ErrUnknown
}

// What falls due in a partition that has come is done also when somebody asked for it before it could be opened.
func TestTimersOfWhatCouldNotBeOpenedAtFirst(t *testing.T) {
	if passivateAll {
		t.Skip("nothing is in memory")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		id := c.as(n1).restaurant(1, 2)
		_, err := c.as(n1).reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.True(t, n1.passivate(c.as(n1).opened(id)))
		n1.offerFloors() // nobody has another reason to open it
		<-time.After(time.Second)
		c.move(id, n1, n2)
		bases := n2.cfg.Bases
		n2.cfg.Bases = noBasesNow{bases}
		_, err = n2.View(id, soon())
		require.ErrorIs(t, err, ErrUnavailable)
		<-time.After(3 * time.Second)
		n2.cfg.Bases = bases
		due := time.UnixMilli(int64(day) * 86_400_000).Add(14 * time.Hour)
		<-time.After(due.Sub(c.now()))
		sheet := c.as(n2).view(id).DaySheet(day, nil)
		require.Len(t, sheet, 1)
		require.Equal(t, engine.StatusNoShow, sheet[0].Status)
	})
}

// A process that begins elsewhere under a node's name does not serve before the former one's lease is over; over the same directory it
// does, and beside one that writes it does not begin at all.
func TestAStartElsewhereWaitsForTheFormer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 1)
		defer c.close()
		n1 := c.nodes[0]
		id := c.as(n1).restaurant(1, 1)
		require.Empty(t, c.as(n1).view(id).DaySheet(day, nil))
		begin := func(former uint64) (*House, error) {
			cfg := n1.cfg
			cfg.Journal, cfg.Feed, cfg.Metrics, cfg.Former = c.journal, persistence.NewFeed(c.journal, 1<<20), nil, former
			return Open(t.Context(), cfg)
		}
		_, err := begin(0)
		require.ErrorIs(t, err, ErrAnotherProcess, "it lives")
		require.True(t, n1.Status().Serving)

		n1.link.cut.Store(true)
		began := time.Now()
		n2, err := begin(0)
		require.NoError(t, err)
		out, err := c.as(&cellNode{House: n2}).reserve(id, 1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
		_, err = n1.View(id, soon())
		require.ErrorIs(t, err, ErrUnavailable, "what it knows is not true any more")
		require.Less(t, time.Since(began), Silence+time.Second)

		former := n2.Status().Incarnation
		require.NoError(t, n2.Close())
		began = time.Now()
		n3, err := begin(former)
		require.NoError(t, err)
		require.Less(t, time.Since(began), time.Second)
		require.NoError(t, n3.Close())
	})
}

// A name too many is refused before it is in a record: a record that goes beyond the bound would end every fold.
func TestTooManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		for i := range persistence.MaxNodes - persistence.SpareNodes - 2 {
			name := fmt.Sprintf("gone-%d", i)
			claim := &persistence.Claim{Journal: n1.fold.custody.Journal(), Node: name, By: name, Incarnation: 1}
			seq, err := c.journal.Append(t.Context(), persistence.SlotSubject(name), persistence.Encode(nil, claim), 0)
			require.NoError(t, err)
			require.NoError(t, n1.Reach(t.Context(), seq))
		}
		require.ErrorIs(t, n1.Release(t.Context(), 0, "more"), ErrTooManyNodes)
		cfg := n1.cfg
		cfg.Node, cfg.Journal, cfg.Feed, cfg.Metrics = "more", c.journal, persistence.NewFeed(c.journal, 1<<20), nil
		_, err := Open(t.Context(), cfg)
		require.ErrorIs(t, err, ErrTooManyNodes)

		require.NoError(t, n1.Release(t.Context(), 0, "n2"))
		n1.link.cut.Store(true)
		<-time.After(Silence + time.Second)
		require.NoError(t, n2.Claim(t.Context(), "n1", func(persistence.Partition) string { return "more" }))
		require.NotContains(t, n2.Owners(), "more")
	})
}
