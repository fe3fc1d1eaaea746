package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"maitred/persistence"
)

const (
	maxCallers     = 64 // appends and puts in flight at once
	expectedHeader = "Nats-Expected-Last-Subject-Sequence"
	replyDepth     = 8
)

// In a cluster the acknowledgement of an append can come before the server has struck it off its list of those in process, and the next
// one to its subject, a fraction of a millisecond later, is refused with 10164: surely not stored, so it may be sent again as it is. Somebody
// else's append to the subject answers 10071 soon after.
const (
	inProcess     = 10164
	inProcessWait = time.Millisecond      // before the second try, and twice as long before each further one
	inProcessMax  = 16 * time.Millisecond // the last wait; 31 ms in all
)

// callers publish and wait for the acknowledgement: one subscription each that lives as long as the connection, and
// delivers straight from its reader. nats.Conn.Request costs one hop between goroutines more, and jetstream.PublishMsg
// retries by itself.
type callers struct{ idle chan *caller }

type caller struct {
	nc      *nats.Conn
	prefix  string
	replies chan *nats.Msg
	calls   uint64
	timer   *time.Timer
}

func newCallers(nc *nats.Conn) (*callers, error) {
	c := &callers{idle: make(chan *caller, maxCallers)}
	for range maxCallers {
		c.idle <- nil // made on first use
	}
	first, err := newCaller(nc)
	if err != nil {
		return nil, err
	}
	<-c.idle
	c.idle <- first
	return c, nil
}

func newCaller(nc *nats.Conn) (*caller, error) {
	c := &caller{nc: nc, prefix: nats.NewInbox() + ".", replies: make(chan *nats.Msg, replyDepth), timer: time.NewTimer(time.Hour)}
	if _, err := nc.ChanSubscribe(c.prefix+"*", c.replies); err != nil {
		return nil, fmt.Errorf("jetstream: subscribe to replies: %w", err)
	}
	return c, nil
}

// publish sends data to subject if the subject's last sequence is expect, and returns the acknowledged sequence.
func (l *link) publish(ctx context.Context, subject string, header nats.Header, data []byte, expect uint64, timeout time.Duration) (uint64, error) {
	var c *caller
	select {
	case c = <-l.callers.idle:
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", persistence.ErrUnknown, ctx.Err())
	}
	defer func() { l.callers.idle <- c }()
	if c == nil {
		fresh, err := newCaller(l.writes)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
		}
		c = fresh
	}
	if header == nil {
		header = make(nats.Header, 1)
	}
	if !l.unfenced {
		header[expectedHeader] = []string{strconv.FormatUint(expect, 10)}
	}
	for wait := inProcessWait; ; wait *= 2 {
		ack, err := c.call(ctx, l.gone, subject, header, data, timeout)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
		}
		if ack.Error.ErrCode != inProcess || wait > inProcessMax || !c.rest(ctx, wait) {
			return sequenceOf(ack, expect)
		}
	}
}

// rest waits; false when ctx ends first.
func (c *caller) rest(ctx context.Context, d time.Duration) bool {
	c.timer.Reset(d)
	select {
	case <-c.timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *caller) call(ctx context.Context, gone <-chan struct{}, subject string, header nats.Header, data []byte, timeout time.Duration) (ack pubAck, err error) {
	c.calls++
	msg := nats.Msg{Subject: subject, Reply: c.prefix + strconv.FormatUint(c.calls, 36), Header: header, Data: data}
	if err := c.nc.PublishMsg(&msg); err != nil {
		return ack, fmt.Errorf("publish: %w", err)
	}
	c.timer.Reset(timeout)
	for {
		select {
		case reply := <-c.replies:
			if reply.Subject == msg.Reply { // else the late answer to a call that was given up
				return parseAck(reply)
			}
		case <-c.timer.C:
			return ack, errNoAck
		case <-gone:
			return ack, errRestarting
		case <-ctx.Done():
			return ack, ctx.Err()
		}
	}
}

var errNoAck = errors.New("no acknowledgement in time")

// ErrImpossible: the server acknowledged what it must not have, so something under the journal is broken. It always comes
// with persistence.ErrUnknown. Quarantine and page.
var ErrImpossible = errors.New("jetstream: impossible acknowledgement")

// sequenceOf reads an acknowledgement and maps refusals to the errors of the contract.
func sequenceOf(ack pubAck, expect uint64) (uint64, error) {
	switch {
	case ack.Error.ErrCode == 10071 || ack.Error.ErrCode == inProcess:
		return 0, fmt.Errorf("%w: expected %d: %s (%d)", persistence.ErrConflict, expect, ack.Error.Description, ack.Error.ErrCode)
	case ack.Error.ErrCode == 10077 || ack.Error.ErrCode == 10023 || ack.Error.ErrCode == 10054:
		return 0, fmt.Errorf("%w: %s (%d)", persistence.ErrFull, ack.Error.Description, ack.Error.ErrCode)
	case ack.Error.Code != 0 || ack.Error.ErrCode != 0:
		return 0, fmt.Errorf("%w: %s (%d)", persistence.ErrUnknown, ack.Error.Description, ack.Error.ErrCode)
	case ack.Duplicate || ack.Seq <= expect:
		return 0, fmt.Errorf("%w: %w: sequence %d, duplicate %t, after expecting %d", persistence.ErrUnknown, ErrImpossible, ack.Seq, ack.Duplicate, expect)
	}
	return ack.Seq, nil
}

type pubAck struct {
	Seq       uint64   `json:"seq"`
	Duplicate bool     `json:"duplicate"`
	Error     apiError `json:"error"`
}

type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// parseAck reads the ordinary answer by hand and every other one with encoding/json.
func parseAck(reply *nats.Msg) (pubAck, error) {
	for _, stream := range [...]string{`{"stream":"` + journalStream + `","seq":`, `{"stream":"` + baseStream + `","seq":`} {
		digits, ok := strings.CutPrefix(string(reply.Data), stream)
		if !ok {
			continue
		}
		if digits, ok = strings.CutSuffix(digits, "}"); !ok {
			continue
		}
		if seq, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return pubAck{Seq: seq}, nil
		}
	}
	if status := reply.Header.Get("Status"); status != "" {
		return pubAck{}, fmt.Errorf("answered with status %s", status)
	}
	var ack pubAck
	if err := unmarshal(reply.Data, &ack); err != nil {
		return pubAck{}, err
	}
	if ack.Seq == 0 && ack.Error == (apiError{}) {
		return pubAck{}, fmt.Errorf("answer without sequence and error: %.200q", reply.Data)
	}
	return ack, nil
}
