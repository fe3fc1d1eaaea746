package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"maitred/cluster"
	"maitred/edge"
	"maitred/engine"
	"maitred/persistence/jetstream"
)

// What a node of several runs beside the rest. Its peer address is three ports in a row.
const (
	gossipPort = iota // TCP and UDP
	routePort         // of the journal's servers among themselves
	hopPort           // requests of other nodes
)

// minReplicas is how many nodes a cluster has at least: with two, the loss of one is the loss of the journal.
const minReplicas = 3

const secretFile = "cluster.key"

// cell is this node's part of a cluster.
type cell struct {
	secret  cluster.Secret
	journal *jetstream.Cluster
	hop     *cluster.Hop
	members *cluster.Members
	control *cluster.Controller
	ready   atomic.Bool // members and control are there
}

// clustered tells whether the node is one of several.
func (c *Config) clustered() bool { return c.PeerListen != "" || len(c.Join) > 0 }

// secrets is where the keys lie that all nodes share.
func (c *Config) secrets() string { return cmp.Or(c.ClusterDir, c.Data) }

// nodes are the peer addresses of all nodes, each once.
func (c *Config) nodes() []string {
	return slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(c.Join), c.PeerListen))))
}

func (c *Config) validateCluster() error {
	if !c.clustered() {
		return nil
	}
	if c.PeerListen == "" || len(c.Join) == 0 || c.ClusterDir == "" {
		return errors.New("a node of a cluster needs --peer-listen, --join with the peer addresses of all nodes, and --cluster-dir (maitred cluster init makes one)")
	}
	nodes := c.nodes()
	least, why := minReplicas, "with two, the loss of one is the loss of the journal"
	if c.NATSURL != "" {
		least, why = 2, "one that may be lost, and another"
	}
	if len(nodes) < least {
		return fmt.Errorf("--join names %d nodes with this one; a cluster has %d at least: %s. Name the --peer-listen of every node", len(nodes), least, why)
	}
	for _, addr := range nodes {
		if _, err := peerAddr(addr, hopPort); err != nil {
			return fmt.Errorf("--peer-listen, --join: %w", err)
		}
	}
	return nil
}

// peerAddr is one of the addresses of a node, of which addr is the first.
func peerAddr(addr string, which int) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || n+hopPort > 65_535 || host == "" {
		return "", fmt.Errorf("%q: a host and a port from 1 to %d is needed", addr, 65_535-hopPort)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n+uint64(which), 10)), nil
}

// openSecret reads what the nodes have in common; before the journal, whose servers talk to each other.
func (n *Node) openSecret(context.Context) error {
	if !n.Config.clustered() {
		return nil
	}
	secret, err := cluster.ReadSecret(filepath.Join(n.Config.ClusterDir, secretFile))
	if err != nil {
		return fmt.Errorf("--cluster-dir: %w", err)
	}
	// A node alone makes what is missing. Made by one of several, these would be keys that no other node has.
	for _, file := range []string{edge.KeysFile, sealFile} {
		if _, err := os.Stat(filepath.Join(n.Config.ClusterDir, file)); err != nil {
			return fmt.Errorf("--cluster-dir is to be a copy of all that maitred cluster init made, or that another node has: %w", err)
		}
	}
	journal, err := n.journalCluster(secret)
	if err != nil {
		return fmt.Errorf("--peer-listen, --join: %w", err)
	}
	n.cell = &cell{secret: secret, journal: journal}
	return nil
}

// journalCluster makes the embedded server one of several.
func (n *Node) journalCluster(secret cluster.Secret) (*jetstream.Cluster, error) {
	own, err := peerAddr(n.Config.PeerListen, routePort)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(own)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	c := &jetstream.Cluster{
		Name: secret.Label(), Host: host, Port: number, Secret: secret.RoutePassword(), TLS: secret.RouteTLS(n.Config.Node), Refused: n.routesRefused(),
	}
	for _, addr := range n.Config.Join {
		route, err := peerAddr(addr, routePort)
		if err != nil {
			return nil, err
		}
		c.Routes = append(c.Routes, route)
	}
	return c, nil
}

// routesRefused counts connections of the journal's servers that did not come to be.
func (n *Node) routesRefused() func() {
	refused := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "maitred_cluster_routes_refused_total", Help: "Connections between the journal's servers that were refused, or refused this node.",
	})
	n.Registry.MustRegister(refused)
	return refused.Inc
}

