package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"maitred/persistence"
)

// SinkName is the name under which persistence.Cursors keeps where the sink stands.
const SinkName = "rabbitmq"

// The bounds of a Config that are not in its comments.
const (
	maxWindow    = 65_535
	maxPrefixLen = 100
	maxMessages  = 1 << 31
	closeTimeout = time.Second // of the farewell to a broker that may be gone
)

// QueueType is the kind of the queues that the sink declares.
type QueueType string

// The queue types. A broker keeps the type that a queue has: another one is an error until the queue is deleted.
const (
	Quorum  QueueType = "quorum"  // replicated; since RabbitMQ 3.8
	Classic QueueType = "classic" // on one node
)

// Config says where and how to publish. Fields that have a default may stay zero.
type Config struct {
	// URL of the broker: amqp:// or amqps://, with user, password and virtual host
	// (https://www.rabbitmq.com/docs/uri-spec). The user needs configure, write and read on names that begin with Prefix.
	URL string
	// Cursors keeps where the sink stands, under SinkName.
	Cursors persistence.Cursors

	Prefix         string        // of the names of exchanges and queues, ≤ 100 bytes; default "maitred"
	QueueType      QueueType     // default Quorum
	QueueBound     int           // messages that each of the sink's own queues holds, ≥ 1; default 100,000
	DeliveryLimit  int           // deliveries after which a message of a quorum queue is dead, ≥ 1; default 10
	Window         int           // messages without confirm, 1–65,535; default 1,000
	DialTimeout    time.Duration // of connecting and declaring; default 10 s
	WriteTimeout   time.Duration // of one write to the connection; default 10 s
	ConfirmTimeout time.Duration // wait for the next confirm; default 30 s
	Heartbeat      time.Duration // a connection that is silent for three of them is lost; default 10 s, at least 1 s; the URL's own wins

	address string // of the broker: host and port
}

// Sink publishes events to RabbitMQ. Safe for concurrent use; its writes come one after the other.
type Sink struct {
	cfg      Config
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	connects atomic.Uint64

	mu   sync.Mutex
	link *link // nil = not connected
}

var _ persistence.Sink = (*Sink)(nil)

// Open makes a sink. It does not connect: the broker may be away. An error says what is wrong with cfg.
func Open(cfg Config) (*Sink, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("rabbitmq: %w", err)
	}
	s := &Sink{cfg: cfg}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// complete checks the fields and fills in defaults.
func (c *Config) complete() error {
	uri, err := amqp.ParseURI(c.URL)
	if err != nil {
		return errors.New("the broker's URL cannot be read: amqp:// or amqps://, user:password@host:port/virtual-host, with characters of a password that are not letters or digits as %2F is for /") // err may repeat the password
	}
	c.address = net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if c.Cursors == nil {
		return errors.New("no cursors are given")
	}
	if c.Prefix == "" {
		c.Prefix = "maitred"
	}
	if c.QueueType == "" {
		c.QueueType = Quorum
	}
	for _, f := range []struct {
		name         string
		value        *int
		normal, most int
	}{
		{"queue bound", &c.QueueBound, 100_000, maxMessages},
		{"delivery limit", &c.DeliveryLimit, 10, maxMessages},
		{"window", &c.Window, 1000, maxWindow},
	} {
		if *f.value == 0 {
			*f.value = f.normal
		}
		if *f.value < 1 || *f.value > f.most {
			return fmt.Errorf("the %s is %d, not 1 to %d", f.name, *f.value, f.most)
		}
	}
	for _, f := range []struct {
		value  *time.Duration
		normal time.Duration
	}{{&c.DialTimeout, 10 * time.Second}, {&c.WriteTimeout, 10 * time.Second}, {&c.ConfirmTimeout, 30 * time.Second}, {&c.Heartbeat, 10 * time.Second}} {
		if *f.value <= 0 {
			*f.value = f.normal
		}
	}
	switch {
	case len(c.Prefix) > maxPrefixLen:
		return fmt.Errorf("the prefix has %d bytes, at most %d", len(c.Prefix), maxPrefixLen)
	case c.QueueType != Quorum && c.QueueType != Classic:
		return fmt.Errorf("the queue type is %q, not quorum or classic", c.QueueType)
	case c.Heartbeat < time.Second:
		return fmt.Errorf("the heartbeat is %v, at least 1 s", c.Heartbeat)
	}
	return nil
}

// Cursor implements persistence.Sink. It connects, so that the exchange is there for consumers before the first event.
func (s *Sink) Cursor(ctx context.Context) (at persistence.Position, err error) {
	err = s.alone(ctx, func(ctx context.Context) error {
		if at, err = s.cfg.Cursors.Cursor(ctx, SinkName); err != nil {
			return err
		}
		return s.connect(ctx)
	})
	if err != nil {
		return persistence.Position{}, fmt.Errorf("rabbitmq: read the cursor: %w", err)
	}
	return at, nil
}

// Write implements persistence.Sink: the broker has confirmed every message before the cursor moves. After an error some
// of them may be in the queues; they come again with the next try. An event that this build does not know is ErrUnknownEvent,
// and nothing is published.
func (s *Sink) Write(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	err := s.alone(ctx, func(ctx context.Context) error {
		if err := s.check(ctx, old, next, events); err != nil {
			return err
		}
		messages, err := encode(events)
		if err != nil {
			return err
		}
		if err := s.publish(ctx, messages); err != nil {
			return err
		}
		return s.cfg.Cursors.Move(ctx, SinkName, old, next)
	})
	if err != nil {
		return fmt.Errorf("rabbitmq: write up to %d: %w", next.Seq, err)
	}
	return nil
}

// check refuses what does not follow the cursor, before anything is published.
func (s *Sink) check(ctx context.Context, old, next persistence.Position, events []persistence.Committed) error {
	at, err := s.cfg.Cursors.Cursor(ctx, SinkName)
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	if at != old {
		return fmt.Errorf("cursor is %v, not %v: %w", at, old, persistence.ErrConflict)
	}
	if old.Journal != "" && old.Journal != next.Journal {
		return fmt.Errorf("cursor of journal %s cannot move to journal %s", old.Journal, next.Journal)
	}
	for i := range events {
		if c := &events[i]; c.Seq <= old.Seq || c.Seq > next.Seq {
			return fmt.Errorf("event at %d is not between %d and %d", c.Seq, old.Seq, next.Seq)
		}
	}
	return nil
}

// publish sends messages in order and returns when all are confirmed. After an error the connection is given up: what it
// has not confirmed is unknown.
func (s *Sink) publish(ctx context.Context, messages []message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.link.publish(ctx, messages); err != nil {
		s.link.abort()
		s.link = nil
		return err
	}
	return nil
}

// connect makes a connection when there is none, or the one there is has been lost.
func (s *Sink) connect(ctx context.Context) error {
	if s.link != nil && !s.link.lost() {
		return nil
	}
	if s.link != nil {
		s.link.abort()
		s.link = nil
	}
	l, err := dial(ctx, &s.cfg)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.link = l
	s.connects.Add(1)
	return nil
}

// Reconnects is how often the sink has connected after the first time.
func (s *Sink) Reconnects() uint64 { return max(1, s.connects.Load()) - 1 }

// alone runs fn when no other call runs, with a context that also ends with Close.
func (s *Sink) alone(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return persistence.ErrClosed
	}
	return fn(ctx)
}

// Close ends the sink's use, within a Write if there is one, and waits for that. Idempotent.
func (s *Sink) Close() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
	return nil
}
