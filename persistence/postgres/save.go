package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"maitred/engine"
	"maitred/persistence"
)

const (
	upsertUser = `INSERT INTO users (id, role, created_at, erased) VALUES ($1,$2,$3,$4)
 ON CONFLICT (id) DO UPDATE SET role = excluded.role, created_at = excluded.created_at, erased = excluded.erased`
	mentionUsers = `INSERT INTO users (id) SELECT id FROM unnest($1::text[]) AS u(id) WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = u.id)
 ON CONFLICT DO NOTHING`
	insertRestaurant = `INSERT INTO restaurants (id, version, owner_id, name, address, city, country, cuisine_type, description, phone, email,
 time_zone, latitude, longitude, grid_minutes, opening_hours, name_folded, city_folded, cuisine_folded, words, words_ranked, rating_sum, total_reviews)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21::text::tsvector,$22,$23)`
	updateRestaurant = `UPDATE restaurants SET version = version + $2, owner_id = $3, name = $4, address = $5, city = $6, country = $7,
 cuisine_type = $8, description = $9, phone = $10, email = $11, time_zone = $12, latitude = $13, longitude = $14, grid_minutes = $15,
 opening_hours = $16, name_folded = $17, city_folded = $18, cuisine_folded = $19, words = $20, words_ranked = $21::text::tsvector,
 rating_sum = rating_sum + $22, total_reviews = total_reviews + $23 WHERE id = $1`
	setRules       = "UPDATE restaurants SET rules = $2 WHERE id = $1"
	rateRestaurant = "UPDATE restaurants SET rating_sum = rating_sum + $2, total_reviews = total_reviews + $3 WHERE id = $1"
	insertTerms    = "INSERT INTO terms (term) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING"
	dropTerms      = `DELETE FROM terms t WHERE t.term = ANY($1)
 AND NOT EXISTS (SELECT 1 FROM restaurants r WHERE r.words_ranked @@ ('''' || t.term || '''')::tsquery)`
	upsertTable = `INSERT INTO tables (id, restaurant_id, version, number, capacity, min_capacity, location, in_service, removed, channel, blocks)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11) ON CONFLICT (id) DO UPDATE SET version = excluded.version, number = excluded.number,
 capacity = excluded.capacity, min_capacity = excluded.min_capacity, location = excluded.location, in_service = excluded.in_service,
 removed = excluded.removed, channel = excluded.channel, blocks = excluded.blocks`
	removeTable  = "UPDATE tables SET removed = true WHERE id = $1 AND restaurant_id = $2 AND NOT removed"
	upsertMember = `INSERT INTO staff (restaurant_id, user_id, role, since, version) VALUES ($1,$2,$3,$4,$5)
 ON CONFLICT (restaurant_id, user_id) DO UPDATE SET role = excluded.role, since = excluded.since, version = excluded.version`
	dropMember   = "DELETE FROM staff WHERE restaurant_id = $1 AND user_id = $2"
	forgetWords  = "UPDATE reviews SET comment = NULL, user_id = NULL WHERE reservation_id = ANY($1)"
	insertReview = `INSERT INTO reviews (id, restaurant_id, reservation_id, user_id, version, rating, comment, created_at)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8)`

	updateReservations = `UPDATE reservations r SET user_id = u.user_id, service_date = date '1970-01-01' + u.day, local_minutes = u.local,
 starts_at = u.starts, ends_at = u.ends, guests_count = u.guests, special_requests = u.requests, status = u.status, version = u.version, buffer_minutes = u.buffer,
 hold_until = u.hold_until
 FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::text[], $9::text[], $10::bigint[],
 $11::int[], $12::timestamptz[]) AS u(id, user_id, day, local, starts, ends, guests, requests, status, version, buffer, hold_until) WHERE r.id = u.id`
	settleTables = `UPDATE reservation_tables t SET occupies = u.occupies FROM unnest($1::text[], $2::boolean[]) AS u(id, occupies)
 WHERE t.reservation_id = u.id`
	dropPlaced = "DELETE FROM reservation_tables WHERE reservation_id = ANY($1)"
)

var (
	reservationColumns = []string{"id", "restaurant_id", "user_id", "service_date", "local_minutes", "starts_at", "ends_at", "guests_count", "special_requests", "status", "version", "buffer_minutes", "hold_until"}
	placedColumns      = []string{"reservation_id", "position", "table_id", "period", "occupies"}
)

// saving collects the statements of a transaction: they go to the server together.
type saving struct {
	batch pgx.Batch
	err   error
}

func (s *saving) exec(query string, args ...any) { s.batch.Queue(query, args...) }

