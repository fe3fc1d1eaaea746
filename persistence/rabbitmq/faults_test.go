package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

const journal = "J1"

// source is a history as a projector reads it.
type source persistencetest.Frames

func (s source) Last() persistence.Seq { return persistence.Seq(len(s)) }

func (s source) Next(ctx context.Context, after persistence.Seq, most int) (events []persistence.Committed, reached persistence.Seq, err error) {
	for reached = after; reached < s.Last() && len(events) < most; reached++ {
		events = append(events, s[reached]...)
	}
	return events, reached, ctx.Err()
}

// carry starts a projector over a history. It ends with the test.
func carry(t testing.TB, s *Sink, frames persistencetest.Frames, change ...func(*persistence.ProjectorConfig)) *persistence.Projector {
	t.Helper()
	cfg := persistence.ProjectorConfig{
		Name: SinkName, Journal: journal, Events: source(frames), Sink: s, MinEvents: 50, MaxEvents: 1000, Linger: time.Millisecond,
		Retry: 20 * time.Millisecond, SlowWrite: time.Minute,
		Bounds: func(ctx context.Context) (persistence.Bounds, error) {
			return persistence.Bounds{First: 1, Last: persistence.Seq(len(frames))}, ctx.Err()
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	p := persistence.NewProjector(cfg)
	p.Start()
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func finish(t testing.TB, p *persistence.Projector, frames persistencetest.Frames) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, p.Wait(ctx, persistence.Seq(len(frames))), "the projector says: %v", p.Status().Err)
}

// expected is the oracle: what is published of a history, per restaurant in order. It reads names out of the protobuf.
func expected(frames persistencetest.Frames) map[string][]string {
	want := map[string][]string{}
	for _, c := range frames.Events(0, persistence.Seq(len(frames))) {
		m := c.Event.ProtoReflect()
		body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
		if body.Number() >= 40 {
			continue // of an account
		}
		name := string(body.Name())
		if s := c.Event.GetReservationStatusChanged(); s != nil {
			name = "reservation_" + strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "STATUS_"))
		}
		id := string(c.Aggregate)
		want[id] = append(want[id], fmt.Sprintf("%s/%d %s maitred.%s.v1 restaurant.%s.%s", id, c.Version, sequenceOf(c.Version), name, id, name))
	}
	return want
}

// requireDelivered compares a queue with a history: each event at least once, first deliveries in order per restaurant,
// duplicates the same. It returns the number of duplicates.
func requireDelivered(t testing.TB, messages []amqp.Delivery, frames persistencetest.Frames) (duplicates int) {
	t.Helper()
	got, seen := map[string][]string{}, map[string]string{}
	for _, d := range messages {
		id := d.MessageId
		if first, again := seen[id]; again {
			require.Equal(t, first, text(t, d), "a duplicate is the same message")
			duplicates++
			continue
		}
		seen[id] = text(t, d)
		restaurant, _, _ := strings.Cut(id, "/")
		got[restaurant] = append(got[restaurant], fmt.Sprint(id, " ", d.Headers["cloudEvents_sequence"], " ", d.Type, " ", d.RoutingKey))
	}
	require.Equal(t, expected(frames), got)
	return duplicates
}

// begin opens a sink behind a proxy with a queue for everything.
func begin(t testing.TB, kind QueueType, change ...func(*Config)) (*Sink, *proxy, string) {
	t.Helper()
	p := newProxy(t)
	s := open(t, p.URL, &memory.Cursors{}, append([]func(*Config){func(c *Config) { c.QueueType = kind }}, change...)...)
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	return s, p, probe(t, kind)
}

func TestEverythingIsDelivered(t *testing.T) {
	for _, kind := range []QueueType{Quorum, Classic} {
		t.Run(string(kind), func(t *testing.T) {
			frames := persistencetest.MakeFrames(1, 500)
			s, _, queue := begin(t, kind, func(c *Config) { c.Window = 7 })
			finish(t, carry(t, s, frames), frames)
			require.Zero(t, requireDelivered(t, drain(t, queue), frames))
			require.Zero(t, s.Reconnects())
		})
	}
}

