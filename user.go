package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"maitred/edge"
	"maitred/engine"
	"maitred/persistence/jetstream"
)

// UserCmd groups what an operator does to accounts.
type UserCmd struct {
	Create UserCreateCmd `cmd:"" help:"Create an account. The only way to an admin."`
}

// UserCreateCmd registers an account durably in a data directory that no server runs on.
type UserCreateCmd struct {
	Data          string `default:"./data" help:"Data directory of the stopped node."`
	Node          string `default:"n1" help:"Name of the node in its journal."`
	Email         string `required:"" help:"E-mail address: the name to log in with."`
	Role          string `required:"" enum:"admin,owner,customer" help:"admin, owner or customer."`
	FirstName     string `help:"First name."`
	LastName      string `help:"Last name."`
	PasswordStdin bool   `help:"Read the password from the first line of standard input; else one is made and printed."`

	TestAnyFS bool `hidden:"" help:"Accept tmpfs as a data directory."`
}

// Run implements the command.
func (c *UserCreateCmd) Run() error { return c.run(os.Stdin, os.Stdout) }

func (c *UserCreateCmd) run(in io.Reader, out io.Writer) error {
	password := rand.Text() // 128 bits and more
	if c.PasswordStdin {
		line, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the password: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	id, err := c.create(context.Background(), password)
	if errors.Is(err, jetstream.ErrLocked) {
		return fmt.Errorf("a server runs on %s: stop it first (%w)", c.Data, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "id:", id)
	if !c.PasswordStdin {
		fmt.Fprintln(out, "password:", password)
	}
	return nil
}

func (c *UserCreateCmd) create(ctx context.Context, password string) (id engine.AccountID, err error) {
	var cfg Config
	if err := kong.ApplyDefaults(&cfg); err != nil {
		return "", fmt.Errorf("defaults: %w", err)
	}
	cfg.Data, cfg.Node, cfg.LogLevel, cfg.TestAnyFS = c.Data, c.Node, "warn", c.TestAnyFS
	n := &Node{Config: cfg, Log: cfg.logger()}
	if err := n.OpenWithoutEdge(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	keys, err := edge.OpenKeys(c.Data)
	if err != nil {
		return "", err
	}
	profile, err := edge.NewProfile(keys, edge.NewUser{Email: c.Email, Password: password, FirstName: c.FirstName, LastName: c.LastName, Role: c.Role})
	if err != nil {
		return "", err
	}
	cmd := &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Register{Profile: profile}}
	outcome, err := n.house.Do(engine.AggregateID(profile.ID), cmd, time.Now().Add(30*time.Second))
	switch {
	case err != nil:
		return "", fmt.Errorf("create the account: %w", err)
	case outcome.Code == engine.CodeExists:
		return "", fmt.Errorf("there is an account of %s already", c.Email)
	case outcome.Code.Refused():
		return "", fmt.Errorf("the account was refused: %s %s", outcome.Code, outcome.Field)
	}
	return profile.ID, nil
}
