package main

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLANFaults shows what the faults of the network do to connections between two namespaces, without a node.
func TestLANFaults(t *testing.T) {
	needRoot(t, netting)
	l := newLAN(t, 3)
	f := l.firewall(0)
	for port := gossipPort; port <= hopPort; port++ {
		l.echo(t, 0, port)
	}
	for kind, p := range partitions {
		f.cut(kind)
		for port := gossipPort; port <= hopPort; port++ {
			cut := p.port < 0 || p.port == port
			require.Equal(t, !cut, l.reaches(t, l.nodes[1], port), "%s: port %d", kind, port)
			require.True(t, l.reaches(t, l.guests, port), "%s: the guests are never cut off", kind)
		}
		require.Positive(t, f.lift(), "%s has no effect", kind)
		require.True(t, l.reaches(t, l.nodes[1], routePort), "%s is over", kind)
	}
	f.hurt(resetting)
	require.False(t, l.reaches(t, l.nodes[1], routePort), "no connection is reset")
	require.Positive(t, f.lift())
}

// echo answers on one of a node's ports.
func (l *lan) echo(t *testing.T, node, port int) {
	t.Helper()
	var ln net.Listener
	var err error
	l.nodes[node].do(func() {
		ln, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(lanIP(node)), Port: lanPeer + port})
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
}

// reaches tells whether a byte comes back from a port of the first node.
func (l *lan) reaches(t *testing.T, from *netns, port int) bool {
	t.Helper()
	var c net.Conn
	var err error
	from.do(func() {
		c, err = net.DialTimeout("tcp4", net.JoinHostPort(lanIP(0), strconv.Itoa(lanPeer+port)), 300*time.Millisecond)
	})
	if err != nil {
		return false
	}
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(300*time.Millisecond)))
	if _, err := c.Write([]byte{1}); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 1))
	return err == nil
}
