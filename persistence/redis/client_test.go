package redis

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

func TestOptions(t *testing.T) {
	one, two := []string{"127.0.0.1:1"}, []string{"127.0.0.1:1", "h:2"}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"none":                     {Options{}, "no address"},
		"one":                      {Options{Addrs: one}, ""},
		"one with a database":      {Options{Addrs: one, DB: 3}, ""},
		"a cluster":                {Options{Addrs: two}, ""},
		"a cluster of one address": {Options{Addrs: one, Cluster: true}, ""},
		"sentinels":                {Options{Addrs: two, Master: "m", DB: 2}, ""},
		"one sentinel":             {Options{Addrs: one, Master: "m"}, ""},
		"sentinels of a cluster":   {Options{Addrs: two, Master: "m", Cluster: true}, "no Sentinels"},
		"database of a cluster":    {Options{Addrs: two, DB: 1}, "no database 1"},
		"database of one":          {Options{Addrs: one, Cluster: true, DB: 1}, "no database 1"},
		"negative database":        {Options{Addrs: one, DB: -1}, "database -1"},
		"no port":                  {Options{Addrs: []string{"h"}}, "host:port"},
		"empty port":               {Options{Addrs: []string{"h:"}}, "host:port"},
		"no host":                  {Options{Addrs: []string{":1"}}, "host:port"},
		"one of two is wrong":      {Options{Addrs: []string{"h:1", " "}}, "host:port"},
		"a URL":                    {Options{Addrs: []string{"redis://h:1"}}, "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			c1, err := Open(c.o)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, c1.Close())
			require.NoError(t, c1.Close(), "closing twice is fine")
		})
	}
	u, err := Options{Addrs: one}.universal()
	require.NoError(t, err)
	require.Equal(t, []any{2 * time.Second, 3 * time.Second, 3 * time.Second, 16}, []any{u.DialTimeout, u.ReadTimeout, u.WriteTimeout, u.PoolSize})
	u, err = Options{Addrs: one, DialTimeout: 1, Timeout: 2, PoolSize: 3, Username: "u", Password: "p"}.universal()
	require.NoError(t, err)
	require.Equal(t, []any{time.Duration(1), time.Duration(2), time.Duration(2), 3, "u", "p"},
		[]any{u.DialTimeout, u.ReadTimeout, u.WriteTimeout, u.PoolSize, u.Username, u.Password})
}

func TestSinkOptions(t *testing.T) {
	c, cursors := open(t, Options{Addrs: []string{"127.0.0.1:1"}}), &memory.Cursors{}
	for _, o := range []SinkOptions{{}, {Cursors: cursors}, {Source: &states{}}, {Cursors: cursors, Source: &states{}, Retain: minRetain - 1},
		{Cursors: cursors, Source: &states{}, Retain: -1}} {
		_, err := NewSink(c, o)
		require.Error(t, err)
	}
	s, err := NewSink(c, SinkOptions{Cursors: cursors, Source: &states{}})
	require.NoError(t, err)
	require.Equal(t, defaultRetain, s.o.Retain)
	_, err = s.Cursor(t.Context())
	require.Error(t, err, "nobody is there")
	require.Error(t, s.Rebuild(t.Context()))
	require.Error(t, s.Write(t.Context(), persistence.Position{}, at(1), nil))
}

// An account that may do what DESIGN.md lists and nothing else is enough.
func TestAccount(t *testing.T) {
	b := single.empty(t)
	require.NoError(t, b.node(t, 0).Do(t.Context(), "ACL", "SETUSER", "maitred", "on", ">secret", "resetkeys", "~maitred:*", "~rate:maitred:*",
		"resetchannels", "&maitred.availability.*", "-@all", "+hello", "+ping", "+client", "+eval", "+evalsha", "+multi", "+exec", "+get", "+set", "+mget", "+del",
		"+hget", "+hmget", "+hgetall", "+hkeys", "+hset", "+hdel", "+zadd", "+zrange", "+zremrangebyscore", "+expireat", "+publish", "+info", "+time",
		"+select").Err())
	require.Error(t, limiterError(t, open(t, Options{Addrs: b.options().Addrs, Username: "maitred", Password: "wrong"})))
	c := open(t, Options{Addrs: b.options().Addrs, Username: "maitred", Password: "secret", DB: 1})
	frames := history(71, 60)
	s := sinkOf(t, c, &memory.Cursors{}, from(sourceAt(t, frames, 30, nil)))
	write(t, s, frames, 60, dice(1), nil)
	for id := range folded(frames, 60) {
		_, err := c.Day(t.Context(), engine.RestaurantID(id), 1)
		require.NoError(t, err)
	}
	require.NoError(t, limiterError(t, c))
}

// A client that is closed answers with an error.
func TestClosed(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		c, err := Open(b.options())
		require.NoError(t, err)
		s, err := NewSink(c, SinkOptions{Cursors: &memory.Cursors{}, Source: &states{}, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		begun(t, s)
		require.NoError(t, c.Close())
		require.Error(t, s.Write(context.Background(), persistence.Position{}, at(1), nil))
		_, err = c.Day(t.Context(), "rst_1", 1)
		require.Error(t, err)
		require.NotErrorIs(t, err, persistence.ErrNotFound)
	})
}
