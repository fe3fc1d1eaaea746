package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"maitred/actors"
	"maitred/cluster"
)

// movePlan is what would move, and what it costs, as maitred cluster rebalance --json prints it.
type movePlan struct {
	Partitions int           `json:"partitions"` // in all
	PausedMs   int64         `json:"paused_ms"`  // that an operator holds moves back for
	Moves      []plannedMove `json:"moves"`      // in the order of what they cost: cheap ones first
	Nodes      []planNode    `json:"nodes"`
}

// plannedMove has figures of the asked node: what it has folded, since it was started.
type plannedMove struct {
	Partition   int    `json:"partition"`
	From        string `json:"from"`
	To          string `json:"to"`
	Restaurants int    `json:"restaurants"`
	Tail        int    `json:"events_to_read"` // outside a base: the next owner reads them from the journal
	Written     uint64 `json:"events_written"` // how busy it is
}

type planNode struct {
	Name  string `json:"name"`
	Holds int    `json:"holds"`
	Then  int    `json:"then"` // when everything has moved
}

// plan is what the ring wishes of the owners now, or would with other weights.
func (n *Node) plan(weights string) (*movePlan, error) {
	with, err := parseWeights(weights)
	if err != nil {
		return nil, err
	}
	ring, err := n.cell.control.Ring().With(with)
	if err != nil {
		return nil, err
	}
	p := planOf(n.house.Owners(), ring, n.house.Contents())
	p.PausedMs = n.cell.control.Paused().Milliseconds()
	return p, nil
}

func planOf(owners []string, ring *cluster.Ring, contents []actors.Content) *movePlan {
	p := &movePlan{Partitions: len(owners), Moves: []plannedMove{}}
	then := slices.Clone(owners)
	for _, m := range ring.Moves(owners) {
		c := contents[m.Partition]
		then[m.Partition] = m.To
		p.Moves = append(p.Moves, plannedMove{int(m.Partition), m.From, m.To, c.Restaurants, c.Tail, c.Written})
	}
	slices.SortFunc(p.Moves, func(a, b plannedMove) int {
		return cmp.Or(cmp.Compare(a.Written, b.Written), cmp.Compare(a.Partition, b.Partition))
	})
	counts := map[string]*planNode{}
	count := func(name string) *planNode {
		if counts[name] == nil {
			counts[name] = &planNode{Name: name}
		}
		return counts[name]
	}
	for i := range owners {
		count(owners[i]).Holds++
		count(then[i]).Then++
	}
	for _, c := range counts {
		p.Nodes = append(p.Nodes, *c)
	}
	slices.SortFunc(p.Nodes, func(a, b planNode) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// parseWeights reads NAME=WEIGHT,…
func parseWeights(s string) (map[string]uint16, error) {
	weights := map[string]uint16{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		name, number, _ := strings.Cut(part, "=")
		w, err := strconv.ParseUint(number, 10, 16)
		if err != nil || name == "" {
			return nil, fmt.Errorf("--weight %q: NAME=WEIGHT with a weight from 0 to 65535", part)
		}
		weights[name] = uint16(w)
	}
	return weights, nil
}

// cost says what moving it all takes.
func (p *movePlan) cost() string {
	var restaurants, tail int
	for _, m := range p.Moves {
		restaurants += m.Restaurants
		tail += m.Tail
	}
	return fmt.Sprintf("%d of %d partitions with %d restaurants; their next owners read %d events from the journal", len(p.Moves), p.Partitions, restaurants, tail)
}

func (p *movePlan) paused() time.Duration { return time.Duration(p.PausedMs) * time.Millisecond }
