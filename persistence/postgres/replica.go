package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"maitred/persistence"
)

const (
	replicaWait   = 500 * time.Millisecond // until a replica has said how far it is
	replicaBehind = 100 * time.Millisecond // until one that was behind is asked again
	replicaAway   = 2 * time.Second        // until one that failed is asked again
)

var errBehind = errors.New("postgres: the replica is behind")

// replica is a streaming replica that answers lists and searches, as long as it has everything that this process knows the primary to
// have: whoever sees his own write at the primary sees it here.
type replica struct {
	pool *pgxpool.Pool
	skip atomic.Int64 // Unix ns: before that nobody asks it
}

// ReadFrom lets a streaming replica answer lists and searches. It may be away or behind: then the primary answers. Before the first use.
func (s *Store) ReadFrom(ctx context.Context, dsn string) error {
	p, err := pool(ctx, dsn, 0, s.metrics.trace("replica"))
	if err != nil {
		return fmt.Errorf("postgres: replica: %w", err)
	}
	s.replica = &replica{pool: p}
	return nil
}

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// view runs fn in one read transaction, at the replica if it may answer: everything it sees is as of one cursor. fn may run twice.
func (s *Store) view(ctx context.Context, fn func(pgx.Tx) error) error {
	if r := s.replica; r != nil && time.Now().UnixNano() >= r.skip.Load() {
		err := r.view(ctx, s.written.Load(), fn)
		switch {
		case err == nil || ctx.Err() != nil || errors.Is(err, persistence.ErrBadPlace):
			return err
		case errors.Is(err, errBehind):
			r.skip.Store(time.Now().Add(replicaBehind).UnixNano())
			s.metrics.fallbacks.WithLabelValues("behind").Inc()
		default:
			r.skip.Store(time.Now().Add(replicaAway).UnixNano())
			s.metrics.fallbacks.WithLabelValues("away").Inc()
			s.log().Warn("the replica does not answer; the primary does", "error", err)
		}
	}
	return s.viewPrimary(ctx, fn)
}

func (s *Store) viewPrimary(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.read, snapshot, fn)
}

func (r *replica) view(ctx context.Context, written uint64, fn func(pgx.Tx) error) error {
	soon, cancel := context.WithTimeout(ctx, replicaWait)
	defer cancel()
	tx, err := r.pool.BeginTx(soon, snapshot)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), replicaWait)
		defer cancel()
		_ = tx.Rollback(ending) // nothing after Commit
	}()
	var seq uint64
	if err := tx.QueryRow(soon, "SELECT seq FROM cursors WHERE sink = 'store'").Scan(&seq); err != nil {
		return err
	}
	if seq < written {
		return errBehind
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
