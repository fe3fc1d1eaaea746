package jetstream

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// freePorts finds n ports of the loopback that nobody listens on now.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
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
