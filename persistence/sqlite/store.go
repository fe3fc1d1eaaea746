package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"runtime"
	"strconv"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"maitred/engine"
	"maitred/migrations"
	"maitred/persistence"
)

// Bounds of the store.
const (
	maxNames     = 200_000 // aggregates whose numbers and heads the writer keeps in memory; about 150 bytes each
	busyMillis   = 5_000   // wait for another process that writes
	cacheKiB     = 32_768  // page cache of the writer; a reader has an eighth
	walPages     = 16_000  // 64 MiB of write-ahead log before it is copied back
	migrateConns = 2       // connections while the schema is brought up to date
)

// ErrGap says that an event is not the next one of its aggregate: something before it is missing.
var ErrGap = errors.New("sqlite: events of an aggregate are missing")

// Store implements persistence.Store. Safe for concurrent use: one writer, several readers.
type Store struct {
	// GiveWay is called before each statement of a transaction, of which each takes less than 1 ms: it may wait while others
	// need the processor more. Nil = nothing. Set before the first Write.
	GiveWay func()

	path   string
	write  *sql.DB
	read   *sql.DB
	mu     sync.Mutex // the writer's connection and everything below
	conn   *sql.Conn
	stmts  *statements
	known  map[engine.AggregateID]*head
	scrub  bool  // the write-ahead log may hold what was erased
	dataV  int64 // data_version at which known was true
	closed bool
}

var _ persistence.Store = (*Store)(nil)

// head is what the writer knows of one aggregate.
type head struct {
	n       int64
	version engine.Version
	seq     persistence.Seq // events.seq of its newest frame
	dirty   bool
}

// Open opens or makes the store in the file path and brings its schema up to date.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := migrate(ctx, path); err != nil {
		return nil, fmt.Errorf("sqlite: migrate %s: %w", path, err)
	}
	s := &Store{path: path, known: map[engine.AggregateID]*head{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.write, err = sql.Open("sqlite", dsn(s.path, cacheKiB, "immediate", "wal_autocheckpoint("+strconv.Itoa(walPages)+")")); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(s.path, cacheKiB/8, "deferred", "query_only(1)")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(max(2, runtime.GOMAXPROCS(0)))
	s.read.SetMaxIdleConns(max(2, runtime.GOMAXPROCS(0)))
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return err
	}
	if s.stmts, err = prepare(ctx, s.conn); err != nil {
		return err
	}
	return s.fillSearch(ctx)
}

func dsn(path string, cache int, lock string, pragmas ...string) string {
	q := url.Values{"_txlock": {lock}}
	all := append([]string{
		"busy_timeout(" + strconv.Itoa(busyMillis) + ")", "journal_mode(wal)", "synchronous(normal)",
		"cache_size(-" + strconv.Itoa(cache) + ")", "temp_store(memory)", "secure_delete(on)",
	}, pragmas...)
	for _, p := range all {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func migrate(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(path, cacheKiB/8, "immediate"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(migrateConns)
	dir, err := fs.Sub(migrations.SQLite, "sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
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
	var errs []error
	if s.stmts != nil {
		errs = append(errs, s.stmts.close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	return errors.Join(errs...)
}

// Cursor implements persistence.Sink.
func (s *Store) Cursor(ctx context.Context) (persistence.Position, error) {
	p, _, err := readCursor(ctx, s.read)
	return p, err
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func readCursor(ctx context.Context, q querier) (p persistence.Position, asOf int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT journal, seq, as_of_ms FROM cursor").Scan(&p.Journal, &p.Seq, &asOf)
	if errors.Is(err, sql.ErrNoRows) {
		return persistence.Position{}, 0, nil
	}
	if err != nil {
		return p, 0, fmt.Errorf("sqlite: read the cursor: %w", err)
	}
	return p, asOf, nil
}
