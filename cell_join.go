package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"maitred/actors"
	"maitred/cluster"
)

// Checks before this node takes part in anything: it has not opened its journal's server, claimed its slot, or told anybody of itself.

// joinWithin bounds the wait for nodes that do not answer.
const joinWithin = time.Second

// helloAnswer is what a node says of itself to one that starts.
type helloAnswer struct {
	Version string `json:"version"`
	WallMs  int64  `json:"wall_ms"`
}

func (n *Node) hello() helloAnswer { return helloAnswer{version(), time.Now().UnixMilli()} }

// met is what came of asking one address of --join.
type met struct {
	addr string // --peer-listen of it
	node string // who answered; empty = nobody
	err  error

	version string        // empty = it did not say
	ahead   time.Duration // this node's clock before the other's; only when heard
	heard   bool
}

// checkJoin asks the others who they are. What would harm them ends the start; what only needs an operator's eye is logged.
func (n *Node) checkJoin(ctx context.Context) error {
	if n.cell == nil {
		return nil
	}
	warnings, refusal := judgeJoin(n.Config.Node, version(), n.meet(ctx))
	for _, w := range warnings {
		n.Log.Warn(w)
	}
	return refusal
}

// meet asks every other address at once.
func (n *Node) meet(ctx context.Context) []met {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	all := make([]met, len(n.Config.Join))
	var asked sync.WaitGroup
	for i, addr := range n.Config.Join {
		all[i].addr = addr
		if hop, err := peerAddr(addr, hopPort); err == nil && addr != n.Config.PeerListen {
			asked.Go(func() { all[i].ask(ctx, n, hop) })
		}
	}
	asked.Wait()
	return all
}

func (m *met) ask(ctx context.Context, n *Node, hop string) {
	found, err := cluster.Probe(ctx, n.cell.secret, n.Config.Node, hop, helloPath)
	m.node, m.err = found.Node, err
	var said helloAnswer
	if err != nil || found.Status != http.StatusOK || json.Unmarshal(found.Body, &said) != nil {
		return // nobody, or an earlier build
	}
	middle := found.Sent.Add(found.Took / 2)
	m.version, m.heard, m.ahead = said.Version, true, middle.Sub(time.UnixMilli(said.WallMs))
}

// judgeJoin says why this node must not take part, or what an operator should know.
func judgeJoin(own, version string, all []met) (warnings []string, refusal error) {
	var refused []error
	var foreign, ahead []string
	var skews []time.Duration
	known := 0
	for _, m := range all {
		switch {
		case errors.Is(m.err, cluster.ErrForeign):
			foreign = append(foreign, m.addr)
		case errors.Is(m.err, cluster.ErrClock):
			refused = append(refused, fmt.Errorf("the certificate of the node at %s is not good at this time: the clock here or there is wrong by more than an hour: set it first", m.addr))
		case m.node == "":
			continue
		case m.node == own:
			refused = append(refused, fmt.Errorf("another process runs as %s, at %s: give this one a name of its own (--node), or stop the other first", own, m.addr))
		case apart(version, m.version) > 1:
			refused = append(refused, fmt.Errorf("%s at %s runs %s, this is %s: nodes of one cluster may be one minor version apart; go by way of the versions in between", m.node, m.addr, m.version, version))
		}
		if m.node != "" {
			known++
		}
		if m.heard {
			skews = append(skews, m.ahead)
			ahead = append(ahead, fmt.Sprintf("%s %+.1f s", m.node, m.ahead.Seconds()))
		}
	}
	if len(foreign) > 0 {
		text := fmt.Sprintf("%s has another cluster's secret: --join names the wrong node, or --cluster-dir is not a copy of that node's (%s)", strings.Join(foreign, " and "), secretFile)
		if known == 0 {
			refused = append(refused, errors.New(text))
		} else { // this node and the others need not suffer from it
			warnings = append(warnings, text)
		}
	}
	if s := median(skews); s.Abs() > actors.MaxSkew {
		warnings = append(warnings, fmt.Sprintf("the clock of this node is ahead of the others' (%s): its timers (no-shows, reminders) stand still until it is set", strings.Join(ahead, ", ")))
	}
	return warnings, errors.Join(refused...)
}

// median is the one in the middle, of two the one nearer to zero; zero of none.
func median(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	low, high := of[(len(of)-1)/2], of[len(of)/2]
	if low.Abs() <= high.Abs() {
		return low
	}
	return high
}

// apart is how many minor versions lie between two builds, 1000 for each major one; 0 when one of them tells no version.
func apart(a, b string) int {
	major, minor, ok := release(a)
	otherMajor, otherMinor, too := release(b)
	if !ok || !too {
		return 0
	}
	return max(major-otherMajor, otherMajor-major)*1000 + max(minor-otherMinor, otherMinor-minor)
}

// release reads vMAJOR.MINOR.…
func release(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if !strings.HasPrefix(version, "v") || len(parts) < 3 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return major, minor, cmp.Or(err, err2) == nil
}
