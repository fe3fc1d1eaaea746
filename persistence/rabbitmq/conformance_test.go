package rabbitmq

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// The fold of a queue is every event at least once, in order per restaurant, duplicates byte for byte the same.
func TestSink(t *testing.T) {
	persistencetest.ExerciseSink(t, func(t *testing.T) persistencetest.SinkUnderTest {
		cursors := &memory.Cursors{}
		s := open(t, brokerURL(t), cursors)
		_, err := s.Cursor(t.Context())
		require.NoError(t, err)
		queue := probe(t, Classic)
		var received []amqp.Delivery
		return persistencetest.SinkUnderTest{
			Open: func(t *testing.T) persistence.Sink { return open(t, brokerURL(t), cursors) },
			Rewind: func(t *testing.T, from, to persistence.Position) {
				require.NoError(t, cursors.Move(t.Context(), SinkName, from, to))
			},
			RequireFold: func(t *testing.T, f persistencetest.Frames, upTo persistence.Seq) {
				received = append(received, drain(t, queue)...)
				requireDelivered(t, received, f[:upTo])
			},
		}
	})
}
