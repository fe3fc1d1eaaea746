package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"maitred/engine"
	"maitred/migrations"
	"maitred/persistence"
)

// connectTimeout is how long a connection may take, unless the DSN says otherwise (connect_timeout).
const connectTimeout = 5 * time.Second

// maxKnown bounds the heads that the writer keeps in memory.
const maxKnown = 200_000

// ErrGap says that an event is not the next one of its aggregate, or changes what is not there: the store is not what its cursor
// says.
var ErrGap = errors.New("postgres: an event does not follow what is in the store")

// errGone is the ErrGap of a row that an event changes and that is not there: it was given up with Skip, or somebody has deleted it.
var errGone = fmt.Errorf("a row is not there: %w", ErrGap)

// Store is the read model in PostgreSQL. Safe for concurrent use.
type Store struct {
	Log *slog.Logger // slog.Default(); set it before the first use

	metrics  *metrics
	migrated atomic.Bool
	migrates sync.Mutex

	write   *pgxpool.Pool // of one connection
	read    *pgxpool.Pool
	replica *replica // nil: none
	seenMu  sync.Mutex
	seen    *persistence.Position // the furthest that was shown or written; nil = nobody knows yet

	mu       sync.Mutex // of the writer
	known    map[engine.AggregateID]engine.Version
	parked   map[engine.AggregateID]struct{}
	revision int64 // cursors.revision at which known and parked are true
	closed   bool
}

// Open makes a store of a URL or DSN (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING). It does not
// connect: the server may be away. The schema is brought up to date when the cursor is read for the first time; the role
// needs CREATE on the database then.
func Open(ctx context.Context, dsn string) (*Store, error) {
	s := &Store{metrics: newMetrics(), known: map[engine.AggregateID]engine.Version{}, parked: map[engine.AggregateID]struct{}{}, revision: -1}
	var err error
	if s.write, err = pool(ctx, dsn, 1, s.metrics.trace("write")); err == nil {
		s.read, err = pool(ctx, dsn, 0, s.metrics.trace("read"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %w", err), s.Close())
	}
	return s, nil
}

// pool makes a pool of most connections; 0 = what the DSN says (pool_max_conns).
func pool(ctx context.Context, dsn string, most int32, tracer pgx.QueryTracer) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	if most > 0 {
		cfg.MaxConns, cfg.MinConns = most, 0
	}
	cfg.ConnConfig.Tracer = tracer
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "maitred"
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// migrate brings the schema up to date, once.
func (s *Store) migrate(ctx context.Context) error {
	if s.migrated.Load() {
		return nil
	}
	s.migrates.Lock()
	defer s.migrates.Unlock()
	if s.migrated.Load() {
		return nil
	}
	if err := migrate(ctx, s.write.Config().ConnConfig); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	s.migrated.Store(true)
	return nil
}

func migrate(ctx context.Context, cfg *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	dir, err := fs.Sub(migrations.Postgres, "postgres")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker() // several nodes may start at once
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithDisableGlobalRegistry(true), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Close ends the store's use. Idempotent.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	pools := []*pgxpool.Pool{s.write, s.read}
	if s.replica != nil {
		pools = append(pools, s.replica.pool)
	}
	for _, p := range pools {
		if p != nil {
			p.Close()
		}
	}
	return nil
}

// Cursor implements persistence.Sink.
func (s *Store) Cursor(ctx context.Context) (p persistence.Position, err error) {
	if err := s.migrate(ctx); err != nil {
		return persistence.Position{}, fmt.Errorf("postgres: %w", err)
	}
	err = s.read.QueryRow(ctx, "SELECT journal, seq FROM cursors WHERE sink = 'store'").Scan(&p.Journal, &p.Seq)
	if err != nil {
		if isEmptied(err) { // the next try makes the tables
			s.migrated.Store(false)
		}
		return persistence.Position{}, fmt.Errorf("postgres: read the cursor: %w", err)
	}
	s.saw(p)
	return p, nil
}

const undefinedTable = "42P01" // https://www.postgresql.org/docs/current/errcodes-appendix.html

// isEmptied says that there are no tables: somebody has put an empty database into the place of ours.
func isEmptied(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == undefinedTable
}
