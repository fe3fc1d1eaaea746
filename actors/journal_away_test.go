package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// deafJournal answers no read while it is away.
type deafJournal struct {
	persistence.Journal
	away atomic.Bool
}

func (j *deafJournal) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	if j.away.Load() {
		return persistence.Entry{}, fmt.Errorf("get %d: %w", seq, persistence.ErrUnknown)
	}
	return j.Journal.Get(ctx, seq)
}

func (j *deafJournal) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	if j.away.Load() {
		return fmt.Errorf("read %d to %d: %w", from, to, persistence.ErrUnknown)
	}
	return j.Journal.Read(ctx, from, to, fn)
}

func TestJournalThatDoesNotAnswerQuarantinesNobody(t *testing.T) {
	w := newWorld(t, stays) // its events are in the journal alone
	id := w.restaurant(1, 2)
	require.NoError(t, w.house.Close())
	j := &deafJournal{Journal: w.journal.Reopen(memory.Options{OnAppend: w.onAppend})}
	w.cfg.Journal = j
	w.open()
	j.away.Store(true)
	for range 20 { // more than would open the breaker
		_, err := w.house.View(id, soon())
		require.ErrorIs(t, err, ErrUnavailable)
	}
	require.Zero(t, w.house.Status().Quarantined)
	j.away.Store(false)
	v, err := w.house.View(id, soon())
	require.NoError(t, err, "served again at once")
	require.NotNil(t, v.View.(*engine.RestaurantView).Restaurant())
}
