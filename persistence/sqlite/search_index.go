package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"maitred/engine/enginepb"
	"maitred/persistence"
)

// ends mark where a term begins and ends, so that its first and last letters are in as many trigrams as the others.
const (
	termBegin = "\x02\x02"
	termEnd   = "\x03\x03"
)

// indexRestaurant puts a restaurant into the search in the place of what it was.
func (t *tx) indexRestaurant(n int64, pb *enginepb.Restaurant) error {
	name, city, cuisine := persistence.Fold(pb.GetName()), persistence.Fold(pb.GetCity()), persistence.Fold(pb.GetCuisineType())
	text := persistence.Fold(pb.GetAddress() + " " + pb.GetDescription())
	words := " " + strings.Join([]string{name, cuisine, city, text}, " ") + " "
	before, err := t.wordsOf(n)
	if err != nil {
		return err
	}
	if err := t.exec(t.stmts.searchRow, n, name, city, cuisine, words); err != nil {
		return fmt.Errorf("search row: %w", err)
	}
	if err := t.exec(t.stmts.dropWords, n); err != nil {
		return fmt.Errorf("drop words: %w", err)
	}
	if err := t.exec(t.stmts.addWords, n, name, cuisine+" "+whole(cuisine), city+" "+whole(city), text); err != nil {
		return fmt.Errorf("add words: %w", err)
	}
	lat, lon := pb.GetLatitude(), pb.GetLongitude()
	if err := t.exec(t.stmts.place, n, lat, lat, lon, lon); err != nil {
		return fmt.Errorf("place: %w", err)
	}
	if err := t.addTerms(words); err != nil {
		return err
	}
	return t.dropTerms(before, words)
}

// wordsOf is the words of a restaurant as they are indexed; empty when it is new.
func (t *tx) wordsOf(n int64) (words string, err error) {
	if err := t.step(); err != nil {
		return "", err
	}
	err = t.stmts.wordsOf.QueryRowContext(t.ctx, n).Scan(&words)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the words: %w", err)
	}
	return words, nil
}

// wholeMark begins the word that stands for a whole city or cuisine: a letter of nobody's, so no text that is asked for has it.
const wholeMark = "\ue000"

// whole is a city or cuisine as one word: one short list in the index, where "new" and "york" are two long ones.
func whole(value string) string {
	return wholeMark + strings.Join(persistence.Words(value), "")
}

// termsOf is the different words of a folded text that may be misspelt; the others are found only as they are written.
func termsOf(text string) []string {
	words := slices.DeleteFunc(strings.Fields(text), func(w string) bool { return persistence.Typos(w) == 0 })
	slices.Sort(words)
	return slices.Compact(words)
}

// dropTerms drops the words of before that are not in after and that no other restaurant has.
func (t *tx) dropTerms(before, after string) error {
	kept := termsOf(after)
	for _, w := range termsOf(before) {
		if _, found := slices.BinarySearch(kept, w); found {
			continue
		}
		if err := t.step(); err != nil {
			return err
		}
		var n int64
		err := t.stmts.dropTerm.QueryRowContext(t.ctx, w, `"`+w+`"`).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			continue // somebody else has it
		}
		if err != nil {
			return fmt.Errorf("drop a term: %w", err)
		}
		if err := t.exec(t.stmts.dropTrigrams, n, termBegin+w+termEnd); err != nil {
			return fmt.Errorf("drop the trigrams of a term: %w", err)
		}
	}
	return nil
}

// addTerms adds the words that were never seen.
func (t *tx) addTerms(text string) error {
	for _, w := range termsOf(text) {
		if err := t.step(); err != nil {
			return err
		}
		res, err := t.stmts.addTerm.ExecContext(t.ctx, w)
		if err != nil {
			return fmt.Errorf("add a term: %w", err)
		}
		if added, err := res.RowsAffected(); err != nil || added == 0 {
			continue
		}
		n, err := res.LastInsertId()
		if err != nil {
			return fmt.Errorf("add a term: %w", err)
		}
		if err := t.exec(t.stmts.addTrigrams, n, termBegin+w+termEnd); err != nil {
			return fmt.Errorf("add the trigrams of a term: %w", err)
		}
	}
	return nil
}

// fillSearch indexes the restaurants of a store that is older than its search.
func (s *Store) fillSearch(ctx context.Context) error {
	var missing bool
	if err := s.conn.QueryRowContext(ctx, "SELECT exists (SELECT 1 FROM restaurants WHERE n NOT IN (SELECT n FROM search))").Scan(&missing); err != nil || !missing {
		return err
	}
	return s.transact(ctx, func(t *tx) error {
		var n int64
		var r enginepb.Restaurant
		type row struct {
			n int64
			r enginepb.Restaurant
		}
		var rows []row //nolint:govet // the messages are fresh
		err := each(ctx, s.conn, `SELECT n, name, address, city, cuisine_type, description, latitude, longitude FROM restaurants
 WHERE n NOT IN (SELECT n FROM search)`, []any{&n, &r.Name, &r.Address, &r.City, &r.CuisineType, &r.Description, &r.Latitude, &r.Longitude}, func() error {
			rows = append(rows, row{n: n, r: enginepb.Restaurant{Name: r.Name, Address: r.Address, City: r.City, CuisineType: r.CuisineType,
				Description: r.Description, Latitude: r.Latitude, Longitude: r.Longitude}})
			return nil
		})
		for i := range rows {
			if err == nil {
				err = t.indexRestaurant(rows[i].n, &rows[i].r)
			}
		}
		return err
	})
}
