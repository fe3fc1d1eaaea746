package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"maitred/persistence"
)

// maxTerms bounds the terms that are compared with a misspelt word.
const maxTerms = 400

const (
	searchColumns = `SELECT r.n, r.name_folded, r.id, r.name, r.address, r.city, r.country, r.cuisine_type, r.time_zone, r.latitude, r.longitude,
 r.rating_sum, r.total_reviews, r.opening_hours`
	selectSearch  = searchColumns + " FROM restaurants r WHERE true"
	selectNarrow  = "SELECT r.n, r.latitude, r.longitude FROM restaurants r WHERE true"
	selectWeighed = "SELECT r.n, r.latitude, r.longitude, r.name_folded, r.cuisine_folded, r.city_folded FROM restaurants r WHERE true"
)

// Search implements persistence.Store.
func (s *Store) Search(ctx context.Context, f persistence.SearchFilter) (page persistence.SearchPage, err error) {
	err = s.list(ctx, func(ctx context.Context, db pgx.Tx, asOf time.Time) (err error) {
		page, err = persistence.SearchIn(ctx, &index{db: db, f: &f}, &f)
		page.AsOf = asOf
		return err
	})
	if err != nil {
		return persistence.SearchPage{}, fmt.Errorf("postgres: search: %w", err)
	}
	return page, nil
}

// index is a persistence.SearchIndex.
type index struct {
	db pgx.Tx
	f  *persistence.SearchFilter
}

// where is conditions on city, cuisine and box.
func (x *index) where(args *arguments) string {
	var b strings.Builder
	if city := persistence.Fold(x.f.City); city != "" {
		b.WriteString(" AND r.city_folded = " + args.add(city))
	}
	if cuisine := persistence.Fold(x.f.Cuisine); cuisine != "" {
		b.WriteString(" AND r.cuisine_folded = " + args.add(cuisine))
	}
	if x.f.Box != nil {
		b.WriteString(within(x.f.Box, args))
	}
	return b.String()
}

// within is the condition that a restaurant lies in a box: the operator has the index, and a tolerance that the comparisons take
// away.
func within(b *persistence.Box, args *arguments) string {
	minLat, maxLat, minLon, maxLon := args.add(b.MinLat), args.add(b.MaxLat), args.add(b.MinLon), args.add(b.MaxLon)
	return fmt.Sprintf(" AND r.location <@ box(point(%[3]s, %[1]s), point(%[4]s, %[2]s)) AND r.latitude BETWEEN %[1]s AND %[2]s AND r.longitude BETWEEN %[3]s AND %[4]s",
		minLat, maxLat, minLon, maxLon)
}

// matches is the condition that a restaurant has the words. They are letters and digits, so none is of the syntax.
func matches(asked persistence.Wording, args *arguments) string {
	return " AND r.words_ranked @@ " + args.add(tsquery(asked)) + "::text::tsquery"
}

func tsquery(asked persistence.Wording) string {
	words := make([]string, len(asked))
	for i, terms := range asked {
		either := make([]string, len(terms))
		for k, t := range terms {
			if either[k] = "'" + cut(t.Word) + "'"; t.Begin {
				either[k] += ":*"
			}
		}
		words[i] = "(" + strings.Join(either, " | ") + ")"
	}
	return strings.Join(words, " & ")
}

func (x *index) read(ctx context.Context, query string, args arguments) (out []persistence.Found, err error) {
	err = each(ctx, x.db, query, args, func(row pgx.Rows) error {
		var r persistence.Found
		err := row.Scan(&r.N, &r.Key, &r.ID, &r.Name, &r.Address, &r.City, &r.Country, &r.Cuisine, &r.Zone, &r.Latitude, &r.Longitude,
			&r.Ratings.Sum, &r.Ratings.Count, &r.Hours)
		out = append(out, r)
		return err
	})
	return out, err
}

// narrow runs a query of selectNarrow or selectWeighed.
func (x *index) narrow(ctx context.Context, add func(persistence.Narrow), query string, args arguments) error {
	var r persistence.Narrow
	into := []any{&r.N, &r.Latitude, &r.Longitude, &r.Name, &r.Cuisine, &r.City}
	return each(ctx, x.db, query, args, func(row pgx.Rows) error {
		err := row.Scan(into[:len(row.FieldDescriptions())]...)
		add(r)
		return err
	})
}

// Rows implements persistence.SearchIndex.
func (x *index) Rows(ctx context.Context, numbers []int64) ([]persistence.Found, error) {
	return x.read(ctx, searchColumns+" FROM unnest($1::bigint[]) WITH ORDINALITY AS a(n, at) JOIN restaurants r ON r.n = a.n ORDER BY a.at", arguments{numbers})
}

// Named implements persistence.SearchIndex.
func (x *index) Named(ctx context.Context, after persistence.SearchPlace, limit int) ([]persistence.Found, error) {
	var args arguments
	query := selectSearch + x.where(&args) + " AND (r.name_folded, r.n) > (" + args.add(after.Name) + ", " + args.add(after.N) + ")"
	return x.read(ctx, query+" ORDER BY r.name_folded, r.n LIMIT "+args.add(limit), args)
}

// Inside implements persistence.SearchIndex.
func (x *index) Inside(ctx context.Context, box persistence.Box, asked persistence.Wording, add func(persistence.Narrow)) error {
	var args arguments
	query := selectNarrow + x.where(&args) + within(&box, &args)
	if asked != nil {
		query += matches(asked, &args)
	}
	return x.narrow(ctx, add, query, args)
}

// Matching implements persistence.SearchIndex.
func (x *index) Matching(ctx context.Context, asked persistence.Wording, add func(persistence.Narrow)) error {
	var args arguments
	return x.narrow(ctx, add, selectWeighed+x.where(&args)+matches(asked, &args), args)
}

// Count implements persistence.SearchIndex.
func (x *index) Count(ctx context.Context, asked persistence.Wording) (n int, err error) {
	var args arguments
	query := "SELECT count(*) FROM (SELECT 1 FROM restaurants r WHERE true" + x.where(&args) + matches(asked, &args) + " LIMIT " + args.add(persistence.MaxRanked+1) + ") m"
	err = x.db.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}

// Registered implements persistence.SearchIndex.
func (x *index) Registered(ctx context.Context, asked persistence.Wording, after int64, limit int) ([]persistence.Found, error) {
	var args arguments
	query := selectSearch + x.where(&args) + matches(asked, &args) + " AND r.n > " + args.add(after) + " ORDER BY r.n LIMIT " + args.add(limit)
	return x.read(ctx, query, args)
}

// Alike is the terms that have trigrams in common with a word. The threshold is below the similarity of any two words within the
// edits of persistence.Typos: two swaps in a word of eight letters leave 1 of 17 trigrams.
func (x *index) Alike(ctx context.Context, word string) (out []string, err error) {
	if _, err := x.db.Exec(ctx, "SET LOCAL pg_trgm.similarity_threshold = 0.05"); err != nil {
		return nil, err
	}
	err = each(ctx, x.db, "SELECT term FROM terms WHERE term % $1 ORDER BY similarity(term, $1) DESC, term LIMIT $2", []any{word, maxTerms}, func(row pgx.Rows) error {
		var term string
		err := row.Scan(&term)
		out = append(out, term)
		return err
	})
	return out, err
}
