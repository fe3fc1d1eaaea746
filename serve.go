package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"maitred/edge"
	"maitred/engine"
)

// ServeCmd runs a node until it is told to stop.
type ServeCmd struct {
	Config
	Demo bool `help:"Load 500 real restaurants of Rome, an owner and a guest."`
}

// Run implements the command.
func (c *ServeCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(c.GCPercent)
	}
	log := c.logger()
	slog.SetDefault(log) // of the rooms that are handed none
	halted := make(chan error, 1)
	node := &Node{Config: c.Config, Log: log, OnHalt: func(err error) { halted <- err }}
	began := time.Now()
	if err := node.Open(ctx); err != nil {
		return err
	}
	defer reloadOnHangup(node)()
	node.Log.Info("serving", "address", node.URL(), "admin", node.AdminAddr(), "data", c.Data, "after", time.Since(began).Round(time.Millisecond).String())
	if c.Demo {
		if err := loadDemo(ctx, node); err != nil {
			node.Log.Error("the demo could not be loaded", "error", err)
		}
	}
	select {
	case err := <-halted:
		return errors.Join(err, closeWithin(node, c.ShutdownGrace))
	case <-ctx.Done():
	}
	stop() // a second signal ends the process at once
	node.Log.Info("stopping", "grace", c.ShutdownGrace.String())
	draining, cancel := context.WithTimeout(context.Background(), c.ShutdownGrace/2)
	defer cancel()
	if err := node.Drain(draining); err != nil {
		node.Log.Warn("the others claim what is left when this node is silent", "error", err)
	}
	return closeWithin(node, c.ShutdownGrace)
}

// closeWithin gives up waiting after grace: what was acknowledged is on disk in any case.
func closeWithin(n *Node, grace time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- n.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return fmt.Errorf("not everything stopped within %s; nothing acknowledged is lost", grace)
	}
}

// TokenCmd prints access tokens of made-up accounts: for tests and load generators, which cannot hash 10,000 passwords first.
type TokenCmd struct {
	Data  string        `default:"./data" help:"Data directory whose key signs."`
	Count int           `default:"1" help:"How many tokens, each for an account of its own."`
	Role  string        `default:"customer" enum:"customer,owner" help:"customer or owner."`
	TTL   time.Duration `default:"2h" help:"How long they are valid, at most 24 h."`
}

// Run implements the command.
func (c *TokenCmd) Run() error {
	if c.Count < 1 || c.Count > 1_000_000 || c.TTL <= 0 || c.TTL > 24*time.Hour {
		return fmt.Errorf("--count is 1 to 1000000, --ttl at most 24h")
	}
	keys, err := edge.OpenKeys(c.Data)
	if err != nil {
		return err
	}
	tokens, role := edge.NewTokens(keys), engine.RoleCustomer
	if c.Role == "owner" {
		role = engine.RoleOwner
	}
	for range c.Count {
		var id [16]byte
		_, _ = rand.Read(id[:])
		token, err := tokens.IssueFor(engine.MakeAccountID(id), role, time.Now(), c.TTL)
		if err != nil {
			return err
		}
		fmt.Println(token)
	}
	return nil
}
