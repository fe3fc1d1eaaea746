package rabbitmq

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/deploy/dev"
	"maitred/persistence"
)

// broker is one private RabbitMQ for all the tests of this package; each takes names of its own.
var broker struct {
	once sync.Once
	*dev.RabbitMQ
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if broker.RabbitMQ != nil {
		if err := broker.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func brokerURL(t testing.TB) string {
	t.Helper()
	broker.once.Do(func() { broker.RabbitMQ, broker.err = dev.StartRabbitMQ(context.Background()) })
	require.NoError(t, broker.err)
	return broker.URL
}

// prefixOf is the part of the broker's names that belongs to a test.
func prefixOf(t testing.TB) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '#' || r == '*' {
			return '-'
		}
		return r
	}, t.Name())
}

// open makes a sink of the test's own names at a broker or a proxy before it.
func open(t testing.TB, url string, cursors persistence.Cursors, change ...func(*Config)) *Sink {
	t.Helper()
	cfg := Config{URL: url, Cursors: cursors, Prefix: prefixOf(t), QueueType: Classic}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { remove(t, &s.cfg) })
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// remove deletes what a sink has declared.
func remove(t testing.TB, c *Config) {
	t.Helper()
	if broker.RabbitMQ == nil {
		return
	}
	conn, err := amqp.Dial(broker.URL)
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	for _, queue := range []string{c.mail(), c.mailUrgent(), c.dead(), c.unrouted()} {
		_, err := ch.QueueDelete(queue, false, false, false)
		require.NoError(t, err)
	}
	for _, exchange := range []string{c.exchange(), c.dead(), c.unrouted()} {
		require.NoError(t, ch.ExchangeDelete(exchange, false, false))
	}
}

// client is a channel of its own to the broker.
func client(t testing.TB) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(brokerURL(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// probe declares a durable queue for everything that a test's sink publishes. The sink has declared the exchange.
func probe(t testing.TB, kind QueueType) (queue string) {
	t.Helper()
	ch := client(t)
	queue = prefixOf(t) + ".probe"
	_, err := ch.QueueDelete(queue, false, false, false) // of the test's last run
	require.NoError(t, err)
	_, err = ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": string(kind)})
	require.NoError(t, err)
	require.NoError(t, ch.QueueBind(queue, "restaurant.#", prefixOf(t)+".events", false, nil))
	return queue
}

// drain takes what is in a queue, in its order.
func drain(t testing.TB, queue string) (messages []amqp.Delivery) {
	t.Helper()
	ch := client(t)
	defer ch.Close()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(t, err)
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	require.NoError(t, err)
	for len(messages) < q.Messages {
		select {
		case d, ok := <-deliveries:
			require.True(t, ok, "the channel ended")
			messages = append(messages, d)
			require.NoError(t, d.Ack(false))
		case <-time.After(20 * time.Second):
			require.Fail(t, "the queue does not give what it holds", "%d of %d", len(messages), q.Messages)
		}
	}
	return messages
}

// proxy stands before the broker and does something once when a number of bytes of the client has passed.
type proxy struct {
	URL string

	t      testing.TB
	target string
	passed atomic.Int64
	at     atomic.Int64 // 0 = nothing to do
	action func(p *proxy)

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	u, err := url.Parse(brokerURL(t))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, target: u.Host}
	u.Host = l.Addr().String()
	p.URL = u.String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		all.Wait()
	})
	return p
}

// after does action when n more bytes of the client have passed; those that follow wait for it.
func (p *proxy) after(n int64, action func(p *proxy)) {
	p.action = action
	p.at.Store(p.passed.Load() + n)
}

// cut ends all connections where they are.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	b, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer b.Close()
	p.mu.Lock()
	p.conns = append(p.conns, c, b)
	p.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { p.copy(c, b, false) })
	p.copy(b, c, true)
	back.Wait()
}

func (p *proxy) copy(dst, src net.Conn, counted bool) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		chunk := buf[:n]
		if at := p.at.Load(); counted && n > 0 && at > 0 && p.passed.Load()+int64(n) >= at {
			first := max(0, at-p.passed.Load())
			_, _ = dst.Write(chunk[:first])
			chunk = chunk[first:]
			p.at.Store(0)
			p.action(p)
		}
		if counted {
			p.passed.Add(int64(n))
		}
		if _, werr := dst.Write(chunk); err != nil || werr != nil {
			return
		}
	}
}

// text is what a message says, for comparisons: two messages with equal texts are the same to a consumer.
func text(t testing.TB, d amqp.Delivery) string {
	t.Helper()
	headers, err := json.Marshal(d.Headers)
	require.NoError(t, err)
	return fmt.Sprintln(d.RoutingKey, d.ContentType, d.DeliveryMode, d.MessageId, d.Timestamp.Unix(), d.Type, d.AppId, string(headers), string(d.Body))
}
