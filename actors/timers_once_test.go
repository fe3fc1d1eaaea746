package actors

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// TestTimersFireOnce takes restaurants through every timer of the engine: the end of a hold, offers to two parties that wait for what it
// held, both reminders and the no-show. Between them, at random, the node ends and comes back, restaurants leave the memory, the clock is put
// back by an hour, or runs ahead to just before the next one. In the end the journal has each of them once.
func TestTimersFireOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n := 60
	if testing.Short() || raceEnabled {
		n = 12
	}
	w := newWorld(t, func(c *Config) { c.SweepEvery, c.SweepGrid = 2*time.Millisecond, time.Second })
	begin := w.clock.Load()
	ids := make([]engine.AggregateID, n)
	want := map[string]int{}
	for i := range ids {
		ids[i] = w.restaurant(uint64(i+1), 1)
		w.anEveningAhead(ids[i])
	}
	const minute, hour = int64(60_000), int64(3_600_000)
	for _, step := range []struct {
		at     int64
		events []string // of each restaurant
	}{
		{begin + 5*minute, []string{"2 expired", "3 offered"}},
		{begin + 15*minute, []string{"3 expired", "4 offered"}},
		{begin + 25*minute, []string{"4 expired"}},
		{int64(day-1)*24*hour + 19*hour, []string{"1 reminded 1440"}},
		{int64(day)*24*hour + 17*hour, []string{"1 reminded 120"}},
		{int64(day)*24*hour + 19*hour + 30*minute, []string{"1 no_show"}},
	} {
		w.clock.Store(step.at - 1)
		w.disturb(rng, ids)
		require.Equal(t, want, w.fired(), "a millisecond before")
		w.clock.Store(step.at)
		for _, e := range step.events {
			want[e] += n
		}
		require.Eventually(t, func() bool { return maps.Equal(want, w.fired()) }, 20*time.Second, 5*time.Millisecond, "%v instead of %v", w.fired(), want)
		w.disturb(rng, ids)
	}
	w.clock.Add(48 * hour)
	w.disturb(rng, ids)
	require.Equal(t, want, w.fired())
}

// TestNoReminderBeforeEveryNodeUnderstandsIt: during a rolling upgrade an heir of the older build could not open the restaurant any more.
func TestNoReminderBeforeEveryNodeUnderstandsIt(t *testing.T) {
	var protocol atomic.Uint32
	protocol.Store(engine.ReminderProtocol - 1)
	w := newWorld(t, func(c *Config) {
		c.SweepEvery, c.SweepGrid, c.Protocol = 2*time.Millisecond, time.Second, func() uint16 { return uint16(protocol.Load()) }
	})
	id := w.restaurant(1, 2)
	for serial, minute := range []int{18 * 60, 20 * 60} {
		out, err := w.reserve(id, uint64(serial+1), minute)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
	}
	w.clock.Store(int64(day)*86_400_000 + 17*3_600_000 + 30*60_000) // of one the reminder, of the other the no-show
	require.Eventually(t, func() bool { return w.fired()["1 no_show"] == 1 }, 20*time.Second, 5*time.Millisecond)
	out, err := w.do(id, owner, &engine.Reschedule{ID: reservationOf(id, 2), GuestsCount: new(3)})
	require.NoError(t, err)
	require.Equal(t, engine.CodeOK, out.Code)
	w.sweepAll([]engine.AggregateID{id})
	require.Equal(t, map[string]int{"1 no_show": 1}, w.fired())

	out, err = w.reserve(id, 3, 21*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	protocol.Store(engine.ReminderProtocol)
	w.clock.Add(2 * 3_600_000)
	require.Eventually(t, func() bool { return w.fired()["3 reminded 120"] == 1 }, 20*time.Second, 5*time.Millisecond, "%v", w.fired())
}

// anEveningAhead is a booking, a hold, and two parties that wait for what it holds.
func (w *world) anEveningAhead(id engine.AggregateID) {
	w.t.Helper()
	r := engine.RestaurantID(id)
	noon := engine.When{HasLocal: true, Day: day, LocalMin: 12 * 60}
	ada := engine.Caller{Account: engine.MakeAccountID([16]byte{3}), Role: engine.RoleCustomer}
	for _, c := range []struct {
		caller engine.Caller
		body   engine.Body
	}{
		{guest, reservation(id, 1, 20*60)},
		{guest, &engine.Hold{ID: engine.MakeReservationID(r, 2), Want: noon, GuestsCount: 2}},
		{ada, &engine.JoinWaitlist{ID: engine.MakeReservationID(r, 3), Want: noon, GuestsCount: 2}},
	} {
		out, err := w.do(id, c.caller, c.body)
		require.NoError(w.t, err)
		require.Equal(w.t, engine.CodeCreated, out.Code, out.Field)
	}
	w.clock.Add(1) // so that somebody is the first to wait
	out, err := w.do(id, owner, &engine.JoinWaitlist{ID: engine.MakeReservationID(r, 4), Want: noon, GuestsCount: 2})
	w.clock.Add(-1)
	require.NoError(w.t, err)
	require.Equal(w.t, engine.StatusWaiting, out.Reservation.Status)
}

// disturb does something that no timer may be impressed by, and gives them time to be.
func (w *world) disturb(rng *rand.Rand, ids []engine.AggregateID) {
	at := w.clock.Load()
	switch rng.IntN(4) {
	case 0:
		w.restart()
	case 1:
		for _, id := range ids {
			if hd, ok := w.house.handles.Load(id); ok {
				w.house.passivate(hd)
			}
		}
	case 2:
		w.clock.Add(-3_600_000)
		w.sweepAll(ids)
		w.clock.Store(at)
	}
	w.sweepAll(ids)
}

// sweepAll fires whatever is due, beside the timers.
func (w *world) sweepAll(ids []engine.AggregateID) {
	for _, id := range ids {
		_, err := w.house.Do(id, &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Sweep{}}, soon())
		require.NoError(w.t, err)
	}
}

// fired counts the journal's events of timers, by the number of the reservation and what became of it.
func (w *world) fired() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	err := persistence.ReadCommitted(w.t.Context(), w.journal, 1, w.house.fold.seq(), func(_ persistence.Seq, events []persistence.Committed) error {
		for _, e := range events {
			if what, id := timerEvent(e.Event); id != "" {
				counts[serialOf(e.Aggregate, id)+" "+what]++
			}
		}
		return nil
	})
	require.NoError(w.t, err)
	return counts
}

func timerEvent(e *engine.Event) (what, id string) {
	switch b := e.Body.(type) {
	case *enginepb.Event_ReservationOffered:
		return "offered", b.ReservationOffered.Id
	case *enginepb.Event_ReservationReminded:
		return fmt.Sprintf("reminded %d", b.ReservationReminded.LeadMin), b.ReservationReminded.Id
	case *enginepb.Event_ReservationStatusChanged:
		return engine.StatusName(b.ReservationStatusChanged.Status), b.ReservationStatusChanged.Id
	}
	return "", ""
}

func serialOf(id engine.AggregateID, reservation string) string {
	for n := range uint64(5) {
		if string(engine.MakeReservationID(engine.RestaurantID(id), n)) == reservation {
			return fmt.Sprint(n)
		}
	}
	return "?"
}