// A batch that is stopped leaves the cursor; who goes on publishes it again.
func TestStoppedWithinABatch(t *testing.T) {
	frames := persistencetest.MakeFrames(2, 800)
	s, p, queue := begin(t, Classic)
	ctx, cancel := context.WithCancel(t.Context())
	p.after(200_000, func(*proxy) { cancel() })
	last := persistence.Seq(len(frames))
	err := s.Write(ctx, persistence.Position{}, persistence.Position{Journal: journal, Seq: last}, frames.Events(0, last))
	require.ErrorIs(t, err, context.Canceled)
	at, err := s.Cursor(t.Context())
	require.NoError(t, err)
	require.Zero(t, at)
	finish(t, carry(t, s, frames), frames)
	require.NotZero(t, requireDelivered(t, drain(t, queue), frames))
}

// Close within a batch ends it.
func TestClosedWithinABatch(t *testing.T) {
	frames := persistencetest.MakeFrames(2, 800)
	cursors := &memory.Cursors{}
	s, p, queue := begin(t, Classic, func(c *Config) { c.Cursors = cursors })
	closed := make(chan error, 1)
	p.after(100_000, func(*proxy) {
		go func() { closed <- s.Close() }()
		<-s.ctx.Done()
	})
	last := persistence.Seq(len(frames))
	err := s.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: journal, Seq: last}, frames.Events(0, last))
	require.Error(t, err)
	require.NoError(t, <-closed)
	_, err = s.Cursor(t.Context())
	require.ErrorIs(t, err, persistence.ErrClosed)
	again := open(t, p.URL, cursors)
	finish(t, carry(t, again, frames), frames)
	requireDelivered(t, drain(t, queue), frames)
}

// The connection ends in the middle of a message, again and again.
func TestTheConnectionIsCut(t *testing.T) {
	frames := persistencetest.MakeFrames(3, 1500)
	s, p, queue := begin(t, Quorum)
	cuts := 0
	var again func(*proxy)
	again = func(p *proxy) {
		p.cut()
		if cuts++; cuts < 8 {
			p.after(60_000+int64(cuts)*7919, again)
		}
	}
	p.after(50_001, again)
	finish(t, carry(t, s, frames), frames)
	require.NotZero(t, requireDelivered(t, drain(t, queue), frames))
	require.Equal(t, 8, cuts)
	require.Equal(t, uint64(cuts), s.Reconnects())
}

// The broker goes away and comes back, in order and by a crash, in the middle of a batch.
func TestTheBrokerIsAway(t *testing.T) {
	stop := func(ctx context.Context) error { return broker.Stop(ctx) }
	kill := func(ctx context.Context) error { return broker.Kill(ctx) }
	for name, c := range map[string]struct {
		end  func(context.Context) error
		kind QueueType
	}{"stopped": {stop, Quorum}, "killed": {kill, Quorum}, "killed, classic": {kill, Classic}} {
		if testing.Short() && name != "killed" { // a broker takes 6 s to start
			continue
		}
		t.Run(name, func(t *testing.T) {
			frames := persistencetest.MakeFrames(4, 1200)
			s, p, queue := begin(t, c.kind, func(c *Config) { c.ConfirmTimeout = 3 * time.Second })
			// A quorum queue of RabbitMQ 3.10 does not survive a crash soon after its declaration: see doc.go.
			require.NoError(t, broker.Stop(t.Context()))
			require.NoError(t, broker.Start(t.Context()))
			ended := make(chan error, 1)
			p.after(300_000, func(*proxy) { ended <- c.end(context.Background()) })
			projector := carry(t, s, frames)
			require.NoError(t, <-ended)
			require.NoError(t, broker.Start(t.Context()))
			finish(t, projector, frames)
			requireDelivered(t, drain(t, queue), frames)
			require.NotZero(t, s.Reconnects())
			require.NotZero(t, projector.Status().Failures)
		})
	}
}

