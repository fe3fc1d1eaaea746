package jetstream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
)

// freePorts finds n ports of the loopback that nobody listens on now.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		var err error
		ports[i], err = dev.FreePort()
		require.NoError(t, err)
	}
	return ports
}

// clusterOptions are for n servers on the loopback with a directory each under dir.
func clusterOptions(t testing.TB, dir string, n int) []Options {
	t.Helper()
	ports := freePorts(t, n)
	var routes []string
	for _, p := range ports {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", p))
	}
	all := make([]Options, n)
	for i := range all {
		o := testOptions(filepath.Join(dir, fmt.Sprint(i)))
		o.Name, o.Replicas = fmt.Sprintf("s%d", i), 3
		o.Cluster = &Cluster{Name: "test", Host: "127.0.0.1", Port: ports[i], Routes: routes, Secret: "for the test", TLS: routeTLS(t, "for the test")}
		all[i] = o
	}
	return all
}

// openCluster opens three servers at once: each waits for the others.
func openCluster(t testing.TB, options []Options) []*Embedded {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	all := make([]*Embedded, len(options))
	errs := make([]error, len(options))
	var wg sync.WaitGroup
	for i, o := range options {
		wg.Go(func() { all[i], errs[i] = Open(ctx, o) })
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "server %d", i)
	}
	t.Cleanup(func() {
		for _, e := range all {
			wg.Go(func() { _ = e.Close() })
		}
		wg.Wait()
	})
	return all
}

// electionLimit is what an election may take on a machine that is busy with other tests: 4 to 9 s each, and a vote may be split.
const electionLimit = time.Minute

// leaderOf waits until a server leads the stream.
func leaderOf(t testing.TB, all []*Embedded, stream string) int {
	t.Helper()
	leader := -1
	require.Eventually(t, func() bool {
		for i, e := range all {
			if l := e.now.Load(); l != nil && l.server.JetStreamIsStreamLeader("$G", stream) {
				leader = i
				return true
			}
		}
		return false
	}, electionLimit, 20*time.Millisecond, "nobody leads %s", stream)
	return leader
}

// The stream's leader is stopped: the others go on, nothing acknowledged is missing, and the subjects keep their place.
func TestClusterLosesItsLeader(t *testing.T) {
	all := openCluster(t, clusterOptions(t, t.TempDir(), 3))
	leader := leaderOf(t, all, journalStream)
	other := all[(leader+1)%3].Journal()
	acked := map[persistence.Seq]string{}
	var last persistence.Seq
	write := func(n int) {
		for i := range n {
			data := fmt.Sprintf("%d after %d", i, last)
			require.Eventually(t, func() bool {
				seq, err := other.Append(t.Context(), "j.w.n1", []byte(data), last)
				if err == nil {
					acked[seq], last = data, seq
					return true
				}
				if e, err := other.Last(t.Context(), "j.w.n1"); err == nil && e.Seq > last && string(e.Data) == data {
					last = e.Seq // stored, its acknowledgement lost
					return true
				}
				return false
			}, 20*time.Second, 20*time.Millisecond)
		}
	}
	write(50)
	require.NoError(t, all[leader].Close())
	write(50)
	third := all[(leader+2)%3].Journal()
	n := 0
	require.NoError(t, third.Read(t.Context(), 1, last, func(e persistence.Entry) error {
		if want, ok := acked[e.Seq]; ok {
			require.Equal(t, want, string(e.Data))
			n++
		}
		return nil
	}))
	require.Equal(t, len(acked), n)
	_, err := third.Append(t.Context(), "j.w.n1", []byte("zombie"), last-1)
	require.ErrorIs(t, err, persistence.ErrConflict)
}

// The bases are led where the journal is: the loss of another server costs nobody an election.
func TestClusterLeadsBasesWhereTheJournalIs(t *testing.T) {
	all := openCluster(t, clusterOptions(t, t.TempDir(), 3))
	for range 2 { // the second time certainly from another server
		l := all[0].now.Load()
		_, err := l.reads.Request("$JS.API.STREAM.LEADER.STEPDOWN."+baseStream, nil, requestTimeout)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return leaderOf(t, all, baseStream) == leaderOf(t, all, journalStream) }, electionLimit, 20*time.Millisecond)
	}
}

