package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"maitred/persistence"
)

// Member is what a node says about itself by gossip: a hint for placement and addresses. It gives no right to write.
type Member struct {
	Name string
	Meta
}

// MembersConfig says who this node is and how it reaches the others.
type MembersConfig struct {
	Name, Cluster string   // node, and label of the cluster: persistence.ValidName
	Key           []byte   // 32 bytes, AES-256-GCM
	Listen        string   // host:port, TCP and UDP; all addresses (0.0.0.0) only with Advertise
	Advertise     string   // host:port that others reach; empty = Listen, port 0 = the one of Listen
	Join          []string // host:port of some others, which may be down; the own one does no harm
	Meta          Meta
	Log           *slog.Logger          // nil = slog.Default
	Registry      prometheus.Registerer // nil = no metrics
	Conflict      func(error)           // told once, on its own goroutine, that another process has this name: this one must end

	probe time.Duration // between probes: what all other times follow; 0 = a second
}

// keyBytes selects AES-256.
const keyBytes = 32

// ErrLeft is what a member answers that has left or is closed.
var ErrLeft = errors.New("cluster: no member any more")

// Members are the nodes that this one believes to be alive, by gossip. Safe for concurrent use.
type Members struct {
	cfg     MembersConfig
	address string // that others reach
	list    *memberlist.Memberlist
	metrics *prometheus.Registry // of these two
	refused *prometheus.CounterVec
	count   prometheus.Gauge

	stop    context.CancelFunc // of joining
	wg      sync.WaitGroup
	rival   atomic.Pointer[net.UDPAddr] // where the own name was last claimed by another process
	phantom atomic.Bool                 // the others know another process by this name, so nothing may be said in its name

	life         sync.Mutex // serializes what the owner asks for
	left, closed bool
	meta         []byte

	mu      sync.Mutex
	alive   []Member          // ascending by name; never changed, only replaced
	said    map[string]uint16 // protocol that each one announced last, also of those that are away
	changed chan struct{}
}

// OpenMembers listens, and begins to join the others in the background.
func OpenMembers(cfg MembersConfig) (*Members, error) {
	cfg.Log, cfg.probe = cmp.Or(cfg.Log, slog.Default()), cmp.Or(cfg.probe, time.Second)
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	m := &Members{cfg: cfg, changed: make(chan struct{}), said: map[string]uint16{}, metrics: prometheus.NewRegistry()}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maitred_cluster_refused_total", Help: "Gossip that was not believed.",
	}, []string{"reason"})
	m.count = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "maitred_cluster_members", Help: "Members believed to be alive, this one included.",
	})
	m.metrics.MustRegister(m.refused, m.count)
	if err := m.open(); err != nil {
		return nil, fmt.Errorf("cluster: members: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	if len(cfg.Join) > 0 {
		m.wg.Go(func() { m.joining(ctx) })
	}
	return m, nil
}

func (m *Members) open() (err error) {
	if m.meta, err = m.cfg.Meta.encode(); err != nil {
		return err
	}
	listen, advertise, err := m.cfg.check()
	if err != nil {
		return err
	}
	if err := m.cfg.Registry.Register(m.metrics); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.cfg.Registry.Unregister(m.metrics)
		}
	}()
	logger := log.New(newGossipLog(m.cfg.Log, m.refused), "", 0)
	nt, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{listen.IP.String()}, BindPort: listen.Port, Logger: logger,
	})
	if err != nil {
		return err
	}
	advertise.Port = cmp.Or(advertise.Port, nt.GetAutoBindPort())
	m.address = advertise.String()
	transport := newStreams(nt, func() { m.refused.WithLabelValues(refusedStream).Inc() })
	if m.list, err = memberlist.Create(m.gossipConfig(transport, advertise, logger)); err != nil {
		return errors.Join(err, transport.Shutdown())
	}
	return nil
}

// check looks at everything before a socket is opened.
func (c *MembersConfig) check() (listen, advertise *net.TCPAddr, err error) {
	if !persistence.ValidName(c.Name) || !persistence.ValidName(c.Cluster) {
		return nil, nil, fmt.Errorf("%q cannot name a node, or %q a cluster", c.Name, c.Cluster)
	}
	if len(c.Key) != keyBytes {
		return nil, nil, fmt.Errorf("the key has %d bytes, not %d", len(c.Key), keyBytes)
	}
	for _, j := range c.Join {
		if !address(j) || j == "" {
			return nil, nil, fmt.Errorf("join: %q is not host:port", j)
		}
	}
	if listen, err = net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	reach := cmp.Or(c.Advertise, c.Listen)
	if advertise, err = net.ResolveTCPAddr("tcp", reach); err != nil {
		return nil, nil, fmt.Errorf("advertise: %w", err)
	}
	if advertise.IP == nil || advertise.IP.IsUnspecified() {
		return nil, nil, fmt.Errorf("nobody reaches %q: listen on one address, or say with advertise which one the others reach", reach)
	}
	return listen, advertise, nil
}

