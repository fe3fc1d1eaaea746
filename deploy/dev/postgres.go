// Package dev starts private, throw-away services for tests and the bench: files in a temporary folder, a free port, and
// nothing left behind, also when the process that asked for them is killed. What is missing on a Debian machine is
// installed first.
package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions says how to start a server. The zero value is a usable one: durable, with the defaults of PostgreSQL.
type PostgresOptions struct {
	Dir      string            // parent of the temporary folder; empty = that of the system
	Settings map[string]string // postgresql.conf names to values, for example shared_buffers: 256MB
}

// Postgres is a private server.
type Postgres struct {
	*Service
	DSN       string // over TCP on 127.0.0.1, superuser, database postgres
	SocketDSN string // the same over the Unix socket, which costs less CPU
}

// StartPostgres installs PostgreSQL when no binaries are found, makes a new cluster and starts it with fsync on. When the
// caller is root the server runs as user postgres. The caller closes it.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	bin, err := EnsurePostgres(ctx)
	if err != nil {
		return nil, err
	}
	who, err := account("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := serviceDir(o.Dir, "pg-", who)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err == nil {
		err = initCluster(ctx, bin, dir, who)
	}
	if err == nil {
		err = writeSettings(dir, port, o.Settings)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return startPostgres(ctx, bin, dir, port, who)
}

// StartReplica makes a streaming replica of p, which answers reads. The caller closes it before p.
func (p *Postgres) StartReplica(ctx context.Context) (*Postgres, error) {
	bin, err := EnsurePostgres(ctx)
	if err != nil {
		return nil, err
	}
	who, err := account("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := serviceDir("", "pg-", who)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err == nil {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_basebackup"), "-d", p.DSN, "-D", filepath.Join(dir, "data"), "-R", "-X", "stream", "-c", "fast")
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: who}
		var text []byte
		if text, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("pg_basebackup: %w: %s", err, tail(string(text), 500))
		}
	}
	if err == nil {
		err = writeSettings(dir, port, map[string]string{"hot_standby": "on"})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return startPostgres(ctx, bin, dir, port, who)
}

func startPostgres(ctx context.Context, bin, dir string, port int, who *syscall.Credential) (p *Postgres, err error) {
	p = &Postgres{
		DSN:       fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", port),
		SocketDSN: fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", dir, port),
	}
	p.Service, err = startService(ctx, serviceOptions{
		name: "postgres", dir: dir, argv: []string{filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data")}, who: who,
		stop: syscall.SIGINT, ready: func(ctx context.Context) error { return ping(ctx, p.DSN) },
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func ping(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
}

func initCluster(ctx context.Context, bin, dir string, who *syscall.Credential) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-instructions")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, tail(string(text), 500))
	}
	return nil
}

func writeSettings(dir string, port int, settings map[string]string) error {
	lines := []string{
		"listen_addresses = '127.0.0.1'", "port = " + strconv.Itoa(port), "unix_socket_directories = '" + dir + "'", "fsync = on",
	}
	for name, value := range settings {
		lines = append(lines, name+" = '"+strings.ReplaceAll(value, "'", "''")+"'")
	}
	slices.Sort(lines[4:])
	file, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure postgres: %w", err)
	}
	_, err = file.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("configure postgres: %w", err)
	}
	return nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