func TestTogetherWaitsUntilItLasts(t *testing.T) {
	at := func(leader string, replicas ...*jetstream.PeerInfo) *jetstream.ClusterInfo {
		return &jetstream.ClusterInfo{Leader: leader, Replicas: replicas}
	}
	ready, behind := &jetstream.PeerInfo{Name: "a", Current: true}, &jetstream.PeerInfo{Name: "a"}
	now := time.Now()
	for name, c := range map[string]struct {
		journal, bases *jetstream.ClusterInfo
		want           string
	}{
		"apart":                          {at("a"), at("b", ready), "a"},
		"together":                       {at("b"), at("b", ready), ""},
		"somebody else leads them":       {at("a"), at("c", ready), ""},
		"nobody leads the journal":       {at(""), at("b", ready), ""},
		"its leader is behind":           {at("a"), at("b", behind), ""},
		"a server that stands by itself": {nil, nil, ""},
	} {
		var together together
		require.Empty(t, together.due("b", c.journal, c.bases, now), name)
		require.Empty(t, together.due("b", c.journal, c.bases, now.Add(togetherAfter-1)), name)
		require.Equal(t, c.want, together.due("b", c.journal, c.bases, now.Add(togetherAfter)), name)
	}
}

// Without a quorum nothing is concluded: who asks is told that nobody knows, and asks again. A start ended here, and a scan took such
// bases for damaged ones.
func TestClusterWithoutQuorumKnowsNothing(t *testing.T) {
	all := openCluster(t, clusterOptions(t, t.TempDir(), 3))
	_, err := all[0].Journal().Append(t.Context(), "j.w.n1", []byte("record"), 0)
	require.NoError(t, err)
	require.NoError(t, all[1].Close())
	require.NoError(t, all[2].Close())
	l := all[0].now.Load()
	for until := time.Now().Add(electionLimit); ; {
		require.True(t, time.Now().Before(until), "the server never says that the stream is away")
		_, err := l.get(t.Context(), journalStream, getRequest{Seq: 1})
		if err == nil {
			continue
		}
		require.ErrorIs(t, err, persistence.ErrUnknown)
		require.True(t, transient(err), "%v", err)
		if strings.Contains(err.Error(), "(10008)") {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err = l.bounds(ctx); err != nil {
		require.ErrorIs(t, err, persistence.ErrUnknown)
		require.True(t, transient(err), "%v", err)
	}
	require.Eventually(t, func() bool {
		e, err := all[0].Journal().Get(t.Context(), 1)
		return err == nil && string(e.Data) == "record"
	}, electionLimit, 20*time.Millisecond, "what stands is read also when nobody leads")
	_, err = all[0].Journal().Get(t.Context(), 2)
	require.ErrorIs(t, err, persistence.ErrUnknown, "what is not there may be")
}

// Who lags answers nothing, or not all: the leader is asked for the rest.
func TestClusterReadsOfTheLeaderWhatIsNotNear(t *testing.T) {
	all := openCluster(t, clusterOptions(t, t.TempDir(), 3))
	j := all[0].Journal()
	var want []string
	last := persistence.Seq(0)
	for i := range 40 {
		seq, err := j.Append(t.Context(), "j.w.n1", []byte(fmt.Sprint(i)), last)
		require.NoError(t, err)
		want, last = append(want, fmt.Sprint(i)), seq
	}
	l := all[0].now.Load()
	near := func() []persistence.Entry {
		entries, err := l.batch(t.Context(), 1, last)
		require.NoError(t, err)
		return entries
	}
	require.Eventually(t, func() bool { return len(near()) == len(want) }, electionLimit, 20*time.Millisecond)
	enough := errors.New("enough")
	stopped := func() error { return j.Read(t.Context(), 1, last, func(persistence.Entry) error { return enough }) }
	require.Equal(t, enough, stopped(), "the reader's error comes untouched")
	cfg := l.journal.CachedInfo().Config
	cfg.AllowDirect = false // as if no server had any
	_, err := l.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(near()) == 0 }, electionLimit, 20*time.Millisecond)
	var got []string
	require.NoError(t, j.Read(t.Context(), 1, last, func(e persistence.Entry) error {
		got = append(got, string(e.Data))
		return nil
	}))
	require.Equal(t, want, got)
	require.Equal(t, enough, stopped(), "also when the leader is asked")
	e, err := j.Get(t.Context(), last)
	require.NoError(t, err)
	require.Equal(t, want[39], string(e.Data))
}
