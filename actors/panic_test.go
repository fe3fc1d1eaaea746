package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// mine is an aggregate with a defect.
type mine struct {
	engine.Aggregate
	inApply bool
}

func (m *mine) Decide(now engine.Instant, cmd *engine.Command) (engine.Outcome, []*engine.Event) {
	if !m.inApply {
		panic("planted in Decide")
	}
	return m.Aggregate.Decide(now, cmd)
}

func (m *mine) Apply(e *engine.Event) {
	m.Aggregate.Apply(e)
	panic("planted in Apply")
}

// plant puts a defect into the aggregate in memory; nothing is in flight.
func (w *world) plant(id engine.AggregateID, inApply bool) *handle {
	hd := w.opened(id)
	hd.actor.res.agg = &mine{hd.actor.res.agg, inApply}
	return hd
}

func TestPanicInDecideCostsTheCommandOnly(t *testing.T) {
	w := newWorld(t, stays)
	id := w.restaurant(1, 2)
	hd := w.plant(id, false)
	good := hd.actor.res.agg.(*mine).Aggregate
	_, err := w.reserve(id, 1, 12*60)
	require.ErrorIs(t, err, ErrPanicked)
	hd.actor.res.agg = good
	_, err = w.reserve(id, 1, 12*60)
	require.ErrorIs(t, err, ErrPanicked, "its key is on the deny list")
	out, err := w.reserve(id, 2, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.Equal(t, good, hd.actor.res.agg, "the state was not loaded anew")
}

func TestPanicInApplyReloadsThatAggregateAlone(t *testing.T) {
	w := newWorld(t)
	id, other := w.restaurant(1, 2), w.restaurant(2, 2)
	hd := w.plant(id, true)
	version := hd.durable.Load()
	_, err := w.reserve(id, 1, 12*60)
	require.ErrorIs(t, err, ErrPanicked)
	out, err := w.reserve(other, 1, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	out, err = w.reserve(id, 2, 12*60)
	require.NoError(t, err, "loaded anew")
	require.Equal(t, engine.CodeCreated, out.Code)
	require.Len(t, w.view(id).DaySheet(day, nil), 1)
	require.Greater(t, hd.durable.Load(), version)
}

// Reloads back off, and too many of them in a minute open the breaker for that aggregate.
func TestReloadsOpenTheBreaker(t *testing.T) {
	w := newWorld(t, stays)
	id, other := w.restaurant(1, 60), w.restaurant(2, 2)
	hd := w.plant(id, true)
	refused := 0
	for serial := uint64(1); hd.actor.failures <= reloadsAMinute; serial++ {
		require.Less(t, serial, uint64(60))
		_, err := w.reserve(id, serial, 12*60)
		switch err {
		case ErrQuarantined:
			refused++
			hd.actor.retryAt = time.Time{} // the wait is over
		case ErrPanicked, nil:
			hd.actor.res.agg = &mine{hd.actor.res.agg, true}
		default:
			t.Fatal(err)
		}
	}
	require.Positive(t, refused, "the second reload waits")
	_, err := w.reserve(id, 1<<30, 12*60)
	require.ErrorIs(t, err, ErrQuarantined)
	out, err := w.reserve(other, 1, 12*60)
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
}
