package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// rowsPerStatement are the sizes of the multi-row statements that are kept prepared, largest first.
var rowsPerStatement = [...]int{25, 5, 1}

const (
	reservationColumns = "restaurant, own, guest, tables, service_day, local_min, starts_at, ends_at, guests_count, special_requests, status, version, buffer_min, hold_until_ms"
	reservationWidth   = 14
	headWidth          = 3
)

// multi is one insert, prepared for several numbers of rows.
type multi struct {
	width int
	stmts [len(rowsPerStatement)]*sql.Stmt
}

// statements are the writer's prepared statements.
type statements struct {
	all                                     []*sql.Stmt
	begin, commit, rollback, dataVersion    *sql.Stmt
	cursor, putCursor                       *sql.Stmt
	findName, addName                       *sql.Stmt
	reservations, heads                     multi
	status, reschedule, offer, touch        *sql.Stmt
	restaurant, changeRestaurant, rules     *sql.Stmt
	table, dropTable, account, eraseAccount *sql.Stmt
	member, dropMember                      *sql.Stmt
	review, rate, ratings                   *sql.Stmt
	searchRow, place, addWords, dropWords   *sql.Stmt
	wordsOf                                 *sql.Stmt
	addTerm, addTrigrams                    *sql.Stmt
	dropTerm, dropTrigrams                  *sql.Stmt
	erasureCompleted, forgetGuest           *sql.Stmt
	forgetComments, forgetComment           *sql.Stmt
	event, lastEvent                        *sql.Stmt
}

