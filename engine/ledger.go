package engine

import (
	"maitred/engine/enginepb"
)

// ledger is what only the writer needs: receipts and timers.
type ledger struct {
	receipts receipts
	creates  map[Hash]uint64 // key of a create → own part of the reservation's id
	due      dueHeap
}

// replace follows book.replace.
func (l *ledger) replace(b *book, old, next *Reservation) {
	switch {
	case old == nil && next.Key != (Hash{}):
		if l.creates == nil {
			l.creates = map[Hash]uint64{}
		}
		_, used := l.creates[next.Key]
		assert(!used, "I8: two reservations of one key")
		l.creates[next.Key] = mustOwnPart(next.ID)
	case next == nil && old.Key != (Hash{}), next != nil && old != nil && old.Key != next.Key: // a key is only ever taken away
		delete(l.creates, old.Key)
	}
	if next != nil {
		if at := b.dueOf(next); at != 0 && (old == nil || b.dueOf(old) != at) {
			l.due.push(dueEntry{at, mustOwnPart(next.ID)})
		}
	}
	l.due.tidy(b)
}

// nextDue is when the first reservation is due; 0 = never.
func (l *ledger) nextDue() Instant {
	if len(l.due) == 0 {
		return 0
	}
	return l.due[0].at
}

// receipt remembers a command that made no reservation.
type receipt struct {
	key, payload Hash
	subject      string
	code         Code
	at           Instant
}

// receipts is a ring in order of time, with an index.
type receipts struct {
	max   int
	ring  []receipt // grows up to max, then first is the oldest
	first int
	index map[Hash]int
}

func (r *receipts) find(key Hash) *receipt {
	if i, ok := r.index[key]; ok {
		return &r.ring[i]
	}
	return nil
}

func (r *receipts) add(e receipt) {
	assert(e.key != (Hash{}), "I8: a receipt without a key")
	if r.index == nil {
		r.index = map[Hash]int{}
	}
	assert(r.find(e.key) == nil, "I8: a key is used twice")
	if len(r.ring) < r.max {
		r.index[e.key] = len(r.ring)
		r.ring = append(r.ring, e)
		return
	}
	delete(r.index, r.ring[r.first].key)
	r.ring[r.first] = e
	r.index[e.key] = r.first
	r.first = (r.first + 1) % r.max
}

// remember takes the receipt of an event, if it has one.
func (r *receipts) remember(e *Event) {
	if p := e.Receipt; p != nil {
		r.add(receipt{hashFrom(p.Key), hashFrom(p.Body), p.Subject, Code(p.Outcome), Instant(e.AtMs)})
	}
}

func (r *receipts) proto() []*enginepb.Receipt {
	out := make([]*enginepb.Receipt, 0, len(r.ring))
	for i := range r.ring {
		e := &r.ring[(r.first+i)%len(r.ring)]
		out = append(out, &enginepb.Receipt{Key: hashBytes(e.key), Body: hashBytes(e.payload),
			Subject: e.subject, AtMs: int64(e.at), Outcome: uint32(e.code)})
	}
	return out
}

func (r *receipts) load(list []*enginepb.Receipt) {
	for _, p := range list {
		r.add(receipt{hashFrom(p.Key), hashFrom(p.Body), p.Subject, Code(p.Outcome), Instant(p.AtMs)})
	}
}

func hasReceipt(cmd *Command) bool { return cmd.Key != (Hash{}) }

// attach puts the command's receipt on the last of its events.
func attach(cmd *Command, events []*Event, subject string, code Code) {
	if !hasReceipt(cmd) || len(events) == 0 {
		return
	}
	events[len(events)-1].Receipt = &enginepb.Receipt{
		Key: hashBytes(cmd.Key), Body: hashBytes(cmd.Payload), Subject: subject, Outcome: uint32(code)}
}
