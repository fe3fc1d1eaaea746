package main

import (
	"fmt"
	"math/bits"
	"strconv"
)

var (
	tableMember  = []byte(`"table_id":"`)
	startMember  = []byte(`"starts_at":"`)
	statusMember = []byte(`"status":"`)
)

// checkResult says what became of the acknowledged reservations after a restart.
type checkResult struct {
	Acknowledged int      `json:"acknowledged"`
	Found        int      `json:"found"`
	Lost         int      `json:"lost"`
	Doubled      int      `json:"doubled"`
	Unavailable  int      `json:"unavailable"` // of the lost ones: the server would not say now
	Examples     []string `json:"examples,omitempty"`
}

// checker compares the server's answers with the ledger. Lost: not 200, another id, or not confirmed any more. Doubled: one
// id or key acknowledged twice, or one table promised twice for the same start (all starts are two hours apart, so
// reservations of a table overlap only when they start together).
type checker struct {
	acks   []ack
	places map[string]int
	result checkResult
}

func newChecker(acks []ack) *checker {
	c := &checker{acks: acks, places: make(map[string]int, len(acks)), result: checkResult{Acknowledged: len(acks)}}
	ids, keys := make(map[string]bool, len(acks)), make(map[string]bool, len(acks))
	for i, a := range acks {
		if ids[a.id] || keys[a.key] {
			c.doubled(i, "id or key is twice in the ledger")
		}
		ids[a.id], keys[a.key] = true, true
	}
	return c
}

func (c *checker) answer(i int, a answer) {
	want := c.acks[i].id
	if a.status != 200 || string(member(a.body, idMember)) != want || string(member(a.body, statusMember)) != "confirmed" {
		c.result.Lost++
		if a.status == 503 {
			c.result.Unavailable++
		}
		c.example(fmt.Sprintf("%s: status %d: %.160s", want, a.status, a.body))
		return
	}
	c.result.Found++
	place := string(member(a.body, tableMember)) + " " + string(member(a.body, startMember))
	if first, taken := c.places[place]; taken {
		c.doubled(i, "table and start as of "+c.acks[first].id)
		return
	}
	c.places[place] = i
}

func (c *checker) doubled(i int, why string) {
	c.result.Doubled++
	c.example(c.acks[i].id + " doubled: " + why)
}

func (c *checker) example(text string) {
	if len(c.result.Examples) < 5 {
		c.result.Examples = append(c.result.Examples, text)
	}
}

// report ends the run.
func (g *generator) report() *loadResult {
	r := &g.result
	r.Status = map[string]int{}
	for code, n := range g.status {
		if n > 0 {
			r.Status[strconv.Itoa(code)] = n
			r.Requests += n
		}
	}
	r.Created = g.status[201]
	r.P50, r.P99, r.Max = g.book.ValueAtQuantile(50), g.book.ValueAtQuantile(99), g.book.Max()
	r.ReadP50, r.ReadP99 = g.read.ValueAtQuantile(50), g.read.ValueAtQuantile(99)
	r.ReadMax = g.read.Max()
	r.Restaurants, r.Tokens = g.work.used.restaurants.count(), g.work.used.tokens.count()
	r.Next, r.Exhausted = g.work.next, g.ended
	if g.check != nil {
		// What was never answered is not found either.
		g.check.result.Lost += len(g.check.acks) - g.check.result.Found - g.check.result.Lost
		r.Check = &g.check.result
	}
	return r
}

func (s bitset) count() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}
