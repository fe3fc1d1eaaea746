package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/engine"
	"maitred/persistence"
)

// Scan implements persistence.Bases. A base that is put during the scan may come twice; the higher revision is the newer.
func (b *Bases) Scan(ctx context.Context, fn func(persistence.BaseHeader) error) (persistence.Revision, error) {
	if s := b.surveyed.Swap(nil); s != nil && b.revision.Load() == uint64(s.covered) {
		for _, h := range s.headers { // just read
			if err := fn(h); err != nil {
				b.surveyed.CompareAndSwap(nil, s) // who only had a look leaves it to the next one
				return 0, err
			}
		}
		return s.covered, nil
	}
	covered, err := b.scan(ctx, fn)
	if lost := b.lost.Load(); err == nil && lost != nil {
		err = *lost
	}
	return covered, err
}

func (b *Bases) scan(ctx context.Context, fn func(persistence.BaseHeader) error) (persistence.Revision, error) {
	l, err := b.home.current()
	if err != nil {
		return 0, err
	}
	s := scan{l: l, fn: fn, log: b.home.opts.Logger, seen: map[engine.AggregateID]struct{}{}}
	for range scanPasses {
		info, err := streamInfo(ctx, l.bases)
		if err != nil {
			return 0, err
		}
		if info.State.Msgs == 0 {
			return persistence.Revision(info.State.LastSeq), nil
		}
		missing := int(info.State.Msgs) - len(s.seen)
		if bad := max(s.bad, missing); bad > 0 && s.last >= info.State.LastSeq {
			return persistence.Revision(s.last), fmt.Errorf("scan bases: %d of %d: %w", bad, info.State.Msgs, persistence.ErrCorrupt)
		}
		if missing <= 0 && s.bad == 0 {
			return persistence.Revision(s.last), nil
		}
		if s.end = info.State.LastSeq; s.end > s.last {
			if err := s.pass(ctx); err != nil {
				return 0, unwrapStop("scan bases", err)
			}
		}
	}
	return 0, fmt.Errorf("scan bases: others put them faster than they can be read: %w", persistence.ErrUnknown)
}

// scanPasses bounds how often a scan goes on because a base was put elsewhere before it was read: each pass is shorter.
const scanPasses = 10

// scan reads the headers of the bucket, also of one that is damaged: the server's consumer stops at a message that it cannot
// read, and what follows is then asked for one by one.
type scan struct {
	l         *link
	fn        func(persistence.BaseHeader) error
	log       *slog.Logger
	last, end uint64 // sequences: read so far, of the bucket
	seen      map[engine.AggregateID]struct{}
	bad       int // messages
}

// pass reads on to the end of the bucket. A base that is replaced meanwhile stands behind that end: then another pass finds it.
func (s *scan) pass(ctx context.Context) error {
	if err := s.stream(ctx); err != nil {
		return err
	}
	if err := s.singly(ctx); err != nil {
		return err
	}
	s.last = s.end
	return nil
}

func (s *scan) take(subject string, seq uint64, header nats.Header) error {
	h, err := baseHeader(subject, seq, header)
	if err != nil {
		s.spoilt(seq, err)
		return nil
	}
	if err := s.fn(h); err != nil {
		return &stopError{err}
	}
	s.seen[h.ID] = struct{}{}
	return nil
}

func (s *scan) spoilt(seq uint64, err error) {
	s.bad++
	s.log.Error("a base cannot be read", "revision", seq, "err", err)
}

// stream reads as far as a consumer gets.
func (s *scan) stream(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.last + 1, HeadersOnly: true}
	err := s.l.pull(ctx, s.l.bases, cfg, 0, func(m *nats.Msg, d delivery) (bool, error) {
		s.last, s.end = d.seq, max(s.end, d.seq)
		return d.pending == 0, s.take(m.Subject, d.seq, m.Header)
	})
	var stalled *stalledError
	if errors.As(err, &stalled) {
		return nil
	}
	return err
}

// singly reads what the consumer has not reached. A server that does not answer is an error; one that cannot read a message
// is asked for the next.
func (s *scan) singly(ctx context.Context) error {
	for seq := s.last + 1; seq <= s.end; seq++ {
		m, err := s.l.get(ctx, baseStream, getRequest{Seq: seq})
		switch {
		case isNotFound(err):
			continue
		case errors.Is(err, persistence.ErrUnknown):
			return err
		case err != nil:
			s.spoilt(seq, err)
			continue
		}
		header, err := parseHeader(m.Header)
		if err != nil {
			s.spoilt(seq, err)
			continue
		}
		if err := s.take(m.Subject, m.Seq, header); err != nil {
			return err
		}
	}
	return nil
}
