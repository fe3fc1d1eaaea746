package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
)

// The fault suite starts the real binary, hurts it, and compares what its clients wrote down with what is left. It is a client:
// nothing of the server runs in the test's process while a fault is injected.

const (
	readyWithin = 30 * time.Second // from the start of the process to /readyz
	stopWithin  = 20 * time.Second // from SIGTERM to the end of the process
	pollEvery   = 20 * time.Millisecond
)

// buildOnce makes the binary under test. MAITRED_FAULT_RACE=1 builds it with the race detector, MAITRED_FAULT_BINARY names one
// that is there.
var buildOnce = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("MAITRED_FAULT_BINARY"); bin != "" {
		return filepath.Abs(bin)
	}
	dir, err := os.MkdirTemp("", "maitred-faults-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "maitred")
	args := []string{"build", "-o", bin}
	if os.Getenv("MAITRED_FAULT_RACE") == "1" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	builtIn = dir
	return bin, nil
})

// builtIn is the folder of the binary, removed when all tests have run; empty when none was built.
var builtIn string

func TestMain(m *testing.M) {
	if addr := os.Getenv(besieged); addr != "" {
		besiege(addr)
		return
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

func binary(t *testing.T) string {
	t.Helper()
	bin, err := buildOnce()
	require.NoError(t, err, "build the binary under test")
	return bin
}

// server is one process of the binary on one data directory, and its successors on the same address.
type server struct {
	t     *testing.T
	bin   string
	data  string
	keys  string // directory of the keys; empty = data
	addr  string
	admin string   // of /metrics
	args  []string // of serve, beside --data and --listen
	wrap  []string // in front of the binary, e.g. strace; its child is the server
	env   []string // beside the test's own
	at    *netns   // where it runs; nil = where the test does

	cmd    *exec.Cmd
	pid    int // of the server, not of what wraps it
	exited chan struct{}
	said   *lines
}

// lines keeps what a process wrote to its standard error, bounded.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const mostSaid = 4 << 20

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() < mostSaid {
		l.buf.Write(p)
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail is the end of what was said, for messages.
func (l *lines) tail() string {
	s := l.String()
	return s[max(0, len(s)-3000):]
}

// newServer prepares a server on a data directory; args go to serve.
func newServer(t *testing.T, data string, args ...string) *server {
	t.Helper()
	s := &server{t: t, bin: binary(t), data: data, addr: freeAddr(t), admin: freeAddr(t), args: args, said: &lines{}}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server on %s said:\n%s", s.data, s.said.tail())
		}
		if dir := os.Getenv("MAITRED_LOGS"); dir != "" { // all that was said
			_ = os.WriteFile(filepath.Join(dir, t.Name()+"-"+filepath.Base(s.data)+".log"), []byte(s.said.String()), 0o600)
		}
	})
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := dev.FreePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// launch starts the process and does not wait for it to serve.
func (s *server) launch() {
	s.t.Helper()
	args := append([]string{"serve", "--data", s.data, "--listen", s.addr, "--admin-listen", s.admin, "--rate-limit", "0", "--max-conns-per-ip", "0"}, s.args...)
	argv := append(append(append([]string{}, s.wrap...), s.bin), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = s.said, s.said, append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	s.at.do(func() { err = cmd.Start() })
	require.NoError(s.t, err, "start %s", argv[0])
	s.cmd, s.pid, s.exited = cmd, cmd.Process.Pid, make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(cmd, s.exited)
	if len(s.wrap) > 0 {
		require.Eventually(s.t, func() bool { s.pid = onlyChild(cmd.Process.Pid, filepath.Base(s.bin)); return s.pid != 0 },
			readyWithin, pollEvery, "%s has no child", s.wrap[0])
	}
}

// onlyChild is the child of a process that runs the command; 0 when there is none yet.
func onlyChild(parent int, command string) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	for _, field := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(comm)) == command {
			return pid
		}
	}
	return 0
}

// start launches the process and waits until it serves. The result is how long that took.
func (s *server) start() time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.launch()
	require.Eventually(s.t, func() bool { return s.ready() || s.gone() }, readyWithin, pollEvery, "not ready: %s", s.said.tail())
	require.False(s.t, s.gone(), "the server ended instead of serving: %s", s.said.tail())
	return time.Since(begun)
}

func (s *server) ready() bool {
	a := newAPI(s.addr, 1)
	defer a.close()
	got, err := a.do(request{method: "GET", path: "/readyz", within: time.Second})
	return err == nil && got.status == 200
}

func (s *server) gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// kill ends the server at once, as if by the kernel, and waits until it is gone.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	if !s.gone() {
		_ = syscall.Kill(s.pid, syscall.SIGKILL)
	}
	<-s.exited
	s.cmd = nil
}

// stop ends the server in good order and waits until it is gone.
func (s *server) stop() {
	s.t.Helper()
	require.False(s.t, s.gone(), "the server ended by itself: %s", s.said.tail())
	require.NoError(s.t, syscall.Kill(s.pid, syscall.SIGTERM))
	select {
	case <-s.exited:
	case <-time.After(stopWithin):
		s.t.Fatalf("the server did not stop within %v: %s", stopWithin, s.said.tail())
	}
	s.cmd = nil
}

// waitExit waits for the process to end by itself and says with which code.
func (s *server) waitExit(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(within):
		s.t.Fatalf("the server did not end by itself within %v: %s", within, s.said.tail())
	}
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code
}

// rss is the resident memory of the server in bytes.
func (s *server) rss() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// tokens makes access tokens with the key of the data directory.
func (s *server) tokens(role string, n int) []string {
	s.t.Helper()
	out, err := s.run("token", "--data", cmp.Or(s.keys, s.data), "--count", strconv.Itoa(n), "--role", role)
	require.NoError(s.t, err, "maitred token: %s", out)
	got := strings.Fields(out)
	require.Len(s.t, got, n, "tokens of role %s", role)
	return got
}

// run runs another command of the binary and returns what it wrote to both outputs.
func (s *server) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.bin, args...).CombinedOutput()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return string(out), ctx.Err()
	}
	return string(out), err
}
