package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/persistence"
)

// A reader asks for readBatch messages or readBytes at a time and has two requests outstanding, so that at most 4 MiB wait in
// its subscription; readers at once bound what waits on their connection, which the server would drop beyond maxPending.
const (
	readStall   = 5 * time.Second // without a message: error
	readExpires = 4 * time.Second // of one request at the server
	scanExpires = time.Second / 2 // … for headers: a scan that is stopped goes on one by one
	getsAtOnce  = 16
	readTries   = 3 // of a Read whose consumer goes away

	worthConsumer  = 4 // records of a Read
	noInterestWait = 10 * time.Millisecond
)

// Read implements persistence.Journal. Every record is checked against its place.
func (j *Journal) Read(ctx context.Context, from, to persistence.Seq, fn func(persistence.Entry) error) error {
	l, err := j.link()
	if err != nil || to < from {
		return err
	}
	if from == 0 {
		return fmt.Errorf("read record 0: %w", persistence.ErrNotFound)
	}
	if !j.home.opts.remote() && to-from >= worthConsumer {
		return j.readAhead(ctx, l, from, to, fn)
	}
	deliver := func(e persistence.Entry) error {
		from++
		return fn(e)
	}
	for from <= to && err == nil {
		err = l.some(ctx, from, to, deliver)
	}
	return unwrapStop(fmt.Sprintf("read record %d of those up to %d", from, to), err)
}

// some delivers one record or more, from from on: those that some server has, else some that the leader has. What deliver returns is
// a *stopError.
func (l *link) some(ctx context.Context, from, to persistence.Seq, deliver func(persistence.Entry) error) error {
	entries, err := l.batch(ctx, from, to)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		n := min(getsAtOnce, to-from+1)
		return inOrder(ctx, int(n), func(ctx context.Context, i int) (persistence.Entry, error) {
			return l.getOfLeader(ctx, getRequest{Seq: uint64(from) + uint64(i)})
		}, deliver)
	}
	for _, e := range entries {
		if err := deliver(e); err != nil {
			return &stopError{err}
		}
	}
	return nil
}

// readAhead reads with a consumer: twice as fast as batches where the server is in this process. In a cluster a consumer waits for the meta
// leader, and whoever folds must not (holes H16).
func (j *Journal) readAhead(ctx context.Context, l *link, from, to persistence.Seq, fn func(persistence.Entry) error) (err error) {
	b, err := l.bounds(ctx)
	if err != nil {
		return err
	}
	if from < b.First || to > b.Last {
		return fmt.Errorf("read %d to %d: the journal holds %d to %d: %w", from, to, b.First, b.Last, persistence.ErrNotFound)
	}
	next := from
	deliver := func(m *nats.Msg, d delivery) (bool, error) {
		if persistence.Seq(d.seq) != next {
			return false, fmt.Errorf("read %d to %d: record %d is missing: %d came in its place", from, to, next, d.seq)
		}
		next++
		err := fn(persistence.Entry{Seq: persistence.Seq(d.seq), Subject: persistence.Subject(m.Subject), Time: d.time, Data: m.Data})
		return next > to, err
	}
	for try := 1; ; try++ {
		cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(next)}
		err = l.pull(ctx, l.journal, cfg, int(to-next)+1, deliver)
		var stopped *stopError
		if err == nil || errors.As(err, &stopped) || ctx.Err() != nil || try == readTries {
			break
		}
	}
	if err != nil {
		return unwrapStop(fmt.Sprintf("read %d to %d", from, to), err)
	}
	return nil
}

// unwrapStop gives back what the caller's function returned untouched, and says of every other error what was attempted.
func unwrapStop(what string, err error) error {
	if err == nil {
		return nil
	}
	var stopped *stopError
	if errors.As(err, &stopped) {
		return stopped.cause
	}
	return fmt.Errorf("%s: %w", what, err)
}

// inOrder gets n things, getsAtOnce at a time, and delivers them in order. What fn returns is a *stopError.
func inOrder[T any](ctx context.Context, n int, get func(ctx context.Context, i int) (T, error), fn func(T) error) error {
	type got struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var slots [getsAtOnce]chan got
	for i := range slots {
		slots[i] = make(chan got, 1) // nobody waits for what is not wanted any more
	}
	for i, asked := 0, 0; i < n; i++ {
		for ; asked < min(n, i+getsAtOnce); asked++ {
			go func(asked int) {
				value, err := get(ctx, asked)
				slots[asked%getsAtOnce] <- got{value, err}
			}(asked)
		}
		g := <-slots[i%getsAtOnce]
		if g.err != nil {
			return g.err
		}
		if err := fn(g.value); err != nil {
			return &stopError{err}
		}
	}
	return nil
}

// stopError carries what the caller's function returned out of the reading untouched.
type stopError struct{ cause error }

func (e *stopError) Error() string { return e.cause.Error() }

// delivery is what the server says of a delivered message.
type delivery struct {
	seq     uint64 // in the stream
	pending uint64 // messages after it
	time    time.Time
}

