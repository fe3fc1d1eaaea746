package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"maitred/actors"
	"maitred/deploy/dev"
)

// natsServers are n servers of the operator's as one, in the test's process; they keep journals of any size.
type natsServers struct {
	t       *testing.T
	running []*natsserver.Server
}

func newNATS(t *testing.T, n int) *natsServers {
	t.Helper()
	all := &natsServers{t: t}
	var ports, routes []string
	for range n {
		port, err := dev.FreePort()
		require.NoError(t, err)
		ports = append(ports, strconv.Itoa(port))
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", port))
	}
	for i := range n {
		dir := t.TempDir()
		conf := fmt.Sprintf(`server_name: nats%d
listen: 127.0.0.1:-1
max_payload: 32MiB
jetstream { store_dir: %q, sync_interval: always, max_file_store: 100G }
accounts {
  MAITRED { jetstream: enabled, users: [ { user: maitred, password: secret } ] }
  SYS { users: [ { user: admin, password: secret } ] }
}
system_account: SYS
`, i+1, dir)
		if n > 1 {
			conf += fmt.Sprintf("cluster { name: mise, listen: 127.0.0.1:%s, routes: [%s] }\n", ports[i], strings.Join(routes, ","))
		}
		file := filepath.Join(dir, "nats.conf")
		require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
		o, err := natsserver.ProcessConfigFile(file)
		require.NoError(t, err)
		o.NoSigs, o.NoLog = true, true
		s, err := natsserver.NewServer(o)
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		require.True(t, s.ReadyForConnections(10*time.Second))
		all.running = append(all.running, s)
	}
	return all
}

// args are of serve.
func (n *natsServers) args() []string {
	urls := func(user string) string {
		var all []string
		for _, s := range n.running {
			all = append(all, strings.Replace(s.ClientURL(), "//", "//"+user+":secret@", 1))
		}
		return strings.Join(all, ",")
	}
	return []string{"--nats-url", urls("maitred"), "--nats-system-url", urls("admin")}
}

// One node keeps its journal with a NATS server: what it acknowledged is there after kill -9.
func TestJournalOfAnExternalServer(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	s := newServer(t, t.TempDir(), newNATS(t, 1).args()...)
	s.start()
	w := furnish(t, s, 5, 20)
	g := newPatrons(s, w, l, seed, 8)
	for range 3 {
		g.round++
		stop := under(s, g)
		pause(500 * time.Millisecond)
		s.kill()
		stop()
		require.NoFileExists(t, filepath.Join(s.data, "jetstream"), "the journal is not here")
		s.start()
		g.settle(s.addr, y)
		g.compare(s.addr, y, 0, 1)
	}
	y.print(t, l, "")

	archive := filepath.Join(t.TempDir(), "backup.tar")
	out, err := s.run("backup", archive, "--data", s.data, "--admin", s.admin)
	require.NoError(t, err, out)
	out, err = s.run("restore", archive, "--check")
	require.NoError(t, err, out)
}

// Three nodes share three external servers: one node and the server that leads the journal are lost, and every restaurant is served again
// in time with everything that was acknowledged.
func TestClusterOverExternalServers(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	nats := newNATS(t, 3)
	c := newCluster(t, nats.args()...)
	c.start()
	w := furnish(t, c.nodes[0], 20, 20)
	g := newPatrons(c.nodes[0], w, l, seed, 24)
	g.stubborn, g.rest, g.round = true, 5*time.Millisecond, 1
	token := c.nodes[0].tokens("customer", 1)[0]
	stop := under(&server{addr: c.addrs()}, g)
	pause(time.Second)
	killed := c.hurt(c.nodes[1], "kill", w, token)
	c.serves(c.nodes...)
	c.spread()

	st, err := c.status(c.nodes[0])
	require.NoError(t, err)
	for _, s := range nats.running {
		if s.Name() == st.JournalLeader {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	led := c.outage(c.nodes, w, token)
	stop()
	g.settle(c.addrs(), y)
	for _, s := range c.nodes {
		g.compare(s.addr, y, 0, 1)
	}
	y.print(t, l, "served again %v after the kill of a node, %v after the loss of the server that led the journal", killed, led)
	require.LessOrEqual(t, killed, actors.LeaseTime+3*time.Second)
	require.LessOrEqual(t, led, 15*time.Second)
}
