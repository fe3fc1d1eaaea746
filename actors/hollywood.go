package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// This file is the only one that knows hollywood. What it relies on and what it avoids:
//   - a mailbox is unbounded: credits bound it at the sender (directory.go);
//   - a panic that reaches hollywood can end the process: the guard lets none out;
//   - Request may give an answer to the wrong caller: never used, each call has its own channel;
//   - an actor is poisoned once, with nothing in flight, and its id is used again only after it is gone.

const (
	inboxSize     = 8 // the first allocation, not a bound
	poisonTimeout = 10 * time.Second
)

// stage runs actors.
type stage struct{ engine *actor.Engine }

// ref is an actor's address.
type ref struct{ pid *actor.PID }

// player receives an actor's messages, one at a time.
type player interface {
	// receive handles a message. It must answer it, also when it is about to panic.
	receive(msg any)
}

func newStage() (*stage, error) {
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return nil, fmt.Errorf("start actors: %w", err)
	}
	return &stage{engine: e}, nil
}

// guard is the Receiver. No panic leaves it, and it does nothing in the messages of the life cycle.
type guard struct{ player player }

// Receive implements actor.Receiver.
func (g *guard) Receive(c *actor.Context) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("panic in an actor", "actor", c.PID().GetID(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	switch m := c.Message().(type) {
	case actor.Initialized, actor.Started, actor.Stopped:
	default:
		g.player.receive(m)
	}
}

// spawn starts an actor under an id that nobody else uses now. It does no I/O.
func (s *stage) spawn(id string, p player) ref {
	g := &guard{player: p}
	pid := s.engine.Spawn(func() actor.Receiver { return g }, "a",
		actor.WithID(id), actor.WithInboxSize(inboxSize), actor.WithMaxRestarts(math.MaxInt32))
	return ref{pid: pid}
}

// send puts a message into the actor's mailbox.
func (s *stage) send(r ref, msg any) { s.engine.Send(r.pid, msg) }

// poison ends an actor that has nothing in flight and waits until it is gone. Called once for each actor.
func (s *stage) poison(r ref) error {
	ctx, cancel := context.WithTimeout(context.Background(), poisonTimeout)
	defer cancel()
	done := s.engine.PoisonCtx(ctx, r.pid)
	<-done.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stop actor %s: %w", r.pid.GetID(), err)
	}
	return nil
}
