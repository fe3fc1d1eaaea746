package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"maitred/cluster"
	"maitred/persistence"
)

// cellStatus is what a node knows of the cluster, as maitred cluster status --json prints it.
type cellStatus struct {
	Node       string `json:"node"`       // who says it
	Partitions int    `json:"partitions"` // in all
	ToMove     int    `json:"to_move"`    // that are not where the ring wishes them

	JournalLeader string       `json:"journal_leader"` // whose server decides the order of the journal; empty: none now
	BasesLeader   string       `json:"bases_leader"`   // whose server has the bases; the same one, soon after an election
	Nodes         []nodeStatus `json:"nodes"`
}

type nodeStatus struct {
	Name    string   `json:"name"`
	State   string   `json:"state"`           // serving, draining, silent, away
	Holds   int      `json:"holds"`           // partitions, by the journal
	Wished  int      `json:"wished"`          // by the ring
	SeenMs  *int64   `json:"seen_ms"`         // since its last record in the journal; null: never, or the asked node itself
	Version string   `json:"version"`         // of the build
	Weight  uint16   `json:"weight"`          // its share
	API     string   `json:"api"`             // where guests reach it
	Heirs   []string `json:"heirs,omitempty"` // who claims its slot when it is silent, in this order

	Self *nodeReport `json:"self"` // by its own word; null: it did not answer
}

// nodeReport is what only a node itself knows.
type nodeReport struct {
	Serving  bool    `json:"serving"`
	Reason   string  `json:"reason,omitempty"` // why not
	LeaseMs  int64   `json:"lease_ms"`         // that strong reads are allowed for without another acknowledged append; negative: over
	AckedMs  int64   `json:"acked_ms"`         // since the send of its last acknowledged append
	Behind   *uint64 `json:"behind"`           // records of the journal that it has not folded; null: the journal does not answer
	SkewMs   *int64  `json:"skew_ms"`          // its clock minus the median of the others'; beyond 2 s its timers stand still; null: it heard of none
	PausedMs int64   `json:"paused_ms"`        // that an operator holds moves back for
}

func (n *Node) cellStatus(ctx context.Context) cellStatus {
	ctx, cancel := context.WithTimeout(ctx, leaderWithin)
	defer cancel()
	owners, ring := n.house.Owners(), n.cell.control.Ring()
	s := cellStatus{Node: n.Config.Node, Partitions: len(owners), ToMove: len(ring.Moves(owners))}
	nodes := map[string]*nodeStatus{}
	node := func(name string) *nodeStatus {
		if nodes[name] == nil {
			nodes[name] = &nodeStatus{Name: name, State: stateAway, Heirs: ring.Heirs(name)}
		}
		return nodes[name]
	}
	for _, m := range n.cell.members.Alive() {
		node(m.Name).meet(m)
	}
	for p, owner := range owners {
		node(owner).Holds++
		if wish := ring.Wish(persistence.Partition(p)); wish != "" {
			node(wish).Wished++
		}
	}
	for name, at := range nodes {
		if seen := n.house.SeenFor(name).Milliseconds(); name != n.Config.Node && seen >= 0 {
			at.SeenMs = &seen
		}
		if at.State != stateAway && name != n.Config.Node && n.house.SilentFor(name) >= 0 {
			at.State = stateSilent
		}
	}
	reports := n.reports(ctx, func() { s.JournalLeader, s.BasesLeader = n.embedded.Leader(ctx), n.embedded.BasesLeader(ctx) })
	for name, at := range nodes {
		at.Self = reports[name]
		s.Nodes = append(s.Nodes, *at)
	}
	slices.SortFunc(s.Nodes, func(a, b nodeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// States of a node, as another one sees it.
const (
	stateServing  = "serving"
	stateDraining = "draining"
	stateSilent   = "silent" // gossip says that it lives, and it writes nothing
	stateAway     = "away"
)

func (at *nodeStatus) meet(m cluster.Member) {
	at.State, at.Version, at.Weight, at.API = stateServing, m.Version, m.Weight, m.API
	if m.Draining {
		at.State = stateDraining
	}
}

// report is this node's own.
func (n *Node) report(ctx context.Context) *nodeReport {
	house, lease := n.house.Status(), n.house.Lease()
	r := &nodeReport{
		Serving: house.Serving, Reason: house.Reason, LeaseMs: lease.Milliseconds(), AckedMs: (leaseTime - lease).Milliseconds(),
		PausedMs: n.cell.control.Paused().Milliseconds(),
	}
	if behind, err := n.house.Behind(ctx); err == nil {
		r.Behind = &behind
	}
	if skew, ok := n.house.Skew(); ok {
		ms := skew.Milliseconds()
		r.SkewMs = &ms
	}
	return r
}

// reports asks every member, and does something of the caller's meanwhile. Who does not answer within ctx is missing.
func (n *Node) reports(ctx context.Context, meanwhile func()) map[string]*nodeReport {
	var mu sync.Mutex
	all := map[string]*nodeReport{}
	var asked sync.WaitGroup
	asked.Go(meanwhile)
	for _, m := range n.cell.members.Alive() {
		asked.Go(func() {
			r := new(nodeReport)
			if m.Name == n.Config.Node {
				r = n.report(ctx)
			} else if body, err := n.tell(ctx, m, selfPath, nil); err != nil || json.Unmarshal(body, r) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[m.Name] = r
		})
	}
	asked.Wait()
	return all
}

const leaderWithin = time.Second // for the journal to say who leads it, and for others to say how they are
