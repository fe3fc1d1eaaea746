package postgres

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// maxHistory bounds the answer of History and Events.
const maxHistory = 10_000

// audit writes down the events that are not in the audit yet.
func (t *tx) audit(events []persistence.Committed) error {
	for len(events) > 0 && events[0].Seq <= t.audited {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil
	}
	_, err := t.CopyFrom(t.ctx, pgx.Identifier{"events"}, []string{"seq", "index", "aggregate", "version", "at", "type", "body"},
		pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
			c := &events[i]
			body, err := engine.StripPersonal(c.Event).MarshalVT() // what stands here no erasure can reach
			if err != nil {
				return nil, fmt.Errorf("encode the event at %d: %w", c.Seq, err)
			}
			return []any{int64(c.Seq), int32(c.Index), string(c.Aggregate), int64(c.Version), time.UnixMilli(c.Event.GetAtMs()), typeOf(c.Event), body}, nil
		}))
	if err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return nil
}

// typeOf is the name of an event's body, as ReservationCreated.
func typeOf(e *enginepb.Event) string {
	body := e.GetBody()
	if body == nil {
		return ""
	}
	const prefix = "Event_"
	return reflect.TypeOf(body).Elem().Name()[len(prefix):]
}

const selectEvents = "SELECT seq, index, aggregate, version, body FROM events"

// History implements persistence.Audit.
func (s *Store) History(ctx context.Context, id engine.AggregateID, limit int) ([]persistence.Committed, error) {
	out, err := committed(ctx, s.read, selectEvents+" WHERE aggregate = $1 ORDER BY version DESC LIMIT $2", string(id), min(max(limit, 1), maxHistory))
	if err != nil {
		return nil, fmt.Errorf("postgres: history of %s: %w", id, err)
	}
	return out, nil
}

// Events implements persistence.Audit.
func (s *Store) Events(ctx context.Context, after persistence.Seq, limit int) ([]persistence.Committed, persistence.Seq, error) {
	out, err := committed(ctx, s.read, selectEvents+` WHERE seq > $1
 AND seq <= coalesce((SELECT seq FROM events WHERE seq > $1 ORDER BY seq, index OFFSET $2 LIMIT 1), 9223372036854775807) ORDER BY seq, index`,
		int64(after), min(max(limit, 1), maxHistory)-1)
	if err != nil {
		return nil, after, fmt.Errorf("postgres: events after %d: %w", after, err)
	}
	if len(out) == 0 {
		return nil, after, nil
	}
	return out, out[len(out)-1].Seq, nil
}

// Recent implements persistence.Audit. It reads page after page, so that an early end costs nothing.
func (s *Store) Recent(ctx context.Context, fn func(persistence.Committed) bool) error {
	for seq, index := int64(math.MaxInt64), 0; ; {
		page, err := committed(ctx, s.read, selectEvents+" WHERE (seq, index) < ($1, $2) ORDER BY seq DESC, index DESC LIMIT 1000", seq, index)
		if err != nil {
			return fmt.Errorf("postgres: recent events: %w", err)
		}
		for _, c := range page {
			if !fn(c) {
				return nil
			}
			seq, index = int64(c.Seq), c.Index
		}
		if len(page) < 1000 {
			return nil
		}
	}
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func committed(ctx context.Context, q querier, query string, args ...any) (out []persistence.Committed, err error) {
	err = each(ctx, q, query, args, func(row pgx.Rows) error {
		var c persistence.Committed
		var body []byte
		if err := row.Scan(&c.Seq, &c.Index, &c.Aggregate, &c.Version, &body); err != nil {
			return err
		}
		c.Event = &enginepb.Event{}
		if err := c.Event.UnmarshalVT(body); err != nil {
			return fmt.Errorf("decode the event at %d: %w", c.Seq, err)
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// each calls fn for each row of a query.
func each(ctx context.Context, q querier, query string, args []any, fn func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
