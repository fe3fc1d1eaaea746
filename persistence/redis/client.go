package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options say where Redis is. Fields that have a default may stay zero.
type Options struct {
	// Addrs are host:port of the server, of some nodes of the cluster, or of the Sentinels. At least one.
	Addrs []string
	// Master is the name under which the Sentinels know the server; empty = Addrs are no Sentinels.
	Master string
	// Cluster says that Addrs belong to a cluster, also when it is only one. More than one without Master are a cluster.
	Cluster bool

	Username, Password                 string
	SentinelUsername, SentinelPassword string
	DB                                 int         // 0 in a cluster
	TLS                                *tls.Config // nil = in clear

	DialTimeout time.Duration // default 2 s
	Timeout     time.Duration // of one read from or write to a connection; default 3 s
	PoolSize    int           // connections to each server; default 16
}

// Client is a connection to Redis. Safe for concurrent use.
type Client struct {
	db      goredis.UniversalClient
	close   func() error
	masters topology
}

// quiet drops what the client library would print: every error is returned, and a server that is away would fill the log.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { goredis.SetLogger(quiet{}) })

// Open makes a client. No server needs to be there: what needs one fails until it comes.
func Open(o Options) (*Client, error) {
	u, err := o.universal()
	if err != nil {
		return nil, err
	}
	silence()
	db := goredis.NewUniversalClient(u)
	return &Client{db: db, close: sync.OnceValue(db.Close)}, nil
}

// Close ends the connections. Idempotent.
func (c *Client) Close() error { return c.close() }

func (o Options) universal() (*goredis.UniversalOptions, error) {
	cluster := o.Cluster || len(o.Addrs) > 1 && o.Master == ""
	switch {
	case len(o.Addrs) == 0:
		return nil, errors.New("redis: no address")
	case o.Cluster && o.Master != "":
		return nil, errors.New("redis: a cluster has no Sentinels")
	case cluster && o.DB != 0:
		return nil, fmt.Errorf("redis: a cluster has no database %d", o.DB)
	case o.DB < 0:
		return nil, fmt.Errorf("redis: database %d", o.DB)
	}
	for _, a := range o.Addrs {
		if host, port, err := net.SplitHostPort(a); err != nil || strings.TrimSpace(host) == "" || port == "" {
			return nil, fmt.Errorf("redis: %q is not host:port", a)
		}
	}
	or := func(d, value time.Duration) time.Duration {
		if d <= 0 {
			return value
		}
		return d
	}
	timeout := or(o.Timeout, 3*time.Second)
	u := &goredis.UniversalOptions{
		Addrs: o.Addrs, MasterName: o.Master, IsClusterMode: cluster, ClientName: "maitred", DB: o.DB, TLSConfig: o.TLS,
		Username: o.Username, Password: o.Password, SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
		DialTimeout: or(o.DialTimeout, 2*time.Second), ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		ContextTimeoutEnabled: true, MaxRetries: 2, DialerRetries: 1, PoolSize: o.PoolSize,
		DisableIdentity:          true, // Redis 7.0 does not know it
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if u.PoolSize <= 0 {
		u.PoolSize = 16
	}
	return u, nil
}