// pull delivers messages of s to fn, in order, from a consumer of its own, until fn says that it is done. total is how many
// there are at most; 0 = not known.
func (l *link) pull(ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig, total int, fn func(*nats.Msg, delivery) (bool, error)) error {
	select {
	case l.readers <- struct{}{}:
		defer func() { <-l.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, 30*time.Second
	setup, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	cons, err := s.CreateConsumer(setup, cfg)
	if err != nil {
		return fmt.Errorf("make consumer: %w: %w", persistence.ErrUnknown, err)
	}
	name, stream := cons.CachedInfo().Name, cons.CachedInfo().Stream
	defer l.drop(stream, name)
	inbox := nats.NewInbox()
	sub, err := l.reads.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("subscribe: %w: %w", persistence.ErrUnknown, err)
	}
	defer func() { _ = sub.Unsubscribe() }()             // fails only when the connection is closed
	if err := sub.SetPendingLimits(-1, -1); err != nil { // bounded by what was asked for
		return fmt.Errorf("subscribe: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	defer stop()
	p := puller{l: l, sub: sub, left: total, endless: total == 0, whole: !cfg.HeadersOnly, next: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name, inbox: inbox}
	return p.run(ctx, fn)
}

// drop removes the consumer without waiting: the server does it by itself after its inactive threshold.
func (l *link) drop(stream, name string) {
	_ = l.reads.Publish("$JS.API.CONSUMER.DELETE."+stream+"."+name, nil)
}

type puller struct {
	l           *link
	sub         *nats.Subscription
	next, inbox string
	left        int // still to be asked for
	endless     bool
	whole       bool // messages come with their data: bytes are bounded, too
	outstanding int  // asked for and not yet come
	started     bool
}

func (p *puller) run(ctx context.Context, fn func(*nats.Msg, delivery) (bool, error)) error {
	until := time.Now().Add(readStall)
	for {
		if err := p.ask(); err != nil {
			return err
		}
		m, err := p.receive(ctx)
		if !p.started && errors.Is(err, nats.ErrNoResponders) && time.Now().Before(until) {
			p.left, p.outstanding = p.left+p.outstanding, 0
			select { // the consumer's server is another one, and ours does not know of its subject yet
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(noInterestWait):
				continue
			}
		}
		if err != nil {
			return err
		}
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 && m.Reply == "" {
			if err := p.refused(m, status); err != nil {
				return err
			}
			continue
		}
		p.outstanding--
		p.started = true
		d, err := parseDelivery(m.Reply)
		if err != nil {
			return err
		}
		done, err := fn(m, d)
		if err != nil {
			var stopped *stopError
			if errors.As(err, &stopped) {
				return err
			}
			return &stopError{err}
		}
		if done {
			return nil
		}
	}
}

// ask keeps between one and two batches outstanding, and one until the first message has come.
func (p *puller) ask() error {
	for p.outstanding <= readBatch && (p.started || p.outstanding == 0) && (p.endless || p.left > 0) {
		n := readBatch
		if !p.endless {
			n = min(n, p.left)
		}
		request := map[string]any{"batch": n, "expires": scanExpires}
		if p.whole {
			request["expires"], request["max_bytes"] = readExpires, readBytes
		}
		body, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("ask for messages: %w", err)
		}
		if err := p.l.reads.PublishRequest(p.next, p.inbox, body); err != nil {
			return fmt.Errorf("ask for messages: %w: %w", persistence.ErrUnknown, err)
		}
		p.left -= n
		p.outstanding += n
	}
	return nil
}

func (p *puller) receive(ctx context.Context) (*nats.Msg, error) {
	m, err := p.sub.NextMsg(readStall)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("wait at most %s for a message: %w: %w", readStall, persistence.ErrUnknown, err)
	}
	return m, ctx.Err()
}

// refused takes a status message. A request that ends at its bytes leaves messages, which are asked for again; with its last
// message it ends well. Any other end with messages still to come is an error: what is read is there.
func (p *puller) refused(m *nats.Msg, status string) error {
	why := m.Header.Get("Description")
	undelivered, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	if status != "409" || err != nil || why != "Message Size Exceeds MaxBytes" && why != "Batch Completed" {
		return &stalledError{status + " " + why}
	}
	p.outstanding -= undelivered
	p.left += undelivered
	return nil
}

// stalledError: the server answers, and delivers nothing more.
type stalledError struct{ why string }

func (e *stalledError) Error() string { return "the server stopped delivering: " + e.why }

// parseDelivery reads $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, or the longer
// form with domain and account hash before the stream.
func parseDelivery(reply string) (delivery, error) {
	tokens := strings.Split(reply, ".")
	if n := len(tokens); n >= 11 { // domain, account hash, …, and a random token at the end
		tokens = tokens[2:]
	}
	if len(tokens) < 9 || !strings.HasPrefix(reply, "$JS.ACK.") {
		return delivery{}, fmt.Errorf("delivered without a place: %q", reply)
	}
	seq, err1 := strconv.ParseUint(tokens[5], 10, 64)
	ns, err2 := strconv.ParseInt(tokens[7], 10, 64)
	pending, err3 := strconv.ParseUint(tokens[8], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return delivery{}, fmt.Errorf("delivered at an unreadable place %q: %w", reply, err)
	}
	return delivery{seq: seq, pending: pending, time: time.Unix(0, ns).UTC()}, nil
}