// A broker that takes everything and answers nothing is left after a while.
func TestTheBrokerIsSilent(t *testing.T) {
	frames := persistencetest.MakeFrames(5, 100)
	s, p, queue := begin(t, Classic, func(c *Config) { c.ConfirmTimeout = 2 * time.Second })
	awake, once := make(chan struct{}), sync.Once{}
	wake := func() { once.Do(func() { close(awake) }) }
	t.Cleanup(wake)
	p.after(1, func(*proxy) { <-awake })
	last := persistence.Seq(len(frames))
	next := persistence.Position{Journal: journal, Seq: last}
	require.ErrorIs(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last)), ErrTimeout)
	mute := newProxy(t)
	mute.after(1, func(*proxy) { <-awake })
	began := time.Now()
	_, err := open(t, mute.URL, &memory.Cursors{}, func(c *Config) { c.DialTimeout = 300 * time.Millisecond }).Cursor(t.Context())
	require.ErrorIs(t, err, ErrTimeout, "also while it connects")
	require.Less(t, time.Since(began), 10*time.Second)
	wake()
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last)))
	requireDelivered(t, drain(t, queue), frames)
}

// A broker that reads no more, as one with an alarm does, is left after a while, and at once when the context ends.
func TestTheBrokerReadsNoMore(t *testing.T) {
	const much = 40_000 // messages: more than all buffers on the way hold
	made := exampleEvents()[7]
	events := make([]persistence.Committed, much)
	for i := range events {
		events[i] = made
		events[i].Version = engine.Version(i + 1)
	}
	for name, c := range map[string]struct {
		timeout time.Duration
		want    error
	}{"the write ends": {time.Second, ErrTimeout}, "the context ends": {time.Hour, context.DeadlineExceeded}} {
		t.Run(name, func(t *testing.T) {
			s, p, _ := begin(t, Classic, func(cfg *Config) { cfg.Window, cfg.WriteTimeout, cfg.ConfirmTimeout = maxWindow, c.timeout, time.Hour })
			awake := make(chan struct{})
			defer close(awake)
			p.after(1, func(*proxy) { <-awake })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err := s.Write(ctx, persistence.Position{}, persistence.Position{Journal: journal, Seq: 1}, events)
			require.ErrorIs(t, err, c.want)
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
}

// What was published is published again, the same, when the cursor is put back.
func TestReplayedFromAnOlderCursor(t *testing.T) {
	frames := persistencetest.MakeFrames(6, 400)
	cursors := &memory.Cursors{}
	s, _, queue := begin(t, Classic, func(c *Config) { c.Cursors = cursors })
	p := carry(t, s, frames)
	finish(t, p, frames)
	require.NoError(t, p.Close())
	at, err := s.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, cursors.Move(t.Context(), SinkName, at, persistence.Position{Journal: journal, Seq: 150}))
	other := open(t, brokerURL(t), cursors)
	finish(t, carry(t, other, frames), frames)
	again := 0
	for _, c := range frames.Events(150, persistence.Seq(len(frames))) {
		if !engine.IsAccountID(string(c.Aggregate)) {
			again++
		}
	}
	require.Equal(t, again, requireDelivered(t, drain(t, queue), frames))
}

// Two sinks carry the same journal for a while: one of them loses each time, and the order holds.
func TestTwoSinksAtOnce(t *testing.T) {
	frames := persistencetest.MakeFrames(7, 1000)
	cursors := &memory.Cursors{}
	s, _, queue := begin(t, Classic, func(c *Config) { c.Cursors = cursors })
	other := open(t, brokerURL(t), cursors)
	a, b := carry(t, s, frames), carry(t, other, frames)
	finish(t, a, frames)
	finish(t, b, frames)
	requireDelivered(t, drain(t, queue), frames)
}

// The cursor moves after the confirm: a message that comes back leaves it.
func TestAMessageIsReturned(t *testing.T) {
	frames := persistencetest.MakeFrames(8, 60)
	s, _, queue := begin(t, Classic)
	ch := client(t)
	_, err := ch.QueueDelete(queue, false, false, false)
	require.NoError(t, err)
	_, err = ch.QueueDelete(s.cfg.unrouted(), false, false, false)
	require.NoError(t, err)
	last := persistence.Seq(len(frames))
	next := persistence.Position{Journal: journal, Seq: last}
	err = s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last))
	require.ErrorIs(t, err, ErrReturned)
	at, err := s.Cursor(t.Context())
	require.NoError(t, err)
	require.Zero(t, at)
	require.NoError(t, s.Write(t.Context(), at, next, frames.Events(0, last)), "connecting anew has declared the queue again")
	unrouted := drain(t, s.cfg.unrouted())
	require.NotEmpty(t, unrouted)
}

