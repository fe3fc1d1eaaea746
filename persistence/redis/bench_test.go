package redis

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// crowd is a crowd whose reservations are to come.
func crowd(restaurants int) (c *persistencetest.Crowd, founded []persistence.Committed, reserved func(n int) []persistence.Committed) {
	c = persistencetest.NewCrowd(restaurants, 1000, 50)
	return c, c.Founded(), func(n int) []persistence.Committed {
		return slices.Concat(shifted(persistencetest.Frames{c.Reserved(n)}, today()+1-20_000)...)
	}
}

// BenchmarkWrite writes batches of 1,000 new reservations over 500 restaurants.
func BenchmarkWrite(b *testing.B) {
	for _, server := range []*backend{single, cluster} {
		b.Run(server.name, func(b *testing.B) {
			server.empty(b)
			crowd, founded, reserved := crowd(500)
			s := sinkOf(b, server.client(b), &memory.Cursors{})
			_, err := s.Cursor(b.Context())
			require.NoError(b, err)
			at := at(crowd.Seq)
			require.NoError(b, s.Write(b.Context(), persistence.Position{}, at, founded))
			n := 0
			for b.Loop() {
				b.StopTimer()
				events := reserved(1000)
				next := at
				next.Seq = crowd.Seq
				b.StartTimer()
				if err := s.Write(b.Context(), at, next, events); err != nil {
					b.Fatal(err)
				}
				at, n = next, n+len(events)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// loadable is a source of 2,000 restaurants with 20 tables and 20 reservations each.
func loadable() *states {
	const restaurants, reservations = 2_000, 20
	s := &states{at: at(1)}
	for i := range restaurants {
		id := engine.MakeRestaurantID(uint64(i) * 7919)
		a := persistence.AggregateState{ID: engine.AggregateID(id), Version: 41, Restaurant: &enginepb.Restaurant{Id: string(id), Name: "Trattoria", TimeZone: "Europe/Rome"}}
		for k := range uint64(persistencetest.TablesOfCrowd) {
			a.Tables = append(a.Tables, &enginepb.Table{Id: string(engine.MakeTableID(id, k)), TableNumber: "T", Capacity: 4, MinCapacity: 1, InService: true, Version: 1})
		}
		for k := range reservations {
			day := today() + 1 + int32(k%5)
			starts := int64(day)*daySeconds + 64_800 + int64(k)*900
			a.Reservations = append(a.Reservations, &enginepb.Reservation{Id: string(engine.MakeReservationID(id, uint64(k))),
				TableIds: []string{a.Tables[k].Id}, ServiceDay: day, StartsAt: starts, EndsAt: starts + 7200, GuestsCount: 4, Status: engine.StatusConfirmed})
		}
		s.all = append(s.all, a)
	}
	slices.SortFunc(s.all, func(a, b persistence.AggregateState) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return s
}

// BenchmarkLoad fills an empty server with 2,000 restaurants.
func BenchmarkLoad(b *testing.B) {
	source := loadable()
	for _, server := range []*backend{single, cluster} {
		b.Run(server.name, func(b *testing.B) {
			server.empty(b)
			s := sinkOf(b, server.client(b), &memory.Cursors{}, from(source))
			for b.Loop() {
				b.StopTimer()
				server.flush(b)
				b.StartTimer()
				if err := s.Rebuild(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			memory := int64(0)
			for i := range server.nodes {
				used := server.node(b, i).InfoMap(b.Context(), "memory").Val()["Memory"]["used_memory_dataset"]
				n := int64(0)
				for _, d := range used {
					n = n*10 + int64(d-'0')
				}
				memory += n
			}
			b.ReportMetric(float64(memory)/float64(len(source.all)), "B/restaurant")
		})
	}
}

// BenchmarkRead reads the availability of one evening with 20 tables.
func BenchmarkRead(b *testing.B) {
	for _, server := range []*backend{single, cluster} {
		b.Run(server.name, func(b *testing.B) {
			server.empty(b)
			source := loadable()
			c := server.client(b, func(o *Options) { o.PoolSize = 16 })
			s := sinkOf(b, c, &memory.Cursors{}, from(source))
			require.NoError(b, s.Rebuild(b.Context()))
			now, day := engine.Instant(time.Now().UnixMilli()), engine.Day(today()+2)
			i := 0
			for b.Loop() {
				i++
				if _, err := c.Availability(b.Context(), now, engine.RestaurantID(source.all[i%len(source.all)].ID), day, 2); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
