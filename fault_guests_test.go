package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// seedOf is MAITRED_SEED, or a new one; it is printed either way.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("MAITRED_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("MAITRED_SEED %q: %v", s, err)
		}
		seed = n
	}
	fmt.Printf("%s: MAITRED_SEED=%d\n", t.Name(), seed)
	return seed
}

// long tells whether the long form is asked for.
func long() bool { return os.Getenv("MAITRED_FAULTS") == "long" }

// times is how often a fault is injected: short or, in the long form, the variable or its default.
func times(t *testing.T, short int, variable string, def int) int {
	t.Helper()
	if !long() {
		return short
	}
	s := os.Getenv(variable)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s %q: %v", variable, s, err)
	}
	return n
}

// patrons is the guests: each asks for one thing at a time and writes down what it was told.
type patrons struct {
	w      *world
	l      *ledger
	guests []*guest
	round  int
	rest   time.Duration // between two operations of a guest; 0 = none

	stubborn bool // guests go on when no answer came
	keyless  bool // one reservation in eight is asked for without a key
	queues   bool // one operation in three is about one evening, which is full soon, or its waitlist

	found, absent int // operations of unknown outcome that had been done, and that had not
}

type guest struct {
	n     int
	token string
	rng   *rand.Rand
	own   []string // reservations that it may cancel or move
	waits []string // its places on the waitlist
}

