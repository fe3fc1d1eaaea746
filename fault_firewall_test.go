package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// firewall hurts what a node of a lan sends and receives, by nftables in the node's namespace. The guests always reach the node.
type firewall struct {
	t    *testing.T
	at   *netns
	node int
}

func (l *lan) firewall(node int) *firewall { return &firewall{l.t, l.nodes[node], node} }

// Which of a node's packets a fault is for.
const (
	heard = 1 << iota
	said
)

// What a partition cuts: the direction as the node sees it, and a port of the peer address; -1 = all of them.
var partitions = map[string]struct{ ways, port int }{
	"full": {heard | said, -1}, "deaf": {heard, -1}, "mute": {said, -1},
	"journal only": {heard | said, routePort}, "gossip only": {heard | said, gossipPort}, "hop only": {heard | said, hopPort},
}

// Faults of single messages, on all three ports.
const (
	lossy     = "numgen random mod 100 < 10 counter drop"                            // a packet in ten
	resetting = "meta l4proto tcp limit rate 2/second counter reject with tcp reset" // two connections a second in each direction of each port
)

// cut drops what a partition is for.
func (f *firewall) cut(kind string) {
	f.t.Helper()
	p, known := partitions[kind]
	require.True(f.t, known, "no partition %q", kind)
	f.load(p.ways, p.port, "counter drop")
}

// hurt does something to messages of all ports.
func (f *firewall) hurt(verdict string) {
	f.t.Helper()
	var rules []string
	for _, way := range []int{heard, said} {
		for port := gossipPort; port <= hopPort; port++ {
			rules = append(rules, f.rules(way, port, verdict)...)
		}
	}
	f.apply(rules)
}

func (f *firewall) load(ways, port int, verdict string) {
	f.t.Helper()
	var rules []string
	for _, way := range []int{heard, said} {
		if ways&way != 0 {
			rules = append(rules, f.rules(way, port, verdict)...)
		}
	}
	f.apply(rules)
}

// rules are for packets of one direction between this node and the other ones.
func (f *firewall) rules(way, port int, verdict string) []string {
	var others []string
	for i := range 3 {
		if i != f.node {
			others = append(others, lanIP(i))
		}
	}
	chain, addr := "heard", "ip saddr"
	if way == said {
		chain, addr = "said", "ip daddr"
	}
	match := fmt.Sprintf("add rule inet faults %s %s { %s } ", chain, addr, strings.Join(others, ", "))
	if port < 0 {
		return []string{match + verdict}
	}
	end := fmt.Sprintf("meta l4proto { tcp, udp } th %%s %d ", lanPeer+port)
	return []string{match + fmt.Sprintf(end, "sport") + verdict, match + fmt.Sprintf(end, "dport") + verdict}
}

func (f *firewall) apply(rules []string) {
	f.t.Helper()
	f.lift()
	script := "add table inet faults\n" +
		"add chain inet faults heard { type filter hook input priority 0; }\n" +
		"add chain inet faults said { type filter hook output priority 0; }\n" + strings.Join(rules, "\n") + "\n"
	out, err := f.at.command(script, "nft", "-f", "-")
	require.NoError(f.t, err, "%s\n%s", script, out)
}

var packets = regexp.MustCompile(`counter packets (\d+)`)

// lift takes the fault away and says how many packets it hit.
func (f *firewall) lift() (hits int) {
	f.t.Helper()
	out, err := f.at.command("", "nft", "list", "ruleset")
	require.NoError(f.t, err, "%s", out)
	for _, m := range packets.FindAllSubmatch(out, -1) {
		n, err := strconv.Atoi(string(m[1]))
		require.NoError(f.t, err)
		hits += n
	}
	f.at.must(f.t, "nft", "flush", "ruleset")
	return hits
}
