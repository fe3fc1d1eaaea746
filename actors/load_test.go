package actors

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// minutes of the starts that never overlap for the same table: three in a day (turn time ≤ 150 minutes).
var turns = []int{12 * 60, 16 * 60, 20 * 60}

// inParallel runs fn for 0…n-1 on k goroutines.
func inParallel(n, k int, fn func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range k {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// 1,000 callers for T tables: exactly T winners, and each refusal was true when it was given: T reservations were in the
// journal before it.
func TestThousandCallersForFewTables(t *testing.T) {
	const tables = 7
	w := newWorld(t)
	id := w.restaurant(1, tables)
	var won, refused atomic.Int64
	inParallel(1000, 100, func(i int) {
		out, err := w.reserve(id, uint64(i+1), 12*60)
		if err != nil {
			t.Errorf("caller %d: %v", i, err)
			return
		}
		switch out.Code {
		case engine.CodeCreated:
			won.Add(1)
			if w.view(id).Reservation(out.Reservation.ID) == nil {
				t.Error("a winner does not see its reservation")
			}
		case engine.CodeSlotUnavailable:
			refused.Add(1)
			if n := len(w.view(id).DaySheet(day, nil)); n != tables {
				t.Errorf("refused while %d reservations were durable", n)
			}
		default:
			t.Errorf("outcome %v", out.Code)
		}
	})
	require.EqualValues(t, tables, won.Load())
	require.EqualValues(t, 1000-tables, refused.Load())
}

// Credits, passivations and many callers at once: what was acknowledged is the state, nothing twice (notes: 128 callers,
// thousands of passivations).
func TestAcknowledgedEqualsStateUnderPassivation(t *testing.T) {
	w := newWorld(t)
	restaurants, per := 40, 300
	if raceEnabled || testing.Short() {
		restaurants, per = 10, 100
	}
	ids := make([]engine.AggregateID, restaurants)
	for i := range ids {
		ids[i] = w.restaurant(uint64(i+1), 100)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var closed atomic.Int64
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if hd, ok := w.house.handles.Load(ids[i%restaurants]); ok {
				w.house.passivate(hd)
				if n, _ := w.house.handles.Load(ids[i%restaurants]); n != hd {
					closed.Add(1)
				}
			}
		}
	})
	acknowledged := make([]sync.Map, restaurants)
	inParallel(restaurants*per, 64, func(i int) {
		id, serial := ids[i%restaurants], uint64(i+1)
		out, err := w.reserve(id, serial, turns[i%3])
		if err != nil || out.Code != engine.CodeCreated {
			t.Errorf("reserve %d: %v %v %s", i, err, out.Code, out.Field)
			return
		}
		if _, dup := acknowledged[i%restaurants].LoadOrStore(out.Reservation.ID, true); dup {
			t.Errorf("reservation %s was acknowledged twice", out.Reservation.ID)
		}
		if w.view(id).Reservation(out.Reservation.ID) == nil {
			t.Errorf("reservation %s is not in the view after its acknowledgement", out.Reservation.ID)
		}
	})
	close(stop)
	wg.Wait()
	require.Positive(t, closed.Load(), "nothing was passivated")
	t.Logf("%d acknowledged, %d passivations", restaurants*per, closed.Load())
	check := func() {
		for i, id := range ids {
			sheet := w.view(id).DaySheet(day, nil)
			require.Len(t, sheet, per)
			for _, r := range sheet {
				_, ok := acknowledged[i].Load(r.ID)
				require.True(t, ok, "%s is in the state, but was not acknowledged", r.ID)
			}
		}
	}
	check()
	w.restart()
	check()
}

// After a restart with nothing in memory each no-show is recorded exactly once.
func TestColdRestaurantsAreSweptOnce(t *testing.T) {
	n := 10_000
	if testing.Short() || raceEnabled {
		n = 1_000
	}
	w := newWorld(t, func(c *Config) { c.SweepEvery, c.SweepGrid = 5*time.Millisecond, time.Second })
	ids := make([]engine.AggregateID, n)
	inParallel(n, 64, func(i int) {
		ids[i] = w.restaurant(uint64(i+1), 1)
		if out, err := w.reserve(ids[i], 1, 12*60); err != nil || out.Code != engine.CodeCreated {
			t.Errorf("%v %v", err, out.Code)
		}
	})
	for i := range n / 2 { // one half has a base with its timer, the other only events
		if hd, ok := w.house.handles.Load(ids[i]); ok {
			w.house.passivate(hd)
		}
	}
	w.restart()
	w.clock.Store(int64(day)*86_400_000 + 14*3600_000)
	last := w.house.fold.seq()
	require.Eventually(t, func() bool { return swept(w, ids[0]) && swept(w, ids[n-1]) && countNoShows(t, w, last) == n },
		60*time.Second, 50*time.Millisecond)
	counts := noShowsAfter(t, w, last)
	require.Len(t, counts, n)
	for id, c := range counts {
		require.Equal(t, 1, c, id)
	}
}

func swept(w *world, id engine.AggregateID) bool {
	r := w.view(id).Reservation(reservationOf(id, 1))
	return r != nil && r.Status == engine.StatusNoShow
}

func countNoShows(t *testing.T, w *world, after persistence.Seq) int {
	return len(noShowsAfter(t, w, after))
}

// noShowsAfter counts the journal's no-show events by reservation.
func noShowsAfter(t *testing.T, w *world, after persistence.Seq) map[string]int {
	t.Helper()
	counts := map[string]int{}
	err := persistence.ReadCommitted(t.Context(), w.journal, after+1, w.house.fold.seq(),
		func(_ persistence.Seq, events []persistence.Committed) error {
			for _, e := range events {
				if s := e.Event.GetReservationStatusChanged(); s != nil && s.Status == engine.StatusNoShow {
					counts[s.Id]++
				}
			}
			return nil
		})
	require.NoError(t, err)
	return counts
}
