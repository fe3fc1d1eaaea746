package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"maitred/actors"
	"maitred/cluster"
)

// cluster3 is three processes as one, on the loopback.
type cluster3 struct {
	t       *testing.T
	secrets string
	nodes   []*server
	peers   []string // --peer-listen of each
}

// newCluster prepares three nodes; args go to each.
func newCluster(t *testing.T, args ...string) *cluster3 {
	t.Helper()
	dir := t.TempDir()
	c := &cluster3{t: t, secrets: filepath.Join(dir, "secrets"), peers: freePeers(t, 3)}
	for i := range c.peers {
		c.prepare(dir, i, args...)
	}
	c.initialize()
	return c
}

// prepare adds node i, with its data below dir.
func (c *cluster3) prepare(dir string, i int, args ...string) *server {
	c.t.Helper()
	own := []string{"--node", fmt.Sprintf("n%d", i+1), "--cluster-dir", c.secrets, "--peer-listen", c.peers[i], "--join", strings.Join(c.peers, ","), "--journal-bytes", "2147483648"}
	s := newServer(c.t, filepath.Join(dir, fmt.Sprintf("d%d", i+1)), append(own, args...)...)
	s.keys = c.secrets
	c.nodes = append(c.nodes, s)
	return s
}

// initialize makes the secrets.
func (c *cluster3) initialize() {
	c.t.Helper()
	out, err := c.nodes[0].run("cluster", "init", c.secrets)
	require.NoError(c.t, err, out)
}

// freePeers finds addresses with three free ports in a row each, for TCP and UDP.
func freePeers(t *testing.T, n int) (addrs []string) {
	t.Helper()
	taken := func(port int) bool {
		at := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", at)
		if err != nil {
			return true
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			return true
		}
		defer u.Close()
		return false
	}
	for port := 12_000 + rand.IntN(18_000); len(addrs) < n; port += 3 { // below the ports that the kernel gives away
		if !taken(port+gossipPort) && !taken(port+routePort) && !taken(port+hopPort) {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", port))
		}
	}
	return addrs
}

// start starts all nodes and waits until each has its share.
func (c *cluster3) start() {
	c.t.Helper()
	for _, s := range c.nodes {
		s.launch()
	}
	c.serves(c.nodes...)
	c.spread()
}

func (c *cluster3) serves(nodes ...*server) {
	c.t.Helper()
	for _, s := range nodes {
		require.Eventually(c.t, func() bool { return s.ready() || s.gone() }, 2*readyWithin, pollEvery, "not ready: %s", s.said.tail())
		require.False(c.t, s.gone(), "a node ended instead of serving: %s", s.said.tail())
	}
}

// adminClient asks nodes what they know, from where the guests are.
var adminClient = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
	DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return dialFromGuests(addr) },
	DisableKeepAlives: true,
}}

// status is what a node says of the cluster.
func (c *cluster3) status(s *server) (st cellStatus, err error) {
	res, err := adminClient.Get("http://" + s.admin + clusterPath)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	return st, json.NewDecoder(res.Body).Decode(&st)
}

// spread waits until every node sees every partition where it should be, and none with a node that is not running.
func (c *cluster3) spread() {
	c.t.Helper()
	for _, s := range c.nodes {
		var last cellStatus
		require.Eventually(c.t, func() bool {
			st, err := c.status(s)
			last = st
			return err == nil && st.ToMove == 0 && len(st.Nodes) == len(c.nodes) &&
				!slices.ContainsFunc(st.Nodes, func(n nodeStatus) bool { return n.State != "serving" || n.Holds == 0 })
		}, 2*readyWithin, 5*pollEvery, "%+v", &last)
	}
}

// addrs are all nodes' API addresses, for a client that takes them in turn.
func (c *cluster3) addrs() string {
	var all []string
	for _, s := range c.nodes {
		all = append(all, s.addr)
	}
	return strings.Join(all, ",")
}

// others are the nodes without some.
func (c *cluster3) others(without ...*server) []*server {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(s *server) bool { return slices.Contains(without, s) })
}

