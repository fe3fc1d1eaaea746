package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"
)

// rowlockCmd is the peer that books the usual way, as well as that can be done: fasthttp, a pgx pool over the Unix socket,
// prepared statements; a transaction that locks the table's row, checks the overlap in a second statement and inserts,
// with a unique guard on the idempotency key and one on (table, start) as the last witness; fsync and synchronous_commit
// on. Candidate tables are cached, and a hint says which one to try first, so the first lock is nearly always the right
// one. Frozen: a change is its own commit with both figures.
type rowlockCmd struct {
	DSN         string `required:"" help:"Of a private server."`
	Restaurants int    `default:"2000"`
	Tables      int    `default:"20" help:"Tables of each restaurant."`
	Pool        int    `default:"32" help:"Connections."`
	Variant     string `default:"function" enum:"statements,pipelined,function" help:"How the three statements travel."`
}

const rowlockSchema = `
CREATE TABLE tables (id int PRIMARY KEY, restaurant_id text NOT NULL, capacity int NOT NULL);
CREATE TABLE reservations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_id int NOT NULL REFERENCES tables(id),
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  guest text NOT NULL,
  guests_count int NOT NULL,
  special_requests text NOT NULL,
  status text NOT NULL DEFAULT 'confirmed',
  idempotency_key text NOT NULL UNIQUE);
CREATE UNIQUE INDEX one_start ON reservations (table_id, starts_at) WHERE status = 'confirmed';
CREATE FUNCTION book(t int, s timestamptz, e timestamptz, g text, n int, r text, k text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE made bigint;
BEGIN
  PERFORM 1 FROM tables WHERE id = t FOR UPDATE;
  PERFORM 1 FROM reservations WHERE table_id = t AND status = 'confirmed' AND starts_at < e AND ends_at > s AND starts_at > s - interval '6 hours';
  IF FOUND THEN RETURN 0; END IF;
  INSERT INTO reservations (table_id, starts_at, ends_at, guest, guests_count, special_requests, idempotency_key)
    VALUES (t, s, e, g, n, r, k) RETURNING id INTO made;
  RETURN made;
END $$;`

const (
	lockTable    = `SELECT id FROM tables WHERE id = $1 FOR UPDATE`
	checkOverlap = `SELECT count(*) FROM reservations WHERE table_id = $1 AND status = 'confirmed' AND starts_at < $3 AND ends_at > $2 AND starts_at > $2::timestamptz - interval '6 hours'`
	insertRow    = `INSERT INTO reservations (table_id, starts_at, ends_at, guest, guests_count, special_requests, idempotency_key) VALUES ($1,$2,$3,$4,$5,$6,$7) RETURNING id`
	callBook     = `SELECT book($1,$2,$3,$4,$5,$6,$7)`
	findByKey    = `SELECT id, table_id FROM reservations WHERE idempotency_key = $1`
)

var errTaken = errors.New("the table is taken")

type rowlock struct {
	pool  *pgxpool.Pool
	rooms map[string]*room
	book  func(ctx context.Context, b *rowReservation, table int) (int64, error)
}

// room caches what of a restaurant does not change, and where a free table was seen last.
type room struct {
	tables []int
	mu     sync.Mutex
	hint   map[int64]int // start, Unix seconds → index of the table to try first
}

type rowReservation struct {
	start, end time.Time
	guest      string
	guests     int
	requests   string
	key        string
}

// Run implements the command: it makes the schema, prints its address and serves until its standard input ends.
func (c *rowlockCmd) Run() error {
	ctx := context.Background()
	config, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return fmt.Errorf("rowlock: %w", err)
	}
	config.MaxConns, config.MinConns = int32(c.Pool), int32(c.Pool)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("rowlock: %w", err)
	}
	defer pool.Close()
	p := &rowlock{pool: pool, rooms: map[string]*room{}}
	switch c.Variant {
	case "statements":
		p.book = p.statements
	case "pipelined":
		p.book = p.pipelined
	default:
		p.book = p.function
	}
	if err := p.prepare(ctx, c); err != nil {
		return err
	}
	return servePeer(p.handle)
}

func (p *rowlock) prepare(ctx context.Context, c *rowlockCmd) error {
	if _, err := p.pool.Exec(ctx, rowlockSchema, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("rowlock: make the schema: %w", err)
	}
	var rows [][]any
	for i := range c.Restaurants {
		r := &room{hint: map[int64]int{}}
		for range c.Tables {
			id := len(rows)
			r.tables = append(r.tables, id)
			rows = append(rows, []any{id, peerRestaurant(i), tableCapacity})
		}
		p.rooms[peerRestaurant(i)] = r
	}
	_, err := p.pool.CopyFrom(ctx, pgx.Identifier{"tables"}, []string{"id", "restaurant_id", "capacity"}, pgx.CopyFromRows(rows))
	if err == nil {
		_, err = p.pool.Exec(ctx, "VACUUM ANALYZE tables")
	}
	if err != nil {
		return fmt.Errorf("rowlock: load the tables: %w", err)
	}
	return nil
}

