package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// The history of each table and service day as guests and staff saw it must be one that a single table could have had, with each operation at
// one moment between its request and its answer. What was answered 503 did nothing; what got no answer may have its moment whenever it
// likes, until a repetition with its key says.

type step uint8

const (
	taking   step = iota // takes the table
	shifting             // stays at it at another time
	leaving              // gives it back
	holding              // read: has it
	vacant               // read: does not have it
)

var stepNames = [...]string{"takes", "shifts", "leaves", "is held by", "is free of"}

// deed is one operation on one table and service day.
type deed struct {
	step     step
	id       string // of the reservation
	from, to int64  // Unix seconds; of taking, shifting and holding
	open     bool   // nobody knows whether it was done
}

func (d deed) String() string {
	return fmt.Sprintf("%s %s [%d, %d) open=%v", stepNames[d.step], d.id, d.from, d.to, d.open)
}

// holder is who has the table, and when.
type holder struct {
	id       string
	from, to int64
}

// tableModel is one table on one service day: who has it when, sorted by reservation.
var tableModel = porcupine.Model{
	Init: func() any { return []holder(nil) },
	Step: func(state, input, _ any) (bool, any) {
		holders, d := state.([]holder), input.(deed)
		return d.after(holders)
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]holder), b.([]holder)) },
}

// after is the table after the deed, and whether the deed is possible.
func (d deed) after(holders []holder) (bool, []holder) {
	at, there := slices.BinarySearchFunc(holders, d.id, func(h holder, id string) int { return cmp.Compare(h.id, id) })
	free := !slices.ContainsFunc(holders, func(h holder) bool { return h.id != d.id && d.from < h.to && h.from < d.to })
	switch d.step {
	case taking:
		if there || !free {
			return false, holders
		}
		return true, slices.Insert(slices.Clone(holders), at, holder{d.id, d.from, d.to})
	case shifting:
		if !there || !free {
			return d.open, holders
		}
		next := slices.Clone(holders)
		next[at] = holder{d.id, d.from, d.to}
		return true, next
	case leaving:
		if !there {
			return d.open, holders
		}
		return true, slices.Delete(slices.Clone(holders), at, at+1)
	case holding:
		return there && holders[at] == holder{d.id, d.from, d.to}, holders
	}
	return !there, holders
}

// chronicle is what happened to each table on each service day.
type chronicle map[string][]porcupine.Operation

func (c chronicle) add(k *kept, d deed, begun, ended time.Duration) {
	if d.open {
		ended = math.MaxInt64
	}
	key := k.Table + " " + k.Date
	c[key] = append(c[key], porcupine.Operation{Input: d, Call: int64(begun), Return: int64(ended)})
}

// take adds an operation as its guest wrote it down last.
func (c chronicle) take(o *op) {
	open := o.Verdict == unknown
	switch now := o.Answer; {
	case o.Verdict != acknowledged && !open, open && o.isCreate(): // a create without an answer: nobody knows at which table
	case open:
		c.add(o.Was, deed{step: leaving, id: o.Reservation, open: true}, o.Begun, o.Ended)
	case o.isCreate():
		c.add(now, now.deed(taking), o.Begun, o.Ended)
	case now.Status != "confirmed":
		c.add(o.Was, now.deed(leaving), o.Begun, o.Ended)
	case now.Table == o.Was.Table && now.Date == o.Was.Date:
		c.add(now, now.deed(shifting), o.Begun, o.Ended)
	default:
		c.add(o.Was, now.deed(leaving), o.Begun, o.Ended)
		c.add(now, now.deed(taking), o.Begun, o.Ended)
	}
}

// read adds what somebody was shown.
func (c chronicle) read(g *glance) {
	d := g.seen.deed(holding)
	if g.seen.Status != "confirmed" {
		d.step = vacant
	}
	c.add(g.seen, d, g.begun, g.ended)
}

func (k *kept) deed(s step) deed {
	d := deed{step: s, id: k.ID}
	for _, t := range []struct {
		text string
		at   *int64
	}{{k.StartsAt, &d.from}, {k.EndsAt, &d.to}} {
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			panic(fmt.Sprintf("reservation %s: %v", k.ID, err)) // the API's document promises it
		}
		*t.at = at.Unix()
	}
	return d
}

const linearWithin = 20 * time.Second // for one table and day

// judge reports every table and day whose history no single table could have had.
func (c chronicle) judge(y *tally) (tables, deeds int) {
	var keys []string
	for key, ops := range c {
		keys = append(keys, key)
		deeds += len(ops)
	}
	slices.Sort(keys)
	var mu sync.Mutex
	each(2, len(keys), func(i int) {
		ops := c[keys[i]]
		if r := porcupine.CheckOperationsTimeout(tableModel, ops, linearWithin); r != porcupine.Ok {
			mu.Lock()
			defer mu.Unlock()
			y.add(&y.wrong, "table and day %s: %s within %v: %s", keys[i], r, linearWithin, tell(ops))
		}
	})
	return len(keys), deeds
}

