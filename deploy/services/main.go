// Command services keeps a private set of PostgreSQL, RabbitMQ and Redis running for somebody who tries maitred with them: `make up`
// and `make down`. Nothing outlives it: the set is thrown away when it goes down.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"maitred/deploy/dev"
)

// upTimeout is long enough for an installation.
const upTimeout = 5 * time.Minute

type command struct {
	State string  `default:"./data/services.json" help:"File that says what runs."`
	Up    upCmd   `cmd:"" help:"Start the set and print the flags of serve for it."`
	Down  downCmd `cmd:"" help:"Stop it."`
	Hold  holdCmd `cmd:"" hidden:"" help:"Keep the set until SIGTERM."`
}

// set is what runs.
type set struct {
	PID   int      `json:"pid"` // of the process that holds it
	Flags []string `json:"flags"`
}

func main() {
	var c command
	k := kong.Parse(&c, kong.Name("services"), kong.UsageOnError())
	k.FatalIfErrorf(k.Run(&c))
}

func read(file string) (s set, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

func runs(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

func (s set) print() {
	fmt.Printf("The set is up. Start maitred with it:\n\n  go run . serve --demo %s\n\nmake down stops the set and throws its data away.\n", strings.Join(s.Flags, " "))
}

type upCmd struct{}

// Run implements the command.
func (*upCmd) Run(c *command) error {
	if s, err := read(c.State); err == nil && runs(s.PID) {
		s.print()
		return nil
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.State), 0o700), removed(c.State)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	output := c.State + ".log"
	log, err := os.Create(output)
	if err != nil {
		return err
	}
	defer log.Close()
	// The command of `go run` is deleted when it ends, so what stays runs a copy.
	copied := c.State + ".bin"
	if err := copyFile(self, copied); err != nil {
		return err
	}
	hold := exec.Command(copied, "hold", "--state", c.State) // #nosec G204 -- this program
	hold.Stdout, hold.Stderr, hold.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := hold.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- hold.Wait() }()
	return await(c.State, output, ended)
}

// await shows what the holder says until the set is there.
func await(state, output string, ended <-chan error) error {
	var shown int
	show := func() {
		if b, err := os.ReadFile(output); err == nil && len(b) > shown {
			fmt.Print(string(b[shown:]))
			shown = len(b)
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(upTimeout); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			show()
			return fmt.Errorf("the set did not start: %w", err)
		case <-tick.C:
		}
		show()
		if s, err := read(state); err == nil {
			s.print()
			return nil
		}
	}
	return fmt.Errorf("the set is not up after %s, see %s", upTimeout, output)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := removed(to); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o700) // #nosec G306 -- a program
}

func removed(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type downCmd struct{}

// Run implements the command.
func (*downCmd) Run(c *command) error {
	s, err := read(c.State)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("Nothing is up.")
		return nil
	}
	if err != nil {
		return err
	}
	if runs(s.PID) {
		if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
			return err
		}
		for deadline := time.Now().Add(time.Minute); runs(s.PID); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d does not end", s.PID)
			}
		}
	}
	fmt.Println("The set is down.")
	return errors.Join(removed(c.State), removed(c.State+".log"), removed(c.State+".bin"))
}

type holdCmd struct{}

// Run implements the command.
func (*holdCmd) Run(c *command) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := set{PID: os.Getpid()}
	fmt.Println("PostgreSQL …")
	pg, err := dev.StartPostgres(ctx, dev.PostgresOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Close()) }()
	fmt.Println("RabbitMQ …")
	rabbit, err := dev.StartRabbitMQ(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rabbit.Close()) }()
	fmt.Println("Redis …")
	redis, err := dev.StartRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	s.Flags = []string{fmt.Sprintf("--store-url '%s'", pg.DSN), "--amqp-url " + rabbit.URL, "--redis-url redis://" + redis.Addr}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := c.State + ".new"
	if err := errors.Join(os.WriteFile(next, b, 0o600), os.Rename(next, c.State)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
