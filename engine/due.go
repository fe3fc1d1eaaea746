package engine

import "cmp"

// dueHeap is a binary heap of the reservations by what is done with them if nobody does anything before. Entries that no longer hold are
// dropped when they reach the top, and all at once when they outnumber the others.
type dueHeap []dueEntry

type dueEntry struct {
	at  Instant
	key uint64
}

// dueOf is when the book itself does something with a reservation; 0 = never. Who was confirmed is reminded, and is a no-show some time after
// the start; who was not confirmed by the start expires, so does a hold, and who waits after the last start that suits.
func (b *book) dueOf(r *Reservation) Instant {
	switch r.Status {
	case StatusHeld:
		return r.HoldUntil
	case StatusWaiting:
		return Instant(r.Waiting.Until * msPerSec)
	case StatusConfirmed:
		if at := r.nextReminder(); at != 0 {
			return at
		}
		return b.noShowAt(r)
	case StatusPending:
		return Instant(r.StartsAt * msPerSec)
	}
	return 0
}

func (b *book) noShowAt(r *Reservation) Instant {
	return Instant(r.StartsAt*msPerSec + b.rules.noShowMs())
}

func (e dueEntry) compare(o dueEntry) int {
	return cmp.Or(cmp.Compare(e.at, o.at), cmp.Compare(e.key, o.key))
}

func (e dueEntry) holds(b *book) bool {
	r, ok := b.resv.get(e.key)
	return ok && b.dueOf(r) == e.at
}

func (h *dueHeap) push(e dueEntry) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].compare(s[i]) <= 0 {
			return
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *dueHeap) pop() {
	s := *h
	n := len(s) - 1
	s[0] = s[n]
	*h = s[:n]
	for i := 0; ; {
		least := i
		for kid := 2*i + 1; kid <= 2*i+2 && kid < n; kid++ {
			if s[kid].compare(s[least]) < 0 {
				least = kid
			}
		}
		if least == i {
			return
		}
		s[least], s[i] = s[i], s[least]
		i = least
	}
}

// tidy makes the top an entry that holds.
func (h *dueHeap) tidy(b *book) {
	for len(*h) > 0 && !(*h)[0].holds(b) {
		h.pop()
	}
	if len(*h) > 2*(b.live+len(b.waits))+64 {
		h.fill(b)
	}
}

// fill makes the heap anew.
func (h *dueHeap) fill(b *book) {
	*h = (*h)[:0]
	b.resv.walk(func(key uint64, r *Reservation) {
		if at := b.dueOf(r); at != 0 {
			h.push(dueEntry{at, key})
		}
	})
}

// until appends the first entries that hold and are due at or before at, in order, up to max.
func (h dueHeap) until(b *book, at Instant, max int) []dueEntry {
	var out []dueEntry
	frontier := frontier{heap: h}
	if len(h) > 0 {
		frontier.push(0)
	}
	for len(frontier.at) > 0 && len(out) < max {
		i := frontier.pop()
		e := h[i]
		if e.at > at {
			break
		}
		for kid := 2*i + 1; kid <= 2*i+2 && kid < len(h); kid++ {
			frontier.push(kid)
		}
		if e.holds(b) && (len(out) == 0 || out[len(out)-1] != e) {
			out = append(out, e)
		}
	}
	return out
}

// frontier holds positions of a heap whose parents have been seen, least entry last.
type frontier struct {
	heap dueHeap
	at   []int
}

func (f *frontier) push(i int) {
	f.at = append(f.at, i)
	for j := len(f.at) - 1; j > 0 && f.heap[f.at[j-1]].compare(f.heap[f.at[j]]) < 0; j-- {
		f.at[j-1], f.at[j] = f.at[j], f.at[j-1]
	}
}

func (f *frontier) pop() int {
	i := f.at[len(f.at)-1]
	f.at = f.at[:len(f.at)-1]
	return i
}
