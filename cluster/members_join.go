package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/memberlist"

	"maitred/persistence"
)

const (
	// settleRounds are made at the pace of probes after the node has joined: the others may not take it yet, because they still
	// suspect that an earlier process of its name lives, and it is not told when they have found out.
	settleRounds = 10
	// rejoinEvery is how many probes apart they are later: two halves of a cluster that have declared each other dead would never
	// meet otherwise.
	rejoinEvery = 30
)

// joining goes on as long as the node: until somebody answers, again when it is alone, and now and then in between.
func (m *Members) joining(ctx context.Context) {
	tick := time.NewTicker(m.cfg.probe)
	defer tick.Stop()
	joined, since := false, 0 // rounds since it was not
	for first := true; ; first = false {
		if joined && m.alone() {
			m.cfg.Log.Warn("alone: looking for the others", "cluster", m.cfg.Cluster)
			joined = false
		}
		if joined {
			if since++; since <= settleRounds || since%rejoinEvery == 0 {
				m.list.Join(m.others(ctx))
			}
		} else if err := m.join(ctx, first); err != nil {
			m.cfg.Log.Error("this process must end", "err", err)
			if m.cfg.Conflict != nil {
				go m.cfg.Conflict(err) // it may close the members
			}
			return
		} else if joined, since = !m.phantom.Load() && !m.alone(), 0; joined {
			m.cfg.Log.Info("joined the cluster", "cluster", m.cfg.Cluster, "members", len(m.Alive()))
		} else if first {
			m.cfg.Log.Info("not in the cluster yet", "cluster", m.cfg.Cluster, "join", m.cfg.Join)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *Members) alone() bool { return len(m.Alive()) < 2 }

// join asks those of the list once. An error means that this process is the second one under its name: the others know another
// by it, and that one answers. It does not answer if it died and they do not know yet: then they take this one later. Of two that
// know nobody else the one that is new must go.
func (m *Members) join(ctx context.Context, first bool) error {
	m.rival.Store(nil)
	m.list.Join(m.others(ctx)) // what fails is in the log
	rival := m.rival.Load()
	m.phantom.Store(rival != nil)
	if rival == nil || !first && m.alone() {
		return nil
	}
	if _, err := m.list.Ping(m.cfg.Name, rival); err != nil {
		return nil
	}
	return fmt.Errorf("cluster: another process runs as %s, at %s", m.cfg.Name, rival)
}

// others is the list with names resolved: memberlist would ask the DNS server itself, and in its own way.
func (m *Members) others(ctx context.Context) (out []string) {
	for _, j := range m.cfg.Join {
		host, port, _ := net.SplitHostPort(j)
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			m.cfg.Log.Debug("nobody to join", "address", j, "err", err)
		}
		for _, ip := range ips {
			if a := net.JoinHostPort(ip, port); a != m.address {
				out = append(out, a)
			}
		}
	}
	return out
}

// gossip is what memberlist calls. It holds its lock meanwhile, so nothing here may wait or call it back.
type gossip struct{ m *Members }

// NotifyAlive refuses a member that cannot be one.
func (g *gossip) NotifyAlive(n *memberlist.Node) error {
	if !persistence.ValidName(n.Name) {
		g.m.refused.WithLabelValues(refusedNamed).Inc()
		return errors.New("the name cannot be a node's")
	}
	if _, err := decodeMeta(n.Meta); err != nil {
		g.m.refused.WithLabelValues(refusedMeta).Inc()
		return err
	}
	return nil
}

// NotifyConflict is told of a second address for the name of a live member. memberlist stays with the first one.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	g.m.refused.WithLabelValues(refusedConflict).Inc()
	if existing.Name == g.m.cfg.Name {
		g.m.rival.Store(&net.UDPAddr{IP: other.Addr, Port: int(other.Port)})
	}
}

func (g *gossip) NotifyJoin(n *memberlist.Node)  { g.NotifyUpdate(n) }
func (g *gossip) NotifyLeave(n *memberlist.Node) { g.m.change(n.Name) }
func (g *gossip) NotifyUpdate(n *memberlist.Node) {
	if meta, err := decodeMeta(n.Meta); err == nil { // NotifyAlive has seen to that
		g.m.change(n.Name, Member{n.Name, meta})
	}
}

// NodeMeta is called by Create and UpdateNode, so by whom has written it.
func (g *gossip) NodeMeta(int) []byte                      { return g.m.meta }
func (g *gossip) NotifyMsg([]byte)                         {}
func (g *gossip) GetBroadcasts(overhead, max int) [][]byte { return nil }
func (g *gossip) LocalState(join bool) []byte              { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)            {}