// gossipConfig is the LAN's with everything switched on that keeps strangers out: a dead node is declared so after 4 probes and a
// bit, and its name is free for another address at once. Packets have at most 1,400 bytes, and 1,024 of them wait; memberlist bounds
// what comes in streams by 20 MiB each, which streams makes less.
func (m *Members) gossipConfig(t memberlist.Transport, advertise *net.TCPAddr, logger *log.Logger) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	g := &gossip{m}
	c.Name, c.Label, c.SecretKey = m.cfg.Name, m.cfg.Cluster, m.cfg.Key
	c.SkipInboundLabelCheck, c.GossipVerifyIncoming, c.GossipVerifyOutgoing, c.EnableCompression = false, true, true, false
	c.Transport, c.AdvertiseAddr, c.AdvertisePort, c.Logger = t, advertise.IP.String(), advertise.Port, logger
	c.ProbeInterval, c.ProbeTimeout, c.GossipInterval = m.cfg.probe, m.cfg.probe/2, m.cfg.probe/5
	c.TCPTimeout = 5 * m.cfg.probe
	c.DeadNodeReclaimTime = time.Nanosecond
	c.Delegate, c.Events, c.Alive, c.Conflict = g, g, g, g
	return c
}

// Address is host:port where the others reach the gossip of this node.
func (m *Members) Address() string { return m.address }

// Alive are the members by name, this one included until it leaves. The slice is shared: it must not be changed.
func (m *Members) Alive() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive
}

// Get is the member of a name, if it is alive.
func (m *Members) Get(name string) (Member, bool) {
	alive := m.Alive()
	i, ok := slices.BinarySearchFunc(alive, name, byName)
	if !ok {
		return Member{}, false
	}
	return alive[i], true
}

func byName(a Member, name string) int { return cmp.Compare(a.Name, name) }

// Changed is closed at the next change: take it before Alive, and none is missed.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// change replaces the member of a name, or takes it away: with is it, or nobody.
func (m *Members) change(name string, with ...Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, was := slices.BinarySearchFunc(m.alive, name, byName)
	to := i
	if was {
		to++
	}
	m.alive = slices.Replace(slices.Clone(m.alive), i, to, with...)
	m.listen(with)
	m.count.Set(float64(len(m.alive)))
	close(m.changed)
	m.changed = make(chan struct{})
}

// listen remembers what members announce. More of them than a journal can have are strangers, and then nothing new is agreed on.
func (m *Members) listen(to []Member) {
	for _, s := range to {
		if _, known := m.said[s.Name]; known || len(m.said) <= persistence.MaxNodes {
			m.said[s.Name] = s.Protocol
		}
	}
}

// Protocol is the lowest that any node has announced last, and 0 as long as fewer than so many nodes have: what all of them understand. A
// node that is away counts with its last word, so that a crash takes nothing back; one that comes back as an older build does.
func (m *Members) Protocol(nodes int) uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.said) < nodes || len(m.said) > persistence.MaxNodes {
		return 0
	}
	lowest := uint16(math.MaxUint16)
	for _, p := range m.said {
		lowest = min(lowest, p)
	}
	return lowest
}

// broadcastTime is the longest that one wait for the gossip to go round.
const broadcastTime = 5 * time.Second

// patience is how long memberlist may wait for ctx; it knows no contexts, and takes 0 for ever.
func patience(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(time.Until(end), broadcastTime))
	}
	return broadcastTime
}

// SetDraining tells the others that this node wants to give its partitions away, or does not any more. An error means that they
// may hear of it later.
func (m *Members) SetDraining(ctx context.Context, draining bool) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.left {
		return ErrLeft
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.cfg.Meta.Draining = draining
	b, err := m.cfg.Meta.encode()
	if err != nil {
		return err
	}
	m.meta = b
	if err := m.list.UpdateNode(patience(ctx)); err != nil {
		return fmt.Errorf("cluster: tell that draining is %t: %w", draining, err)
	}
	return nil
}

// Leave tells the others that this node goes: they need not find out. Close it afterwards.
func (m *Members) Leave(ctx context.Context) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.left {
		return nil
	}
	m.left = true
	m.stop()
	if m.phantom.Load() { // they would take the other process for gone
		return nil
	}
	if err := m.list.Leave(patience(ctx)); err != nil {
		return fmt.Errorf("cluster: leave: %w", err)
	}
	return nil
}

// Close ends it. Without Leave the others find out by probing.
func (m *Members) Close() error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.closed {
		return nil
	}
	m.left, m.closed = true, true
	m.stop()
	err := m.list.Shutdown()
	m.wg.Wait()
	m.cfg.Registry.Unregister(m.metrics)
	return err
}
