package dev

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every server stops, is killed, starts again where it was, and leaves nothing: no process, no folder, nobody on its ports.
func TestServicesComeAndGo(t *testing.T) {
	for name, start := range map[string]func(context.Context) ([]*Service, func() error, error){
		"postgres": func(ctx context.Context) ([]*Service, func() error, error) {
			p, err := StartPostgres(ctx, PostgresOptions{})
			if err != nil {
				return nil, nil, err
			}
			return []*Service{p.Service}, p.Close, nil
		},
		"redis": func(ctx context.Context) ([]*Service, func() error, error) {
			r, err := StartRedis(ctx)
			if err != nil {
				return nil, nil, err
			}
			return []*Service{r.Service}, r.Close, nil
		},
		"rabbitmq": func(ctx context.Context) ([]*Service, func() error, error) {
			r, err := StartRabbitMQ(ctx)
			if err != nil {
				return nil, nil, err
			}
			return []*Service{r.Service, r.names}, r.Close, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			all, closing, err := start(t.Context())
			require.NoError(t, err)
			s := all[0]
			t.Cleanup(func() { _ = closing() })
			t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
			require.NoError(t, s.ready(t.Context()))
			require.Error(t, s.Start(t.Context()), "it runs")
			for _, end := range []func(context.Context) error{s.Stop, s.Kill} {
				old := s.PID
				require.NoError(t, end(t.Context()))
				require.True(t, ended(old))
				require.Error(t, s.ready(t.Context()), "nobody answers")
				require.NoError(t, s.Start(t.Context()))
				require.NoError(t, s.ready(t.Context()), "on the same port")
				require.NotEqual(t, old, s.PID)
			}
			require.NoError(t, closing())
			require.NoError(t, closing(), "closing twice is fine")
			for _, s := range all {
				require.True(t, ended(s.PID))
				require.NoDirExists(t, s.Dir)
				require.Error(t, s.ready(t.Context()))
				require.Empty(t, mentioning(t, s.Dir), "processes that were left behind")
			}
		})
	}
}

// mentioning is the processes that name a folder in their arguments or environment.
func mentioning(t *testing.T, dir string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, environ := range files {
		cmdline := filepath.Join(filepath.Dir(environ), "cmdline")
		for _, file := range []string{environ, cmdline} {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), dir) {
				found = append(found, file)
			}
		}
	}
	return found
}

func TestRedisCluster(t *testing.T) {
	c, err := StartRedisCluster(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	for _, r := range c.Nodes {
		require.NoError(t, r.answers(t.Context(), "CLUSTER INFO", "cluster_slots_ok:16384"))
	}
	require.NoError(t, c.Close())
	for _, addr := range c.Addrs {
		_, err := net.Dial("tcp", addr)
		require.Error(t, err, fmt.Sprint(addr, " is still listened on"))
	}
}
