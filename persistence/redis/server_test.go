package redis

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/deploy/dev"
)

// backend is a private Redis for all the tests of this package: one server, or a cluster of three masters.
type backend struct {
	name  string
	nodes []*dev.Redis
	close func() error

	once sync.Once
	err  error
}

var single, cluster = &backend{name: "single"}, &backend{name: "cluster"}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, b := range []*backend{single, cluster} {
		if b.close == nil {
			continue
		}
		if err := b.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (b *backend) start() {
	ctx := context.Background()
	if b == single {
		r, err := dev.StartRedis(ctx)
		if b.err = err; err == nil {
			b.nodes, b.close = []*dev.Redis{r}, r.Close
		}
		return
	}
	c, err := dev.StartRedisCluster(ctx)
	if b.err = err; err == nil {
		b.nodes, b.close = c.Nodes, c.Close
	}
}

// both runs a test with one server and, unless the run is to be short, with a cluster, both empty.
func both(t *testing.T, run func(t *testing.T, b *backend)) {
	t.Helper()
	for _, b := range []*backend{single, cluster} {
		if b == cluster && testing.Short() {
			continue
		}
		t.Run(b.name, func(t *testing.T) { run(t, b.empty(t)) })
	}
}

// empty is the backend without anything in it. It knows the scripts, so that each is one call.
func (b *backend) empty(t testing.TB) *backend {
	t.Helper()
	b.once.Do(b.start)
	require.NoError(t, b.err)
	b.flush(t)
	for i := range b.nodes {
		for _, s := range []*goredis.Script{applyScript, epochScript, advanceScript, beginScript, renewScript, finishScript} {
			require.NoError(t, s.Load(t.Context(), b.node(t, i)).Err())
		}
	}
	return b
}

// flush empties the servers with these numbers; none = all.
func (b *backend) flush(t testing.TB, only ...int) {
	t.Helper()
	for i := range b.nodes {
		if len(only) == 0 || slices.Contains(only, i) {
			require.NoError(t, b.node(t, i).FlushAll(t.Context()).Err())
		}
	}
}

// node is a client of one server alone, without maitred's code.
func (b *backend) node(t testing.TB, i int) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: b.nodes[i].Addr, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (b *backend) options() Options {
	o := Options{Cluster: b == cluster, PoolSize: 4}
	for _, n := range b.nodes {
		o.Addrs = append(o.Addrs, n.Addr)
	}
	return o
}

// client is one that the test's end closes.
func (b *backend) client(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	o := b.options()
	for _, c := range change {
		c(&o)
	}
	return open(t, o)
}

func open(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// again starts a server that was killed, and waits until all of them serve.
func (b *backend) again(t testing.TB, i int) {
	t.Helper()
	require.NoError(t, b.nodes[i].Start(context.Background()))
	if b == cluster {
		require.Eventually(t, func() bool {
			for i := range b.nodes {
				info, err := b.node(t, i).ClusterInfo(t.Context()).Result()
				if err != nil || !strings.Contains(info, "cluster_state:ok") {
					return false
				}
			}
			return true
		}, 20*time.Second, 20*time.Millisecond)
	}
}

// contents is every key of maitred on all servers: strings, hashes as maps, sorted sets as maps of scores. It asks without maitred's
// code, and of each key whatever it may be.
func (b *backend) contents(t testing.TB) map[string]any {
	t.Helper()
	all := map[string]any{}
	for i := range b.nodes {
		c, ctx := b.node(t, i), context.Background()
		keys, err := c.Keys(ctx, "maitred:*").Result()
		require.NoError(t, err)
		p := c.Pipeline()
		for _, key := range keys {
			p.Get(ctx, key)
			p.HGetAll(ctx, key)
			p.ZRangeWithScores(ctx, key, 0, -1)
		}
		answers, _ := p.Exec(ctx) // two of three are of the wrong kind
		for k, key := range keys {
			if s, ok := answers[3*k].(*goredis.StringCmd); ok && s.Err() == nil {
				all[key] = s.Val()
			}
			if h := answers[3*k+1].(*goredis.MapStringStringCmd); h.Err() == nil && len(h.Val()) > 0 {
				all[key] = h.Val()
			}
			if z := answers[3*k+2].(*goredis.ZSliceCmd); z.Err() == nil && len(z.Val()) > 0 {
				scores := map[string]float64{}
				for _, m := range z.Val() {
					scores[m.Member.(string)] = m.Score
				}
				all[key] = scores
			}
		}
		_ = c.Close()
	}
	return all
}