// A queue that refuses a message stops the sink until it is gone.
func TestAMessageIsRefused(t *testing.T) {
	frames := persistencetest.MakeFrames(8, 60)
	s, _, queue := begin(t, Classic)
	ch := client(t)
	full := prefixOf(t) + ".full"
	_, err := ch.QueueDeclare(full, true, false, false, false, amqp.Table{"x-max-length": 5, "x-overflow": "reject-publish"})
	require.NoError(t, err)
	require.NoError(t, ch.QueueBind(full, "restaurant.#", s.cfg.exchange(), false, nil))
	last := persistence.Seq(len(frames))
	next := persistence.Position{Journal: journal, Seq: last}
	require.ErrorIs(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last)), ErrNack)
	at, err := s.Cursor(t.Context())
	require.NoError(t, err)
	require.Zero(t, at)
	_, err = ch.QueueDelete(full, false, false, false)
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), at, next, frames.Events(0, last)))
	requireDelivered(t, drain(t, queue), frames)
}

// What somebody has deleted is declared anew, and the error says what was wrong.
func TestTheExchangeIsDeleted(t *testing.T) {
	frames := persistencetest.MakeFrames(8, 60)
	s, _, _ := begin(t, Classic)
	require.NoError(t, client(t).ExchangeDelete(s.cfg.exchange(), false, false))
	last := persistence.Seq(len(frames))
	next := persistence.Position{Journal: journal, Seq: last}
	require.ErrorContains(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last)), "NOT_FOUND")
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	queue := probe(t, Classic)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, last)))
	requireDelivered(t, drain(t, queue), frames)
}

// recorder is a memory of cursors that says what was in the queue when the cursor moved.
type recorder struct {
	memory.Cursors
	moved func() error
}

func (r *recorder) Move(ctx context.Context, sink string, old, next persistence.Position) error {
	if err := r.moved(); err != nil {
		return err
	}
	return r.Cursors.Move(ctx, sink, old, next)
}

// The cursor moves only when the broker has everything, also if that takes long.
func TestTheCursorFollowsTheConfirms(t *testing.T) {
	frames := persistencetest.MakeFrames(9, 300)
	cursors := &recorder{}
	s, p, queue := begin(t, Classic, func(c *Config) { c.Cursors = cursors })
	ch := client(t)
	published, moves := 0, 0
	cursors.moved = func() error {
		moves++
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err == nil && q.Messages != published {
			err = fmt.Errorf("the cursor moves with %d messages in the queue, %d are published", q.Messages, published)
		}
		return err
	}
	at := persistence.Position{}
	for to := persistence.Seq(100); to <= 300; to += 100 {
		events := frames.Events(at.Seq, to)
		for _, c := range events {
			if !engine.IsAccountID(string(c.Aggregate)) {
				published++
			}
		}
		p.after(20_000, func(*proxy) { <-time.After(300 * time.Millisecond) }) // the rest of the batch comes late
		next := persistence.Position{Journal: journal, Seq: to}
		require.NoError(t, s.Write(t.Context(), at, next, events))
		at = next
	}
	require.Equal(t, 3, moves)
	requireDelivered(t, drain(t, queue), frames)
}

