package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	driver "modernc.org/sqlite"

	"maitred/persistence"
)

// Snapshot writes the store in the file path, as it is at one moment, into the new file to, and says how far it had followed the journal
// by then. Whoever writes the store meanwhile is not disturbed. When it returns, the file is durable.
func Snapshot(ctx context.Context, path, to string) (at persistence.Position, err error) {
	fail := func(err error) (persistence.Position, error) { return at, fmt.Errorf("sqlite: copy %s: %w", path, err) }
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		return fail(errors.Join(err, fmt.Errorf("%s is there already", to)))
	}
	db, err := sql.Open("sqlite", dsn(path, cacheKiB/8, "deferred", "query_only(1)")+"&mode=rw")
	if err != nil {
		return fail(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error { return snapshot(c, to) }); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	return CursorOf(ctx, to)
}

// snapshot copies all pages in one step: SQLite holds them still meanwhile.
func snapshot(conn any, to string) error {
	source, ok := conn.(interface {
		NewBackup(uri string) (*driver.Backup, error)
	})
	if !ok {
		return errors.New("the driver makes no copies")
	}
	b, err := source.NewBackup((&url.URL{Scheme: "file", Opaque: (&url.URL{Path: to}).EscapedPath()}).String())
	if err != nil {
		return err
	}
	more, err := b.Step(-1)
	if err == nil && more {
		err = errors.New("there are pages left")
	}
	return errors.Join(err, b.Finish())
}

// CursorOf reads the cursor of a store that nobody writes, and changes nothing.
func CursorOf(ctx context.Context, path string) (persistence.Position, error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "immutable=1"}).String())
	if err != nil {
		return persistence.Position{}, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	defer db.Close()
	at, _, err := readCursor(ctx, db)
	return at, err
}

// Rename lets the store in the file path stand at the position to of another journal, which has to hold the same events up to there as the
// one that it followed to from.
func Rename(ctx context.Context, path string, from, to persistence.Position) error {
	db, err := sql.Open("sqlite", dsn(path, cacheKiB/8, "immediate"))
	if err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	defer db.Close()
	done, err := db.ExecContext(ctx, "UPDATE cursor SET journal = ?, seq = ? WHERE journal = ? AND seq = ?", to.Journal, uint64(to.Seq), from.Journal, uint64(from.Seq))
	if err != nil {
		return fmt.Errorf("sqlite: %s: move the cursor to another journal: %w", path, err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("sqlite: %s: the cursor is not %v", path, from))
	}
	return nil
}
