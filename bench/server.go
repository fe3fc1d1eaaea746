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
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"maitred/deploy/dev"
)

const (
	readyTimeout = 120 * time.Second
	stopTimeout  = 30 * time.Second
)

// house is maitred under test: its binary, its data directory, and the process while it runs.
type house struct {
	bin, data, output string
	keys              string   // directory of the signing keys; empty = data
	flags             []string // of serve, besides the usual ones
	addr              string
	metrics           string // address of /metrics
	profiler          string // address of the profiler
	pid               int
	cmd               *exec.Cmd
	began             time.Time
	done              chan error
}

// buildHouse builds the binary into dir, unless one is given.
func buildHouse(ctx context.Context, dir, binary string) (*house, error) {
	h := &house{bin: binary, data: filepath.Join(dir, "data"), output: filepath.Join(dir, "maitred.txt")}
	if binary != "" {
		return h, nil
	}
	h.bin = filepath.Join(dir, "maitred")
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", h.bin, ".")
	build.Dir = string(bytes.TrimSpace(root))
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build maitred: %w: %s", err, text)
	}
	return h, nil
}

// freeAddress is one that nobody listens on now.
func freeAddress() (string, error) {
	port, err := dev.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// start runs `maitred serve` and waits until it is ready. It returns the time from start to ready.
func (h *house) start() (time.Duration, error) {
	if err := h.launch(); err != nil {
		return 0, err
	}
	return h.awaitReady()
}

// launch runs `maitred serve`.
func (h *house) launch() error {
	var err error
	if h.addr, err = freeAddress(); err != nil {
		return err
	}
	out, err := os.OpenFile(h.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start maitred: %w", err)
	}
	defer func() { _ = out.Close() }()
	args, err := h.arguments()
	if err != nil {
		return err
	}
	h.cmd = exec.Command(h.bin, args...)
	h.cmd.Stdout, h.cmd.Stderr = out, out
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.began = time.Now()
	if err := h.cmd.Start(); err != nil {
		return fmt.Errorf("start maitred: %w", err)
	}
	h.pid, h.done = h.cmd.Process.Pid, make(chan error, 1)
	go func(cmd *exec.Cmd, done chan<- error) { done <- cmd.Wait() }(h.cmd, h.done)
	return nil
}

// arguments of serve. A binary from before the admin listener serves its metrics beside the API and has the profiler apart.
// MAITRED_PPROF names the profiler's address, for whoever wants to look at the server of a run.
func (h *house) arguments() ([]string, error) {
	help, err := exec.Command(h.bin, "serve", "--help").Output()
	if err != nil {
		return nil, fmt.Errorf("ask maitred for its flags: %w", err)
	}
	if h.profiler = os.Getenv("MAITRED_PPROF"); h.profiler == "" {
		if h.profiler, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	args := []string{"serve", "--data", h.data, "--listen", h.addr, "--rate-limit", "0", "--log-level", "warn"}
	if bytes.Contains(help, []byte("--max-conns-per-ip=")) {
		args = append(args, "--max-conns-per-ip", "0")
	}
	if bytes.Contains(help, []byte("--admin-listen=")) {
		args, h.metrics = append(args, "--admin-listen", h.profiler), h.profiler
	} else {
		args, h.metrics = append(args, "--pprof", h.profiler), h.addr
	}
	return append(args, h.flags...), nil
}

func (h *house) awaitReady() (time.Duration, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Since(h.began) < readyTimeout {
		select {
		case err := <-h.done:
			h.cmd = nil
			text, _ := os.ReadFile(h.output)
			return 0, fmt.Errorf("maitred ended at its start: %w; it says: %.2000s", err, text[max(0, len(text)-2000):])
		case <-tick.C:
		}
		if status, _, err := fasthttp.GetTimeout(nil, "http://"+h.addr+"/readyz", time.Second); err == nil && status == fasthttp.StatusOK {
			return time.Since(h.began), nil
		}
	}
	return 0, errors.Join(fmt.Errorf("maitred is not ready after %s", readyTimeout), h.kill())
}

// kill ends the server as a crash does.
func (h *house) kill() error {
	if h == nil || h.cmd == nil {
		return nil
	}
	cmd := h.cmd
	h.cmd = nil
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop maitred: %w", err)
	}
	select {
	case <-h.done:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("maitred did not stop within %s, killed", stopTimeout), cmd.Process.Kill())
	}
}

// tokens makes access tokens of made-up accounts with the signing key of the data directory: registering ten thousand
// guests would cost ten minutes of password hashing. They are written to file, one a line.
func (h *house) tokens(count int, role, file string) ([]string, error) {
	out, err := exec.Command(h.bin, "token", "--data", cmp.Or(h.keys, h.data), "--role", role, "--count", strconv.Itoa(count)).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("mint tokens: %w", err)
	}
	var lines []string
	for line := range bytes.FieldsSeq(out) {
		lines = append(lines, string(line))
	}
	if len(lines) != count {
		return nil, fmt.Errorf("mint tokens: asked for %d, got %d", count, len(lines))
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		return nil, fmt.Errorf("mint tokens: %w", err)
	}
	return lines, nil
}

// verifyJournal lets the binary check the journal of the stopped server.
func (h *house) verifyJournal() string {
	text, err := exec.Command(h.bin, "journal", "verify", "--data", h.data).CombinedOutput()
	text = bytes.TrimSpace(text)
	if at := bytes.LastIndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	if bytes.Contains(text, []byte("unexpected argument journal")) {
		return "n/a: this binary has no such command"
	}
	if err != nil {
		return fmt.Sprintf("FAILED: %v: %.300s", err, text)
	}
	return fmt.Sprintf("ok: %.300s", text)
}
