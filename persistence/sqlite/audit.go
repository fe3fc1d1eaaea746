package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// The body of a row of events is, for each event of the frame: index, names.n of the aggregate, version, distance to the
// previous frame that has an event of the same aggregate (0 = this one, the row's own sequence = none), length: all
// uvarint; then the event's protobuf bytes. History follows the distances, so no index is kept for it.

// maxHistory bounds the answer of History and Events.
const maxHistory = 10_000

var errAudit = errors.New("sqlite: unreadable row of events")

func appendAudit(dst []byte, h *head, c *persistence.Committed) ([]byte, error) {
	event := engine.StripPersonal(c.Event) // what stands here no erasure can reach
	size := event.SizeVT()
	for _, v := range [...]uint64{uint64(c.Index), uint64(h.n), uint64(c.Version), uint64(c.Seq - h.seq), uint64(size)} {
		dst = binary.AppendUvarint(dst, v)
	}
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	if _, err := event.MarshalToSizedBufferVT(dst[at:]); err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	return dst, nil
}

// audited is one event of a row.
type audited struct {
	persistence.Committed
	n        int64
	previous persistence.Seq
}

// readAudit calls fn for each event of a row; fn decodes those that it wants.
func readAudit(seq persistence.Seq, body []byte, fn func(a audited, event []byte) error) error {
	for len(body) > 0 {
		var v [5]uint64
		for i := range v {
			x, size := binary.Uvarint(body)
			if size <= 0 {
				return errAudit
			}
			v[i], body = x, body[size:]
		}
		if v[4] > uint64(len(body)) || v[3] > uint64(seq) {
			return errAudit
		}
		a := audited{n: int64(v[1]), previous: seq - persistence.Seq(v[3])}
		a.Seq, a.Index, a.Version = seq, int(v[0]), engine.Version(v[2])
		if err := fn(a, body[:v[4]]); err != nil {
			return err
		}
		body = body[v[4]:]
	}
	return nil
}

func decodeEvent(b []byte) (*enginepb.Event, error) {
	e := &enginepb.Event{}
	if err := e.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("sqlite: decode an audited event: %w", err)
	}
	return e, nil
}

// History implements persistence.Audit.
func (s *Store) History(ctx context.Context, id engine.AggregateID, limit int) ([]persistence.Committed, error) {
	limit = min(max(limit, 1), maxHistory)
	var out []persistence.Committed
	err := s.view(ctx, func(q querier) error {
		var n int64
		var seq persistence.Seq
		err := q.QueryRowContext(ctx, "SELECT n, head FROM names JOIN heads USING (n) WHERE id = ?", string(id)).Scan(&n, &seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		for err == nil && seq > 0 && len(out) < limit {
			var found []persistence.Committed
			found, seq, err = historyAt(ctx, q, id, n, seq)
			for i := len(found) - 1; i >= 0 && len(out) < limit; i-- {
				out = append(out, found[i])
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sqlite: history of %s: %w", id, err)
	}
	return out, nil
}

// historyAt reads the events of one aggregate in the frame at seq, and where the frame before is; 0 = nowhere.
func historyAt(ctx context.Context, q querier, id engine.AggregateID, n int64, seq persistence.Seq) ([]persistence.Committed, persistence.Seq, error) {
	var body []byte
	if err := q.QueryRowContext(ctx, "SELECT body FROM events WHERE seq = ?", int64(seq)).Scan(&body); err != nil {
		return nil, 0, fmt.Errorf("frame %d: %w", seq, err)
	}
	var out []persistence.Committed
	previous := seq
	err := readAudit(seq, body, func(a audited, event []byte) error {
		if a.n != n {
			return nil
		}
		e, err := decodeEvent(event)
		if err != nil {
			return err
		}
		a.Event, a.Aggregate = e, id
		out = append(out, a.Committed)
		previous = min(previous, a.previous)
		return nil
	})
	if err == nil && previous >= seq {
		err = errAudit // the chain would turn in a circle
	}
	return out, previous, err
}

// Events implements persistence.Audit.
func (s *Store) Events(ctx context.Context, after persistence.Seq, limit int) (out []persistence.Committed, reached persistence.Seq, err error) {
	limit = min(max(limit, 1), maxHistory)
	reached = after
	names := map[int64]engine.AggregateID{}
	err = s.view(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", int64(after), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for len(out) < limit && rows.Next() {
			var body []byte
			if err := rows.Scan(&reached, &body); err != nil {
				return err
			}
			frame, err := readFrame(ctx, q, names, reached, body)
			if err != nil {
				return err
			}
			out = append(out, frame...)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, after, fmt.Errorf("sqlite: events after %d: %w", after, err)
	}
	return out, reached, nil
}

func readFrame(ctx context.Context, q querier, names map[int64]engine.AggregateID, seq persistence.Seq, body []byte) (out []persistence.Committed, err error) {
	err = readAudit(seq, body, func(a audited, event []byte) (err error) {
		if a.Aggregate, err = nameOf(ctx, q, names, a.n); err != nil {
			return err
		}
		a.Event, err = decodeEvent(event)
		out = append(out, a.Committed)
		return err
	})
	return out, err
}

func nameOf(ctx context.Context, q querier, names map[int64]engine.AggregateID, n int64) (engine.AggregateID, error) {
	id, ok := names[n]
	if !ok {
		if len(names) >= maxNames {
			clear(names)
		}
		if err := q.QueryRowContext(ctx, "SELECT id FROM names WHERE n = ?", n).Scan(&id); err != nil {
			return "", fmt.Errorf("name %d: %w", n, err)
		}
		names[n] = id
	}
	return id, nil
}

// Recent implements persistence.Audit.
func (s *Store) Recent(ctx context.Context, fn func(persistence.Committed) bool) error {
	names := map[int64]engine.AggregateID{}
	err := s.view(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT seq, body FROM events ORDER BY seq DESC")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var seq persistence.Seq
			var body []byte
			if err := rows.Scan(&seq, &body); err != nil {
				return err
			}
			frame, err := readFrame(ctx, q, names, seq, body)
			if err != nil {
				return err
			}
			for i := len(frame) - 1; i >= 0; i-- {
				if !fn(frame[i]) {
					return nil
				}
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("sqlite: recent events: %w", err)
	}
	return nil
}

// view runs fn in one read transaction: everything it sees is as of one cursor.
func (s *Store) view(ctx context.Context, fn func(querier) error) error {
	t, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer t.Rollback()
	return fn(t)
}
