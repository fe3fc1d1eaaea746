package redis

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/deploy/dev"
)

// The servers of this package's tests: they start when the first test asks.
var (
	oneServer = sync.OnceValues(func() (*dev.Redis, error) { return dev.StartRedis(context.Background()) })
	aCluster  = sync.OnceValues(func() (*dev.RedisCluster, error) { return dev.StartRedisCluster(context.Background()) })
	started   []interface{ Close() error }
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range started {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func server(t testing.TB) *dev.Redis {
	t.Helper()
	s, err := oneServer()
	require.NoError(t, err)
	if len(started) == 0 || started[0] != s {
		started = append([]interface{ Close() error }{s}, started...)
	}
	return s
}

func cluster(t testing.TB) *dev.RedisCluster {
	t.Helper()
	c, err := aCluster()
	require.NoError(t, err)
	for _, s := range started {
		if s == c {
			return c
		}
	}
	started = append(started, c)
	return c
}

// onBoth runs a test on an empty single server and on an empty cluster of three masters.
func onBoth(t *testing.T, run func(t *testing.T, o Options)) {
	t.Run("single", func(t *testing.T) { run(t, alone(t)) })
	t.Run("cluster", func(t *testing.T) {
		o := Options{Addrs: cluster(t).Addrs}
		flush(t, open(t, o))
		run(t, o)
	})
}

// alone is an empty single server.
func alone(t testing.TB) Options {
	o := Options{Addrs: []string{server(t).Addr}}
	flush(t, open(t, o))
	return o
}

func open(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// masters calls fn for every server that holds data.
func masters(t testing.TB, c *Client, fn func(ctx context.Context, db *goredis.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch db := c.db.(type) {
	case *goredis.Client:
		require.NoError(t, fn(ctx, db))
	case *goredis.ClusterClient:
		require.NoError(t, db.ForEachMaster(ctx, fn))
	}
}

func flush(t testing.TB, c *Client) {
	t.Helper()
	masters(t, c, func(ctx context.Context, db *goredis.Client) error { return db.FlushAll(ctx).Err() })
}

// keys are all of them.
func keys(t testing.TB, c *Client) (all []string) {
	t.Helper()
	var mu sync.Mutex
	masters(t, c, func(ctx context.Context, db *goredis.Client) error {
		it := db.Scan(ctx, 0, "*", 1000).Iterator()
		for it.Next(ctx) {
			mu.Lock()
			all = append(all, it.Val())
			mu.Unlock()
		}
		return it.Err()
	})
	return all
}

// isMarker tells whether a key is a marker.
func isMarker(key string) bool {
	return key == markerKey || strings.HasPrefix(key, "maitred:{") && strings.HasSuffix(key, "}:cursor")
}