func newPatrons(s *server, w *world, l *ledger, seed uint64, n int) *patrons {
	c := &patrons{w: w, l: l}
	for i, token := range s.tokens("customer", n) {
		c.guests = append(c.guests, &guest{n: i, token: token, rng: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	return c
}

// run lets the guests ask until ctx ends or the server does not answer them.
func (c *patrons) run(ctx context.Context, addr string) {
	a := newAPI(addr, len(c.guests))
	defer a.close()
	var wg sync.WaitGroup
	for _, g := range c.guests {
		wg.Go(func() {
			for ctx.Err() == nil && c.ask(a, g) {
				if c.rest > 0 {
					select {
					case <-ctx.Done():
					case <-time.After(c.rest):
					}
				}
			}
		})
	}
	wg.Wait()
}

// ask is one operation; false when no answer came.
func (c *patrons) ask(a *api, g *guest) bool {
	o := c.think(g)
	c.send(a, g, o)
	c.l.record(o, c.round)
	if o.Verdict == acknowledged {
		g.remember(o)
		if g.rng.IntN(8) == 0 {
			c.reread(a, g, o)
		}
	}
	if o.Verdict == notDone || o.Fault != "" {
		pause(pollEvery)
	}
	return o.Fault == "" || c.stubborn
}

// reread asks for what was just acknowledged: a guest sees its own writes at once.
func (c *patrons) reread(a *api, g *guest, o *op) {
	got, err := a.do(request{method: "GET", path: "/reservations/" + o.Answer.ID, token: g.token})
	if undecided(got, err) {
		return
	}
	var now kept
	if got.status != 200 || json.Unmarshal(got.body, &now) != nil || !now.follows(o.Answer) {
		c.l.remark("operation %d was answered %+v; read at once: %d %s", o.N, *o.Answer, got.status, got.body)
	}
}

// follows tells whether a reservation that was old, as far as the guest knows, may be k now, when nobody has asked for anything since.
func (k *kept) follows(old *kept) bool {
	if !old.drifts() || k.Version == old.Version {
		return *k == *old
	}
	return k.Version > old.Version && k.ID == old.ID && k.Restaurant == old.Restaurant && k.Guests == old.Guests && k.Date == old.Date && k.Requests == old.Requests && driftsTo(old.Status, k.Status)
}

// think makes up the guest's next operation: mostly a new reservation, else a change of one that it has.
func (c *patrons) think(g *guest) *op {
	n := c.l.number()
	o := &op{N: n, Guest: g.n, Key: "key-" + strconv.FormatInt(n, 10)}
	restaurant, date, slot, guests := c.w.want(g.rng)
	if c.queues && g.rng.IntN(3) == 0 {
		restaurant, date = c.w.places[0].id, day(3)
		if g.rng.IntN(2) == 0 {
			return c.queue(g, o, map[string]any{"date": date, "time_slot": slot, "until": c.w.slots[len(c.w.slots)-1], "guests_count": guests, "special_requests": mark(n)})
		}
	}
	dice := g.rng.IntN(100)
	if dice < 70 || len(g.own) == 0 {
		o.Method, o.Path = "POST", "/reservations"
		o.Body = map[string]any{"restaurant_id": restaurant, "date": date, "time_slot": slot, "guests_count": guests, "special_requests": mark(n)}
		if c.keyless && n%8 == 0 {
			o.Key = ""
		}
		return o
	}
	o.Reservation = g.own[g.rng.IntN(len(g.own))]
	c.l.mu.Lock()
	o.Was = c.l.books[o.Reservation].last
	c.l.mu.Unlock()
	if dice < 85 {
		o.Method, o.Path = "POST", "/reservations/"+o.Reservation+"/cancel"
		return o
	}
	o.Method, o.Path, o.IfMatch = "PATCH", "/reservations/"+o.Reservation, fmt.Sprintf("%q", strconv.FormatUint(o.Was.Version, 10))
	o.Body = map[string]any{"date": date, "time_slot": slot, "guests_count": guests}
	return o
}

// queue is an operation about the waitlist: joining it, saying yes to an offer that may not be there, leaving it.
func (c *patrons) queue(g *guest, o *op, wish map[string]any) *op {
	dice := g.rng.IntN(100)
	if dice < 40 || len(g.waits) == 0 {
		o.Method, o.Path, o.Body = "POST", "/restaurants/"+c.w.places[0].id+"/waitlist", wish
		return o
	}
	o.Reservation = g.waits[g.rng.IntN(len(g.waits))]
	c.l.mu.Lock()
	o.Was = c.l.books[o.Reservation].last
	c.l.mu.Unlock()
	o.Method, o.Path = "POST", "/waitlist/"+o.Reservation+"/accept"
	if dice > 85 {
		o.Path = "/reservations/" + o.Reservation + "/cancel"
	}
	return o
}

const mostOwn = 64

// remember keeps what the guest may change later. A reservation with an operation of unknown outcome is left alone.
func (g *guest) remember(o *op) {
	id := o.Answer.ID
	known := slices.Contains(g.own, id)
	switch {
	case o.Answer.drifts():
		g.waits = append(g.waits, id)
	case o.Answer.Status != "confirmed":
		g.forget(id)
	case !known:
		g.forget(id)
		if len(g.own) < mostOwn {
			g.own = append(g.own, id)
		}
	}
}

func (g *guest) forget(id string) {
	is := func(own string) bool { return own == id }
	g.own, g.waits = slices.DeleteFunc(g.own, is), slices.DeleteFunc(g.waits, is)
}

// send asks the server and fills in the verdict.
func (c *patrons) send(a *api, g *guest, o *op) {
	o.Begun = c.l.since()
	got, err := a.do(request{method: o.Method, path: o.Path, token: g.token, key: o.Key, ifMatch: o.IfMatch, body: o.Body, within: 15 * time.Second})
	o.Ended = c.l.since()
	o.judge(got, err)
	if o.Verdict == unknown && !o.isCreate() {
		g.forget(o.Reservation)
	}
}

func (o *op) judge(got answer, err error) {
	o.Status, o.Answer, o.Fault = got.status, nil, ""
	switch {
	case err != nil:
		o.Verdict, o.Fault = unknown, err.Error()
	case got.status == 504:
		o.Verdict = unknown
	case got.status == 503 || got.status == 429:
		o.Verdict = notDone
	case got.status == 200 || got.status == 201:
		o.Verdict, o.Answer = acknowledged, &kept{}
		if err := json.Unmarshal(got.body, o.Answer); err != nil || o.Answer.ID == "" {
			o.Verdict, o.Fault = unknown, fmt.Sprintf("an answer that cannot be read: %v: %s", err, got.body)
		}
	case got.status == 409:
		o.Verdict = refused
	default:
		o.Verdict, o.Fault = refused, fmt.Sprintf("unexpected %d: %s", got.status, got.body)
	}
}
