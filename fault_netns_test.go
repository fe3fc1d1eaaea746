package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	httpfast "github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// A network of the test's own. Its namespaces have no name: they are held by this process and by the nodes in them, which die with it,
// so that a run that crashes leaves nothing behind. Its addresses exist nowhere else.

// netting is what a lan needs.
var netting = map[string]string{"ip": "iproute2", "nft": "nftables"}

const (
	lanNet    = "10.77.0."
	guestsIP  = lanNet + "254"
	lanPeer   = 7000 // gossip; the journal's port and the hop's follow
	lanAPI    = 8080
	lanAdmin  = 9180
	dialGuest = 3 * time.Second // for a connection to be made
)

// netns is a network namespace.
type netns struct{ file *os.File }

// guestsAt is where the guests of the running test are; nil = where the test is.
var guestsAt atomic.Pointer[netns]

// newNetns makes a namespace with its loopback up.
func newNetns(t *testing.T) *netns {
	t.Helper()
	made := make(chan *os.File, 1)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			failed <- err
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			failed <- err
			return
		}
		made <- f
	}()
	select {
	case err := <-failed:
		require.NoError(t, err, "make a network namespace")
		return nil
	case f := <-made:
		n := &netns{f}
		t.Cleanup(func() { _ = f.Close() })
		n.must(t, "ip", "link", "set", "lo", "up")
		return n
	}
}

// path is the namespace for commands.
func (n *netns) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do calls fn on a thread inside the namespace: sockets and processes that fn makes stay there. Nil = where the test is.
func (n *netns) do(fn func()) {
	if n == nil {
		fn()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		panic(err)
	}
	defer own.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("enter a network namespace: %v", err))
	}
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("leave a network namespace: %v", err))
		}
	}()
	fn()
}

// command runs a program inside and returns what it wrote to both outputs.
func (n *netns) command(stdin, name string, args ...string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	n.do(func() { out, err = cmd.CombinedOutput() })
	return out, err
}

func (n *netns) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := n.command("", name, args...)
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// dialFromGuests connects as the guests do.
func dialFromGuests(addr string) (c net.Conn, err error) {
	at := guestsAt.Load()
	if at == nil {
		return httpfast.Dial(addr)
	}
	at.do(func() { c, err = net.DialTimeout("tcp4", addr, dialGuest) })
	return c, err
}

// lan joins the guests and nodes by a bridge: each node is one cable away from everybody.
type lan struct {
	t      *testing.T
	guests *netns
	nodes  []*netns
}

func lanIP(node int) string { return fmt.Sprint(lanNet, node+1) }

func newLAN(t *testing.T, nodes int) *lan {
	t.Helper()
	l := &lan{t: t, guests: newNetns(t)}
	l.guests.must(t, "ip", "link", "add", "br0", "type", "bridge")
	l.guests.must(t, "ip", "address", "add", guestsIP+"/24", "dev", "br0")
	l.guests.must(t, "ip", "link", "set", "br0", "up")
	for i := range nodes {
		n := newNetns(t)
		port := fmt.Sprint("n", i+1)
		l.guests.must(t, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", n.path())
		l.guests.must(t, "ip", "link", "set", port, "master", "br0", "up")
		n.must(t, "ip", "address", "add", lanIP(i)+"/24", "dev", "eth0")
		n.must(t, "ip", "link", "set", "eth0", "up")
		l.nodes = append(l.nodes, n)
	}
	require.True(t, guestsAt.CompareAndSwap(nil, l.guests), "one network at a time")
	t.Cleanup(func() { guestsAt.Store(nil) })
	return l
}

// newLANCluster prepares three nodes, each in a namespace of its own; args go to each.
func newLANCluster(t *testing.T, args ...string) (*cluster3, *lan) {
	t.Helper()
	needRoot(t, netting)
	l := newLAN(t, 3)
	dir := t.TempDir()
	c := &cluster3{t: t, secrets: filepath.Join(dir, "secrets")}
	for i := range l.nodes {
		c.peers = append(c.peers, fmt.Sprintf("%s:%d", lanIP(i), lanPeer))
	}
	for i := range l.nodes {
		if without := os.Getenv(withoutGuard); without != "" {
			args = []string{"--test-without", without}
		}
		s := c.prepare(dir, i, append([]string{"--admin-open"}, args...)...)
		s.at, s.addr, s.admin = l.nodes[i], fmt.Sprintf("%s:%d", lanIP(i), lanAPI), fmt.Sprintf("%s:%d", lanIP(i), lanAdmin)
	}
	c.initialize()
	return c, l
}
