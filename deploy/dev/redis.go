package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Redis is a private server that keeps nothing on disk: what it holds can be made again.
type Redis struct {
	*Service
	Addr string // host:port on 127.0.0.1, no password
}

// StartRedis installs Redis when it is missing and starts a server. The caller closes it.
func StartRedis(ctx context.Context) (*Redis, error) { return startRedis(ctx) }

func startRedis(ctx context.Context, settings ...string) (*Redis, error) {
	program, err := ensure(ctx, "redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := serviceDir("", "redis-", nil)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r := &Redis{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	argv := append([]string{program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}, settings...)
	r.Service, err = startService(ctx, serviceOptions{
		name: "redis", dir: dir, argv: argv, stop: syscall.SIGTERM, ready: func(ctx context.Context) error { return r.answers(ctx, "PING", "PONG") },
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// answers sends one command without arguments and looks for want in the answer.
func (r *Redis) answers(ctx context.Context, command, want string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	if got := string(buf[:n]); !strings.Contains(got, want) {
		return fmt.Errorf("redis answers %s with %q", command, tail(got, 100))
	}
	return nil
}

// RedisCluster is three masters without replicas.
type RedisCluster struct {
	Nodes []*Redis
	Addrs []string
}

const clusterMasters = 3

// StartRedisCluster starts three servers and makes a cluster of them. The caller closes it.
func StartRedisCluster(ctx context.Context) (_ *RedisCluster, err error) {
	c := &RedisCluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for range clusterMasters {
		bus, err := FreePort() // by itself it would take the port + 10,000, which may be somebody's or none
		if err != nil {
			return nil, err
		}
		r, err := startRedis(ctx, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus))
		if err != nil {
			return nil, err
		}
		c.Nodes, c.Addrs = append(c.Nodes, r), append(c.Addrs, r.Addr)
	}
	args := append(append([]string{"--cluster", "create"}, c.Addrs...), "--cluster-yes")
	if text, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a redis cluster: %w: %s", err, tail(string(text), 500))
	}
	for _, r := range c.Nodes {
		if err := r.await(ctx, func() error { return r.answers(ctx, "CLUSTER INFO", "cluster_state:ok") }); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close stops the servers.
func (c *RedisCluster) Close() error {
	var errs []error
	for _, r := range c.Nodes {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
