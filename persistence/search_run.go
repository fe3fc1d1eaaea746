package persistence

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of one search.
const (
	MaxRanked = 1_000 // restaurants that are ordered by relevance

	maxPlaceName = 160 // bytes

	searchBatch   = 256
	searchScanned = 512 // rows that a page looks at
	maxAlike      = 32  // words that stand for one misspelt word
)

// Found is a restaurant on its way to a page.
type Found struct {
	SearchRow
	N     int64  // its place in the order of registration
	Key   string // folded name
	Score int    // set by an order by relevance
	Hours string // JSON: [[days, open_min, close_min, last_seating_min], …]
}

// Narrow is what an order needs to know of a restaurant. A search may meet all of a city, so it is small.
type Narrow struct {
	N                   int64
	Latitude, Longitude float64
	Name, Cuisine, City string // folded; by SearchIndex.Matching alone
}

// SearchPlace is behind a row: what the order of the search.
type SearchPlace struct {
	Name  string  `json:"a,omitempty"`
	Km    float64 `json:"k,omitempty"`
	N     int64   `json:"n,omitempty"`
	Score int     `json:"s,omitempty"` // of relevance
	Typos bool    `json:"t,omitempty"` // the text is taken as misspelt
}

// String is at most 400 bytes: a name that is longer than maxPlaceName is cut.
func (p SearchPlace) String() string {
	if len(p.Name) > maxPlaceName {
		p.Name = strings.ToValidUTF8(p.Name[:maxPlaceName], "")
	}
	b, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseSearchPlace(s string) (p SearchPlace, err error) {
	if s == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Score < 0 || p.Km < 0 {
		return p, ErrBadPlace
	}
	return p, nil
}

// Wording is what is asked for: for each word, what it may stand for. Words have letters and digits only, nothing of anybody's
// syntax.
type Wording [][]Term

// Term is a word, or how it begins.
type Term struct {
	Word  string
	Begin bool // it may go on
}

// asWritten takes words as they are; the last one may be a beginning.
func asWritten(words []string) Wording {
	t := make(Wording, len(words))
	for i, w := range words {
		t[i] = []Term{{w, i == len(words)-1}}
	}
	return t
}

// SearchIndex is what a store looks up for one search. Each question is about the restaurants that have the filter's city and
// cuisine and lie in its box; Text and Near are asked as below, OpenAt is not looked at.
type SearchIndex interface {
	// Named is at most limit restaurants behind a name, by (Key, N).
	Named(ctx context.Context, after SearchPlace, limit int) ([]Found, error)
	// Inside gives add the restaurants in a box that match, or all of them when asked is nil; in no order.
	Inside(ctx context.Context, box Box, asked Wording, add func(Narrow)) error
	// Matching gives add the restaurants that match; in no order. It is asked when they are about MaxRanked at most.
	Matching(ctx context.Context, asked Wording, add func(Narrow)) error
	// Rows is the restaurants of some numbers, in the order of the numbers.
	Rows(ctx context.Context, numbers []int64) ([]Found, error)
	// Count is how many restaurants match, at most MaxRanked+1. Filters may be left out.
	Count(ctx context.Context, asked Wording) (int, error)
	// Registered is at most limit of the restaurants that match, by N, behind one.
	Registered(ctx context.Context, asked Wording, after int64, limit int) ([]Found, error)
	// Alike is words of restaurants that share letters with one, the nearest first; how many is the store's choice.
	Alike(ctx context.Context, word string) ([]string, error)
}

// SearchIn answers a filter from an index. Limit is at most MaxPage. AsOf is the caller's.
func SearchIn(ctx context.Context, index SearchIndex, f *SearchFilter) (SearchPage, error) {
	from, err := parseSearchPlace(f.After)
	if err != nil {
		return SearchPage{}, err
	}
	q := search{ctx: ctx, index: index, f: f, from: from, limit: min(max(f.Limit, 1), MaxPage)}
	if words := Words(f.Text); len(words) > 0 {
		err = q.byText(words[:min(len(words), MaxSearchWords)])
	} else {
		err = q.run(nil)
	}
	return SearchPage{Rows: q.rows, Next: q.next}, err
}

// search is one question.
type search struct {
	ctx   context.Context
	index SearchIndex
	f     *SearchFilter
	from  SearchPlace
	limit int
	rows  []SearchRow
	next  string
}

// byText takes the words as they are written, and as misspelt when nothing is found so.
func (q *search) byText(words []string) error {
	if !q.from.Typos {
		if err := q.run(asWritten(words)); err != nil || len(q.rows) > 0 || q.f.After != "" || q.next != "" {
			return err
		}
	}
	text, err := q.misspelt(words)
	if err != nil {
		return err
	}
	q.from.Typos = true
	return q.run(text)
}

// misspelt is the text with, for each word, the words that it may mean.
func (q *search) misspelt(words []string) (Wording, error) {
	t := asWritten(words)
	for i, word := range words {
		most := Typos(word)
		if most == 0 {
			continue
		}
		alike, err := q.index.Alike(q.ctx, word)
		if err != nil {
			return nil, err
		}
		for _, w := range alike {
			if w != word && len(t[i]) <= maxAlike && WithinEdits(word, w, most) {
				t[i] = append(t[i], Term{Word: w})
			}
		}
	}
	return t, nil
}

// run asks in the order that the filter has.
func (q *search) run(asked Wording) error {
	switch {
	case q.f.Near != nil:
		return q.byDistance(asked)
	case asked != nil:
		return q.byMatch(asked)
	}
	return q.byName()
}

// byName goes on behind the whole name when the place has the beginning of it only. If it was the name of a restaurant that has
// another one by now, some may come again.
func (q *search) byName() error {
	if len(q.from.Name) > maxPlaceName-utf8.UTFMax {
		rows, err := q.index.Rows(q.ctx, []int64{q.from.N})
		if err != nil {
			return err
		}
		if len(rows) == 1 && strings.HasPrefix(rows[0].Key, q.from.Name) {
			q.from.Name = rows[0].Key
		}
	}
	return q.scan(func(p SearchPlace, limit int) ([]Found, error) {
		return q.index.Named(q.ctx, p, limit)
	}, func(_ SearchPlace, r *Found) SearchPlace { return SearchPlace{Name: r.Key, N: r.N} })
}

// byMatch orders by relevance; when more than MaxRanked restaurants match, one word says nothing about any of them, and they come
// in the order in which they were made.
func (q *search) byMatch(asked Wording) error {
	ranked := q.from.Score > 0
	if q.f.After == "" {
		n, err := q.index.Count(q.ctx, asked)
		if err != nil {
			return err
		}
		ranked = n <= MaxRanked
	}
	if ranked {
		return q.byRelevance(asked)
	}
	return q.scan(func(p SearchPlace, limit int) ([]Found, error) {
		return q.index.Registered(q.ctx, asked, p.N, limit)
	}, func(_ SearchPlace, r *Found) SearchPlace { return SearchPlace{N: r.N, Typos: q.from.Typos} })
}

// scan reads batches until the page is full, nothing is left, or enough was looked at. more reads at most limit rows after place.
func (q *search) scan(more func(after SearchPlace, limit int) ([]Found, error), placeOf func(SearchPlace, *Found) SearchPlace) error {
	at, size := q.from, q.limit+1
	if q.f.OpenAt != nil {
		size = min(4*q.limit, searchBatch)
	}
	for scanned := 0; scanned < searchScanned; size = min(2*size, searchBatch) {
		batch, err := more(at, size)
		if err != nil {
			return err
		}
		for i := range batch {
			at = placeOf(at, &batch[i])
			fits, err := q.fits(&batch[i])
			if err != nil {
				return err
			}
			if !fits {
				continue
			}
			batch[i].Place = at.String()
			if q.rows = append(q.rows, batch[i].SearchRow); len(q.rows) == q.limit {
				if i < len(batch)-1 || len(batch) == size {
					q.next = batch[i].Place
				}
				return nil
			}
		}
		if len(batch) < size {
			return nil
		}
		scanned += len(batch)
	}
	q.next = at.String()
	return nil
}

// fits says whether a row passes what the index did not look at.
func (q *search) fits(r *Found) (bool, error) {
	if q.f.OpenAt == nil {
		return true, nil
	}
	hours, err := hoursOf(r.Hours)
	if err != nil {
		return false, fmt.Errorf("%s: %w", r.ID, err)
	}
	zone, err := Zone(r.Zone)
	if err != nil {
		return false, nil //nolint:nilerr // of a restaurant that was made where the zone is known: no search must end at it
	}
	day, minutes := q.f.OpenAt.In(zone)
	return Seats(hours, day, minutes), nil
}
