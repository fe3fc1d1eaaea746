package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	peerStart = 60 * time.Second
	peerStop  = 20 * time.Second
)

// awaitParent blocks until standard input ends, which it does when the process that holds the other end is gone.
func awaitParent() { _, _ = io.Copy(io.Discard, os.Stdin) }

// peer is another process of this binary that serves.
type peer struct {
	addr string
	pid  int
	cmd  *exec.Cmd
	pipe io.Closer
	done chan error
}

// startPeer runs a sub-command and waits for the address that it prints.
func startPeer(args ...string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	p := &peer{pid: cmd.Process.Pid, cmd: cmd, pipe: in, done: make(chan error, 1)}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(text)
		p.done <- cmd.Wait()
	}()
	select {
	case p.addr = <-line:
	case <-time.After(peerStart):
	}
	if p.addr == "" {
		return nil, errors.Join(fmt.Errorf("start %s: it printed no address", args[0]), p.Close())
	}
	return p, nil
}

// Close ends the process.
func (p *peer) Close() error {
	_ = p.pipe.Close()
	select {
	case <-p.done: // it ends with an error because its listener was closed
		return nil
	case <-time.After(peerStop):
		return errors.Join(fmt.Errorf("%s did not end, killed", p.cmd.Args[1]), p.cmd.Process.Kill())
	}
}

// load runs one load process; begin and end are called at the ends of the measured window.
func load(ctx context.Context, dir string, j *job, begin, end func()) (*loadResult, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	file := filepath.Join(dir, "job.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "load", file)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	var result *loadResult
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "begin":
			begin()
		case line == "end":
			end()
		case strings.HasPrefix(line, "{"):
			result = &loadResult{}
			if err := json.Unmarshal([]byte(line), result); err != nil {
				return nil, errors.Join(fmt.Errorf("load: %w", err), cmd.Wait())
			}
		}
	}
	if err := cmd.Wait(); err != nil || result == nil {
		return nil, fmt.Errorf("load %s on %s: %w: %s", j.Kind, j.Addr, errors.Join(err, lines.Err()), strings.TrimSpace(complaint.String()))
	}
	return result, nil
}