func TestConflicts(t *testing.T) {
	frames := persistencetest.MakeFrames(10, 40)
	cursors := &memory.Cursors{}
	s, _, queue := begin(t, Classic, func(c *Config) { c.Cursors = cursors })
	at := persistence.Position{Journal: journal, Seq: 20}
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at, frames.Events(0, 20)))
	published := len(drain(t, queue))
	require.NotZero(t, published)
	next := persistence.Position{Journal: journal, Seq: 40}
	for name, old := range map[string]persistence.Position{
		"new": {}, "older": {Journal: journal, Seq: 19}, "newer": {Journal: journal, Seq: 21}, "foreign": {Journal: "J2", Seq: 20},
	} {
		require.ErrorIs(t, s.Write(t.Context(), old, next, frames.Events(20, 40)), persistence.ErrConflict, name)
	}
	require.Error(t, s.Write(t.Context(), at, persistence.Position{Journal: "J2", Seq: 40}, frames.Events(20, 40)), "another journal")
	require.Error(t, s.Write(t.Context(), at, next, frames.Events(19, 40)), "an event before the cursor")
	require.Error(t, s.Write(t.Context(), at, persistence.Position{Journal: journal, Seq: 30}, frames.Events(20, 40)), "an event after the next cursor")
	unknown := append(frames.Events(20, 40), persistence.Committed{Seq: 40, Aggregate: "rst_0000000000000", Version: 1, Event: &enginepb.Event{}})
	require.ErrorIs(t, s.Write(t.Context(), at, next, unknown), ErrUnknownEvent)
	require.Empty(t, drain(t, queue), "nothing was published")
	got, err := s.Cursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, at, got)

	lost := errors.New("lost")
	failing := &recorder{moved: func() error { return fmt.Errorf("%w: %w", persistence.ErrUnknown, lost) }}
	require.NoError(t, failing.Cursors.Move(t.Context(), SinkName, persistence.Position{}, at))
	other := open(t, brokerURL(t), failing)
	err = other.Write(t.Context(), at, next, frames.Events(20, 40))
	require.ErrorIs(t, err, persistence.ErrUnknown)
	require.ErrorIs(t, err, lost)
	require.NotEmpty(t, drain(t, queue), "published, and nobody knows where the cursor is")
}

// Batches without anything to publish move the cursor, also without a broker.
func TestNothingToPublish(t *testing.T) {
	cursors := &memory.Cursors{}
	s := open(t, "amqp://127.0.0.1:1/", cursors)
	at := persistence.Position{Journal: journal, Seq: 5}
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at, nil))
	account := persistence.Committed{Seq: 6, Aggregate: engine.AggregateID(engine.MakeAccountID([16]byte{1})), Version: 1, Event: &enginepb.Event{}}
	next := persistence.Position{Journal: journal, Seq: 6}
	require.NoError(t, s.Write(t.Context(), at, next, []persistence.Committed{account}))
	got, err := cursors.Cursor(t.Context(), SinkName)
	require.NoError(t, err)
	require.Equal(t, next, got)
	_, err = s.Cursor(t.Context())
	require.Error(t, err, "there is no broker")
}

// Close leaves nothing, whatever the sink was at, and twice is fine. A sink that was never used, one whose broker is away.
func TestCloseLeavesNothing(t *testing.T) {
	u, err := url.Parse(brokerURL(t))
	require.NoError(t, err)
	before := goleak.IgnoreCurrent()
	frames := persistencetest.MakeFrames(14, 50)
	unused := open(t, u.String(), &memory.Cursors{})
	away := open(t, "amqp://127.0.0.1:1/", &memory.Cursors{})
	_, err = away.Cursor(t.Context())
	require.Error(t, err)
	u.User = url.UserPassword("guest", "wrong")
	stranger := open(t, u.String(), &memory.Cursors{})
	_, err = stranger.Cursor(t.Context())
	require.ErrorContains(t, err, "username or password not allowed")
	used := open(t, brokerURL(t), &memory.Cursors{})
	require.NoError(t, used.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: journal, Seq: 50}, frames.Events(0, 50)))
	for _, s := range []*Sink{unused, away, stranger, used} {
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err := s.Cursor(t.Context())
		require.ErrorIs(t, err, persistence.ErrClosed)
		require.ErrorIs(t, s.Write(t.Context(), persistence.Position{}, persistence.Position{}, nil), persistence.ErrClosed)
	}
	goleak.VerifyNone(t, before)
}
