package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"maitred/persistence"
)

// A record that stands never changes, so whoever holds it may say it: a direct get is answered by any server of the stream, which one
// is drawn by lot, with the record as it is and not in JSON. A server that lags lacks the newest ones, and may lack any: those the
// leader is asked for. What decides something (Last, Bounds, bases) is never read directly.
const directGet = "$JS.API.DIRECT.GET." + journalStream

// The lot also falls on a server that stands still or is cut off, for as long as the route to it is not given up: minutes. So an answer
// that does not come at once is not waited for, and after it only the leader is asked for a while.
const (
	directPatience = 50 * time.Millisecond // for the next record; it takes 1 or 2
	directShy      = 2 * time.Second
)

// direct tells when records are not got directly.
type direct struct{ shyUntil atomic.Int64 } // since started: the time of day may be set back

var started = time.Now()

func (d *direct) shy() bool { return int64(time.Since(started)) < d.shyUntil.Load() }
func (d *direct) missed()   { d.shyUntil.Store(int64(time.Since(started) + directShy)) }

// A batch has at most readBatch records, and ends with the one that fills readBytes.
const (
	readBatch  = 256
	readBytes  = 2 << 20
	maxReaders = 8 // at once: their batches stay well below what the server drops a connection for
)

type directRequest struct {
	Seq      uint64 `json:"seq"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// getDirect gets a record from any server; false when the one that was asked does not have it, or does not say so in time.
func (l *link) getDirect(ctx context.Context, seq persistence.Seq) (persistence.Entry, bool) {
	if l.direct.shy() {
		return persistence.Entry{}, false
	}
	body, err := json.Marshal(directRequest{Seq: uint64(seq)})
	if err != nil {
		return persistence.Entry{}, false
	}
	patience, cancel := context.WithTimeout(ctx, directPatience)
	defer cancel()
	m, err := l.reads.RequestWithContext(patience, directGet, body)
	if err != nil {
		if ctx.Err() == nil {
			l.direct.missed()
		}
		return persistence.Entry{}, false
	}
	e, err := entryOf(m)
	return e, err == nil && e.Seq == seq
}

// batcher takes the records of one batch after the other. Its subscription lives as long as it is not given up: one that is made for
// each batch would be told to every other server.
type batcher struct {
	sub     *nats.Subscription
	records chan *nats.Msg
}

func (l *link) newBatcher() (*batcher, error) {
	b := &batcher{records: make(chan *nats.Msg, readBatch+1)}
	var err error
	if b.sub, err = l.reads.ChanSubscribe(nats.NewInbox(), b.records); err != nil {
		return nil, fmt.Errorf("subscribe: %w: %w", persistence.ErrUnknown, err)
	}
	return b, nil
}

// batch gets the records from from on that some server has without a gap, at most up to to; maybe none.
func (l *link) batch(ctx context.Context, from, to persistence.Seq) ([]persistence.Entry, error) {
	if l.direct.shy() {
		return nil, nil
	}
	var b *batcher
	select {
	case b = <-l.batchers:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b == nil {
		fresh, err := l.newBatcher()
		if err != nil {
			l.batchers <- nil
			return nil, err
		}
		b = fresh
	}
	entries, whole, err := b.get(ctx, l.reads, from, to)
	if !whole { // the rest may still come
		if err == nil {
			l.direct.missed()
		}
		_ = b.sub.Unsubscribe() // fails only when the connection is closed
		b = nil
	}
	l.batchers <- b
	return entries, err
}

// get is batch, and tells whether the end of the batch has come.
func (b *batcher) get(ctx context.Context, nc *nats.Conn, from, to persistence.Seq) (entries []persistence.Entry, whole bool, err error) {
	n := int(min(readBatch, to-from+1))
	body, err := json.Marshal(directRequest{Seq: uint64(from), Batch: n, MaxBytes: readBytes})
	if err != nil {
		return nil, false, fmt.Errorf("ask for records: %w", err)
	}
	if err := nc.PublishRequest(directGet, b.sub.Subject, body); err != nil {
		return nil, false, fmt.Errorf("ask for records: %w: %w", persistence.ErrUnknown, err)
	}
	patience := time.NewTimer(directPatience)
	defer patience.Stop()
	for {
		select {
		case m := <-b.records:
			if m.Header.Get("Status") != "" { // its end, or nobody has any
				return entries, true, nil
			}
			patience.Reset(directPatience)
			if e, err := entryOf(m); err == nil && e.Seq == from && e.Seq <= to {
				entries = append(entries, e)
				from++
			}
		case <-patience.C:
			return entries, false, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// entryOf reads a record that came directly.
func entryOf(m *nats.Msg) (persistence.Entry, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return persistence.Entry{}, fmt.Errorf("a record without a place: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return persistence.Entry{}, fmt.Errorf("a record without a time: %w", err)
	}
	return persistence.Entry{Seq: persistence.Seq(seq), Subject: persistence.Subject(m.Header.Get("Nats-Subject")), Time: at.UTC(), Data: m.Data}, nil
}
