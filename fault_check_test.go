package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"maitred/persistence"
)

// settle repeats every operation of unknown outcome with its key until it is decided, and what is acknowledged then once more:
// the answer must be the same one. A refusal leaves no receipt: asked again it may be decided otherwise, since others were
// served meanwhile.
func (c *patrons) settle(addr string, y *tally) {
	a := newAPI(addr, 16)
	defer a.close()
	open := slices.DeleteFunc(c.l.open(), func(o *op) bool { return o.Key == "" }) // nobody can ask again: it was done once or never
	var mu sync.Mutex
	each(16, len(open), func(i int) {
		o := *open[i]
		first := c.repeat(a, &o)
		again, second := o, first
		if o.Verdict == acknowledged {
			second = c.repeat(a, &again)
		}
		mu.Lock()
		defer mu.Unlock()
		c.compareRepeats(y, &o, &again, first, second)
		c.l.record(&o, c.round)
	})
}

// repeat asks again with the same key until there is an answer that decides.
func (c *patrons) repeat(a *api, o *op) answer {
	deadline := time.Now().Add(readyWithin)
	for {
		got, err := a.do(request{method: o.Method, path: o.Path, token: c.guests[o.Guest].token, key: o.Key, ifMatch: o.IfMatch, body: o.Body})
		o.judge(got, err)
		o.Ended = c.l.since()
		if o.Verdict == acknowledged || o.Verdict == refused || time.Now().After(deadline) {
			return got
		}
		pause(5 * pollEvery)
	}
}

func (c *patrons) compareRepeats(y *tally, o, again *op, first, second answer) {
	if first.replayed {
		c.found++
	} else {
		c.absent++
	}
	switch {
	case o.Verdict != acknowledged && o.Verdict != refused:
		y.add(&y.wrong, "operation %d: undecided %v after the restart: %d %s", o.N, readyWithin, o.Status, o.Fault)
	case o.Verdict != again.Verdict || first.status != second.status:
		y.add(&y.wrong, "operation %d (%s %s): the key gave %d, then %d: %s / %s", o.N, o.Method, o.Path, first.status, second.status, first.body, second.body)
	case o.Verdict == acknowledged && !again.Answer.follows(o.Answer):
		y.add(&y.doubled, "operation %d (%s %s): the key gave %+v, then %+v", o.N, o.Method, o.Path, *o.Answer, *again.Answer)
	case o.Verdict == acknowledged && !second.replayed:
		y.add(&y.wrong, "operation %d (%s %s): a repetition without Idempotent-Replay", o.N, o.Method, o.Path)
	}
}

// compare asks for reservations by the API: those touched since a round, and one in every of the rest. Each must be what was
// acknowledged last.
func (c *patrons) compare(addr string, y *tally, since, every int) int {
	a := newAPI(addr, 16)
	defer a.close()
	var ids []string
	books := c.l.sample(since, every)
	for id := range books {
		ids = append(ids, id)
	}
	var mu sync.Mutex
	each(16, len(ids), func(i int) {
		b := books[ids[i]]
		mu.Lock()
		enough := len(y.details) >= mostDetails
		mu.Unlock()
		if enough {
			return
		}
		got, err := c.read(a, b)
		mu.Lock()
		defer mu.Unlock()
		var now kept
		switch {
		case err != nil:
			y.add(&y.wrong, "reservation %s cannot be read: %v", ids[i], err)
		case got.status == 404:
			y.add(&y.lost, "reservation %s was acknowledged as %+v and is gone", ids[i], *b.last)
		case got.status != 200:
			y.add(&y.wrong, "reservation %s cannot be read: %d %s", ids[i], got.status, got.body)
		case json.Unmarshal(got.body, &now) != nil:
			y.add(&y.wrong, "reservation %s: %s", ids[i], got.body)
		case now.Version < b.last.Version:
			y.add(&y.lost, "reservation %s went back to %+v from %+v", ids[i], now, *b.last)
		case !now.follows(b.last):
			y.add(&y.wrong, "reservation %s is %+v, acknowledged was %+v", ids[i], now, *b.last)
		}
	})
	return len(ids)
}

func (c *patrons) read(a *api, b *book) (answer, error) {
	return persist(a, request{method: "GET", path: "/reservations/" + b.last.ID, token: c.guests[b.guest].token})
}

// persist repeats a request until it is decided.
func persist(a *api, r request) (answer, error) {
	deadline := time.Now().Add(readyWithin)
	for {
		got, err := a.do(r)
		if !undecided(got, err) || time.Now().After(deadline) {
			return got, err
		}
		pause(5 * pollEvery)
	}
}

// oddities are answers that no fault excuses.
func (c *patrons) oddities(y *tally) {
	for _, o := range c.l.final() {
		if o.Verdict == refused && o.Fault != "" {
			y.add(&y.wrong, "operation %d (%s %s %v): %s", o.N, o.Method, o.Path, o.Body, o.Fault)
		}
	}
	for _, odd := range c.l.odd {
		y.add(&y.wrong, "%s", odd)
	}
}