// openHop makes the client of the other nodes: the edge needs it.
func (n *Node) openHop(context.Context) error {
	if n.cell == nil {
		return nil
	}
	n.cell.hop = cluster.NewHop(cluster.HopConfig{Secret: n.cell.secret, Node: n.Config.Node, Registry: n.Registry, Log: n.Log})
	n.opened("hop", n.cell.hop.Close)
	return nil
}

// cutOff ends what waits for a node that was claimed: it may hang, and the heirs know better.
func (n *Node) cutOff(node string) {
	if n.cell != nil && node != n.Config.Node {
		n.cell.hop.Cut(node)
	}
}

// incarnationFile says which incarnation ran last over a data directory: whoever has its lock knows that one dead. When the file is not
// there, or of an older one, a start waits for a lease that may be over.
const incarnationFile = "incarnation"

func (n *Node) formerIncarnation() uint64 {
	text, err := os.ReadFile(filepath.Join(n.Config.Data, incarnationFile))
	if err != nil {
		return 0
	}
	former, _ := strconv.ParseUint(string(text), 10, 64) // 0 when it cannot be read
	return former
}

func (n *Node) noteIncarnation(incarnation uint64) {
	path := filepath.Join(n.Config.Data, incarnationFile)
	if err := os.WriteFile(path, strconv.AppendUint(nil, incarnation, 10), 0o600); err != nil {
		n.Log.Warn("the next start will wait longer than it has to", "error", err)
	}
}

// edgeCell is what the edge knows of the others; nil when there are none.
func (n *Node) edgeCell() *edge.Cell {
	if n.cell == nil {
		return nil
	}
	find := func(name string) (cluster.Member, bool) { return n.cell.members.Get(name) }
	return &edge.Cell{Node: n.Config.Node, Peers: &cluster.Peers{Hop: n.cell.hop, Find: find}, Custody: n.house, Protocol: n.cellProtocol, NoKeys: n.Config.without("hop-key")}
}

// cellProtocol is what every node of --join understands.
func (n *Node) cellProtocol() uint16 {
	if !n.cell.ready.Load() || n.cell.members == nil {
		return 0
	}
	return n.cell.members.Protocol(len(n.Config.nodes()))
}

// openCell lets other nodes ask this one, tells them that it is there, and begins to move and to claim partitions.
func (n *Node) openCell(context.Context) error {
	if n.cell == nil {
		return nil
	}
	hop, err := peerAddr(n.Config.PeerListen, hopPort)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", hop)
	if err != nil {
		return fmt.Errorf("listen for other nodes: %w", err)
	}
	closeHop := ln.Close
	n.opened("hop listener", func() error { return closeHop() }) // the last one to close: until then others may ask
	if err := n.openMembers(hop); err != nil {
		return err
	}
	n.cell.control = cluster.NewController(n.Config.Node, n.house, n.cell.members, cluster.Times{}, cluster.NewMetrics(n.Registry), time.Now)
	closeHop = cluster.OpenHopServer(cluster.HopServerConfig{
		Listener: ln, Secret: n.cell.secret, Node: n.Config.Node, Handler: n.ask, Registry: n.Registry, Log: n.Log,
	}).Close
	n.cell.control.Start()
	n.cell.ready.Store(true)
	n.opened("controller", n.cell.control.Close)
	return nil
}

func (n *Node) openMembers(hop string) (err error) {
	n.cell.members, err = cluster.OpenMembers(cluster.MembersConfig{
		Name: n.Config.Node, Cluster: n.cell.secret.Label(), Key: n.cell.secret.GossipKey(), Listen: n.Config.PeerListen,
		Join: n.Config.Join, Registry: n.Registry, Log: n.Log, Conflict: n.halted,
		Meta: cluster.Meta{
			Incarnation: rand.Uint64() | 1, Weight: n.Config.Weight, Version: version(), Protocol: engine.Protocol, API: n.Config.Listen, Hop: hop,
		},
	})
	if err != nil {
		return err
	}
	n.opened("members", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.cell.members.Leave(ctx) // the others find out by themselves
		return n.cell.members.Close()
	})
	return nil
}

// Drain gives every partition of this node away, so that a stop costs no guest anything. It returns when none is left, or ctx ends.
func (n *Node) Drain(ctx context.Context) error {
	if n.cell == nil || n.cell.members == nil {
		return nil
	}
	if err := n.cell.members.SetDraining(ctx, true); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	for {
		left := 0
		for _, owner := range n.house.Owners() {
			if owner == n.Config.Node {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drain: %d partitions are still here: %w", left, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// version is of the build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
