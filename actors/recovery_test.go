package actors

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// skip makes the state in memory one event ahead of what the writer was told: a defect that the writer must catch.
func (w *world) skip(id engine.AggregateID) *handle {
	w.t.Helper()
	hd := w.opened(id)
	_, events := hd.actor.res.agg.Decide(w.house.now(), &engine.Command{Caller: guest, Body: reservation(id, 999, 16*60)})
	require.Len(w.t, events, 1)
	hd.actor.res.agg.Apply(events[0])
	return hd
}

// An entry that the writer refuses costs its own command: the next one finds the state that the journal has.
func TestRefusedEntryRecovers(t *testing.T) {
	w := newWorld(t, stays)
	id := w.restaurant(1, 3)
	incarnation := w.house.Status().Incarnation
	w.skip(id)
	_, err := w.reserve(id, 1, 12*60)
	require.ErrorIs(t, err, ErrUnavailable)
	for serial := range uint64(2) {
		out, err := w.reserve(id, serial+1, 12*60)
		require.NoError(t, err)
		require.Equal(t, engine.CodeCreated, out.Code)
	}
	require.Len(t, w.view(id).DaySheet(day, nil), 2, "what was never journaled is gone")
	require.Equal(t, incarnation, w.house.Status().Incarnation)
	w.restart()
	require.Len(t, w.view(id).DaySheet(day, nil), 2)
}

// The reload waits for what the writer had accepted from the state before: without that, a version would be given twice.
func TestRefusedEntryWaitsForWhatIsInFlight(t *testing.T) {
	w := newWorld(t, stays)
	id := w.restaurant(1, 3)
	held, release := make(chan struct{}), make(chan struct{})
	w.set(func(n int, _ *persistence.Frame) memory.Fault {
		if n == 1 {
			close(held)
			return memory.Fault{Hold: release}
		}
		return memory.Fault{}
	})
	first := async(func() (engine.Outcome, error) { return w.reserve(id, 1, 12*60) })
	<-held
	hd := w.skip(id)
	refused := async(func() (engine.Outcome, error) { return w.reserve(id, 2, 12*60) })
	require.Eventually(t, func() bool { return w.waiting() > 0 }, 5*time.Second, time.Millisecond)
	w.house.writer.mu.Lock() // as the late watch does while the journal is silent
	w.house.writer.take()
	w.house.writer.settle()
	w.house.writer.mu.Unlock()
	require.ErrorIs(t, (<-refused).err, ErrUnavailable)
	require.NotNil(t, hd.refusal.Load())
	_, err := w.reserve(id, 3, 12*60)
	require.ErrorIs(t, err, ErrQuarantined, "the first one is still on its way")
	close(release)
	require.NoError(t, (<-first).err)
	out, err := w.reserve(id, 3, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.Len(t, w.view(id).DaySheet(day, nil), 2)
	w.restart()
	require.Len(t, w.view(id).DaySheet(day, nil), 2)
}

// A base one revision late is noticed: the aggregate is quarantined, never opened with a shorter history (H29), and the
// gauge goes down again when it recovers, and when it leaves memory.
func TestStaleBaseIsNeverOpened(t *testing.T) {
	w := newWorld(t, stays)
	id := w.restaurant(1, 3)
	for serial := range uint64(3) {
		_, err := w.reserve(id, serial+1, 12*60)
		require.NoError(t, err)
		w.house.passivate(w.opened(id))
	}
	for _, restart := range []bool{false, true} {
		if restart {
			w.restart()
		}
		w.stale.Store(true)
		_, err := w.house.View(id, soon())
		require.ErrorIs(t, err, ErrQuarantined)
		require.Positive(t, w.bases.TakenStale())
		_, err = w.reserve(id, 9, 12*60)
		require.ErrorIs(t, err, ErrQuarantined)
		w.requireQuarantined(1)
		hd, ok := w.house.handles.Load(id)
		require.True(t, ok)
		w.house.passivate(hd)
		w.requireQuarantined(0)
		_, err = w.house.View(id, soon())
		require.ErrorIs(t, err, ErrQuarantined, "still stale")
		w.requireQuarantined(1)
		w.stale.Store(false)
		hd, _ = w.house.handles.Load(id)
		w.house.passivate(hd)
		require.Len(t, w.view(id).DaySheet(day, nil), 3)
		w.requireQuarantined(0)
	}
}

func (w *world) requireQuarantined(n int) {
	w.t.Helper()
	require.EqualValues(w.t, n, testutil.ToFloat64(w.house.cfg.Metrics.quarantined))
	require.Equal(w.t, n, w.house.Status().Quarantined)
}

// meddled is a journal in which something happens just before the first record is read.
type meddled struct {
	*memory.Journal
	first func()
	reads atomic.Int64
}

func (m *meddled) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	if m.reads.Add(1) == 1 {
		m.first()
	}
	return m.Journal.Get(ctx, seq)
}

func (m *meddled) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	if m.reads.Add(1) == 1 {
		m.first()
	}
	return m.Journal.Read(ctx, from, to, fn)
}

// While an aggregate is being opened its base moves on and the journal is purged beyond the base that was read (H22): the
// opener starts over when it can know, and fails when it cannot. It never opens a shorter history.
func TestPurgeWhileOpening(t *testing.T) {
	for _, told := range []bool{true, false} {
		w := newWorld(t, stays)
		id := w.restaurant(1, 3)
		w.house.passivate(w.opened(id)) // the base that is read first
		for serial := range uint64(3) {
			_, err := w.reserve(id, serial+1, 12*60)
			require.NoError(t, err)
		}
		want := w.opened(id).actor.res.version()
		f, cfg := w.house.fold, w.house.cfg
		journal := &meddled{Journal: w.journal, first: func() {
			b := w.opened(id).actor.res.base()
			old, err := w.bases.Get(t.Context(), id)
			require.NoError(t, err)
			b.Position, b.Revision = f.seq(), old.Revision
			b.Revision, err = w.bases.Put(t.Context(), b)
			require.NoError(t, err)
			if told {
				f.based(b.BaseHeader)
			}
			require.NoError(t, w.journal.Purge(t.Context(), f.seq()+1))
		}}
		cfg.Journal = journal
		o, err := f.open(t.Context(), &cfg, id, nil)
		require.Positive(t, journal.reads.Load(), "the meddling happened")
		if err == nil {
			require.Equal(t, want, o.agg.Version())
			require.Len(t, o.agg.View().(*engine.RestaurantView).DaySheet(day, nil), 3)
		} else {
			require.False(t, told, "%v", err)
			require.ErrorIs(t, err, persistence.ErrNotFound)
		}
	}
}
