package engine

import (
	"errors"
	"fmt"
	"slices"
)

// CheckInvariants looks at the whole state, for tests: O(n), with its own arithmetic. Numbers are those of doc.go.
func CheckInvariants(a Aggregate) error {
	switch a := a.(type) {
	case *restaurant:
		return errors.Join(a.checkReservations(), a.checkBits(), a.checkSheets(), a.checkLedger(), a.checkWaitlist())
	case *account:
		return errors.Join(a.receipts.check(), broken(len(a.sessions) <= MaxSessions, "I9: %d sessions", len(a.sessions)),
			broken(len(a.keys) <= MaxAPIKeys, "I9: %d keys", len(a.keys)),
			broken(a.factor == nil || len(a.factor.Recovery) <= MaxRecoveryCodes, "I9: too many recovery codes"),
			broken(a.info != nil || a.factor == nil && a.keys == nil, "I5: a factor or keys of no account"))
	}
	return fmt.Errorf("engine: unknown aggregate %T", a)
}

// CheckViewInvariants is CheckInvariants for a view of a restaurant.
func CheckViewInvariants(v *RestaurantView) error {
	b := v.book
	return errors.Join(b.checkReservations(), b.checkBits(), b.checkSheets(), broken(b.own == nil && b.led == nil, "I11: a view is not frozen"))
}

func broken(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf("engine: "+format, args...)
}

func (b *book) checkReservations() (err error) {
	live, n := 0, 0
	b.resv.walk(func(key uint64, r *Reservation) {
		n++
		own, ok := ownPart(string(r.ID))
		err = errors.Join(err,
			broken(ok && own == key, "I5: %s is kept under %d", r.ID, key),
			broken(r.StartsAt < r.EndsAt && r.StartsAt > 0, "I2: %s has no interval", r.ID),
			broken(r.Version >= 1 && Instant(r.Created) <= r.Updated && r.Updated <= b.last, "I4: %s has version %d", r.ID, r.Version),
			broken((len(r.Tables) >= 1 || r.Waiting != nil && !blocks(r.Status)) && len(r.Tables) <= MaxTablesPerParty, "I9: %s has %d tables", r.ID, len(r.Tables)))
		if blocks(r.Status) {
			live++
			for _, t := range r.Tables {
				err = errors.Join(err, broken(b.floor.table(t) != nil, "I3: %s is on unknown table %s", r.ID, t))
			}
		} else if r.Status == StatusWaiting {
			err = errors.Join(err, broken(slices.Contains(b.waits, r) && len(r.Tables) == 0, "I7: %s does not wait", r.ID))
		} else {
			err = errors.Join(err, broken(forgottenOn(r) > utcDay(b.last), "I9: %s is not forgotten", r.ID))
		}
	})
	held, waiting := 0, 0
	b.resv.walk(func(_ uint64, r *Reservation) {
		if r.Status == StatusWaiting {
			waiting++
		}
		if r.Status == StatusHeld {
			held++
			err = errors.Join(err, broken(slices.Contains(b.holds, r), "I7: %s is not on the list of holds", r.ID))
		}
	})
	err = errors.Join(err, broken(held == len(b.holds) && slices.IsSortedFunc(b.holds, byExpiry), "I7: the list of holds is another"),
		broken(waiting == len(b.waits) && slices.IsSortedFunc(b.waits, byJoining), "I7: the waitlist is another"))
	for i, m := range b.members {
		err = errors.Join(err, broken(i == 0 || b.members[i-1].Account < m.Account, "I7: staff out of order"),
			broken(hirable(m.Role) && m.Version >= 1, "I4: %s is an impossible member", m.Account))
	}
	return errors.Join(err, broken(b.info == nil || b.info.Ratings.possible(), "I5: impossible ratings"),
		broken(live == b.live && n == b.resv.len(), "I9: counted %d live of %d, kept %d of %d", live, n, b.live, b.resv.len()),
		broken(live <= MaxLive && n <= MaxReservations && len(b.floor.list) <= MaxTables && len(b.members) <= MaxStaff, "I9: a bound is exceeded"))
}

// checkWaitlist finds who could be offered something, unless the last command says that there is more to offer.
func (b *book) checkWaitlist() (err error) {
	if len(b.holds) >= MaxHolds || b.live >= MaxLive {
		return nil
	}
	for _, r := range b.waits {
		q := r.waits(b.last)
		if b.owing || b.holdsOf(r.Guest) >= MaxHoldsPerGuest {
			continue
		}
		_, tables := b.firstFree(&q, r, r.Waiting.Until)
		err = errors.Join(err, broken(tables == nil, "I14: %s waits for a table that is free", r.ID))
	}
	return err
}

