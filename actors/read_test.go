package actors

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// free is how many tables readers are shown for two guests at minute.
func (w *world) free(id engine.AggregateID, minute int) int {
	w.t.Helper()
	for _, s := range w.view(id).Availability(w.house.now(), day, 2, nil) {
		if s.LocalMin == minute {
			return s.Free
		}
	}
	w.t.Fatal("no such start time")
	return 0
}

// A view is a fold of what is durable: a reservation that waits for the journal is not shown, one whose frame was refused
// never was, and one that is acknowledged is (H12).
func TestViewIsNeverTheSpeculativeState(t *testing.T) {
	w := newWorld(t)
	id := w.restaurant(1, 2)
	for _, kind := range []memory.FaultKind{memory.Full, memory.None} {
		held, release := make(chan struct{}), make(chan struct{})
		w.set(func(n int, _ *persistence.Frame) memory.Fault {
			if n == 1 {
				close(held)
				return memory.Fault{Kind: kind, Hold: release}
			}
			return memory.Fault{}
		})
		booked := async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })
		<-held
		hd := w.opened(id)
		require.Greater(t, uint64(hd.actor.submitted), hd.durable.Load(), "it is decided")
		require.Equal(t, 2, w.free(id, 12*60))
		require.Empty(t, w.view(id).DaySheet(day, nil))
		close(release)
		err := (<-booked).err
		if kind == memory.Full {
			require.ErrorIs(t, err, ErrUnavailable)
			require.Eventually(t, func() bool { return w.house.Status().Serving }, 5*time.Second, time.Millisecond)
			require.Equal(t, 2, w.free(id, 12*60))
		} else {
			require.NoError(t, err)
			require.Equal(t, 1, w.free(id, 12*60))
		}
	}
}

// Read at once after each own 201, on one node, with other writers beside (H11).
func TestReadYourWrites(t *testing.T) {
	restaurants, reads := 2_000, 100_000
	if raceEnabled || testing.Short() || passivateAll {
		restaurants, reads = 100, 5_000
	}
	w := newWorld(t)
	ids := make([]engine.AggregateID, restaurants)
	inParallel(restaurants, 32, func(i int) { ids[i] = w.restaurant(uint64(i+1), 17) })
	inParallel(reads, 64, func(i int) {
		id, serial := ids[i%restaurants], uint64(i+1)
		out, err := w.reserve(id, serial, turns[i/restaurants%3])
		if err != nil || out.Code != engine.CodeCreated {
			t.Errorf("reserve %d: %v %v", i, err, out.Code)
			return
		}
		v, err := w.house.View(id, soon())
		if err != nil {
			t.Errorf("view %d: %v", i, err)
			return
		}
		if v.View.(*engine.RestaurantView).Reservation(out.Reservation.ID) == nil {
			t.Errorf("%s is not shown after its 201", out.Reservation.ID)
		}
	})
}

// Encoded answers stay within the house's bound, whoever keeps how many; the newest is there, what is of another state,
// minute or size is not.
func TestAnswersAreKeptWithinTheBound(t *testing.T) {
	const most = 50_000
	budget := newCacheBudget(most)
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, stays)
	views := make([]*View, 20)
	for i := range views {
		views[i] = &View{View: w.opened(w.restaurant(uint64(i+1), 1)).view.Load().View, cache: new(answerCache), budget: budget}
	}
	live := func() (bytes int64, answers int) {
		for _, v := range views {
			if slots := v.cache.slots.Load(); slots != nil {
				for i := range slots.answers {
					if c := slots.answers[i].Load(); c != nil {
						bytes, answers = bytes+size(c), answers+1
					}
				}
			}
		}
		return bytes, answers
	}
	for i := range 5_000 {
		v := views[rng.IntN(len(views))]
		d, guests, minute := day+engine.Day(rng.IntN(30)), 1+rng.IntN(8), int64(rng.IntN(3))
		body := fmt.Appendf(make([]byte, 0, 1+rng.IntN(2000)), "answer %d", i)
		v.Keep(d, guests, minute, body)
		require.Equal(t, body, v.Cached(d, guests, minute), "the newest")
		require.Nil(t, v.Cached(d, guests, minute+1), "of another minute")
		require.LessOrEqual(t, budget.bytes.Load(), int64(most))
	}
	bytes, answers := live()
	require.LessOrEqual(t, bytes, int64(most))
	require.Greater(t, answers, 20)
	require.LessOrEqual(t, len(budget.ring), 2*most/cachedOverhead)

	v := views[0]
	v.Keep(day, 2, 7, []byte("two tables"))
	v.Keep(day, 4, 7, make([]byte, maxCachedBody+1))
	require.Nil(t, v.Cached(day, 4, 7), "too large")
	next := engine.MakeRestaurantID(1)
	_, err := w.reserve(engine.AggregateID(next), 1, 12*60)
	require.NoError(t, err)
	later := &View{View: w.opened(engine.AggregateID(next)).view.Load().View, cache: v.cache, budget: budget}
	require.Nil(t, later.Cached(day, 2, 7), "of another state")
	require.Equal(t, []byte("two tables"), v.Cached(day, 2, 7))
}
