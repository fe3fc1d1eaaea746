package actors

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// simBook is the dumb checker's picture of one restaurant: what the events say, without an engine.
type simBook map[engine.ReservationID]*enginepb.Reservation

func blocking(s enginepb.Status) bool {
	return s == enginepb.Status_STATUS_HELD || s == enginepb.Status_STATUS_PENDING || s == enginepb.Status_STATUS_CONFIRMED ||
		s == enginepb.Status_STATUS_SEATED
}

// taken is how many tables have somebody at some time in [from, to).
func (b simBook) taken(from, to int64) int {
	var tables []string
	for _, r := range b {
		if blocking(r.Status) && r.StartsAt < to && from < r.EndsAt {
			tables = append(tables, r.TableIds...)
		}
	}
	slices.Sort(tables)
	return len(slices.Compact(tables))
}

func (b simBook) overlaps(id engine.ReservationID) bool {
	x := b[id]
	for other, r := range b {
		if other == id || !blocking(r.Status) || !blocking(x.Status) || r.StartsAt >= x.EndsAt || x.StartsAt >= r.EndsAt {
			continue
		}
		for _, t := range r.TableIds {
			if slices.Contains(x.TableIds, t) {
				return true
			}
		}
	}
	return false
}

// replay reads the journal from its first record: custody, tail and versions must hold, and no table may be given twice at
// any prefix. each is called after every event and record with the books as they then stand.
func (s *sim) replay(each func(persistence.Seq, map[engine.AggregateID]simBook)) {
	ctx := context.Background()
	b, _ := s.journal.Bounds(ctx)
	custody, tail := new(persistence.Custody), persistence.NewTail(s.cfg.Partitions)
	books := map[engine.AggregateID]simBook{}
	err := persistence.ReadRecords(ctx, s.journal, b.First, b.Last, func(e persistence.Entry, r persistence.Record) error {
		if err := custody.Apply(e, r); err != nil {
			return err
		}
		if f, ok := r.(*persistence.Frame); ok {
			if err := tail.Add(e.Seq, f); err != nil {
				return err
			}
		}
		events, err := persistence.EventsIn(e.Seq, r)
		for i := range events {
			s.fold(books, &events[i])
			each(e.Seq, books)
		}
		each(e.Seq, books)
		return err
	})
	if err != nil {
		s.fail(nil, "I6, I7: "+err.Error())
	}
}

func (s *sim) fold(books map[engine.AggregateID]simBook, c *persistence.Committed) {
	b := books[c.Aggregate]
	if b == nil {
		b = simBook{}
		books[c.Aggregate] = b
	}
	var id engine.ReservationID
	switch e := c.Event.Body.(type) {
	case *enginepb.Event_ReservationCreated:
		r := e.ReservationCreated.Reservation
		id = engine.ReservationID(r.Id)
		if b[id] != nil {
			s.fail(nil, "I5: reservation "+r.Id+" is created twice")
		}
		b[id] = proto.Clone(r).(*enginepb.Reservation)
	case *enginepb.Event_ReservationStatusChanged:
		id = engine.ReservationID(e.ReservationStatusChanged.Id)
		b[id].Status = e.ReservationStatusChanged.Status
	case *enginepb.Event_ReservationRescheduled:
		x := e.ReservationRescheduled
		id = engine.ReservationID(x.Id)
		b[id].TableIds, b[id].StartsAt, b[id].EndsAt = x.TableIds, x.StartsAt, x.EndsAt
	default:
		return
	}
	if b.overlaps(id) {
		s.fail(nil, "I2: "+string(id)+" shares a table")
	}
}

// verify compares what the clients wrote down with the journal (I1–I7).
func (s *sim) verify() {
	var last map[engine.AggregateID]simBook
	s.replay(func(seq persistence.Seq, books map[engine.AggregateID]simBook) {
		last = books
		for _, r := range s.full {
			if r.from <= seq && seq <= r.to && !r.held {
				from := startOf(r.op.minute)
				r.held = books[r.op.restaurant].taken(from, from+90*60) == simTables
			}
		}
	})
	for _, r := range s.full {
		s.counts["full house"]++
		if !r.held {
			s.fail(r.op, "I3: refused, and no prefix between question and answer was full")
		}
	}
	for _, op := range s.ops {
		s.verifyOp(op, last[op.restaurant])
	}
	for _, b := range last {
		for _, r := range b {
			if r.Status == enginepb.Status_STATUS_NO_SHOW {
				s.counts["no-show by timer"]++
			}
		}
	}
}

func (s *sim) verifyOp(op *simOp, book simBook) {
	if op.cancels != nil {
		if r := book[op.cancels.made]; op.done && r.Status != enginepb.Status_STATUS_CANCELLED {
			s.fail(op, "I1: an acknowledged cancellation is lost")
		}
		return
	}
	made := 0
	for try := range op.tries {
		if book[reservationOf(op.restaurant, uint64(op.n)<<16|uint64(try))] != nil {
			made++
		}
	}
	switch {
	case op.done && (made != 1 || book[op.made] == nil):
		s.fail(op, "I1: an acknowledged reservation is in the journal not exactly once")
	case made > 1:
		s.fail(op, "I5: one key, more than one reservation")
	case op.refused != 0 && !op.done && made != 0:
		s.fail(op, "I3: what was refused is in the journal")
	case made > 0 && !op.done && !op.unknown:
		s.fail(op, "I3: surely not done, they said, and it is in the journal")
	}
}

func startOf(minute int) int64 {
	return int64(day)*86400 + int64(minute)*60 - 3600 // Rome in November
}

// read asks for a strong read: it must show all that was acknowledged before, and nothing that the journal does not have.
func (s *sim) read() {
	id := s.ids[s.rng.IntN(len(s.ids))]
	s.mu.Lock()
	var acked []engine.ReservationID
	for _, op := range s.ops {
		if op.done && op.cancels == nil && op.restaurant == id {
			acked = append(acked, op.made)
		}
	}
	epoch, house := s.epoch, s.house
	s.mu.Unlock()
	s.gone.Go(func() {
		v, err := house.View(id, time.Now().Add(5*time.Second))
		s.mu.Lock()
		stale := s.epoch != epoch
		s.mu.Unlock()
		if err != nil || stale {
			return
		}
		s.compare(id, v.View.(*engine.RestaurantView), acked)
	})
}

func (s *sim) compare(id engine.AggregateID, v *engine.RestaurantView, acked []engine.ReservationID) {
	for _, want := range acked {
		if v.Reservation(want) == nil {
			s.fail(nil, "I10: a read misses "+string(want)+", which was acknowledged before")
		}
	}
	var book simBook
	s.replay(func(_ persistence.Seq, books map[engine.AggregateID]simBook) { book = books[id] })
	for _, r := range v.DaySheet(day, nil) {
		if book[r.ID] == nil {
			s.fail(nil, "a read shows "+string(r.ID)+", which is not in the journal")
		}
	}
	s.mu.Lock()
	s.counts["strong read"]++
	s.mu.Unlock()
}
