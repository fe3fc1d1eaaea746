package jetstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"maitred/persistence"
)

const (
	bulkMessages = 256      // on their way at once
	bulkBytes    = 16 << 20 // … and how many bytes; one message may have more
	bulkPatience = 30 * time.Second

	nextHeader = "Nats-Expected-Last-Sequence"
)

// bulk fills a new stream that nobody else writes to: many messages are on their way at once, each expects to be the next of the
// stream, and each has to come to stand there. After an error the stream is of no use.
type bulk struct {
	l      *link
	inbox  string
	acks   chan *nats.Msg
	sub    *nats.Subscription
	timer  *time.Timer
	next   uint64         // sequence of the next message
	flying map[uint64]int // bytes of what is not acknowledged
	bytes  int            // of all of them
}

// newBulk begins at sequence next: the stream's first one, or what follows its last.
func newBulk(l *link, next uint64) (*bulk, error) {
	b := &bulk{
		l: l, inbox: nats.NewInbox() + ".", acks: make(chan *nats.Msg, bulkMessages), timer: time.NewTimer(time.Hour),
		next: next, flying: map[uint64]int{},
	}
	var err error
	if b.sub, err = l.writes.ChanSubscribe(b.inbox+"*", b.acks); err != nil {
		return nil, fmt.Errorf("jetstream: subscribe to acknowledgements: %w", err)
	}
	return b, nil
}

// close gives up what is not acknowledged.
func (b *bulk) close() {
	_ = b.sub.Unsubscribe() // fails only when the connection is closed
	b.timer.Stop()
}

// add sends one message and says where it is going to stand. An error may be that of an earlier one.
func (b *bulk) add(ctx context.Context, subject string, header nats.Header, data []byte) (uint64, error) {
	for len(b.flying) > 0 && (len(b.flying) >= bulkMessages || b.bytes+len(data) > bulkBytes) {
		if err := b.acknowledged(ctx); err != nil {
			return 0, err
		}
	}
	seq := b.next
	msg := nats.Msg{Subject: subject, Reply: b.inbox + strconv.FormatUint(seq, 10), Header: nats.Header{}, Data: data}
	for name, values := range header {
		msg.Header[name] = values
	}
	msg.Header[nextHeader] = []string{strconv.FormatUint(seq-1, 10)}
	if err := b.l.writes.PublishMsg(&msg); err != nil {
		return 0, fmt.Errorf("publish message %d: %w", seq, err)
	}
	b.next++
	b.flying[seq] = len(data)
	b.bytes += len(data)
	return seq, nil
}

// flush waits until everything is acknowledged.
func (b *bulk) flush(ctx context.Context) error {
	for len(b.flying) > 0 {
		if err := b.acknowledged(ctx); err != nil {
			return err
		}
	}
	return nil
}

// acknowledged waits for one acknowledgement.
func (b *bulk) acknowledged(ctx context.Context) error {
	b.timer.Reset(bulkPatience)
	select {
	case reply := <-b.acks:
		return b.settle(reply)
	case <-b.timer.C:
		return fmt.Errorf("%d messages before %d: %w", len(b.flying), b.next, errNoAck)
	case <-b.l.gone:
		return errRestarting
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bulk) settle(reply *nats.Msg) error {
	want, err := strconv.ParseUint(strings.TrimPrefix(reply.Subject, b.inbox), 10, 64)
	if err != nil {
		return fmt.Errorf("answer on %q: %w", reply.Subject, err)
	}
	ack, err := parseAck(reply)
	if err != nil {
		return fmt.Errorf("message %d: %w", want, err)
	}
	got, err := sequenceOf(ack, want-1)
	if err != nil {
		return fmt.Errorf("message %d: %w", want, err)
	}
	if got != want {
		return fmt.Errorf("message %d: it came to stand at %d", want, got)
	}
	b.bytes -= b.flying[want]
	delete(b.flying, want)
	return nil
}

// nextOf is the sequence of the next message of a stream.
func nextOf(ctx context.Context, l *link, stream string) (uint64, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("jetstream: state of %s: %w", stream, err)
	}
	return max(s.CachedInfo().State.LastSeq+1, s.CachedInfo().State.FirstSeq), nil
}

// putRecord adds a record of the journal.
func (b *bulk) putRecord(ctx context.Context, subject persistence.Subject, data []byte) (persistence.Seq, error) {
	seq, err := b.add(ctx, string(subject), nil, data)
	return persistence.Seq(seq), err
}
