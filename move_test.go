package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/cluster"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// foldOf is the state of every restaurant and account at a record of the journal, made from bases (nil = from events alone) and events by
// the engine itself.
func foldOf(t *testing.T, journal persistence.Journal, bases persistence.Bases, seal *persistence.Seal, to persistence.Seq) map[engine.AggregateID]string {
	t.Helper()
	states := map[engine.AggregateID]engine.Aggregate{}
	if bases != nil {
		bases = persistence.SealBases(bases, seal)
		_, err := bases.Scan(t.Context(), func(h persistence.BaseHeader) error {
			b, err := bases.Get(t.Context(), h.ID)
			if err == nil {
				states[h.ID], err = engine.OpenBase(h.ID, b.State)
			}
			return err
		})
		require.NoError(t, err)
	}
	b, err := journal.Bounds(t.Context())
	require.NoError(t, err)
	if to == 0 {
		to = b.Last
	}
	err = seal.ReadCommitted(t.Context(), journal, b.First, to, func(_ persistence.Seq, events []persistence.Committed) error {
		for _, c := range events {
			a := states[c.Aggregate]
			if a == nil {
				a = engine.NewAggregate(c.Aggregate)
				states[c.Aggregate] = a
			}
			if c.Version == a.Version()+1 {
				a.Apply(c.Event)
			} else if c.Version > a.Version() {
				return fmt.Errorf("%s: version %d after %d", c.Aggregate, c.Version, a.Version())
			}
		}
		return nil
	})
	require.NoError(t, err)
	fold := map[engine.AggregateID]string{}
	for id, a := range states {
		fold[id] = fmt.Sprintf("version %d, state %x", a.Version(), sha256.Sum256(a.AppendBase(nil)))
	}
	return fold
}

// foldOfDir is foldOf of a stopped node's directory, whatever its marks say.
func foldOfDir(t *testing.T, dir string) map[engine.AggregateID]string {
	t.Helper()
	e, err := jetstream.OpenForRepair(t.Context(), repairOptions(dir))
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	seal, err := readSeal(dir)
	require.NoError(t, err)
	return foldOf(t, e.Journal(), e.Bases(), seal, 0)
}

