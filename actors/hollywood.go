package actors

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// This file is the only one that knows hollywood: its engine addresses the actors, their mailbox and goroutine are ours
// (actor.Processer). What it relies on and what it avoids:
//   - a mailbox is unbounded: credits bound it at the sender (directory.go);
//   - a panic that reaches hollywood can end the process: receive lets none out;
//   - Request may give an answer to the wrong caller: never used, each call has its own channel;
//   - a poison pill can be overtaken, processed twice or never: none is used. An actor with nothing in flight is taken out of
//     the registry, and its id is used again only after its goroutine has left it;
//   - hollywood's inbox starts a goroutine for each burst, whose stack grows anew for each command (6 % of the CPU), and
//     keeps 860 bytes an idle actor.

const leaveTimeout = 10 * time.Second

// stage runs actors.
type stage struct {
	engine *actor.Engine
	crew   crew
}

// ref is an actor's address.
type ref struct{ box *mailbox }

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

// spawn starts an actor under an id that nobody else uses now.
func (s *stage) spawn(id string, p player) ref {
	m := &mailbox{pid: actor.NewPID(s.engine.Address(), "a/"+id), crew: &s.crew, player: p}
	s.engine.SpawnProc(m)
	return ref{m}
}

// send puts a message into the actor's mailbox.
func (s *stage) send(r ref, msg any) { s.engine.Send(r.box.pid, msg) }

// remove ends an actor that has nothing in flight and waits until its goroutine has left it. Called once for each actor.
func (s *stage) remove(r ref) error {
	s.engine.Registry.Remove(r.box.pid)
	select {
	case <-r.box.left():
		return nil
	case <-time.After(leaveTimeout):
		return fmt.Errorf("stop actor %s: it is still at work after %s", r.box.pid.GetID(), leaveTimeout)
	}
}

// close ends the goroutines that wait for work. Those at work end when it is done.
func (s *stage) close() { s.crew.close() }

// mailbox is an actor's queue. Whoever finds it at rest works it off, on his own goroutine: the answer to a command is
// mostly decided by the one who waits for it, with nobody to wake. A queue that does not end goes to the crew.
type mailbox struct {
	pid    *actor.PID
	crew   *crew
	player player

	mu      sync.Mutex
	queue   []any
	running bool
	gone    chan struct{} // closed when running ends, if somebody waits for that

	// The runner's:
	batch []any // being worked off
	next  int   // the message of batch that comes next
}

const (
	// maxInline is how many messages a sender handles, of which only one is his own.
	maxInline = 8
	// maxSpare is the longest queue that is kept for reuse, in messages.
	maxSpare = 64
)

var _ actor.Processer = (*mailbox)(nil)

// PID implements actor.Processer.
func (m *mailbox) PID() *actor.PID { return m.pid }

// Start implements actor.Processer.
func (m *mailbox) Start() {}

// Shutdown implements actor.Processer.
func (m *mailbox) Shutdown() {}

// Invoke implements actor.Processer.
func (m *mailbox) Invoke(batch []actor.Envelope) {
	for i := range batch {
		m.Send(nil, batch[i].Msg, nil)
	}
}

// Send implements actor.Processer.
func (m *mailbox) Send(_ *actor.PID, msg any, _ *actor.PID) {
	m.mu.Lock()
	m.queue = append(m.queue, msg)
	wakes := !m.running
	m.running = true
	m.mu.Unlock()
	if wakes && !m.drain(maxInline) {
		m.crew.run(m)
	}
}

// drain handles messages until there are none (true), or limit of them and more wait (false: somebody must go on). One
// goroutine at a time is in it.
func (m *mailbox) drain(limit int) bool {
	for done := 0; ; done++ {
		if m.next == len(m.batch) && !m.more() {
			return true
		}
		if done == limit {
			return false
		}
		msg := m.batch[m.next]
		m.batch[m.next] = nil
		m.next++
		m.receive(msg)
	}
}

// more takes what is queued as the next batch; when there is nothing, the mailbox is at rest.
func (m *mailbox) more() bool {
	spare := m.batch[:0]
	if cap(spare) > maxSpare {
		spare = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 {
		m.batch, m.next, m.queue = m.queue, 0, spare
		return true
	}
	m.batch, m.next, m.running = spare, 0, false
	if m.gone != nil {
		close(m.gone)
		m.gone = nil
	}
	return false
}

// receive lets no panic out.
func (m *mailbox) receive(msg any) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("panic in an actor", "actor", m.pid.GetID(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	m.player.receive(msg)
}

// left is closed when no goroutine is in the mailbox.
func (m *mailbox) left() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := make(chan struct{})
	if m.running {
		m.gone = left
	} else {
		close(left)
	}
	return left
}
