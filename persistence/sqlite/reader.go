package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"maitred/engine"
	"maitred/persistence"
)

var _ persistence.Audit = (*Reader)(nil)

// Reader reads the audit of a store that another process may be writing. Safe for concurrent use.
type Reader struct{ store *Store }

// OpenReader opens the store in the file path for reading alone. The store must be there; its schema is not brought up to
// date, and whoever writes it is not disturbed.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	// rw, because SQLite cannot follow a write-ahead log whose index it may not touch; the connection itself refuses to write.
	read, err := sql.Open("sqlite", dsn(path, cacheKiB/8, "deferred", "query_only(1)")+"&mode=rw")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	r := &Reader{&Store{path: path, read: read}}
	if _, err := r.store.Cursor(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), r.Close())
	}
	return r, nil
}

// Close ends the reader's use. Idempotent.
func (r *Reader) Close() error { return r.store.Close() }

// History is Store.History.
func (r *Reader) History(ctx context.Context, id engine.AggregateID, limit int) ([]persistence.Committed, error) {
	return r.store.History(ctx, id, limit)
}

// Events is Store.Events.
func (r *Reader) Events(ctx context.Context, after persistence.Seq, limit int) ([]persistence.Committed, persistence.Seq, error) {
	return r.store.Events(ctx, after, limit)
}

// Recent is Store.Recent.
func (r *Reader) Recent(ctx context.Context, fn func(persistence.Committed) bool) error {
	return r.store.Recent(ctx, fn)
}
