package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// Obstacle is what stands in the way at a table that staff named. Guests are never told.
type Obstacle struct {
	Table       TableID
	Number      string // of the table
	Reason      Reason // ReasonOutOfService, ReasonBlocked or ReasonTaken
	Reservation ReservationID
	Guests      int
	Status      Status
	BufferMin   int   // minutes after Until in which the table stays free
	From, Until int64 // of the stay or the block, Unix seconds; 0 of a table out of service
}

// obstacles lists what keeps a party from these tables in a span, table by table, at most MaxObstacles; except is the party's own.
func (b *book) obstacles(slots []int, day Day, held span, except ReservationID) (list []Obstacle) {
	for _, slot := range slots {
		t := b.floor.slots[slot]
		if !t.InService {
			list = append(list, Obstacle{Table: t.ID, Number: t.Number, Reason: ReasonOutOfService})
		}
		for _, o := range t.Blocks {
			if s := spanOf(o.From, o.Until); s.from < held.to && held.from < s.to {
				list = append(list, Obstacle{Table: t.ID, Number: t.Number, Reason: ReasonBlocked, From: o.From, Until: o.Until})
			}
		}
		for _, r := range b.holders(t.ID, day, held) {
			if r.ID != except {
				list = append(list, Obstacle{t.ID, t.Number, ReasonTaken, r.ID, r.GuestsCount, r.Status, r.BufferMin, r.StartsAt, r.EndsAt})
			}
		}
	}
	return slices.Clip(list[:min(len(list), MaxObstacles)])
}

func (o *Obstacle) proto() *enginepb.Obstacle {
	return &enginepb.Obstacle{Table: string(o.Table), Number: o.Number, Reason: uint32(o.Reason), Reservation: string(o.Reservation),
		Guests: int32(o.Guests), Status: o.Status, BufferMin: int32(o.BufferMin), From: o.From, Until: o.Until}
}

func obstacleFrom(p *enginepb.Obstacle) Obstacle {
	return Obstacle{TableID(p.Table), p.Number, Reason(p.Reason), ReservationID(p.Reservation), int(p.Guests), p.Status, int(p.BufferMin), p.From, p.Until}
}
