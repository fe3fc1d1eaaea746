package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// StartTimeout bounds the time from the start of a server to its first answer.
const StartTimeout = 60 * time.Second

// stopTimeout bounds a stop; the server is killed after it.
const stopTimeout = 30 * time.Second

const readyEvery = 50 * time.Millisecond

var errEnded = errors.New("ended at its start")

// Service is a private server. Its methods are not for use by several goroutines at once.
type Service struct {
	PID int    // of the server; another one after each Start
	Dir string // temporary folder, removed by Close

	name   string
	stop   syscall.Signal // asks it to end in order
	ready  func(context.Context) error
	keeper *exec.Cmd
	pipe   io.WriteCloser
	said   *bufio.Reader
	done   chan error
	once   sync.Once
	closed error
}

// serviceOptions say what to run. The server's output goes to server.txt in its folder.
type serviceOptions struct {
	name  string
	dir   string
	argv  []string
	env   []string // beside ours
	who   *syscall.Credential
	stop  syscall.Signal
	ready func(context.Context) error
}

// keeperScript starts the server for each line of its standard input, and stops it when that ends: on Close, and by the kernel's
// hand when the process that started it dies, however it dies. It then removes the folder.
const keeperScript = `
dir=$1 signal=$2
shift 2
cd "$dir" || exit 1
while read -r line; do
  "$@" >>server.txt 2>&1 </dev/null &
  child=$!
  echo "$child"
done
kill -"$signal" "$child" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40; do
  kill -0 "$child" 2>/dev/null || break
  sleep 0.25
done
kill -QUIT "$child" 2>/dev/null
wait
cd / && rm -rf "$dir" 2>/dev/null
exit 0 # a parent folder of another account keeps the empty folder: Close removes that
`

// startService starts a server and waits until it answers. What it made is gone when it fails.
func startService(ctx context.Context, o serviceOptions) (*Service, error) {
	s := &Service{Dir: o.dir, name: o.name, stop: o.stop, ready: o.ready, done: make(chan error, 1)}
	if err := s.startKeeper(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(o.dir))
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Service) startKeeper(o serviceOptions) error {
	args := append([]string{"-c", keeperScript, "keeper", o.dir, strconv.Itoa(int(o.stop))}, o.argv...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), o.env...)
	// A group of its own: the Ctrl-C of a terminal reaches only us, and our end ends the pipe.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: o.who}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.keeper, s.pipe, s.said = cmd, in, bufio.NewReader(out)
	go func() { s.done <- cmd.Wait() }()
	return nil
}

// Start starts the server again after Stop or Kill, on the same port and files, and waits until it answers.
func (s *Service) Start(ctx context.Context) error {
	if s.PID != 0 && !ended(s.PID) {
		return fmt.Errorf("start %s: it runs", s.name)
	}
	if _, err := io.WriteString(s.pipe, "start\n"); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if _, err := fmt.Fscan(s.said, &s.PID); err != nil {
		return fmt.Errorf("start %s: no process id: %w", s.name, err)
	}
	return s.await(ctx, func() error {
		if ended(s.PID) {
			return fmt.Errorf("%s %w; it says: %s", s.name, errEnded, s.output())
		}
		return s.ready(ctx)
	})
}

// Stop asks the server to end and waits for that. Start starts it again.
func (s *Service) Stop(ctx context.Context) error { return s.end(ctx, s.stop) }

// Kill ends the server as a power cut of its process would, and waits for that. Start starts it again.
func (s *Service) Kill(ctx context.Context) error { return s.end(ctx, syscall.SIGKILL) }

func (s *Service) end(ctx context.Context, signal syscall.Signal) error {
	all := append(children(s.PID), s.PID) // of a killed server they notice by themselves, a moment later, and hold what it held
	if err := syscall.Kill(s.PID, signal); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	return s.await(ctx, func() error {
		for _, pid := range all {
			if !ended(pid) {
				return fmt.Errorf("%s still runs", s.name)
			}
		}
		return nil
	})
}

// children are the processes that a process has started.
func children(pid int) (all []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		_, rest, found := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); err == nil && found && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			all = append(all, child)
		}
	}
	return all
}

// await polls until holds returns nil, or the server has ended while it should have started.
func (s *Service) await(ctx context.Context, holds func() error) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; it says: %s", s.name, err, s.output())
		case <-tick.C:
		}
	}
}

// Close stops the server and removes its folder. Closing twice is fine.
func (s *Service) Close() error {
	s.once.Do(func() {
		_ = s.pipe.Close()
		select {
		case err := <-s.done:
			s.closed = err
		case <-time.After(stopTimeout):
			// The keeper leads a process group of its own, the server is in it.
			_ = syscall.Kill(-s.keeper.Process.Pid, syscall.SIGKILL)
			<-s.done
			s.closed = fmt.Errorf("stop %s: not gone after %s, killed", s.name, stopTimeout)
		}
		s.closed = errors.Join(s.closed, os.RemoveAll(s.Dir))
	})
	return s.closed
}

func (s *Service) output() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "server.txt"))
	return tail(string(text), 500)
}

// ended tells whether a child of the keeper has exited; it stays a zombie until the keeper waits for it.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(stat), ") ")
	return err != nil || !found || rest[0] == 'Z'
}

// serviceDir makes a folder that the server's account owns.
func serviceDir(parent, prefix string, who *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	if dir, err = filepath.Abs(dir); err == nil && who != nil {
		err = os.Chown(dir, int(who.Uid), int(who.Gid))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("make a folder: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

// account is who runs a server that does not run as root: its own account when we are root. nil = ours.
func account(name string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%s does not run as root: %w", name, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