const (
	upsertRestaurant = `INSERT INTO restaurants (n, version, owner, name, address, city, country, cuisine_type, description, phone,
 email, time_zone, latitude, longitude, grid_min, opening_hours) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	updateRestaurant = `UPDATE restaurants SET version = version + 1, owner = ?, name = ?, address = ?, city = ?, country = ?,
 cuisine_type = ?, description = ?, phone = ?, email = ?, time_zone = ?, latitude = ?, longitude = ?, grid_min = ?,
 opening_hours = ? WHERE n = ?`
	upsertTable = `INSERT INTO tables (restaurant, id, version, number, capacity, min_capacity, location, in_service, channel, blocks)
 VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET version = excluded.version, number = excluded.number,
 capacity = excluded.capacity, min_capacity = excluded.min_capacity, location = excluded.location,
 in_service = excluded.in_service, channel = excluded.channel, blocks = excluded.blocks`
	updateReservation = `UPDATE reservations SET tables = ?, service_day = ?, local_min = ?, starts_at = ?, ends_at = ?,
 guests_count = ?, special_requests = ?, buffer_min = ?, version = version + 1 WHERE restaurant = ? AND own = ?`
	offerTables = `UPDATE reservations SET tables = ?, local_min = ?, starts_at = ?, ends_at = ?, buffer_min = ?, status = ?,
 hold_until_ms = ?, version = version + 1 WHERE restaurant = ? AND own = ?`
	upsertMember = `INSERT INTO staff (restaurant, account, role, since_ms, version) VALUES (?,?,?,?,?)
 ON CONFLICT DO UPDATE SET role = excluded.role, since_ms = excluded.since_ms, version = excluded.version`
	updateForgotten = `UPDATE reservations SET guest = NULL, special_requests = NULL, version = version + 1
 WHERE guest = ? AND restaurant = ?`
	deleteTerm = `DELETE FROM terms WHERE term = ? AND NOT EXISTS (SELECT 1 FROM search_words WHERE search_words MATCH ?)
 RETURNING n`
	upsertAccount = `INSERT INTO accounts (n, role, created_ms, erased) VALUES (?,?,?,?)
 ON CONFLICT DO UPDATE SET role = excluded.role, created_ms = excluded.created_ms, erased = excluded.erased`
)

func prepare(ctx context.Context, conn *sql.Conn) (*statements, error) {
	st := &statements{}
	var errs []error
	one := func(query string) *sql.Stmt {
		s, err := conn.PrepareContext(ctx, query)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		st.all = append(st.all, s)
		return s
	}
	// OR FAIL and REPLACE need no journal of the statement (a tenth of the time): on an error all is rolled back anyway.
	many := func(head string, width int) (m multi) {
		m.width = width
		for i, rows := range rowsPerStatement {
			m.stmts[i] = one(head + values(width, rows))
		}
		return m
	}
	st.begin, st.commit, st.rollback = one("BEGIN IMMEDIATE"), one("COMMIT"), one("ROLLBACK")
	st.dataVersion = one("PRAGMA data_version")
	st.cursor = one("SELECT journal, seq, as_of_ms FROM cursor")
	st.putCursor = one(`INSERT INTO cursor (one, journal, seq, as_of_ms) VALUES (1,?,?,?)
 ON CONFLICT DO UPDATE SET journal = excluded.journal, seq = excluded.seq, as_of_ms = max(as_of_ms, excluded.as_of_ms)`)
	st.findName = one("SELECT n, coalesce(version, 0), coalesce(head, 0) FROM names LEFT JOIN heads USING (n) WHERE id = ?")
	st.addName = one("INSERT INTO names (id) VALUES (?)")
	st.reservations = many("INSERT OR FAIL INTO reservations ("+reservationColumns+") VALUES ", reservationWidth)
	st.heads = many("REPLACE INTO heads (n, version, head) VALUES ", headWidth)
	st.status = one("UPDATE reservations SET status = ?, version = version + 1 WHERE restaurant = ? AND own = ?")
	st.reschedule, st.offer = one(updateReservation), one(offerTables)
	st.restaurant, st.changeRestaurant = one(upsertRestaurant), one(updateRestaurant)
	st.rules = one("UPDATE restaurants SET rules = ? WHERE n = ?")
	st.table, st.dropTable = one(upsertTable), one("DELETE FROM tables WHERE restaurant = ? AND id = ?")
	st.account, st.eraseAccount = one(upsertAccount), one("UPDATE accounts SET role = 0, created_ms = 0, erased = 1 WHERE n = ?")
	st.member, st.dropMember = one(upsertMember), one("DELETE FROM staff WHERE restaurant = ? AND account = ?")
	st.review = one("INSERT INTO reviews (restaurant, own, id, rating, comment, at_ms, version) VALUES (?,?,?,?,?,?,?)")
	st.touch = one("UPDATE reservations SET version = version + 1 WHERE restaurant = ? AND own = ?")
	st.rate = one("UPDATE restaurants SET rating_sum = rating_sum + ?, rating_count = rating_count + 1 WHERE n = ?")
	st.ratings = one("UPDATE restaurants SET rating_sum = ?, rating_count = ? WHERE n = ?")
	st.searchRow = one("REPLACE INTO search (n, name, city, cuisine, words) VALUES (?,?,?,?,?)")
	st.place = one("REPLACE INTO places (n, min_lat, max_lat, min_lon, max_lon) VALUES (?,?,?,?,?)")
	st.addWords = one("INSERT INTO search_words (rowid, name, cuisine, city, text) VALUES (?,?,?,?,?)")
	st.dropWords = one("DELETE FROM search_words WHERE rowid = ?")
	st.addTerm = one("INSERT OR IGNORE INTO terms (term) VALUES (?)")
	st.wordsOf = one("SELECT words FROM search WHERE n = ?")
	st.dropTerm = one(deleteTerm)
	st.dropTrigrams = one("INSERT INTO term_trigrams (term_trigrams, rowid, term) VALUES ('delete',?,?)")
	st.addTrigrams = one("INSERT INTO term_trigrams (rowid, term) VALUES (?,?)")
	st.erasureCompleted = one("UPDATE accounts SET erased = 2 WHERE n = ?")
	st.forgetGuest = one(updateForgotten)
	st.forgetComment = one("UPDATE reviews SET comment = NULL WHERE restaurant = ? AND own = ?")
	st.forgetComments = one(`UPDATE reviews SET comment = NULL WHERE restaurant = ?1 AND own IN (
 SELECT own FROM reservations WHERE guest = ?2 AND restaurant = ?1)`)
	st.event = one("INSERT INTO events (seq, at_ms, body) VALUES (?,?,?)")
	st.lastEvent = one("SELECT coalesce(max(seq), 0) FROM events")
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, st.close())...)
	}
	return st, nil
}

func values(width, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")"
	return strings.TrimSuffix(strings.Repeat(row+",", rows), ",")
}

func (st *statements) close() error {
	var errs []error
	for _, s := range st.all {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// exec inserts the rows whose columns lie one after the other in args.
func (m *multi) exec(ctx context.Context, step func() error, args []any) error {
	for i, rows := range rowsPerStatement {
		for size := rows * m.width; len(args) >= size; args = args[size:] {
			if err := step(); err != nil {
				return err
			}
			if _, err := m.stmts[i].ExecContext(ctx, args[:size]...); err != nil {
				return err
			}
		}
	}
	return nil
}
