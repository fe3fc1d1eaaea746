package persistencetest

import (
	"math/rand/v2"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// TablesOfCrowd is how many tables each restaurant of a Crowd has.
const TablesOfCrowd = 20

// Crowd makes events of reservations over many restaurants and guests in random order, in frames as the writer packs them: for
// measurements. No table is given away twice.
type Crowd struct {
	Seq persistence.Seq // of the newest frame

	perFrame    int
	rng         *rand.Rand
	restaurants []engine.RestaurantID
	guests      []engine.AccountID
	made        []int // reservations of each restaurant
	versions    map[engine.AggregateID]engine.Version
}

// NewCrowd makes a crowd that is the same each time.
func NewCrowd(restaurants, guests, perFrame int) *Crowd {
	c := &Crowd{perFrame: perFrame, rng: rand.New(rand.NewPCG(1, 2)), versions: map[engine.AggregateID]engine.Version{}, made: make([]int, restaurants)}
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

func (c *Crowd) add(out []persistence.Committed, id engine.AggregateID, e *enginepb.Event) []persistence.Committed {
	if len(out)%c.perFrame == 0 {
		c.Seq++
	}
	c.versions[id]++
	return append(out, persistence.Committed{Seq: c.Seq, Index: len(out) % c.perFrame, Aggregate: id, Version: c.versions[id], Event: e})
}

// Founded is the restaurants and their tables.
func (c *Crowd) Founded() (out []persistence.Committed) {
	for _, id := range c.restaurants {
		r := &enginepb.Restaurant{Id: string(id), Owner: string(c.guests[0]), Name: "Trattoria", TimeZone: "Europe/Rome"}
		out = c.add(out, engine.AggregateID(id), &enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}})
		for i := range uint64(TablesOfCrowd) {
			table := &enginepb.Table{Id: string(engine.MakeTableID(id, i)), TableNumber: string(rune('A' + i)), Capacity: 4, MinCapacity: 1, InService: true, Version: 1}
			out = c.add(out, engine.AggregateID(id), &enginepb.Event{Body: &enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: table}}})
		}
	}
	return out
}

// Reserved is n new reservations, three an evening and table.
func (c *Crowd) Reserved(n int) (out []persistence.Committed) {
	for range n {
		i := c.rng.IntN(len(c.restaurants))
		id, k := c.restaurants[i], c.made[i]
		c.made[i]++
		guest := string(c.guests[c.rng.IntN(len(c.guests))])
		day, local := 20_000+int32(k/(3*TablesOfCrowd)), 1080+120*int32(k/TablesOfCrowd%3)
		starts := int64(day)*86_400 + int64(local)*60
		key := make([]byte, 16)
		r := &enginepb.Reservation{
			Id: string(engine.MakeReservationID(id, c.rng.Uint64())), Guest: guest, TableIds: []string{string(engine.MakeTableID(id, uint64(k%TablesOfCrowd)))},
			ServiceDay: day, LocalMin: local, StartsAt: starts, EndsAt: starts + 7200, GuestsCount: 4,
			Status: enginepb.Status_STATUS_CONFIRMED, Version: 1, Key: key, Body: key, CreatedMs: 1_790_000_000_000,
		}
		out = c.add(out, engine.AggregateID(id), &enginepb.Event{AtMs: 1_790_000_000_000, ByAccount: guest, ByRole: 1,
			Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}})
	}
	return out
}