// openCell opens the servers of a cluster's stopped nodes in this process, on other ports than theirs.
func openCell(t *testing.T, dir, secrets string, nodes []string) []*jetstream.Embedded {
	t.Helper()
	secret, err := cluster.ReadSecret(filepath.Join(secrets, secretFile))
	require.NoError(t, err)
	options, err := clusterTargets(secret, nodes, dir)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := make([]*jetstream.Embedded, len(options))
	errs := make([]error, len(options))
	var wg sync.WaitGroup
	for i, o := range options {
		wg.Go(func() { all[i], errs[i] = jetstream.Open(ctx, o) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { // a consumer needs the meta leader
		_, err := all[0].Bases().Scan(ctx, func(persistence.BaseHeader) error { return nil })
		return err == nil
	}, time.Minute, 5*pollEvery)
	return all
}

func closeCell(t *testing.T, all []*jetstream.Embedded) {
	t.Helper()
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// history is what a single node has taken before it moves.
type history struct {
	data, guest, restaurant string
	mine                    []kept
	fold                    map[engine.AggregateID]string
	last                    persistence.Seq
}

// newHistory is a stopped node with reservations of which the oldest are in bases alone: its journal was purged.
func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{data: t.TempDir()}
	s := openSite(t, h.data, func(c *Config) {
		c.TestKeeping, c.JournalKeep, c.FrameEvery = 300*time.Millisecond, 300*time.Millisecond, 0
	})
	h.guest = s.token(2, engine.RoleCustomer)
	h.restaurant = s.trattoria(0, 6)
	for i := range 6 {
		got, k := s.reserve(h.guest, h.restaurant, fmt.Sprintf("kept-%d", i), "20:00")
		require.Equal(t, 201, got.status, "%s", got.body)
		h.mine = append(h.mine, k)
	}
	busy := s.trattoria(1, 1)
	first := func() persistence.Seq {
		b, err := s.embedded.Journal().Bounds(t.Context())
		require.NoError(t, err)
		h.last = b.Last
		return b.First
	}
	first()
	for i, begun := 0, h.last; first() <= begun; i++ { // a purge needs a checkpoint, which needs records
		require.Less(t, i, 5_000, "the journal was never purged")
		got, k := s.reserve(h.guest, busy, fmt.Sprintf("gone-%d", i), "20:00")
		require.Equal(t, 201, got.status, "%s", got.body)
		got, err := s.do(request{method: "POST", path: "/reservations/" + k.ID + "/cancel", token: h.guest})
		requireStatus(t, 200, got, err)
	}
	s.follow()
	require.NoError(t, s.Close())
	h.fold = foldOfDir(t, h.data)
	return h
}

// TestJournalMovesIntoACluster: what one node had taken, three serve: every reservation, with the keys that made them, the lists, and the
// accounts; whether one of the new nodes has the old one's name or none.
func TestJournalMovesIntoACluster(t *testing.T) {
	for name, nodes := range map[string][]string{"the old name": {"n1", "n2", "n3"}, "new names": {"x", "y", "z"}} {
		t.Run(name, func(t *testing.T) { moveIntoACluster(t, nodes) })
	}
}

func moveIntoACluster(t *testing.T, nodes []string) {
	h, dir := newHistory(t), t.TempDir()
	secrets, cells := filepath.Join(dir, "secrets"), filepath.Join(dir, "nodes")
	cli := newServer(t, h.data)
	run := func(want string, args ...string) {
		t.Helper()
		out, err := cli.run(args...)
		if strings.HasPrefix(want, "!") {
			require.Error(t, err, out)
			want = want[1:]
		} else {
			require.NoError(t, err, out)
		}
		require.Contains(t, out, want)
	}
	names := strings.Join(nodes, ",")
	run("!cluster init SECRETS --from", "journal", "copy", "--to-cluster", "--data", h.data, cells)
	other := filepath.Join(dir, "other")
	run("Whoever has it is a node", "cluster", "init", other)
	run("!no account of", "journal", "copy", "--to-cluster", "--data", h.data, "--cluster-dir", other, "--nodes", names, cells)
	require.NoDirExists(t, cells)
	run("Whoever has it is a node", "cluster", "init", secrets, "--from", h.data)
	run("read back and compared", "journal", "copy", "--to-cluster", "--data", h.data, "--cluster-dir", secrets, "--nodes", names, cells)
	run("!was moved to the nodes of a cluster", "serve", "--data", h.data, "--listen", "127.0.0.1:0", "--admin-listen", "")

	all := openCell(t, cells, secrets, nodes)
	seal, err := readSeal(secrets)
	require.NoError(t, err)
	for _, e := range all {
		require.Equal(t, h.fold, foldOf(t, e.Journal(), e.Bases(), seal, 0))
	}
	closeCell(t, all)

	c := movedCluster(t, h, nodes, cells, secrets)
	c.start()
	for _, s := range c.nodes {
		c.hasAll(s, h)
	}
}

// movedCluster prepares the processes of the new nodes.
func movedCluster(t *testing.T, h *history, nodes []string, cells, secrets string) *cluster3 {
	t.Helper()
	c := &cluster3{t: t, secrets: secrets, peers: freePeers(t, len(nodes))}
	for i, node := range nodes {
		s := newServer(t, filepath.Join(cells, node), "--node", node, "--cluster-dir", secrets, "--peer-listen", c.peers[i], "--join", strings.Join(c.peers, ","))
		s.keys = secrets
		c.nodes = append(c.nodes, s)
	}
	return c
}

// hasAll asks one node for everything that the guest has.
func (c *cluster3) hasAll(s *server, h *history) {
	c.t.Helper()
	a := newAPI(s.addr, 4)
	defer a.close()
	at := &site{t: c.t, api: a}
	for i, want := range h.mine {
		var have kept
		at.get(h.guest, "/reservations/"+want.ID, &have)
		require.Equal(c.t, want, have)
		got, again := at.reserve(h.guest, h.restaurant, fmt.Sprintf("kept-%d", i), "20:00")
		require.True(c.t, got.status == 201 && got.replayed, "the key of before the move: %d %s", got.status, got.body)
		require.Equal(c.t, want, again)
	}
	got, _ := at.reserve(h.guest, h.restaurant, "one too many", "20:00")
	require.Equal(c.t, 409, got.status, "the tables that were taken are taken: %s", got.body)
	var page struct {
		Items []kept `json:"items"`
	}
	require.Eventually(c.t, func() bool { // the store of this node has followed
		at.get(h.guest, "/reservations?status="+h.mine[0].Status, &page)
		return len(page.Items) == len(h.mine)
	}, readyWithin, 5*pollEvery, "%+v", page)
	require.ElementsMatch(c.t, h.mine, page.Items)
	out, err := s.run("audit", "--data", s.data, "--id", h.restaurant, "--limit", "10000")
	require.NoError(c.t, err, out)
	require.Contains(c.t, out, h.restaurant+" v1 ", "what the journal has purged is in the audit")
}
