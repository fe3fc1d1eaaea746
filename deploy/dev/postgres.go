// Package dev starts private, throw-away services for tests and the bench: files in a temporary folder, a free port, and
// nothing left behind, also when the process that asked for them is killed. What is missing on a Debian machine is
// installed first.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// StartTimeout bounds the time from the start of a server to its first answer.
const StartTimeout = 60 * time.Second

// stopTimeout bounds a stop; the server is killed after it.
const stopTimeout = 30 * time.Second

// PostgresOptions says how to start a server. The zero value is a usable one: durable, with the defaults of PostgreSQL.
type PostgresOptions struct {
	Dir      string            // parent of the temporary folder; empty = that of the system
	Settings map[string]string // postgresql.conf names to values, for example shared_buffers: 256MB
}

// Postgres is a running private server.
type Postgres struct {
	DSN       string // over TCP on 127.0.0.1, superuser, database postgres
	SocketDSN string // the same over the Unix socket, which costs less CPU
	PID       int    // of the postmaster
	Dir       string // temporary folder, removed by Close

	keeper *exec.Cmd
	pipe   io.Closer
	done   chan error
	once   sync.Once
	closed error
}

// keeperScript starts the server and stops it when its standard input ends: on Close, and by the kernel's hand when the
// process that started it dies, however it dies. It then removes the folder.
const keeperScript = `
cd "$1" || exit 1
"$2" -D "$1/data" >"$1/server.txt" 2>&1 </dev/null &
child=$!
echo "$child"
cat >/dev/null
kill -INT "$child" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "$child" 2>/dev/null || break
  sleep 0.25
done
kill -QUIT "$child" 2>/dev/null
wait "$child"
cd / && rm -rf "$1" 2>/dev/null
exit 0 # a parent folder of another account keeps the empty folder: Close removes that
`

// StartPostgres installs PostgreSQL when no binaries are found, makes a new cluster and starts it with fsync on. When the
// caller is root the server runs as user postgres. The caller closes it.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	bin, err := EnsurePostgres(ctx)
	if err != nil {
		return nil, err
	}
	who, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := serverDir(o.Dir, who)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Dir: dir, done: make(chan error, 1)}
	port, err := freePort()
	if err == nil {
		err = initCluster(ctx, bin, dir, who)
	}
	if err == nil {
		err = writeSettings(dir, port, o.Settings)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.DSN = fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", port)
	p.SocketDSN = fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", dir, port)
	if err := p.startKeeper(bin, who); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close stops the server and removes its folder. Closing twice is fine.
func (p *Postgres) Close() error {
	p.once.Do(func() {
		_ = p.pipe.Close()
		select {
		case err := <-p.done:
			p.closed = err
		case <-time.After(stopTimeout):
			// The keeper leads a process group of its own, the server is in it.
			_ = syscall.Kill(-p.keeper.Process.Pid, syscall.SIGKILL)
			<-p.done
			p.closed = fmt.Errorf("stop postgres: not gone after %s, killed", stopTimeout)
		}
		p.closed = errors.Join(p.closed, os.RemoveAll(p.Dir))
	})
	return p.closed
}

func (p *Postgres) startKeeper(bin string, who *syscall.Credential) error {
	cmd := exec.Command("/bin/sh", "-c", keeperScript, "keeper", p.Dir, filepath.Join(bin, "postgres"))
	cmd.Dir = "/"
	// A group of its own: the Ctrl-C of a terminal reaches only us, and our end ends the pipe.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p.keeper, p.pipe = cmd, in
	if _, err := fmt.Fscan(out, &p.PID); err != nil {
		_ = in.Close()
		return errors.Join(fmt.Errorf("start postgres: no process id: %w", err), cmd.Wait())
	}
	go func() { p.done <- cmd.Wait() }()
	return nil
}

// awaitReady polls until the server answers a query.
func (p *Postgres) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, p.DSN)
		if err == nil {
			return nil
		}
		if ended(p.PID) {
			return fmt.Errorf("postgres ended at its start; it says: %s", p.said())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for postgres: %w; it says: %s", err, p.said())
		case <-tick.C:
		}
	}
}

func (p *Postgres) said() string {
	text, _ := os.ReadFile(filepath.Join(p.Dir, "server.txt"))
	return tail(string(text), 500)
}

// ended tells whether a child of the keeper has exited; it stays a zombie until the keeper waits for it.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(stat), ") ")
	return err != nil || !found || rest[0] == 'Z'
}

func ping(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx)
}

func serverDir(parent string, who *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp(parent, "pg-")
	if err != nil {
		return "", fmt.Errorf("make a folder for postgres: %w", err)
	}
	if dir, err = filepath.Abs(dir); err == nil && who != nil {
		err = os.Chown(dir, int(who.Uid), int(who.Gid))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("make a folder for postgres: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
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

// serverUser is the account that runs the server: PostgreSQL refuses root. nil = the caller's own.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("postgres does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// freePort finds a TCP port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
