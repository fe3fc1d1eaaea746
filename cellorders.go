package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"maitred/actors"
	"maitred/cluster"
)

const leaseTime = actors.LeaseTime

// Paths of the admin listener, and of the hop, for clusters.
const (
	clusterPath = "/cluster"
	drainPath   = "/cluster/drain"
	planPath    = "/cluster/plan"
	movesPath   = "/cluster/moves"
	selfPath    = "/cluster/self"  // hop only
	helloPath   = "/cluster/hello" // hop only

	drainWithin = 5 * time.Second // for another node to take the order
)

// errNoCell is what a node answers that stands alone.
var errNoCell = errors.New("this node is not one of a cluster, or still starts")

// serveCell adds what operators ask to the admin listener.
func (n *Node) serveCell(mux *http.ServeMux) {
	serve := func(pattern string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if n.cell == nil || !n.cell.ready.Load() {
				http.Error(w, errNoCell.Error(), http.StatusNotFound)
				return
			}
			out, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out)
		})
	}
	serve("GET "+clusterPath, func(r *http.Request) (any, error) { return n.cellStatus(r.Context()), nil })
	serve("GET "+planPath, func(r *http.Request) (any, error) { return n.plan(r.FormValue("weights")) })
	serve("POST "+drainPath, func(r *http.Request) (any, error) {
		o := drainOrder{Node: r.FormValue("node"), Undo: r.FormValue("undo") == "true", Anyway: r.FormValue("anyway") == "true"}
		return struct{}{}, n.drainOrder(r.Context(), o)
	})
	serve("POST "+movesPath, func(r *http.Request) (any, error) {
		ms, err := strconv.ParseInt(r.FormValue("pause_ms"), 10, 64)
		if err != nil || ms < 0 {
			return nil, errors.New("pause_ms: how long to hold moves back in milliseconds; 0 = let them go on now")
		}
		return struct{}{}, n.movesOrder(r.Context(), movesOrder{PauseMs: ms})
	})
}

// drainOrder is what an operator wants of a node.
type drainOrder struct {
	Node   string `json:"node"`
	Undo   bool   `json:"undo"`
	Anyway bool   `json:"-"` // although too few would serve; the asked node judges it
}

// drainOrder carries an order out, here or by telling the node.
func (n *Node) drainOrder(ctx context.Context, o drainOrder) error {
	m, known := n.cell.members.Get(o.Node)
	if !known {
		return fmt.Errorf("%q is no member of the cluster now", o.Node)
	}
	if !o.Undo {
		if err := mayDrain(n.cellStatus(ctx).Nodes, o, len(n.Config.nodes())); err != nil {
			return err
		}
	}
	if o.Node == n.Config.Node {
		return n.cell.members.SetDraining(ctx, !o.Undo)
	}
	body, err := json.Marshal(o)
	if err == nil {
		_, err = n.tell(ctx, m, drainPath, body)
	}
	return err
}

// mayDrain refuses what would leave too few: a node is drained to be stopped, and without a majority nothing is written.
func mayDrain(nodes []nodeStatus, o drainOrder, all int) error {
	var left, others []string
	for _, at := range nodes {
		switch {
		case at.Name == o.Node:
		case at.State == stateServing:
			left = append(left, at.Name)
		default:
			others = append(others, at.Name+" is "+at.State)
		}
	}
	switch majority := all/2 + 1; {
	case len(left) == 0:
		return fmt.Errorf("nobody else serves (%s): nobody could take what %s holds", strings.Join(others, ", "), o.Node)
	case len(left) < majority && !o.Anyway:
		return fmt.Errorf("without %s only %s would serve, and %d of %d nodes have to live, else nothing is written (%s): bring another one back first (start it, or drain --undo), or say --anyway when %s is not going to be stopped",
			o.Node, strings.Join(left, ", "), majority, all, strings.Join(others, ", "), o.Node)
	}
	return nil
}

// movesOrder is what an operator wants of all nodes.
type movesOrder struct {
	PauseMs int64 `json:"pause_ms"` // how long to hold moves back; 0 = let them go on now
}

func (n *Node) obey(o movesOrder) {
	if o.PauseMs > 0 {
		n.cell.control.Pause(time.Duration(o.PauseMs) * time.Millisecond)
	} else {
		n.cell.control.Hurry()
	}
}

// movesOrder carries an order out on every member; the error names those that did not take it.
func (n *Node) movesOrder(ctx context.Context, o movesOrder) error {
	if time.Duration(o.PauseMs)*time.Millisecond > cluster.MaxPause {
		return fmt.Errorf("moves can be held back for %s at most", cluster.MaxPause)
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	members := n.cell.members.Alive()
	errs := make([]error, len(members))
	var told sync.WaitGroup
	for i, m := range members {
		told.Go(func() {
			if m.Name == n.Config.Node {
				n.obey(o)
			} else if _, err := n.tell(ctx, m, movesPath, body); err != nil {
				errs[i] = fmt.Errorf("%s did not take the order and goes on as before: %w", m.Name, err)
			}
		})
	}
	told.Wait()
	return errors.Join(errs...)
}

// tell sends an order or a question to another node.
func (n *Node) tell(ctx context.Context, m cluster.Member, path string, body []byte) ([]byte, error) {
	deadline := time.Now().Add(drainWithin)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	a, err := n.cell.hop.Call(m.Name, m.Hop, path, body, deadline)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %s", m.Name, a.Status, a.Body)
	}
	return a.Body, err
}

// ask answers what another node asks.
func (n *Node) ask(from, path string, body []byte) (status int, answer []byte) {
	switch {
	case path == drainPath:
		return n.askedToDrain(from, body)
	case path == movesPath:
		return n.askedToMove(from, body)
	case path == selfPath:
		return n.askedForReport()
	case path == helloPath:
		return answerJSON(n.hello())
	case strings.HasPrefix(path, statePath):
		return n.takeState(path, body)
	}
	return n.edge.Ask(from, path, body)
}

func (n *Node) askedForReport() (status int, answer []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	return answerJSON(n.report(ctx))
}

func answerJSON(v any) (status int, answer []byte) {
	out, err := json.Marshal(v)
	if err != nil {
		return http.StatusInternalServerError, []byte(err.Error())
	}
	return http.StatusOK, out
}

func (n *Node) askedToDrain(from string, body []byte) (status int, answer []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	var o drainOrder
	if err := json.Unmarshal(body, &o); err != nil || o.Node != n.Config.Node {
		return http.StatusBadRequest, []byte("not an order for " + n.Config.Node)
	}
	n.Log.Warn("another node passes an operator's order on", "from", from, "undo", o.Undo)
	if err := n.cell.members.SetDraining(ctx, !o.Undo); err != nil {
		return http.StatusConflict, []byte(err.Error())
	}
	return http.StatusOK, nil
}

func (n *Node) askedToMove(from string, body []byte) (status int, answer []byte) {
	var o movesOrder
	if err := json.Unmarshal(body, &o); err != nil || o.PauseMs < 0 {
		return http.StatusBadRequest, []byte("not an order")
	}
	n.Log.Warn("another node passes an operator's order on", "from", from, "hold_moves_back_ms", o.PauseMs)
	n.obey(o)
	return http.StatusOK, nil
}
