package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
// When the last record of subject was purged, its sequence is refused and 0 takes its place. Append never replaces the one
// by the other: only who folded the journal to its end knows that nobody else wrote to the subject in between, perhaps a
// claim that is purged as well.
func (j *Journal) Append(ctx context.Context, subject persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	l, err := j.link()
	if err != nil {
		return 0, err
	}
	if j.home.full.Load() {
		return 0, fmt.Errorf("append to %s: %w: less than %d bytes free on the volume", subject, persistence.ErrFull, j.home.opts.MinFree)
	}
	seq, err := l.publish(ctx, string(subject), nil, data, uint64(expect), appendTimeout)
	j.home.watch.appended(err)
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", subject, err)
	}
	j.home.witness.saw(persistence.Seq(seq))
	return persistence.Seq(seq), nil
}

// Last implements persistence.Journal.
func (j *Journal) Last(ctx context.Context, subject persistence.Subject) (persistence.Entry, error) {
	l, err := j.link()
	if err != nil {
		return persistence.Entry{}, err
	}
	return l.getOfLeader(ctx, getRequest{LastFor: string(subject)})
}

// Get implements persistence.Journal.
func (j *Journal) Get(ctx context.Context, seq persistence.Seq) (persistence.Entry, error) {
	if seq == 0 {
		return persistence.Entry{}, fmt.Errorf("get record 0: %w", persistence.ErrNotFound)
	}
	l, err := j.link()
	if err != nil {
		return persistence.Entry{}, err
	}
	if e, ok := l.getDirect(ctx, seq); ok {
		return e, nil
	}
	return l.getOfLeader(ctx, getRequest{Seq: uint64(seq)})
}

func (l *link) getOfLeader(ctx context.Context, r getRequest) (persistence.Entry, error) {
	m, err := l.get(ctx, journalStream, r)
	if err != nil {
		return persistence.Entry{}, err
	}
	return persistence.Entry{Seq: persistence.Seq(m.Seq), Subject: persistence.Subject(m.Subject), Time: m.Time.UTC(), Data: m.Data}, nil
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
	return boundsOf(info), nil
}

func boundsOf(info *jetstream.StreamInfo) persistence.Bounds {
	b := persistence.Bounds{
		First: persistence.Seq(info.State.FirstSeq), Last: persistence.Seq(info.State.LastSeq),
		Bytes: info.State.Bytes, MaxBytes: uint64(max(0, info.Config.MaxBytes)),
	}
	if info.State.Msgs == 0 {
		b.First = b.Last + 1
	}
	return b
}

func streamInfo(ctx context.Context, s jetstream.Stream) (*jetstream.StreamInfo, error) {
	info, err := again(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Info(ctx) })
	if err != nil {
		return nil, fmt.Errorf("read state of stream: %w: %w", persistence.ErrUnknown, err)
	}
	return info, nil
}

// Purge implements persistence.Journal. Beyond the end it empties the journal; sequences go on.
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
	below = min(below, b.Last+1)
	if err := j.home.witness.purging(below); err != nil {
		return err
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

const (
	noMessageFound = 10037
	unavailable    = 503 // nobody leads the stream now
)

// get asks the leader of stream for one message.
func (l *link) get(ctx context.Context, stream string, r getRequest) (*message, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", stream, err)
	}
	reply, err := again(ctx, func(ctx context.Context) (*nats.Msg, error) {
		return l.reads.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	})
	if err != nil {
		return nil, fmt.Errorf("get %s from %s: %w: %w", body, stream, persistence.ErrUnknown, err)
	}
	var resp getResponse
	if err := unmarshal(reply.Data, &resp); err != nil {
		return nil, fmt.Errorf("get %s from %s: %w", body, stream, err)
	}
	switch {
	case resp.Error.ErrCode == noMessageFound:
		return nil, fmt.Errorf("get %s from %s: %w", body, stream, persistence.ErrNotFound)
	case resp.Error.Code == unavailable:
		return nil, fmt.Errorf("get %s from %s: %w: %s (%d)", body, stream, persistence.ErrUnknown, resp.Error.Description, resp.Error.ErrCode)
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