// fact is what one event of the journal says of one reservation.
type fact struct {
	seq     uint64
	id      string
	made    bool // ReservationCreated
	offered bool // ReservationOffered
	mark    string
	tables  []string
	from    int64 // Unix seconds; unchanged when tables is nil
	to      int64 // exclusive
	status  string
	blocked bool // does it hold its tables?
}

// state is a reservation as the facts so far leave it.
type state struct {
	fact
	version uint64
}

// shelf is the dumb model that the journal is compared with: it knows reservations, tables and times, and nothing of the engine.
type shelf struct {
	byID    map[string]*state
	byTable map[string]map[string]*state // those that hold the table, by reservation
	byMark  map[string]string
	seal    *persistence.Seal // what the guests asked for is sealed; nil = it is in clear

	claims map[string][]*persistence.Claim // of a node's slot by another node
	moved  int                             // partitions that were given to another node, by a release or with a claim
}

func newShelf() *shelf {
	return &shelf{byID: map[string]*state{}, byTable: map[string]map[string]*state{}, byMark: map[string]string{}, claims: map[string][]*persistence.Claim{}}
}

// put applies a fact; what is impossible is doubled.
func (h *shelf) put(y *tally, f fact) {
	s := h.byID[f.id]
	switch {
	case f.made && s != nil:
		y.add(&y.doubled, "record %d: reservation %s is made twice", f.seq, f.id)
		return
	case f.offered && s != nil && s.status != "waiting":
		y.add(&y.doubled, "record %d: reservation %s, which is %s, is offered a table", f.seq, f.id, s.status)
	case f.offered && s != nil:
		y.offers++
	case !f.made && s == nil:
		y.add(&y.lost, "record %d changes reservation %s, which no record made", f.seq, f.id)
		return
	case f.made:
		if other := h.byMark[f.mark]; other != "" {
			y.add(&y.doubled, "record %d: operation %s made %s and %s", f.seq, f.mark, other, f.id)
		}
		h.byMark[f.mark] = f.id
		s = &state{}
		h.byID[f.id] = s
	}
	for _, table := range s.tables {
		delete(h.byTable[table], f.id)
	}
	f.mark = max(f.mark, s.mark)
	if f.tables == nil {
		f.tables, f.from, f.to = s.tables, s.from, s.to
	}
	if f.blocked && len(f.tables) == 0 {
		y.add(&y.wrong, "record %d: reservation %s is %s at no table", f.seq, f.id, f.status)
	}
	if f.status == "" {
		f.status, f.blocked = s.status, s.blocked
	}
	s.fact, s.version = f, s.version+1
	if f.blocked {
		h.seat(y, s)
	}
}

func (h *shelf) seat(y *tally, s *state) {
	for _, table := range s.tables {
		for _, other := range h.byTable[table] {
			if s.from < other.to && other.from < s.to {
				y.add(&y.doubled, "record %d: table %s has %s [%d, %d) and %s [%d, %d)", s.seq, table, s.id, s.from, s.to, other.id, other.from, other.to)
			}
		}
		if h.byTable[table] == nil {
			h.byTable[table] = map[string]*state{}
		}
		h.byTable[table][s.id] = s
	}
}

// reconcile compares what the guests wrote down with the shelf: acknowledged is there as it was acknowledged, refused is not.
// Operations of unknown outcome are in the shelf or not; settled ones are decided.
func (h *shelf) reconcile(y *tally, l *ledger) {
	for _, o := range l.final() {
		if !o.isCreate() {
			continue
		}
		id := h.byMark[mark(o.N)]
		switch {
		case o.Verdict == acknowledged && id == "":
			y.add(&y.lost, "operation %d was acknowledged as %s and is not in the journal", o.N, o.Answer.ID)
		case o.Verdict == acknowledged && id != o.Answer.ID:
			y.add(&y.doubled, "operation %d was acknowledged as %s and the journal has %s", o.N, o.Answer.ID, id)
		case (o.Verdict == refused || o.Verdict == notDone) && id != "":
			y.add(&y.wrong, "operation %d was answered %d %q and the journal has %s", o.N, o.Status, o.Verdict, id)
		}
	}
	unsettled := map[string]bool{}
	for _, o := range l.open() {
		unsettled[o.Reservation] = true
	}
	for id, b := range l.sample(0, 1) {
		s := h.byID[id]
		if s == nil {
			continue // counted above
		}
		problem := fmt.Sprintf("reservation %s is %s, version %d on %v in the journal; acknowledged was %+v", id, s.status, s.version, s.tables, *b.last)
		switch {
		case s.version < b.last.Version:
			y.add(&y.lost, "%s", problem)
		case s.version > b.last.Version && !unsettled[id] && !(b.last.drifts() && driftsTo(b.last.Status, s.status)):
			y.add(&y.wrong, "%s", problem)
		case s.version == b.last.Version && (s.status != b.last.Status || (s.blocked && (len(s.tables) == 0 || s.tables[0] != b.last.Table))):
			y.add(&y.wrong, "%s", problem)
		}
	}
}