// peerRestaurant is the id of restaurant i, as long as one of maitred's.
func peerRestaurant(i int) string { return fmt.Sprintf("rst_%022d", i) }

func (p *rowlock) handle(ctx *fasthttp.RequestCtx) {
	var body struct {
		Restaurant string `json:"restaurant_id"`
		Date       string `json:"date"`
		Slot       string `json:"time_slot"`
		Guests     int    `json:"guests_count"`
		Requests   string `json:"special_requests"`
	}
	decoder := json.NewDecoder(bytes.NewReader(ctx.PostBody()))
	decoder.DisallowUnknownFields()
	start, err := time.Time{}, decoder.Decode(&body)
	if err == nil {
		start, err = time.Parse("2006-01-02 15:04", body.Date+" "+body.Slot)
	}
	r := p.rooms[body.Restaurant]
	if err != nil || r == nil || body.Guests < 1 || body.Guests > tableCapacity {
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	b := &rowReservation{start: start, end: start.Add(startStepMin * time.Minute), guest: "usr_0000000000000000000000", guests: body.Guests,
		requests: body.Requests, key: string(ctx.Request.Header.Peek("Idempotency-Key"))}
	id, table, err := p.seat(ctx, r, b)
	if errors.Is(err, errTaken) {
		ctx.SetStatusCode(fasthttp.StatusConflict)
		return
	}
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetStatusCode(fasthttp.StatusCreated)
	rsv := fmt.Sprintf("rsv_%030d", id)
	ctx.Response.Header.Set("Location", "/api/v1/reservations/"+rsv)
	ctx.Response.Header.Set("ETag", `"1"`)
	ctx.SetBodyString(fmt.Sprintf(`{"id":"%s","restaurant_id":"%s","table_id":"tbl_%030d","date":"%s","time_slot":"%s","starts_at":"%s","guests_count":%d,"special_requests":%q,"status":"confirmed","version":1}`,
		rsv, body.Restaurant, table, body.Date, body.Slot, start.Format(time.RFC3339), b.guests, b.requests))
}

// seat tries the tables of r from the hint on until one is free.
func (p *rowlock) seat(ctx context.Context, r *room, b *rowReservation) (id int64, table int, err error) {
	at := b.start.Unix()
	r.mu.Lock()
	first := r.hint[at]
	r.hint[at] = first + 1
	r.mu.Unlock()
	for i := range r.tables {
		table = r.tables[(first+i)%len(r.tables)]
		id, err = p.book(ctx, b, table)
		var fault *pgconn.PgError
		if errors.As(err, &fault) && fault.Code == "23505" {
			if fault.ConstraintName != "one_start" {
				err = p.pool.QueryRow(ctx, findByKey, b.key).Scan(&id, &table)
				return id, table, err
			}
			err = errTaken
		}
		if !errors.Is(err, errTaken) {
			return id, table, err
		}
	}
	return 0, 0, errTaken
}

// statements sends one statement after the other.
func (p *rowlock) statements(ctx context.Context, b *rowReservation, table int) (id int64, err error) {
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, lockTable, table).Scan(&n); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, checkOverlap, table, b.start, b.end).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return errTaken
		}
		return tx.QueryRow(ctx, insertRow, table, b.start, b.end, b.guest, b.guests, b.requests, b.key).Scan(&id)
	})
	return id, err
}

// pipelined needs two round trips: begin, lock and check; then insert and commit.
func (p *rowlock) pipelined(ctx context.Context, b *rowReservation, table int) (id int64, err error) {
	err = p.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		var n int
		batch := &pgx.Batch{}
		batch.Queue("BEGIN")
		batch.Queue(lockTable, table)
		batch.Queue(checkOverlap, table, b.start, b.end).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		err := conn.SendBatch(ctx, batch).Close()
		if err == nil && n > 0 {
			err = errTaken
		}
		if err != nil {
			_, undo := conn.Exec(ctx, "ROLLBACK")
			return errors.Join(err, undo)
		}
		batch = &pgx.Batch{}
		batch.Queue(insertRow, table, b.start, b.end, b.guest, b.guests, b.requests, b.key).QueryRow(func(row pgx.Row) error { return row.Scan(&id) })
		batch.Queue("COMMIT")
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			_, undo := conn.Exec(ctx, "ROLLBACK")
			return errors.Join(err, undo)
		}
		return nil
	})
	return id, err
}

// function needs one round trip: the three statements run in a function of the database.
func (p *rowlock) function(ctx context.Context, b *rowReservation, table int) (id int64, err error) {
	err = p.pool.QueryRow(ctx, callBook, table, b.start, b.end, b.guest, b.guests, b.requests, b.key).Scan(&id)
	if err == nil && id == 0 {
		err = errTaken
	}
	return id, err
}
