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

// What a replica may cost a reader before the server is asked. The edge gives a list 2 s.
const (
	replicaWait   = 250 * time.Millisecond // until it has said where it is, a new connection included
	replicaAnswer = time.Second            // until all is read; at most half of what the caller has left
	replicaAway   = time.Second            // nobody asks it after it failed; then one tries
	replicaBehind = 10 * time.Millisecond  // nobody asks it after it was behind
)

// errBehind says that a replica does not have yet what was shown already.
var errBehind = errors.New("postgres: the replica is behind")

// replica is a server that follows ours.
type replica struct {
	pool  *pgxpool.Pool
	after atomic.Int64 // nobody asks it before; Unix nanoseconds
	away  atomic.Bool  // it failed the last time: whoever asks next asks alone
}

// ReadFrom makes lists and searches ask a streaming replica, named as in Open, as long as it has everything that was shown or written
// through this store; else, and when it is away, the server answers. Everything else asks the server. It does not connect. To be called
// before the first use.
func (s *Store) ReadFrom(ctx context.Context, dsn string) error {
	p, err := pool(ctx, dsn, 0, s.metrics.trace("replica"))
	if err != nil {
		return fmt.Errorf("postgres: the replica: %w", err)
	}
	s.replica = &replica{pool: p}
	return nil
}

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// viewPrimary runs fn in one read transaction of the server: everything it sees is as of one cursor.
func (s *Store) viewPrimary(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.read, snapshot, fn)
}

// shown is where a reader is.
type shown struct {
	persistence.Position
	asOf time.Time // of the last event
}

// saw notes what somebody has been shown or told to be written: no list may be of before it.
func (s *Store) saw(at persistence.Position) {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	if s.seen == nil || s.seen.Journal != at.Journal || s.seen.Seq < at.Seq {
		s.seen = &at
	}
}

// has says whether a server at a position may answer. Until the server has said where it is, nobody else may.
func (s *Store) has(at persistence.Position) bool {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	return s.seen != nil && s.seen.Journal == at.Journal && s.seen.Seq <= at.Seq
}

// list runs fn in one read transaction, of the replica or of the server, with the time of the last event in it. It may run again.
func (s *Store) list(ctx context.Context, fn func(ctx context.Context, db pgx.Tx, asOf time.Time) error) error {
	r, result := s.replica, "none"
	if r != nil {
		var err error
		if result, err = s.listReplica(ctx, r, fn); result == "used" || ctx.Err() != nil {
			return err
		}
	}
	err := s.viewPrimary(ctx, func(db pgx.Tx) error {
		at, err := where(ctx, db)
		if err != nil {
			return err
		}
		s.saw(at.Position)
		return fn(ctx, db, at.asOf)
	})
	if err != nil && (result == "behind" || result == "spared") && ctx.Err() == nil && !errors.Is(err, persistence.ErrBadPlace) {
		if s.tryReplica(ctx, r, fn) == nil { // the server is away, and the replica may have caught up
			return nil
		}
	}
	return err
}

// listReplica asks the replica unless it is to be spared, and says as the metric does how that went.
func (s *Store) listReplica(ctx context.Context, r *replica, fn func(ctx context.Context, db pgx.Tx, asOf time.Time) error) (result string, err error) {
	if !r.turn(time.Now()) {
		s.metrics.fallbacks.WithLabelValues("spared").Inc()
		return "spared", nil
	}
	known := r.away.Load()
	err = s.tryReplica(ctx, r, fn)
	switch result = r.judge(err, time.Now()); {
	case result == "used":
		s.metrics.replicaReads.Inc()
		return result, err
	case result == "away" && !known:
		s.log().Warn("the replica does not answer; the primary does", "error", err)
	}
	s.metrics.fallbacks.WithLabelValues(result).Inc()
	return result, err
}

// tryReplica is list of the replica alone.
func (s *Store) tryReplica(ctx context.Context, r *replica, fn func(ctx context.Context, db pgx.Tx, asOf time.Time) error) error {
	most := replicaAnswer
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	asking, answered := context.WithTimeout(ctx, replicaWait)
	defer answered()
	db, err := r.pool.BeginTx(asking, snapshot)
	if err != nil {
		return err
	}
	defer func() { _ = db.Rollback(ctx) }()
	at, err := where(asking, db)
	if err != nil {
		return err
	}
	if !s.has(at.Position) {
		return errBehind
	}
	if err := fn(ctx, db, at.asOf); err != nil {
		return err
	}
	s.saw(at.Position) // what one reader has seen the next one sees, whoever answers
	return nil
}

func where(ctx context.Context, db pgx.Tx) (at shown, err error) {
	err = db.QueryRow(ctx, "SELECT journal, seq, as_of FROM cursors WHERE sink = 'store'").Scan(&at.Journal, &at.Seq, &at.asOf)
	at.asOf = at.asOf.UTC()
	return at, err
}

// turn says whether the replica may be asked now.
func (r *replica) turn(now time.Time) bool {
	after := r.after.Load()
	if now.UnixNano() < after {
		return false
	}
	return !r.away.Load() || r.after.CompareAndSwap(after, now.Add(replicaAway).UnixNano())
}

// judge notes how it went, and says it as the metric does. A place that nobody gave is the caller's fault.
func (r *replica) judge(err error, now time.Time) string {
	switch {
	case err == nil, errors.Is(err, persistence.ErrBadPlace):
		if r.away.CompareAndSwap(true, false) {
			r.after.Store(0)
		}
		return "used"
	case errors.Is(err, errBehind):
		r.away.Store(false)
		r.after.Store(now.Add(replicaBehind).UnixNano())
		return "behind"
	}
	r.after.Store(now.Add(replicaAway).UnixNano())
	r.away.Store(true)
	return "away"
}
