package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"maitred/deploy/dev"
)

// rowlockSettings is how the peer's PostgreSQL runs; README.md has the figures that chose it. fsync and
// synchronous_commit stay on.
func rowlockSettings() map[string]string {
	return map[string]string{
		"shared_buffers": "512MB", "max_connections": "120", "wal_buffers": "16MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min",
		"synchronous_commit": "on", "full_page_writes": "on", "wal_compression": "off", "random_page_cost": "1.1",
		"autovacuum": "on", "jit": "off", "track_activities": "off", "commit_delay": "0",
	}
}

const (
	rowlockRooms  = 2000
	rowlockTables = 20
)

// rowlockPeers are the two forms that are compared with: the strongest, which moves the three statements into the
// database, and the strongest in which the application itself holds the lock.
var rowlockPeers = []struct {
	name, variant string
	pool          int
}{
	{"rowlock", "function", 64},
	{"rowlock pipelined", "pipelined", 32},
}

// rowlockPeer is the row-lock server and its database.
type rowlockPeer struct {
	db   *dev.Postgres
	peer *peer
}

func startRowlock(ctx context.Context, dir, variant string, pool int, settings map[string]string) (*rowlockPeer, error) {
	db, err := dev.StartPostgres(ctx, dev.PostgresOptions{Dir: dir, Settings: settings})
	if err != nil {
		return nil, err
	}
	p, err := startPeer("rowlock", "--dsn", db.SocketDSN, "--variant", variant, "--pool", fmt.Sprint(pool),
		"--restaurants", fmt.Sprint(rowlockRooms), "--tables", fmt.Sprint(rowlockTables))
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &rowlockPeer{db: db, peer: p}, nil
}

func (r *rowlockPeer) Close() error {
	if r == nil {
		return nil
	}
	err := r.peer.Close()
	if e := r.db.Close(); err == nil {
		err = e
	}
	return err
}

// writePeerInputs writes the site and the tokens for peers that know neither maitred's ids nor its keys. The tokens are as
// long as real ones.
func writePeerInputs(dir string) (siteFile, tokenFile string, err error) {
	s := site{SpreadCap: rowlockTables, Today: today()}
	for i := range rowlockRooms {
		s.Spread = append(s.Spread, peerRestaurant(i))
	}
	siteFile, tokenFile = filepath.Join(dir, "peer-site.json"), filepath.Join(dir, "peer-tokens.txt")
	if err := writeJSON(siteFile, s); err != nil {
		return "", "", err
	}
	var text []byte
	for i := range guests {
		text = fmt.Appendf(text, "%0300d\n", i)
	}
	return siteFile, tokenFile, os.WriteFile(tokenFile, text, 0o600)
}

func today() string { return time.Now().Format(time.DateOnly) }

// tuneCmd tries variants and settings of the row-lock peer one after the other.
type tuneCmd struct {
	Seconds float64 `default:"4" help:"Of each measurement."`
	Conns   int     `default:"256" help:"Connections of the closed loop."`
	Dir     string  `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`
}

type trial struct {
	variant string
	pool    int
	extra   map[string]string
}

// Run implements the command.
func (c *tuneCmd) Run() error {
	ctx := context.Background()
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	siteFile, tokenFile, err := writePeerInputs(dir)
	if err != nil {
		return err
	}
	trials := []trial{
		{"statements", 16, nil}, {"statements", 32, nil}, {"pipelined", 16, nil}, {"pipelined", 32, nil}, {"pipelined", 64, nil},
		{"function", 8, nil}, {"function", 16, nil}, {"function", 32, nil}, {"function", 64, nil},
		{"function", 64, map[string]string{"commit_delay": "200", "commit_siblings": "5"}},
		{"function", 100, map[string]string{"commit_delay": "500", "commit_siblings": "5"}},
		{"function", 64, map[string]string{"wal_sync_method": "open_datasync"}},
	}
	out := table.NewWriter()
	out.SetOutputMirror(os.Stdout)
	out.AppendHeader(table.Row{"variant", "pool", "settings besides", "bookings/s", "share 201", "p50 ms", "p99 ms", "CPU µs/booking"})
	for _, t := range trials {
		r, err := c.try(ctx, dir, siteFile, tokenFile, t)
		if err != nil {
			return err
		}
		out.AppendRow(table.Row{t.variant, t.pool, fmt.Sprint(t.extra), fmt.Sprintf("%.0f", r.PerSecond), fmt.Sprintf("%.3f", r.Share),
			milli(r.Load.P50), milli(r.Load.P99), fmt.Sprintf("%.0f", r.OtherCPU)})
	}
	out.Render()
	return nil
}

func (c *tuneCmd) try(ctx context.Context, dir, siteFile, tokenFile string, t trial) (*row, error) {
	settings := rowlockSettings()
	for name, value := range t.extra {
		settings[name] = value
	}
	p, err := startRowlock(ctx, dir, t.variant, t.pool, settings)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	return measure(ctx, dir, target{name: "rowlock", addr: p.peer.addr, pid: p.peer.pid, siteFile: siteFile},
		job{Kind: kindSpread, Conns: c.Conns, WarmMs: 1000, MeasureMs: int(c.Seconds * 1000), TokenFile: tokenFile, Run: "tune", AckFile: filepath.Join(dir, "tune-acks.txt")})
}

// workFolder makes the temporary folder of a run. Others may enter it: PostgreSQL runs under its own account.
func workFolder(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "maitred-bench-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make a folder for the run: %w", err)
	}
	return dir, nil
}

func milli(micro int64) string { return fmt.Sprintf("%.2f", float64(micro)/1000) }
