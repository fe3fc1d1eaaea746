package redis

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// future is a sink that gets every event as if its evening were still to come: days that are over expire.
type future struct {
	*Sink
	store *emptyStore
}

func (f future) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	f.store.journal.Store(&next.Journal)
	return f.Sink.Write(ctx, old, next, slices.Concat(ahead(persistencetest.Frames{events})...))
}

// emptyStore is a source that has nothing, and knows the journal once somebody has written.
type emptyStore struct{ journal atomic.Pointer[string] }

func (s *emptyStore) Position(context.Context) (p persistence.Position, asOf time.Time, err error) {
	if journal := s.journal.Load(); journal != nil {
		p.Journal = *journal
	}
	return p, asOf, nil
}

func (*emptyStore) Restaurants(context.Context, string, int) ([]persistence.AggregateState, string, error) {
	return nil, "", nil
}

// ahead is frames some weeks from now on.
func ahead(f persistencetest.Frames) persistencetest.Frames {
	copied := make(persistencetest.Frames, len(f))
	for i := range f {
		copied[i] = slices.Clone(f[i])
	}
	return shifted(copied, today()+10-20_700)
}

func TestSink(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		persistencetest.ExerciseSink(t, func(t *testing.T) persistencetest.SinkUnderTest {
			b.flush(t)
			cursors, store := &memory.Cursors{}, &emptyStore{}
			return persistencetest.SinkUnderTest{
				Open: func(t *testing.T) persistence.Sink {
					return future{sinkOf(t, b.client(t), cursors, from(store)), store}
				},
				Rewind: func(t *testing.T, from, to persistence.Position) {
					require.NoError(t, cursors.Move(t.Context(), SinkName, from, to))
				},
				RequireFold: func(t *testing.T, f persistencetest.Frames, upTo persistence.Seq) {
					requireHolds(t, b, folded(ahead(f), upTo))
				},
			}
		})
	})
}