// must is exec of a statement that has to change as many rows as rows says.
func (s *saving) must(what string, rows int, query string, args ...any) {
	s.batch.Queue(query, args...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(rows) {
			return fmt.Errorf("%s: %d rows, not %d: %w", what, tag.RowsAffected(), rows, errGone)
		}
		return nil
	})
}

// save writes what changed.
func (w *rows) save(ctx context.Context, db pgx.Tx) error {
	var s saving
	w.saveUsers(&s)
	w.saveRestaurants(&s)
	w.saveTables(&s)
	w.saveStaff(&s)
	made, placed := w.saveReservations(&s)
	w.saveReviews(&s)
	if s.err != nil {
		return s.err
	}
	if s.batch.Len() > 0 {
		if err := db.SendBatch(ctx, &s.batch).Close(); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	if err := copyRows(ctx, db, "reservations", reservationColumns, made, reservationValues); err != nil {
		return err
	}
	return copyRows(ctx, db, "reservation_tables", placedColumns, placed, placeValues)
}

func copyRows[T any](ctx context.Context, db pgx.Tx, name string, columns []string, from []T, values func(*T) ([]any, error)) error {
	if len(from) == 0 {
		return nil
	}
	_, err := db.CopyFrom(ctx, pgx.Identifier{name}, columns, pgx.CopyFromSlice(len(from), func(i int) ([]any, error) { return values(&from[i]) }))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (w *rows) saveUsers(s *saving) {
	for _, id := range sorted(w.users) {
		u := w.users[id]
		s.exec(upsertUser, id, u.role, u.created, int16(u.erased))
		delete(w.mentioned, id)
	}
	if len(w.mentioned) > 0 {
		s.exec(mentionUsers, sorted(w.mentioned))
	}
}

func (w *rows) saveRestaurants(s *saving) {
	terms := map[string]struct{}{}
	for _, id := range sorted(w.restaurants) {
		r := w.restaurants[id]
		if r.details == nil && !r.rated() {
			continue
		}
		if r.details == nil {
			s.must("rate the restaurant", 1, rateRestaurant, id, r.ratings.Sum, r.ratings.Count)
			continue
		}
		query := updateRestaurant
		if r.made {
			query = insertRestaurant
		}
		args, err := r.columns(id, terms)
		if err != nil {
			s.err = err
			return
		}
		s.must("write the restaurant", 1, query, args...)
	}
	w.saveRules(s)
	if len(terms) > 0 {
		s.exec(insertTerms, sorted(terms))
	}
	for term := range terms {
		delete(w.said, term)
	}
	if len(w.said) > 0 {
		s.exec(dropTerms, sorted(w.said))
	}
}

// saveRules comes after the restaurants, which may be new.
func (w *rows) saveRules(s *saving) {
	for _, id := range sorted(w.restaurants) {
		if pb := w.restaurants[id].rules; pb != nil {
			rules, err := pb.MarshalVT()
			if err != nil {
				s.err = err
				return
			}
			s.must("set the rules", 1, setRules, id, rules)
		}
	}
}

// columns are the arguments of insertRestaurant and updateRestaurant; its words go to terms.
func (r *restaurant) columns(id string, terms map[string]struct{}) ([]any, error) {
	pb := r.details
	hours, err := persistence.Hours(pb.GetOpeningHours())
	if err != nil {
		return nil, err
	}
	name, city, cuisine := persistence.Words(pb.GetName()), persistence.Words(pb.GetCity()), persistence.Words(pb.GetCuisineType())
	rest := persistence.Words(pb.GetAddress() + " " + pb.GetDescription())
	words := " "
	for _, part := range [][]string{name, cuisine, city, rest} {
		for _, w := range part {
			words += w + " "
			if persistence.Typos(w) > 0 { // others are found only as they are written
				terms[w] = struct{}{}
			}
		}
	}
	return []any{id, r.version, pb.GetOwner(), pb.GetName(), pb.GetAddress(), pb.GetCity(), pb.GetCountry(), pb.GetCuisineType(), pb.GetDescription(),
		pb.GetPhone(), pb.GetEmail(), pb.GetTimeZone(), pb.GetLatitude(), pb.GetLongitude(), pb.GetGridMin(), hours,
		strings.Join(name, " "), strings.Join(city, " "), strings.Join(cuisine, " "), words, ranked(name, cuisine, city, rest),
		r.ratings.Sum, r.ratings.Count}, nil
}

// ranked is a tsvector of words: name, cuisine, city and the rest weigh A to D. Words have letters and digits only.
func ranked(parts ...[]string) string {
	var b strings.Builder
	at := 0
	for i, words := range parts {
		for _, w := range words {
			at = min(at+1, maxTSPosition)
			fmt.Fprintf(&b, "'%s':%d%c ", cut(w), at, "ABCD"[i])
		}
	}
	return b.String()
}

// Bounds of a tsvector: https://www.postgresql.org/docs/current/textsearch-limitations.html
const (
	maxTSPosition = 16_383
	maxTSWord     = 2_046 // bytes
)

// cut is a word as a tsvector can hold it.
func cut(w string) string {
	for len(w) > maxTSWord {
		w = strings.TrimSuffix(w[:maxTSWord], string([]rune(w[:maxTSWord])[len([]rune(w[:maxTSWord]))-1]))
	}
	return w
}

func (w *rows) saveTables(s *saving) {
	for _, id := range sorted(w.tables) {
		t := w.tables[id]
		if pb := t.details; pb != nil {
			blocks, err := persistence.Blocks(pb.GetBlocks())
			if err != nil {
				s.err = err
				return
			}
			s.exec(upsertTable, id, t.restaurant, int64(pb.GetVersion()), pb.GetTableNumber(), pb.GetCapacity(), pb.GetMinCapacity(), pb.GetLocation(),
				pb.GetInService(), t.removed, engine.ChannelName(pb.GetChannel()), blocks)
			continue
		}
		s.must("remove the table", 1, removeTable, id, t.restaurant)
	}
}

func (w *rows) saveStaff(s *saving) {
	for k, m := range w.staff {
		if m == nil {
			s.exec(dropMember, k.restaurant, k.user)
			continue
		}
		s.exec(upsertMember, k.restaurant, k.user, roleText(m.GetRole()), time.UnixMilli(m.GetSinceMs()), int64(m.GetVersion()))
	}
}

func (w *rows) saveReviews(s *saving) {
	if len(w.forgotten) > 0 {
		s.exec(forgetWords, w.forgotten)
	}
	for _, id := range sorted(w.reviews) {
		v := w.reviews[id]
		s.exec(insertReview, v.GetId(), v.restaurant, id, v.user, int64(v.version), int16(v.GetRating()), v.comment, v.at)
	}
}

// place is a row of reservation_tables.
type place struct {
	*reservation
	position int
}

// saveReservations writes those that changed, and returns those that are new and the tables that are to be written.
func (w *rows) saveReservations(s *saving) (made []*reservation, placed []place) {
	var c columns
	var again, settled []string
	var occupied []bool
	for _, id := range sorted(w.reservations) {
		r := w.reservations[id]
		switch {
		case r.made:
			made = append(made, r)
		case !r.dirty:
			continue
		case r.placed:
			again = append(again, id)
		case r.settled:
			settled, occupied = append(settled, id), append(occupied, occupies(r.status))
		}
		if !r.made {
			c.add(r)
		}
		for i := range r.tables {
			if r.placed {
				placed = append(placed, place{r, i})
			}
		}
	}
	if len(c.id) > 0 {
		s.must("change reservations", len(c.id), updateReservations, c.id, c.user, c.day, c.local, c.starts, c.ends, c.guests, c.requests, c.status, c.version, c.buffer, c.holdUntil)
	}
	if len(again) > 0 {
		s.exec(dropPlaced, again)
	}
	if len(settled) > 0 {
		s.exec(settleTables, settled, occupied)
	}
	return made, placed
}

// columns are the arguments of updateReservations.
type columns struct {
	id, status         []string
	user, requests     []*string
	day, local, guests []int32
	buffer             []int32
	starts, ends       []time.Time
	version            []int64
	holdUntil          []*time.Time
}

func (c *columns) add(r *reservation) {
	c.id, c.status = append(c.id, r.id), append(c.status, statusText(r.status))
	c.user, c.requests = append(c.user, r.user), append(c.requests, r.requests)
	c.day, c.local, c.guests = append(c.day, r.day), append(c.local, r.local), append(c.guests, r.guests)
	c.starts, c.ends = append(c.starts, r.starts), append(c.ends, r.ends)
	c.version, c.buffer, c.holdUntil = append(c.version, r.version), append(c.buffer, r.buffer), append(c.holdUntil, r.holdUntil)
}

const daySeconds = 86_400

func reservationValues(p **reservation) ([]any, error) {
	r := *p
	return []any{r.id, r.restaurant, r.user, time.Unix(int64(r.day)*daySeconds, 0).UTC(), r.local, r.starts, r.ends, r.guests, r.requests,
		statusText(r.status), r.version, r.buffer, r.holdUntil}, nil
}

func placeValues(p *place) ([]any, error) {
	period := pgtype.Range[pgtype.Timestamptz]{
		Lower: pgtype.Timestamptz{Time: p.starts, Valid: true}, Upper: pgtype.Timestamptz{Time: p.ends.Add(time.Duration(p.buffer) * time.Minute), Valid: true},
		LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true,
	}
	return []any{p.id, int16(p.position), p.tables[p.position], period, occupies(p.status)}, nil
}