// leads tells whether a node's server leads journal and bases, by its own word; known is false while they have no leader, or two.
func (c *cluster3) leads(s *server) (leads, known bool) {
	st, err := c.status(s)
	return err == nil && st.JournalLeader == st.Node, err == nil && st.JournalLeader != "" && st.JournalLeader == st.BasesLeader
}

// probes counts the reservations that no ledger has: each has a mark of its own.
var probes atomic.Int64

// outage measures from now on until every restaurant has decided something anew, asked by way of the nodes in turn.
func (c *cluster3) outage(nodes []*server, w *world, token string) time.Duration {
	c.t.Helper()
	begun := time.Now()
	var apis []*api
	for _, s := range nodes {
		a := newAPI(s.addr, 64)
		defer a.close()
		apis = append(apis, a)
	}
	var slowest time.Duration
	var mu sync.Mutex
	each(len(w.places), len(w.places), func(i int) {
		for try := 0; time.Since(begun) < time.Minute; try++ {
			got, err := apis[(i+try)%len(apis)].do(request{method: "POST", path: "/reservations", token: token, within: 3 * time.Second, body: map[string]any{
				"restaurant_id": w.places[i].id, "date": day(20), "time_slot": w.slots[try%len(w.slots)], "guests_count": 2,
				"special_requests": fmt.Sprintf("probe-%d", probes.Add(1)),
			}})
			if err == nil && (got.status == 201 || got.status == 409) {
				mu.Lock()
				slowest = max(slowest, time.Since(begun))
				mu.Unlock()
				return
			}
			pause(pollEvery)
		}
		c.t.Errorf("restaurant %d is not served again within a minute", i)
	})
	return slowest
}

// shelve stops every node and reads the journal with plain JetStream servers over copies of their directories.
func (c *cluster3) shelve(y *tally) *shelf {
	c.t.Helper()
	secret, err := cluster.ReadSecret(filepath.Join(c.secrets, secretFile))
	require.NoError(c.t, err)
	var routes []string
	for _, peer := range freePeers(c.t, len(c.nodes)) {
		at, err := peerAddr(peer, routePort)
		require.NoError(c.t, err)
		routes = append(routes, "nats-route://"+at)
	}
	dir := c.t.TempDir()
	var servers []*natsserver.Server
	for i, s := range c.nodes {
		s.kill()
		copyTree(c.t, filepath.Join(s.data, "jetstream"), filepath.Join(dir, fmt.Sprint(i), "jetstream"))
	}
	for i := range c.nodes {
		_, port, err := net.SplitHostPort(strings.TrimPrefix(routes[i], "nats-route://"))
		require.NoError(c.t, err)
		o := &natsserver.Options{
			ServerName: fmt.Sprintf("n%d", i+1), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, fmt.Sprint(i)),
			JetStreamMaxStore: 1 << 50, NoSigs: true, NoLog: true, Routes: natsserver.RoutesFromStr(strings.Join(routes, ",")),
			Cluster: natsserver.ClusterOpts{Name: secret.Label(), Host: "127.0.0.1"},
		}
		_, err = fmt.Sscan(port, &o.Cluster.Port)
		require.NoError(c.t, err)
		ns, err := natsserver.NewServer(o)
		require.NoError(c.t, err)
		ns.Start()
		servers = append(servers, ns)
	}
	defer func() {
		for _, ns := range servers {
			ns.Shutdown()
			ns.WaitForShutdown()
		}
	}()
	var leader *natsserver.Server
	require.Eventually(c.t, func() bool {
		for _, ns := range servers {
			if ns.JetStreamIsStreamLeader("$G", "JOURNAL") {
				leader = ns
			}
		}
		return leader != nil
	}, time.Minute, 5*pollEvery, "nobody leads the copied journal")
	nc, err := nats.Connect(leader.ClientURL())
	require.NoError(c.t, err)
	defer nc.Close()
	shelf := newShelf()
	shelf.seal, err = readSeal(c.secrets)
	require.NoError(c.t, err)
	readOneByOne(c.t, nc, func(seq uint64, record []byte) { shelf.record(c.t, y, seq, record) })
	return shelf
}