func tell(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "\n  %v to %v: %s", time.Duration(o.Call), time.Duration(o.Return), o.Input)
	}
	return b.String()
}

// glance is a strong read by staff.
type glance struct {
	seen         *kept
	begun, ended time.Duration
}

// staff read reservations that were just made or changed, by way of all nodes, until the returned function is called.
func staff(addr, token string, l *ledger, seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	for n := range 4 {
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			a := newAPI(addr, 1)
			defer a.close()
			for ; ctx.Err() == nil; pause(pollEvery / 4) {
				if id := l.recent(rng); id != "" {
					l.glance(a, token, id)
				}
			}
		})
	}
	return func() { cancel(); reading.Wait() }
}

// recent is a reservation that was touched a moment ago; empty when there is none.
func (l *ledger) recent(rng *rand.Rand) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ops) == 0 {
		return ""
	}
	if o := l.ops[len(l.ops)-1-rng.IntN(min(len(l.ops), 64))]; o.Verdict == acknowledged {
		return o.Answer.ID
	}
	return ""
}

func (l *ledger) glance(a *api, token, id string) {
	begun := l.since()
	got, err := a.do(request{method: "GET", path: "/reservations/" + id, token: token, within: 5 * time.Second})
	ended := l.since()
	if undecided(got, err) {
		return
	}
	seen := &kept{}
	if got.status != 200 || json.Unmarshal(got.body, seen) != nil {
		l.remark("reservation %s was acknowledged; staff read: %d %s", id, got.status, got.body)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.glances = append(l.glances, &glance{seen, begun, ended})
}

// linear checks the histories of all tables.
func (l *ledger) linear(y *tally) string {
	c := chronicle{}
	for _, o := range l.final() {
		c.take(o)
	}
	for _, g := range l.glances {
		c.read(g)
	}
	tables, deeds := c.judge(y)
	return fmt.Sprintf("table_days=%d deeds=%d of them reads=%d", tables, deeds, len(l.glances))
}

// TestLinearFindsWhatIsWrong plants one violation of each kind, and shows that the same history without it passes.
func TestLinearFindsWhatIsWrong(t *testing.T) {
	at := func(d deed, call, done int64) porcupine.Operation {
		return porcupine.Operation{Input: d, Call: call, Return: done}
	}
	a, b := deed{taking, "a", 100, 200, false}, deed{taking, "b", 150, 250, false}
	gone, seen := deed{step: leaving, id: "a"}, deed{holding, "a", 100, 200, false}
	open := deed{step: leaving, id: "a", open: true}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"one after the other":                 {[]porcupine.Operation{at(a, 1, 2), at(gone, 3, 4), at(b, 5, 6)}, true},
		"doubled":                             {[]porcupine.Operation{at(a, 1, 2), at(b, 3, 4)}, false},
		"doubled at once":                     {[]porcupine.Operation{at(a, 1, 4), at(b, 2, 3)}, false},
		"given while it is given back":        {[]porcupine.Operation{at(a, 1, 2), at(gone, 3, 6), at(b, 4, 5)}, true},
		"given before it was given back":      {[]porcupine.Operation{at(a, 1, 2), at(gone, 5, 6), at(b, 3, 4)}, false},
		"read":                                {[]porcupine.Operation{at(a, 1, 2), at(seen, 3, 4)}, true},
		"read before it was there":            {[]porcupine.Operation{at(seen, 1, 2), at(a, 3, 4)}, false},
		"stale read":                          {[]porcupine.Operation{at(a, 1, 2), at(gone, 3, 4), at(seen, 5, 6)}, false},
		"lost":                                {[]porcupine.Operation{at(a, 1, 2), at(deed{step: vacant, id: "a"}, 3, 4)}, false},
		"back and forth":                      {[]porcupine.Operation{at(a, 1, 2), at(gone, 3, 9), at(deed{step: vacant, id: "a"}, 4, 5), at(seen, 6, 7)}, false},
		"shifted onto another one":            {[]porcupine.Operation{at(a, 1, 2), at(deed{taking, "b", 300, 400, false}, 3, 4), at(deed{shifting, "b", 150, 250, false}, 5, 6)}, false},
		"nobody knows, and it was done":       {[]porcupine.Operation{at(a, 1, 2), at(open, 3, math.MaxInt64), at(b, 5, 6)}, true},
		"nobody knows, and it was not":        {[]porcupine.Operation{at(a, 1, 2), at(open, 3, math.MaxInt64), at(seen, 5, 6)}, true},
		"nobody knows, but done before asked": {[]porcupine.Operation{at(a, 1, 2), at(b, 3, 4), at(open, 5, math.MaxInt64)}, false},
		"nobody knows, but both cannot be":    {[]porcupine.Operation{at(a, 1, 2), at(open, 3, math.MaxInt64), at(b, 5, 6), at(seen, 7, 8)}, false},
	} {
		y := &tally{}
		chronicle{"table": c.ops}.judge(y)
		require.Equal(t, c.want, y.wrong == 0, name)
	}
}