// checkBits compares the occupancy with a plain map.
func (b *book) checkBits() (err error) {
	type cell struct {
		tick int64
		slot int
	}
	held := map[cell]ReservationID{}
	b.resv.walk(func(_ uint64, r *Reservation) {
		if !blocks(r.Status) {
			return
		}
		for _, t := range r.Tables {
			for at := r.StartsAt; at < r.EndsAt+int64(r.BufferMin)*60; at += tickSec {
				c := cell{at / tickSec, b.floor.slot(t)}
				if other, taken := held[c]; taken {
					err = errors.Join(err, fmt.Errorf("engine: I1: %s and %s hold %s at %d", r.ID, other, t, at))
				}
				held[c] = r.ID
			}
		}
	})
	total := 0
	b.busy.walk(func(key uint64, c *chunk) {
		set := 0
		for i, w := range c.rows {
			for bit := range 64 {
				if w>>bit&1 == 0 {
					continue
				}
				set++
				at := cell{int64(key)*chunkTicks + int64(bit), i}
				if _, ok := held[at]; !ok {
					err = errors.Join(err, fmt.Errorf("engine: I1: slot %d is held at tick %d by nobody", at.slot, at.tick))
				}
			}
		}
		err = errors.Join(err, broken(set == c.set && set > 0, "I1: a chunk counts %d bits, has %d", c.set, set))
		total += set
	})
	return errors.Join(err, broken(total == len(held), "I1: %d bits for %d held ticks", total, len(held)))
}

func (b *book) checkSheets() (err error) {
	n := 0
	b.sheets.walk(func(key uint64, s *sheet) {
		n += len(s.list)
		err = errors.Join(err, broken(len(s.list) > 0, "I7: an empty sheet"),
			broken(slices.IsSortedFunc(s.list, byStart), "I7: sheet %v is out of order", Day(uint32(key))),
			broken(s.version <= b.version, "I7: a sheet of the future"))
		for _, r := range s.list {
			err = errors.Join(err, broken(dayKey(r.Day) == key && b.find(r.ID) == r, "I7: %s is on a wrong sheet", r.ID))
		}
	})
	return errors.Join(err, broken(n == b.resv.len(), "I7: %d on sheets, %d in the book", n, b.resv.len()))
}

func (r *restaurant) checkLedger() (err error) {
	keys, due := 0, Instant(0)
	if r.owing && len(r.waits) > 0 {
		return r.led.receipts.check()
	}
	r.resv.walk(func(key uint64, v *Reservation) {
		if v.Key != (Hash{}) {
			keys++
			kept, ok := r.led.creates[v.Key]
			err = errors.Join(err, broken(ok && kept == key, "I8: %s is not found by its key", v.ID))
		}
		at := Instant(v.StartsAt * msPerSec)
		switch v.Status {
		case StatusConfirmed:
			switch {
			case v.Updated < at-24*3600*msPerSec:
				at -= 24 * 3600 * msPerSec
			case v.Updated < at-2*3600*msPerSec:
				at -= 2 * 3600 * msPerSec
			default:
				at += Instant(r.rules.noShowMs())
			}
		case StatusWaiting:
			at = Instant(v.Waiting.Until * msPerSec)
		case StatusHeld:
			at = v.HoldUntil
		case StatusPending:
		default:
			return
		}
		if due == 0 || at < due {
			due = at
		}
	})
	return errors.Join(err, r.led.receipts.check(),
		broken(keys == len(r.led.creates), "I8: %d keys for %d reservations", len(r.led.creates), keys),
		broken(due == r.NextDue(), "I13: next due is %d, not %d", r.NextDue(), due),
		broken(len(r.led.due) <= 2*(r.live+len(r.waits))+64, "I9: %d timers for %d reservations", len(r.led.due), r.live))
}

func (r *receipts) check() (err error) {
	for i := range r.ring {
		at, ok := r.index[r.ring[i].key]
		err = errors.Join(err, broken(ok && at == i && r.ring[i].key != (Hash{}), "I8: receipt %d is not in the index", i))
	}
	return errors.Join(err, broken(len(r.index) == len(r.ring) && len(r.ring) <= r.max, "I8: %d receipts, %d indexed", len(r.ring), len(r.index)))
}