// readOneByOne asks the leader for each record: a consumer would have to be placed by the meta leader first.
func readOneByOne(t *testing.T, nc *nats.Conn, fn func(seq uint64, record []byte)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(ctx, "JOURNAL")
	require.NoError(t, err)
	info, err := stream.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.FirstSeq, "the journal was purged: this check needs all of it")
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		require.NoError(t, err, "read record %d of %d", seq, info.State.LastSeq)
		fn(seq, m.Data)
	}
}

// TestFaultCluster lets guests reserve by way of three nodes while nodes are killed, paused beyond their lease, and stopped in good
// order. Whatever was acknowledged is there once in the end, by the API of every node and by the journal; every restaurant is served
// again in time.
func TestFaultCluster(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := newCluster(t)
	c.start()
	w := furnish(t, c.nodes[0], 30, 20)
	g := newPatrons(c.nodes[0], w, l, seed, 48)
	g.stubborn, g.rest = true, 5*time.Millisecond
	token := c.nodes[0].tokens("customer", 1)[0]
	worst := map[string]time.Duration{}
	faults := []string{"kill", "stop", "pause", "kill the leader"}
	for i := range times(t, 4, "MAITRED_CLUSTER_FAULTS", 150) {
		fault := faults[i%len(faults)]
		g.round++
		stop, away := under(&server{addr: c.addrs()}, g), staff(c.addrs(), w.owner, l, rng.Uint64())
		pause(time.Duration(500+rng.IntN(1500)) * time.Millisecond)
		victim := c.victim(rng, fault == "kill the leader")
		took := c.hurt(victim, fault, w, token)
		worst[fault] = max(worst[fault], took)
		fmt.Printf("%s %s: %s of %s, served again after %v\n", time.Now().Format(time.TimeOnly), t.Name(), fault, filepath.Base(victim.data), took.Round(time.Millisecond))
		away()
		stop()
		c.serves(victim)
		c.spread()
		g.settle(c.addrs(), y)
		g.compare(c.nodes[rng.IntN(3)].addr, y, g.round, 10)
		y.faults++
		if y.lost+y.doubled+y.wrong > 0 {
			for _, o := range l.final() {
				if strings.Contains(fmt.Sprint(y.details), o.Reservation) && o.Reservation != "" {
					t.Logf("%+v", *o)
				}
			}
		}
		require.Zero(t, y.lost+y.doubled+y.wrong, "%v", y.details)
	}
	for _, s := range c.nodes {
		g.compare(s.addr, y, 0, 1)
	}
	c.shelve(y).reconcile(y, l)
	g.oddities(y)
	y.print(t, l, l.linear(y)+" served_again=%v", worst)
	require.LessOrEqual(t, worst["kill"], actors.LeaseTime+3*time.Second)
	require.LessOrEqual(t, worst["pause"], actors.LeaseTime+3*time.Second)
	require.LessOrEqual(t, worst["kill the leader"], 15*time.Second)
}

// victim is a node that leads the journal, or one that does not.
func (c *cluster3) victim(rng *rand.Rand, leader bool) *server {
	c.t.Helper()
	var victim *server
	require.Eventually(c.t, func() bool {
		var fit []*server
		for _, s := range c.nodes {
			leads, known := c.leads(s)
			if !known {
				return false
			}
			if leads == leader {
				fit = append(fit, s)
			}
		}
		if len(fit) == 0 || len(fit) == len(c.nodes) { // it has changed meanwhile
			return false
		}
		victim = fit[rng.IntN(len(fit))]
		return true
	}, readyWithin, pollEvery)
	return victim
}

// hurt does it to a node, brings it back, and says how long some restaurant was not served by the others.
func (c *cluster3) hurt(s *server, fault string, w *world, token string) time.Duration {
	c.t.Helper()
	others := c.others(s)
	switch fault {
	case "stop":
		require.NoError(c.t, syscall.Kill(s.pid, syscall.SIGTERM))
		took := c.outage(others, w, token)
		require.Zero(c.t, s.waitExit(stopWithin), "exit code: %s", s.said)
		s.launch()
		return took
	case "pause":
		require.NoError(c.t, syscall.Kill(s.pid, syscall.SIGSTOP))
		took := c.outage(others, w, token)
		require.NoError(c.t, syscall.Kill(s.pid, syscall.SIGCONT))
		return took
	}
	s.kill()
	took := c.outage(others, w, token)
	s.launch()
	return took
}
