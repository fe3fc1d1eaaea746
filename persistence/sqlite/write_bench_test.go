package sqlite

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// crowd makes events of new reservations over many restaurants and guests, in frames as the writer packs them.
type crowd struct {
	rng         *rand.Rand
	restaurants []engine.RestaurantID
	guests      []engine.AccountID
	versions    map[engine.AggregateID]engine.Version
	seq         persistence.Seq
}

func newCrowd(restaurants, guests int) *crowd {
	c := &crowd{rng: rand.New(rand.NewPCG(1, 2)), versions: map[engine.AggregateID]engine.Version{}}
	for range restaurants {
		c.restaurants = append(c.restaurants, engine.MakeRestaurantID(c.rng.Uint64()))
	}
	for range guests {
		var h [16]byte
		for i := range h {
			h[i] = byte(c.rng.Uint32())
		}
		c.guests = append(c.guests, engine.MakeAccountID(h))
	}
	return c
}

func (c *crowd) add(out []persistence.Committed, id engine.AggregateID, perFrame int, e *enginepb.Event) []persistence.Committed {
	if len(out)%perFrame == 0 {
		c.seq++
	}
	c.versions[id]++
	return append(out, persistence.Committed{Seq: c.seq, Index: len(out) % perFrame, Aggregate: id, Version: c.versions[id], Event: e})
}

func (c *crowd) founded(perFrame int) (out []persistence.Committed) {
	for _, id := range c.restaurants {
		r := &enginepb.Restaurant{Id: string(id), Owner: string(c.guests[0]), Name: "Trattoria", TimeZone: "Europe/Rome"}
		out = c.add(out, engine.AggregateID(id), perFrame, &enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}})
	}
	return out
}

func (c *crowd) reserved(n, perFrame int) (out []persistence.Committed) {
	for range n {
		id := c.restaurants[c.rng.IntN(len(c.restaurants))]
		guest := string(c.guests[c.rng.IntN(len(c.guests))])
		day := 20_000 + c.rng.Int32N(30)
		local := 1080 + 15*c.rng.Int32N(16)
		starts := int64(day)*86_400 + int64(local)*60
		key := make([]byte, 16)
		r := &enginepb.Reservation{
			Id: string(engine.MakeReservationID(id, c.rng.Uint64())), Guest: guest, TableIds: []string{string(engine.MakeTableID(id, uint64(c.rng.IntN(20))))},
			ServiceDay: day, LocalMin: local, StartsAt: starts, EndsAt: starts + 7200, GuestsCount: 4,
			Status: enginepb.Status_STATUS_CONFIRMED, Version: 1, Key: key, Body: key, CreatedMs: 1_790_000_000_000,
		}
		out = c.add(out, engine.AggregateID(id), perFrame, &enginepb.Event{AtMs: 1_790_000_000_000, ByAccount: guest, ByRole: 1,
			Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}})
	}
	return out
}

// BenchmarkWrite prints CPU microseconds per reservation of the whole of Write, audit included.
func BenchmarkWrite(b *testing.B) {
	for _, batch := range []int{500, 2_000, 6_000} {
		for _, restaurants := range []int{1_000, 10_000} {
			b.Run(fmt.Sprintf("batch=%d/restaurants=%d", batch, restaurants), func(b *testing.B) { benchWrite(b, batch, restaurants, 20_000, 28) })
		}
	}
}

func benchWrite(b *testing.B, batch, restaurants, guests, perFrame int) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
	require.NoError(b, err)
	defer s.Close()
	c := newCrowd(restaurants, guests)
	var old persistence.Position
	write := func(events []persistence.Committed) {
		require.NoError(b, s.Write(b.Context(), old, at(c.seq), events))
		old = at(c.seq)
	}
	write(c.founded(perFrame))
	rows, used := 0, time.Duration(0)
	for rows < b.N*1_000 {
		events := c.reserved(batch, perFrame)
		start := cpu()
		write(events)
		used += cpu() - start
		rows += batch
	}
	b.ReportMetric(float64(used.Microseconds())/float64(rows), "cpu-µs/row")
	b.ReportMetric(0, "ns/op")
}
