package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/cluster"
)

func TestWhoMayJoin(t *testing.T) {
	at := func(node, version string) met {
		return met{addr: "10.0.0.9:7000", node: node, version: version, heard: true}
	}
	ahead := func(m met, by time.Duration) met { m.ahead = by; return m }
	foreign := met{addr: "10.0.0.7:7000", err: fmt.Errorf("dial: %w", cluster.ErrForeign)}
	for name, c := range map[string]struct {
		version string
		all     []met
		refused string // part of the sentence
		warned  string
	}{
		"the first one":               {"v1.5.0", []met{{addr: "10.0.0.8:7000", err: context.DeadlineExceeded}}, "", ""},
		"among its like":              {"v1.5.0", []met{at("n2", "v1.5.3"), at("n3", "v1.5.0")}, "", ""},
		"one minor version later":     {"v1.6.0", []met{at("n2", "v1.5.3")}, "", ""},
		"one minor version earlier":   {"v1.5.0", []met{at("n2", "v1.6.1")}, "", ""},
		"two later":                   {"v1.7.0", []met{at("n2", "v1.5.3")}, "n2 at 10.0.0.9:7000 runs v1.5.3, this is v1.7.0", ""},
		"two earlier":                 {"v1.5.0", []met{at("n2", "v1.7.0")}, "one minor version apart", ""},
		"another major version":       {"v2.5.0", []met{at("n2", "v1.5.0")}, "one minor version apart", ""},
		"a build without a version":   {"(devel)", []met{at("n2", "v1.5.3")}, "", ""},
		"an earlier build":            {"v1.5.0", []met{{addr: "10.0.0.9:7000", node: "n2"}}, "", ""},
		"its own name is in use":      {"v1.5.0", []met{at("n1", "v1.5.0")}, "another process runs as n1, at 10.0.0.9:7000", ""},
		"only strangers":              {"v1.5.0", []met{foreign}, "10.0.0.7:7000 has another cluster's secret", ""},
		"a stranger among its like":   {"v1.5.0", []met{foreign, at("n2", "v1.5.0")}, "", "10.0.0.7:7000 has another cluster's secret"},
		"a clock of another day":      {"v1.5.0", []met{{addr: "10.0.0.9:7000", err: cluster.ErrClock}}, "wrong by more than an hour", ""},
		"its clock is ahead":          {"v1.5.0", []met{ahead(at("n2", ""), 3*time.Second), ahead(at("n3", ""), 3*time.Second)}, "", "n2 +3.0 s, n3 +3.0 s"},
		"its clock is behind":         {"v1.5.0", []met{ahead(at("n2", ""), -time.Hour)}, "", "n2 -3600.0 s"},
		"another's clock is ahead":    {"v1.5.0", []met{ahead(at("n2", ""), -time.Hour), ahead(at("n3", ""), 0)}, "", ""},
		"clocks that are near enough": {"v1.5.0", []met{ahead(at("n2", ""), 1900*time.Millisecond)}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, refusal := judgeJoin("n1", c.version, c.all)
			if c.refused == "" {
				require.NoError(t, refusal)
			} else {
				require.ErrorContains(t, refusal, c.refused)
			}
			if c.warned == "" {
				require.Empty(t, warnings)
			} else {
				require.Len(t, warnings, 1)
				require.Contains(t, warnings[0], c.warned)
			}
		})
	}
}

// A node asks before it opens anything: here others of its cluster, one with its own name, and one of another cluster answer.
func TestAStartAsksWhoIsThere(t *testing.T) {
	secret := cluster.NewSecret()
	serve := func(s cluster.Secret, node, version string) string {
		peer := freePeers(t, 1)[0]
		hop, err := peerAddr(peer, hopPort)
		require.NoError(t, err)
		ln, err := net.Listen("tcp", hop)
		require.NoError(t, err)
		server := cluster.OpenHopServer(cluster.HopServerConfig{
			Listener: ln, Secret: s, Node: node, Log: slog.New(slog.DiscardHandler),
			Handler: func(_, path string, _ []byte) (int, []byte) {
				if path != helloPath {
					return 404, nil
				}
				return answerJSON(helloAnswer{version, time.Now().Add(-time.Minute).UnixMilli()})
			},
		})
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		return peer
	}
	join := func(peers ...string) ([]met, error) {
		n := &Node{Config: Config{Node: "n1", PeerListen: "127.0.0.1:1", Join: append(peers, "127.0.0.1:1")}, Log: slog.New(slog.DiscardHandler)}
		n.cell = &cell{secret: secret}
		err := n.checkJoin(t.Context())
		return n.meet(t.Context()), err
	}
	n2, n3 := serve(secret, "n2", "v1.5.0"), serve(secret, "n3", "v1.5.1")
	all, err := join(n2, n3)
	require.NoError(t, err)
	require.Equal(t, "n2", all[0].node)
	require.Equal(t, "v1.5.1", all[1].version)
	require.InDelta(t, time.Minute, all[0].ahead, float64(time.Second))
	require.Empty(t, all[2].node, "itself is not asked")

	_, err = join(serve(secret, "n1", "v1.5.0"), n2)
	require.ErrorContains(t, err, "another process runs as n1")
	stranger := serve(cluster.NewSecret(), "n2", "v1.5.0")
	_, err = join(stranger)
	require.ErrorContains(t, err, "another cluster's secret")
	_, err = join(stranger, n3)
	require.NoError(t, err, "it is not this node's fault")
	_, err = join(freePeers(t, 1)[0])
	require.NoError(t, err, "nobody is there yet")
}

func TestWhichDrainMakesSense(t *testing.T) {
	nodes := func(states ...string) (all []nodeStatus) {
		for i, s := range states {
			all = append(all, nodeStatus{Name: fmt.Sprintf("n%d", i+1), State: s})
		}
		return all
	}
	for _, c := range []struct {
		nodes   []nodeStatus
		all     int
		anyway  bool
		refused string
	}{
		{nodes(stateServing, stateServing, stateServing), 3, false, ""},
		{nodes(stateDraining, stateServing, stateServing), 3, false, ""}, // again
		{nodes(stateServing, stateServing, stateDraining), 3, false, "only n2 would serve, and 2 of 3 nodes have to live, else nothing is written (n3 is draining)"},
		{nodes(stateServing, stateServing, stateAway), 3, false, "n3 is away"},
		{nodes(stateServing, stateServing, stateAway), 3, true, ""},
		{nodes(stateServing, stateSilent, stateAway), 3, true, "nobody else serves (n2 is silent, n3 is away)"},
		{nodes(stateServing, stateServing, stateServing, stateDraining, stateDraining), 5, false, "only n2, n3 would serve"},
		{nodes(stateServing, stateServing, stateServing, stateServing, stateDraining), 5, false, ""},
	} {
		err := mayDrain(c.nodes, drainOrder{Node: "n1", Anyway: c.anyway}, c.all)
		if c.refused == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.refused)
		}
	}
}
