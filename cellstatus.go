package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

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
}

func (n *Node) cellStatus(ctx context.Context) cellStatus {
	ctx, cancel := context.WithTimeout(ctx, leaderWithin)
	defer cancel()
	owners, ring := n.house.Owners(), n.cell.control.Ring()
	s := cellStatus{Node: n.Config.Node, Partitions: len(owners), JournalLeader: n.embedded.Leader(ctx), BasesLeader: n.embedded.BasesLeader(ctx)}
	nodes := map[string]*nodeStatus{}
	node := func(name string) *nodeStatus {
		if nodes[name] == nil {
			nodes[name] = &nodeStatus{Name: name, State: "away", Heirs: ring.Heirs(name)}
		}
		return nodes[name]
	}
	for _, m := range n.cell.members.Alive() {
		at := node(m.Name)
		at.State, at.Version, at.Weight, at.API = "serving", m.Version, m.Weight, m.API
		if m.Draining {
			at.State = "draining"
		}
	}
	for p, owner := range owners {
		wish := ring.Wish(persistence.Partition(p))
		node(owner).Holds++
		if wish != "" {
			node(wish).Wished++
		}
		if owner != wish {
			s.ToMove++
		}
	}
	for name, at := range nodes {
		if seen := n.house.SeenFor(name).Milliseconds(); name != n.Config.Node && seen >= 0 {
			at.SeenMs = &seen
		}
		if at.State != "away" && name != n.Config.Node && n.house.SilentFor(name) >= 0 {
			at.State = "silent"
		}
		s.Nodes = append(s.Nodes, *at)
	}
	slices.SortFunc(s.Nodes, func(a, b nodeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Paths of the admin listener, and of the hop, for clusters.
const (
	clusterPath = "/cluster"
	drainPath   = "/cluster/drain"

	leaderWithin = time.Second // for the journal to say who leads it

	drainWithin = 5 * time.Second // for another node to take the order
)

func (n *Node) serveCell(mux *http.ServeMux) {
	mux.HandleFunc("GET "+clusterPath, func(w http.ResponseWriter, r *http.Request) {
		if n.cell == nil || n.cell.control == nil {
			http.Error(w, "this node is not one of a cluster, or still starts", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(n.cellStatus(r.Context()))
	})
	mux.HandleFunc("POST "+drainPath, func(w http.ResponseWriter, r *http.Request) {
		if n.cell == nil || n.cell.control == nil {
			http.Error(w, "this node is not one of a cluster, or still starts", http.StatusNotFound)
			return
		}
		order := drainOrder{Node: r.FormValue("node"), Undo: r.FormValue("undo") == "true"}
		if err := n.order(r.Context(), order); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
}

// drainOrder is what an operator wants of a node.
type drainOrder struct {
	Node string `json:"node"`
	Undo bool   `json:"undo"`
}

// order carries an order out, here or by telling the node.
func (n *Node) order(ctx context.Context, o drainOrder) error {
	if o.Node == n.Config.Node {
		return n.cell.members.SetDraining(ctx, !o.Undo)
	}
	m, known := n.cell.members.Get(o.Node)
	if !known {
		return fmt.Errorf("%q is no member of the cluster now", o.Node)
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	a, err := n.cell.hop.Call(o.Node, m.Hop, drainPath, body, time.Now().Add(drainWithin))
	if err == nil && a.Status != http.StatusOK {
		err = errors.New(string(a.Body))
	}
	return err
}

// ask answers what another node asks.
func (n *Node) ask(from, path string, body []byte) (status int, answer []byte) {
	if path != drainPath {
		return n.edge.Ask(from, path, body)
	}
	var o drainOrder
	if err := json.Unmarshal(body, &o); err != nil || o.Node != n.Config.Node {
		return http.StatusBadRequest, []byte("not an order for " + n.Config.Node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	n.Log.Warn("another node passes an operator's order on", "from", from, "undo", o.Undo)
	if err := n.cell.members.SetDraining(ctx, !o.Undo); err != nil {
		return http.StatusConflict, []byte(err.Error())
	}
	return http.StatusOK, nil
}
