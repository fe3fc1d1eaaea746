package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// askedJournal counts what is asked of a journal.
type askedJournal struct {
	persistence.Journal
	asked atomic.Int64
}

func (j *askedJournal) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	j.asked.Add(1)
	return j.Journal.Get(ctx, seq)
}

// move gives the partition of id to another node and waits until that one knows.
func (c *cell) move(id engine.AggregateID, from, to *cellNode) {
	c.t.Helper()
	require.NoError(c.t, from.Release(c.t.Context(), persistence.PartitionOf(id, 8), to.name))
	require.NoError(c.t, to.Reach(c.t.Context(), c.last()))
}

func counted(n *cellNode, step string) float64 {
	return testutil.ToFloat64(n.cfg.Metrics.states.WithLabelValues(step))
}

// The next owner opens from the state that came with the partition, and asks neither bases nor journal.
func TestStateTravelsWithThePartition(t *testing.T) {
	if passivateAll {
		t.Skip("nothing is in memory that could travel: every command passivates")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		id := c.as(n1).restaurant(1, 20)
		for i := range 30 {
			_, err := c.as(n1).reserve(id, uint64(i+1), 12*60+15*(i%8))
			require.NoError(t, err)
		}
		before := c.as(n1).view(id)
		journal := &askedJournal{Journal: n2.cfg.Journal}
		n2.cfg.Journal = journal
		c.move(id, n1, n2)
		require.Equal(t, before.DaySheet(day, nil), c.as(n2).view(id).DaySheet(day, nil))
		require.EqualValues(t, 1, counted(n1, "sent"))
		require.EqualValues(t, 1, counted(n2, "opened"))
		require.Zero(t, journal.asked.Load(), "nothing is read")
		_, err := c.as(n2).reserve(id, 99, 20*60)
		require.NoError(t, err, "it goes on from there")
		require.NoError(t, n2.putBase(open(n2, id)), "and its base follows the last one")
	})
}

func open(n *cellNode, id engine.AggregateID) *handle {
	hd, _ := n.handles.Load(id)
	return hd
}

// A state that is older than the journal, or damaged, is not believed: the restaurant is opened as if nothing had been sent.
func TestStateThatCannotBeBelieved(t *testing.T) {
	if passivateAll {
		t.Skip("nothing is in memory that could travel: every command passivates")
	}
	var old []byte
	for name, sent := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"of then": func([]byte) []byte { return old },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCell(t, 2)
				defer c.close()
				n1, n2 := c.nodes[0], c.nodes[1]
				id := c.as(n1).restaurant(1, 20)
				require.NoError(t, n1.putBase(open(n1, id)))
				b, err := c.bases.Get(t.Context(), id)
				require.NoError(t, err)
				old, c.sent = b.State, sent
				_, err = c.as(n1).reserve(id, 1, 12*60)
				require.NoError(t, err)
				c.move(id, n1, n2)
				require.Len(t, c.as(n2).view(id).DaySheet(day, nil), 1)
				require.Zero(t, counted(n2, "opened"))
			})
		})
	}
}

// A state of another version than the journal's last stays what it is: something that somebody said.
func TestStateOfAnotherVersion(t *testing.T) {
	if passivateAll {
		t.Skip("nothing is in memory of which a base could be put by hand")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		id := c.as(n1).restaurant(1, 20)
		require.NoError(t, n1.putBase(open(n1, id)))
		old, err := c.bases.Get(t.Context(), id)
		require.NoError(t, err)
		_, err = c.as(n1).reserve(id, 1, 12*60)
		require.NoError(t, err)
		n1.cfg.Hand = func(context.Context, string, persistence.Base) error { return nil }
		require.NoError(t, n2.Take(old))
		c.move(id, n1, n2)
		require.Len(t, c.as(n2).view(id).DaySheet(day, nil), 1)
		require.Zero(t, counted(n2, "opened"))
	})
}

// What is kept for a next owner is bounded, and goes when nobody asks.
func TestHandedStatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 1)
		defer c.close()
		n := c.nodes[0]
		base := func(i uint64) persistence.Base {
			b := persistence.Base{State: make([]byte, maxHanded/4)}
			b.ID, b.Version = engine.AggregateID(engine.MakeRestaurantID(i)), 1
			return b
		}
		for i := range uint64(4) {
			require.NoError(t, n.Take(base(i)))
			require.NoError(t, n.Take(base(i)), "the same again takes its place")
		}
		require.ErrorIs(t, n.Take(base(4)), ErrHanded)
		pause(t.Context(), handedFor+2*keepEvery)
		require.Zero(t, n.House.handed.bytes)
		require.Nil(t, n.House.handed.take(base(0).ID))
		require.NoError(t, n.Take(base(4)))
		require.Equal(t, maxHanded/4, n.House.handed.bytes)
		require.NotNil(t, n.House.handed.take(base(4).ID))
		require.Zero(t, n.House.handed.bytes)
		require.ErrorIs(t, n.Take(persistence.Base{}), ErrHanded)
	})
}

// A restaurant in which something is always on its way to the journal gets its bases all the same: without one its events would hold the
// journal's purge for ever. What they say is what the journal says: another node opens from the last one and goes on.
func TestABusyRestaurantGetsBases(t *testing.T) {
	if passivateAll {
		t.Skip("every command writes a base")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 2)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		n1.cfg.Hand = nil
		id := c.as(n1).restaurant(1, 20)
		var guests sync.WaitGroup
		var serial atomic.Uint64
		w, end := c.as(n1), time.Now().Add(time.Second)
		for range 8 {
			guests.Go(func() {
				for time.Now().Before(end) {
					n := serial.Add(1)
					_, err1 := w.reserve(id, n, 12*60)
					_, err2 := w.do(id, guest, &engine.Transition{ID: reservationOf(id, n), Action: engine.ActionCancel})
					if err := errors.Join(err1, err2); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		hd := open(n1, id)
		var last engine.Version
		for range 20 {
			<-time.After(5 * time.Millisecond)
			require.NoError(t, n1.putBase(hd))
			b, err := c.bases.Get(t.Context(), id)
			require.NoError(t, err)
			require.Greater(t, b.Version, last)
			require.LessOrEqual(t, uint64(b.Version), hd.durable.Load())
			last = b.Version
		}
		guests.Wait()
		before := c.as(n1).view(id).DaySheet(day, nil)
		c.move(id, n1, n2)
		require.Equal(t, before, c.as(n2).view(id).DaySheet(day, nil))
	})
}
