package redis

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// future is a sink that gets every event as if its evening were still to come: days that are over expire.
type future struct{ *Sink }

func (f future) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	return f.Sink.Write(ctx, old, next, slices.Concat(ahead(persistencetest.Frames{events})...))
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
			cursors := &memory.Cursors{}
			return persistencetest.SinkUnderTest{
				Open: func(t *testing.T) persistence.Sink { return future{sinkOf(t, b.client(t), cursors)} },
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
