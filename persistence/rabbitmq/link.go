package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The ways in which publishing fails beside a connection that is refused or lost.
var (
	// ErrNack says that the broker refused a message, or the connection ended before the confirm: it may be in some queues.
	ErrNack = errors.New("a message was not confirmed")
	// ErrReturned says that no queue took a message: somebody has deleted or unbound the fallback queue.
	ErrReturned = errors.New("a message was returned, no queue is bound")
	// ErrTimeout says that the broker did not answer in time: it is stuck, or does not take messages (memory or disk alarm).
	ErrTimeout = errors.New("no answer in time")
)

// link is a connection with its one channel. It is given up after any error.
type link struct {
	cfg     *Config
	raw     net.Conn
	conn    *amqp.Connection
	ch      *amqp.Channel
	returns chan amqp.Return
	blocks  chan amqp.Blocking
	ended   chan *amqp.Error
}

// timedConn bounds each write: a broker with an alarm reads no more, and the client library has no limit of its own.
type timedConn struct {
	net.Conn
	timeout time.Duration
}

func (c *timedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// dial connects and declares the topology, within DialTimeout.
func dial(ctx context.Context, cfg *Config) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.DialTimeout, ErrTimeout)
	defer cancel()
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", cfg.address)
	if err != nil {
		return nil, because(ctx, err)
	}
	l := &link{cfg: cfg, raw: &timedConn{tcp, cfg.WriteTimeout}}
	release := l.guard(ctx)
	defer release()
	if err := l.open(); err != nil {
		l.abort()
		return nil, because(ctx, err)
	}
	return l, nil
}

// guard cuts the connection when ctx ends before release is called: the client library's calls have no limit of their own.
func (l *link) guard(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = l.raw.Close() })
}

// because is err with the reason why the context ended, if it did.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func (l *link) open() (err error) {
	l.conn, err = amqp.DialConfig(l.cfg.URL, amqp.Config{
		Heartbeat:  l.cfg.Heartbeat,
		Properties: amqp.Table{"product": "maitred", "connection_name": l.cfg.Prefix + " events"},
		Dial:       func(_, _ string) (net.Conn, error) { return l.raw, nil },
	})
	if err != nil {
		return err
	}
	if l.ch, err = l.conn.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := l.cfg.declare(l.ch); err != nil {
		return err
	}
	if err := l.ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	// A return comes before the confirm of the same message, and at most a window is on its way: nobody waits for us.
	l.returns = l.ch.NotifyReturn(make(chan amqp.Return, l.cfg.Window))
	l.blocks = l.conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	l.ended = l.ch.NotifyClose(make(chan *amqp.Error, 1))
	return nil
}

// lost says whether the connection or its channel has ended.
func (l *link) lost() bool { return l.ch.IsClosed() || l.conn.IsClosed() }

// abort ends the connection without a farewell.
func (l *link) abort() {
	_ = l.raw.Close()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// close ends the connection in order, within closeTimeout.
func (l *link) close() {
	_ = l.conn.CloseDeadline(time.Now().Add(closeTimeout))
	_ = l.raw.Close()
}

// publish sends messages in order, at most Window of them unconfirmed, and returns when all are confirmed.
func (l *link) publish(ctx context.Context, messages []message) error {
	release := l.guard(ctx)
	defer release()
	pending := make([]*amqp.DeferredConfirmation, 0, len(messages))
	confirmed := 0
	for i := range messages {
		if i-confirmed == l.cfg.Window {
			if err := l.await(ctx, pending[confirmed]); err != nil {
				return fmt.Errorf("%s: %w", messages[confirmed].id, err)
			}
			confirmed++
		}
		m := &messages[i]
		sent, err := l.ch.PublishWithDeferredConfirm(l.cfg.exchange(), m.key, true, false, m.publishing())
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w%s: %w", ErrTimeout, l.blocked(), err)
		}
		if err != nil {
			return fmt.Errorf("publish %s: %w", m.id, because(ctx, l.why(err)))
		}
		pending = append(pending, sent)
	}
	for ; confirmed < len(messages); confirmed++ {
		if err := l.await(ctx, pending[confirmed]); err != nil {
			return fmt.Errorf("%s: %w", messages[confirmed].id, err)
		}
	}
	return l.returned()
}

// await waits for one confirm.
func (l *link) await(ctx context.Context, sent *amqp.DeferredConfirmation) error {
	select {
	case <-sent.Done():
	default:
		timer := time.NewTimer(l.cfg.ConfirmTimeout)
		defer timer.Stop()
		select {
		case <-sent.Done():
		case <-timer.C:
			return fmt.Errorf("confirm: %w%s", ErrTimeout, l.blocked())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := l.returned(); err != nil {
		return err
	}
	if !sent.Acked() { // the library also says so of everything that waits when the connection is lost
		return because(ctx, l.why(ErrNack))
	}
	return nil
}

// returned says whether a message came back.
func (l *link) returned() error {
	select {
	case r, open := <-l.returns:
		if open {
			return fmt.Errorf("%s: %w: %s", r.MessageId, ErrReturned, r.ReplyText)
		}
	default:
	}
	return nil
}

// why is err with the reason why the channel or the connection has ended, if it has.
func (l *link) why(err error) error {
	if !l.lost() {
		return err
	}
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select { // the library says that the channel has ended a moment before it says why
	case e, open := <-l.ended:
		if open {
			return fmt.Errorf("%w: %w", err, e)
		}
	case <-timer.C:
	}
	return err
}

// blocked is the broker's reason for taking no messages, if it said one.
func (l *link) blocked() (reason string) {
	for {
		select {
		case b, open := <-l.blocks:
			if !open {
				return reason
			}
			reason = ""
			if b.Active {
				reason = ": the broker takes no messages: " + b.Reason
			}
		default:
			return reason
		}
	}
}
