package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	trioNodes     = 3
	trioSettle    = 120 * time.Second // for every partition to be where it should be
	trioLook      = 100 * time.Millisecond
	trioPorts     = 3      // that a node takes in a row, from --peer-listen on
	trioBacklog   = 20     // records: a few seconds of heartbeats
	trioFirstPort = 12_000 // below the ports that the kernel gives away
	trioLastPort  = 30_000
)

// trio is three processes of maitred as one cluster on the loopback, all on one disk.
type trio struct {
	nodes   []*house // n1, n2, n3
	secrets string
}

// newTrio prepares the three nodes with one binary.
func newTrio(ctx context.Context, dir, binary string, flags ...string) (*trio, error) {
	first, err := buildHouse(ctx, dir, binary)
	if err != nil {
		return nil, err
	}
	peers, err := freePeers(trioNodes)
	if err != nil {
		return nil, err
	}
	t := &trio{secrets: filepath.Join(dir, "secrets")}
	for i, peer := range peers {
		name := fmt.Sprintf("n%d", i+1)
		t.nodes = append(t.nodes, &house{
			bin: first.bin, data: filepath.Join(dir, name), output: filepath.Join(dir, name+".txt"), keys: t.secrets,
			flags: append([]string{"--node", name, "--cluster-dir", t.secrets, "--peer-listen", peer, "--join", strings.Join(peers, ",")}, flags...),
		})
	}
	if text, err := exec.CommandContext(ctx, first.bin, "cluster", "init", t.secrets).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make the secrets of a cluster: %w: %s", err, text)
	}
	return t, nil
}

// freePeers finds addresses with three free ports in a row each, for TCP and UDP.
func freePeers(n int) (addrs []string, err error) {
	for port := trioFirstPort + rand.IntN((trioLastPort-trioFirstPort)/2); len(addrs) < n && port < trioLastPort; port += trioPorts {
		free := true
		for p := port; p < port+trioPorts; p++ {
			free = free && isFree(fmt.Sprintf("127.0.0.1:%d", p))
		}
		if free {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", port))
		}
	}
	if len(addrs) < n {
		return nil, fmt.Errorf("no free ports for %d nodes below %d", n, trioLastPort)
	}
	return addrs, nil
}

func isFree(addr string) bool {
	tcp, err := net.Listen("tcp4", addr)
	if err != nil {
		return false
	}
	udp, err := net.ListenPacket("udp4", addr)
	if err == nil {
		err = udp.Close()
	}
	return errors.Join(err, tcp.Close()) == nil
}

// start starts all nodes, which needs all of them, and waits until each has its share.
func (t *trio) start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	for _, h := range t.nodes {
		if err := h.launch(); err != nil {
			return 0, err
		}
	}
	for _, h := range t.nodes {
		if _, err := h.awaitReady(); err != nil {
			return 0, err
		}
	}
	ready := time.Since(begin)
	return ready, t.settle(ctx)
}

func (t *trio) kill() error {
	if t == nil {
		return nil
	}
	var errs []error
	for _, h := range t.nodes {
		errs = append(errs, h.kill())
	}
	return errors.Join(errs...)
}

// except are all nodes but one.
func (t *trio) except(one *house) (others []*house) {
	for _, h := range t.nodes {
		if h != one {
			others = append(others, h)
		}
	}
	return others
}

// target is some nodes as what a load is sent to, in turn; what all nodes use up counts.
func (t *trio) target(name, siteFile string, asked ...*house) target {
	var addrs []string
	for _, h := range asked {
		addrs = append(addrs, h.addr)
	}
	first := t.nodes[0]
	return target{name: name, addr: strings.Join(addrs, ","), pid: first.pid, metrics: first.metrics, siteFile: siteFile, others: t.nodes[1:]}
}

// trioStatus is the part of `maitred cluster status --json` that the bench looks at.
type trioStatus struct {
	Node   string `json:"node"`
	ToMove int    `json:"to_move"`
	Leader string `json:"journal_leader"`
	Nodes  []struct {
		Name  string `json:"name"`
		State string `json:"state"`
		Holds int    `json:"holds"`
	} `json:"nodes"`
}

func (s *trioStatus) holds(node string) int {
	for _, n := range s.Nodes {
		if n.Name == node {
			return n.Holds
		}
	}
	return 0
}

// settled tells whether all nodes are there, and everything is where the ring wishes it.
func (s *trioStatus) settled() bool {
	for _, n := range s.Nodes {
		if n.State == "away" || n.State == "silent" {
			return false
		}
	}
	return s.ToMove == 0 && len(s.Nodes) == trioNodes
}

func statusOf(h *house) (s trioStatus, err error) {
	status, body, err := fasthttp.GetTimeout(nil, "http://"+h.metrics+"/cluster", 5*time.Second)
	if err == nil && status != fasthttp.StatusOK {
		err = fmt.Errorf("status %d: %.200s", status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		return s, fmt.Errorf("ask a node about its cluster: %w", err)
	}
	return s, nil
}

// await looks at what the nodes say until it is so for each of them.
func await(ctx context.Context, what string, limit time.Duration, nodes []*house, so func(*trioStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(trioLook)
	defer tick.Stop()
	for _, h := range nodes {
		for {
			s, err := statusOf(h)
			if err == nil && so(&s) {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return errors.Join(fmt.Errorf("%s: not within %s; last seen: %+v", what, limit, s), err)
			}
		}
	}
	return nil
}

func (t *trio) settle(ctx context.Context) error {
	return await(ctx, "every partition in its place", trioSettle, t.nodes, (*trioStatus).settled)
}

// caughtUp waits until the sinks of all nodes have what was done: each follows the journal by itself, on the cores that are measured.
func (t *trio) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for _, h := range t.nodes {
		for {
			if left, known := scrape(h.metrics).backlog(); known && left <= trioBacklog {
				break
			}
			if err := after(ctx, trioLook); err != nil {
				return fmt.Errorf("the sinks of the node at %s have not caught up within %s", h.addr, drainLimit)
			}
		}
	}
	return nil
}

// drain orders a node to give everything away, or to take its share again, and does not wait for it.
func (t *trio) drain(node string, undo bool) error {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	query := url.Values{"node": {node}, "anyway": {"true"}} // nobody is going to be stopped
	if undo {
		query.Set("undo", "true")
	}
	request.Header.SetMethod(fasthttp.MethodPost)
	request.SetRequestURI("http://" + t.nodes[0].metrics + "/cluster/drain?" + query.Encode())
	err := fasthttp.DoTimeout(request, response, 10*time.Second)
	if err == nil && response.StatusCode() != fasthttp.StatusOK {
		err = fmt.Errorf("status %d: %.200s", response.StatusCode(), response.Body())
	}
	if err != nil {
		return fmt.Errorf("drain %s: %w", node, err)
	}
	return nil
}

// emptied waits until a node holds nothing.
func (t *trio) emptied(ctx context.Context, node string) error {
	return await(ctx, node+" gives everything away", trioSettle, t.nodes[:1], func(s *trioStatus) bool { return s.holds(node) == 0 })
}

// victim is a node that leads the journal, or one that does not.
func (t *trio) victim(ctx context.Context, leader bool) (found *house, err error) {
	err = await(ctx, "somebody leads the journal", trioSettle, t.nodes[:1], func(s *trioStatus) bool {
		for i, h := range t.nodes {
			if name := fmt.Sprintf("n%d", i+1); s.Leader != "" && leader == (s.Leader == name) {
				found = h
			}
		}
		return found != nil
	})
	return found, err
}
