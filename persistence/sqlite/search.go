package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"maitred/persistence"
)

// Bounds of one search.
const (
	maxTermRows = 400   // terms that are compared with a misspelt word
	smallBox    = 2_000 // restaurants in a box that are sorted by name
)

const selectSearch = `SELECT s.n, s.name, i.id, r.name, r.address, r.city, r.country, r.cuisine_type, r.time_zone, r.latitude, r.longitude,
 r.rating_sum, r.rating_count, r.opening_hours FROM `

const (
	selectNarrow  = "SELECT s.n, r.latitude, r.longitude FROM "
	selectWeighed = "SELECT s.n, r.latitude, r.longitude, s.name, s.cuisine, s.city FROM "
)

// late is the rows whose numbers, as at, a query of narrow rows gives: what is sorted and thrown away has been looked up nowhere.
func late(numbers, order string) string {
	return selectSearch + "(" + numbers + ") CROSS JOIN search s ON s.n = at" + joinSearch + " ORDER BY " + order
}

const (
	joinSearch = ` JOIN restaurants r ON r.n = s.n JOIN names i ON i.n = s.n`
	// matching is the rows of a question.
	matching = "(SELECT rowid AS at FROM search_words WHERE search_words MATCH ?) CROSS JOIN search s ON s.n = at"
	inside   = "(SELECT n AS at FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ? AND max_lon >= ?) CROSS JOIN search s ON s.n = at"
)

// Search implements persistence.Store.
func (s *Store) Search(ctx context.Context, f persistence.SearchFilter) (page persistence.SearchPage, err error) {
	err = s.view(ctx, func(db querier) (err error) {
		if page, err = persistence.SearchIn(ctx, &index{db: db, f: &f}, &f); err == nil {
			page.AsOf, err = asOf(ctx, db)
		}
		return err
	})
	if err != nil {
		return persistence.SearchPage{}, fmt.Errorf("sqlite: search: %w", err)
	}
	return page, nil
}

// index is a persistence.SearchIndex.
type index struct {
	db querier
	f  *persistence.SearchFilter
}

// where adds conditions on city, cuisine and box.
func (x *index) where(args ...any) (string, []any) {
	var b strings.Builder
	if city := persistence.Fold(x.f.City); city != "" {
		b.WriteString(" AND s.city = ?")
		args = append(args, city)
	}
	if cuisine := persistence.Fold(x.f.Cuisine); cuisine != "" {
		b.WriteString(" AND s.cuisine = ?")
		args = append(args, cuisine)
	}
	if box := x.f.Box; box != nil {
		b.WriteString(" AND r.latitude BETWEEN ? AND ? AND r.longitude BETWEEN ? AND ?")
		args = append(args, box.MinLat, box.MaxLat, box.MinLon, box.MaxLon)
	}
	return b.String(), args
}

