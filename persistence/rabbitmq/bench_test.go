package rabbitmq

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// BenchmarkWrite publishes batches of 1,000 events of 100 restaurants; each message goes to one queue.
func BenchmarkWrite(b *testing.B) {
	for _, kind := range []QueueType{Quorum, Classic} {
		b.Run(string(kind), func(b *testing.B) {
			s := open(b, brokerURL(b), &memory.Cursors{}, func(c *Config) { c.QueueType = kind })
			at, err := s.Cursor(b.Context())
			require.NoError(b, err)
			var versions [100]engine.Version
			made := exampleEvents()[7].Event
			require.NotNil(b, made.GetReservationCreated())
			events := make([]persistence.Committed, 1000)
			for b.Loop() {
				next := persistence.Position{Journal: journal, Seq: at.Seq + 1}
				for i := range events {
					r := i % len(versions)
					versions[r]++
					events[i] = persistence.Committed{Seq: next.Seq, Index: i, Aggregate: engine.AggregateID(engine.MakeRestaurantID(uint64(r))), Version: versions[r], Event: made}
				}
				if err := s.Write(b.Context(), at, next, events); err != nil {
					b.Fatal(err)
				}
				at = next
			}
			b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkEncode makes messages, without a broker.
func BenchmarkEncode(b *testing.B) {
	made := exampleEvents()[7]
	require.IsType(b, &enginepb.Event_ReservationCreated{}, made.Event.Body)
	b.ReportAllocs()
	for b.Loop() {
		m, err := encodeOne(&made)
		if err != nil {
			b.Fatal(err)
		}
		_ = m.publishing()
	}
}
