package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/persistence"
)

// Journal is the stream JOURNAL. It outlives restarts of the server under it.
type Journal struct {
	home   *Embedded
	closed atomic.Bool
}

var _ persistence.Journal = (*Journal)(nil)

// Append implements persistence.Journal. It waits for at most 2 s, less when ctx says so.
//
// The record of the slot may have been purged: its sequence is then below the stream's first, the server knows no message
// on the subject and refuses the expectation. See expectPurged for when 0 is sent instead.
func (j *Journal) Append(ctx context.Context, subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	l, err := j.link()
	if err != nil {
		return 0, err
	}
	if j.home.full.Load() {
		return 0, fmt.Errorf("append to %s: %w: less than %d bytes free on the volume", subject, persistence.ErrFull, j.home.opts.MinFree)
	}
	seq, err := l.publish(ctx, string(subject), nil, data, uint64(expect), appendTimeout)
	if expect > 0 && errors.Is(err, persistence.ErrConflict) && j.expectPurged(ctx, subject, expect) {
		seq, err = l.publish(ctx, string(subject), nil, data, 0, appendTimeout)
		if err == nil && seq <= uint64(expect) {
			err = fmt.Errorf("%w: %w: sequence %d after %d", persistence.ErrUnknown, ErrImpossible, seq, expect)
		}
	}
	j.home.watch.appended(err)
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", subject, err)
	}
	j.home.witness.saw(persistence.Seq(seq), data)
	return persistence.Seq(seq), nil
}

// expectPurged says whether expect is the last sequence of subject for certain, although its record was purged. First >
// expect alone does not prove it: a node that slept may have been fenced by a claim that is purged as well, and an
// expectation of 0 would let its frame in. The proof is the last checkpoint, which names the last record of every slot and
// is never purged: it must name expect, and the subject must hold no record now, which the expectation of 0 asserts. What
// is left is a record stored after that checkpoint and purged before the append arrives, within one call: the purge keeps
// its last checkpoint and 72 h, so that cannot be.
func (j *Journal) expectPurged(ctx context.Context, subject persistence.Subject, expect persistence.Seq) bool {
	node, isSlot := strings.CutPrefix(string(subject), string(persistence.SlotSubject("")))
	if !isSlot {
		return false
	}
	bounds, err := j.Bounds(ctx)
	if err != nil || expect >= bounds.First {
		return false
	}
	last, err := j.Last(ctx, persistence.Control)
	if err != nil {
		return false
	}
	record, err := persistence.Decode(last.Data)
	checkpoint, isCheckpoint := record.(*persistence.Checkpoint)
	if err != nil || !isCheckpoint || checkpoint.Seq < bounds.First-1 {
		return false
	}
	for _, slot := range checkpoint.Slots {
		if slot.Node == node {
			return slot.Seq == expect
		}
	}
	return false
}

// Last implements persistence.Journal.
func (j *Journal) Last(ctx context.Context, subject persistence.Subject) (persistence.Entry, error) {
	return j.get(ctx, getRequest{LastFor: string(subject)})
}

// Get implements persistence.Journal.
func (j *Journal) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	if seq == 0 {
		return persistence.Entry{}, fmt.Errorf("get record 0: %w", persistence.ErrNotFound)
	}
	return j.get(ctx, getRequest{Seq: uint64(seq)})
}

func (j *Journal) get(ctx context.Context, r getRequest) (persistence.Entry, error) {
	l, err := j.link()
	if err != nil {
		return persistence.Entry{}, err
	}
	m, err := l.get(ctx, journalStream, r)
	if err != nil {
		return persistence.Entry{}, err
	}
	return persistence.Entry{Seq: persistence.Seq(m.Seq), Subject: persistence.Subject(m.Subject), Time: m.Time, Data: m.Data}, nil
}

// Bounds implements persistence.Journal.
func (j *Journal) Bounds(ctx context.Context) (persistence.Bounds, error) {
	l, err := j.link()
	if err != nil {
		return persistence.Bounds{}, err
	}
	return l.bounds(ctx)
}

func (l *link) bounds(ctx context.Context) (persistence.Bounds, error) {
	info, err := streamInfo(ctx, l.journal)
	if err != nil {
		return persistence.Bounds{}, err
	}
	b := persistence.Bounds{
		First: persistence.Seq(info.State.FirstSeq), Last: persistence.Seq(info.State.LastSeq),
		Bytes: info.State.Bytes, MaxBytes: uint64(max(0, info.Config.MaxBytes)),
	}
	if info.State.Msgs == 0 {
		b.First = b.Last + 1
	}
	return b, nil
}

func streamInfo(ctx context.Context, s jetstream.Stream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := s.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read state of stream: %w", err)
	}
	return info, nil
}

// Purge implements persistence.Journal. Sequences go on where they were, also when nothing is left.
func (j *Journal) Purge(ctx context.Context, below persistence.Seq) error {
	l, err := j.link()
	if err != nil {
		return err
	}
	b, err := l.bounds(ctx)
	if err != nil {
		return err
	}
	if below <= b.First { // also keeps 0 away from the server: to it that is the whole stream
		return nil
	}
	if below > b.Last+1 {
		return fmt.Errorf("purge below %d: the journal ends at %d", below, b.Last)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := l.journal.Purge(ctx, jetstream.WithPurgeSequence(uint64(below))); err != nil {
		return fmt.Errorf("purge below %d: %w", below, err)
	}
	return nil
}

// Close implements persistence.Journal. The server goes on until Embedded.Close.
func (j *Journal) Close() error {
	j.closed.Store(true)
	return nil
}

func (j *Journal) link() (*link, error) {
	if j.closed.Load() {
		return nil, persistence.ErrClosed
	}
	return j.home.current()
}

type getRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
}

// message is a stored message as the leader tells it. Header is raw.
type message struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

type getResponse struct {
	Message *message `json:"message"`
	Error   apiError `json:"error"`
}

const noMessageFound = 10037

// get asks the leader of stream for one message.
func (l *link) get(ctx context.Context, stream string, r getRequest) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", stream, err)
	}
	reply, err := l.reads.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, fmt.Errorf("get %s from %s: %w", body, stream, err)
	}
	var resp getResponse
	if err := unmarshal(reply.Data, &resp); err != nil {
		return nil, fmt.Errorf("get %s from %s: %w", body, stream, err)
	}
	switch {
	case resp.Error.ErrCode == noMessageFound:
		return nil, fmt.Errorf("get %s from %s: %w", body, stream, persistence.ErrNotFound)
	case resp.Error != apiError{}:
		return nil, fmt.Errorf("get %s from %s: %s (%d)", body, stream, resp.Error.Description, resp.Error.ErrCode)
	case resp.Message == nil:
		return nil, fmt.Errorf("get %s from %s: answer without message", body, stream)
	}
	return resp.Message, nil
}

func unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("unreadable answer %.200q: %w", data, err)
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, persistence.ErrNotFound) }

// isTimeout tells no answer from an answer that is an error.
func isTimeout(err error) bool {
	return errors.Is(err, errNoAck) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
}