// read runs a query of selectSearch.
func (x *index) read(ctx context.Context, query string, args ...any) (out []persistence.Found, err error) {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r persistence.Found
		err := rows.Scan(&r.N, &r.Key, &r.ID, &r.Name, &r.Address, &r.City, &r.Country, &r.Cuisine, &r.Zone, &r.Latitude, &r.Longitude,
			&r.Ratings.Sum, &r.Ratings.Count, &r.Hours)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// narrow runs a query of selectNarrow or selectWeighed.
func (x *index) narrow(ctx context.Context, add func(persistence.Narrow), query string, args ...any) error {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	var r persistence.Narrow
	into := []any{&r.N, &r.Latitude, &r.Longitude, &r.Name, &r.Cuisine, &r.City}
	for rows.Next() {
		if err := rows.Scan(into[:len(columns)]...); err != nil {
			return err
		}
		add(r)
	}
	return rows.Err()
}

// Rows implements persistence.SearchIndex.
func (x *index) Rows(ctx context.Context, numbers []int64) ([]persistence.Found, error) {
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	return x.read(ctx, selectSearch+"json_each(?) a CROSS JOIN search s ON s.n = a.value"+joinSearch+" ORDER BY a.key", string(list))
}

func edges(b *persistence.Box) []any { return []any{b.MaxLat, b.MinLat, b.MaxLon, b.MinLon} }

// Named walks the index by name; a small box is looked up in the map first.
func (x *index) Named(ctx context.Context, after persistence.SearchPlace, limit int) ([]persistence.Found, error) {
	from, args := "search s WHERE 1", []any{}
	if box := x.f.Box; box != nil {
		var within int
		err := x.db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ?
 AND max_lon >= ? LIMIT ?)`, append(edges(box), smallBox+1)...).Scan(&within)
		if err != nil {
			return nil, err
		}
		if from = "search s JOIN restaurants r ON r.n = s.n WHERE 1"; within <= smallBox {
			from, args = inside+" JOIN restaurants r ON r.n = s.n WHERE 1", edges(box)
		}
	}
	where, args := x.where(args...)
	query := late("SELECT s.n AS at FROM "+from+where+" AND (s.name, s.n) > (?, ?) ORDER BY s.name, s.n LIMIT ?", "s.name, s.n")
	return x.read(ctx, query, append(args, after.Name, after.N, limit)...)
}

// Inside asks the map.
func (x *index) Inside(ctx context.Context, box persistence.Box, asked persistence.Wording, add func(persistence.Narrow)) error {
	where, args := x.where(edges(&box)...)
	for _, terms := range asked {
		where += " AND (instr(s.words, ?) > 0" + strings.Repeat(" OR instr(s.words, ?) > 0", len(terms)-1) + ")"
		for _, t := range terms {
			end := " "
			if t.Begin {
				end = ""
			}
			args = append(args, " "+t.Word+end)
		}
	}
	return x.narrow(ctx, add, selectNarrow+inside+" JOIN restaurants r ON r.n = s.n WHERE 1"+where, args...)
}

// match is the text as FTS5 wants it, with city and cuisine, so that fewer rows are weighed.
func (x *index) match(asked persistence.Wording) string {
	words := make([]string, len(asked))
	for i, terms := range asked {
		either := make([]string, len(terms))
		for k, t := range terms {
			if either[k] = `"` + t.Word + `"`; t.Begin {
				either[k] += "*"
			}
		}
		words[i] = "(" + strings.Join(either, " OR ") + ")"
	}
	match := "(" + strings.Join(words, " AND ") + ")"
	for column, value := range map[string]string{"city": x.f.City, "cuisine": x.f.Cuisine} {
		if len(persistence.Words(value)) > 0 { // where compares the blanks too
			match += " AND " + column + ` : "` + whole(value) + `"`
		}
	}
	return match
}

// Matching implements persistence.SearchIndex.
func (x *index) Matching(ctx context.Context, asked persistence.Wording, add func(persistence.Narrow)) error {
	where, args := x.where(x.match(asked))
	return x.narrow(ctx, add, selectWeighed+matching+" JOIN restaurants r ON r.n = s.n WHERE 1"+where, args...)
}

// Count implements persistence.SearchIndex.
func (x *index) Count(ctx context.Context, asked persistence.Wording) (n int, err error) {
	err = x.db.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM search_words WHERE search_words MATCH ? LIMIT ?)",
		x.match(asked), persistence.MaxRanked+1).Scan(&n)
	return n, err
}

// Registered implements persistence.SearchIndex.
func (x *index) Registered(ctx context.Context, asked persistence.Wording, after int64, limit int) ([]persistence.Found, error) {
	where, args := x.where(x.match(asked))
	query := selectSearch + "search_words w CROSS JOIN search s ON s.n = w.rowid" + joinSearch + " WHERE search_words MATCH ?" + where +
		" AND w.rowid > ? ORDER BY w.rowid LIMIT ?"
	return x.read(ctx, query, append(args, after, limit)...)
}

// Alike is the terms that have trigrams in common with a word. An edit touches at most four of a word's trigrams, so whoever is
// within the edits of persistence.Typos has one.
func (x *index) Alike(ctx context.Context, word string) ([]string, error) {
	letters := []rune(termBegin + word + termEnd)
	var grams []string
	for i := range len(letters) - 2 {
		grams = append(grams, `"`+string(letters[i:i+3])+`"`)
	}
	rows, err := x.db.QueryContext(ctx, `SELECT t.term FROM term_trigrams g JOIN terms t ON t.n = g.rowid WHERE term_trigrams MATCH ?
 ORDER BY g.rank LIMIT ?`, strings.Join(grams, " OR "), maxTermRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var term string
		if err := rows.Scan(&term); err != nil {
			return nil, err
		}
		out = append(out, term)
	}
	return out, rows.Err()
}
