package sqlite

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Bounds of one search.
const (
	searchBatch   = 256
	searchScanned = 2_048 // rows that a page looks at
	maxAlike      = 32    // terms that stand for one misspelt word
	maxTermRows   = 400   // terms that are compared with it
	smallBox      = 2_000 // restaurants in a box that are sorted by name
	firstRadiusKm = 0.5
)

const selectSearch = `SELECT s.n, s.name, i.id, r.name, r.address, r.city, r.country, r.cuisine_type, r.time_zone, r.latitude, r.longitude,
 r.rating_sum, r.rating_count, r.opening_hours FROM `

const joinSearch = ` JOIN restaurants r ON r.n = s.n JOIN names i ON i.n = s.n`

// found is a row on its way to a page.
type found struct {
	persistence.SearchRow
	n     int64
	key   string // folded name
	hours string
}

// searchPlace is behind a row: one of the three, by the order of the search.
type searchPlace struct {
	Name  string  `json:"a,omitempty"`
	Km    float64 `json:"k,omitempty"`
	N     int64   `json:"n,omitempty"`
	Rows  int     `json:"r,omitempty"` // rows that were looked at, in a search by text
	Typos bool    `json:"t,omitempty"` // the text is taken as misspelt
}

func (p searchPlace) String() string {
	b, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseSearchPlace(s string) (p searchPlace, err error) {
	if s == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Rows < 0 || p.Km < 0 {
		return p, fmt.Errorf("sqlite: %w", persistence.ErrBadPlace)
	}
	return p, nil
}

// Search implements persistence.Store.
func (s *Store) Search(ctx context.Context, f persistence.SearchFilter) (page persistence.SearchPage, err error) {
	from, err := parseSearchPlace(f.After)
	if err != nil {
		return page, err
	}
	q := search{f: &f, from: from, limit: min(max(f.Limit, 1), MaxLimit), ctx: ctx}
	err = s.view(ctx, func(db querier) (err error) {
		q.db = db
		if page.AsOf, err = asOf(ctx, db); err != nil {
			return err
		}
		switch {
		case len(persistence.Words(f.Text)) > 0:
			err = q.byText()
		case f.Near != nil:
			err = q.byDistance()
		default:
			err = q.byName()
		}
		return err
	})
	if err != nil {
		return persistence.SearchPage{}, fmt.Errorf("sqlite: search: %w", err)
	}
	page.Rows, page.Next = q.rows, q.next
	return page, nil
}

// search is one question.
type search struct {
	ctx   context.Context
	db    querier
	f     *persistence.SearchFilter
	from  searchPlace
	limit int
	rows  []persistence.SearchRow
	next  string
}

// where adds conditions on city, cuisine and box.
func (q *search) where(args []any) (string, []any) {
	var b strings.Builder
	if city := persistence.Fold(q.f.City); city != "" {
		b.WriteString(" AND s.city = ?")
		args = append(args, city)
	}
	if cuisine := persistence.Fold(q.f.Cuisine); cuisine != "" {
		b.WriteString(" AND s.cuisine = ?")
		args = append(args, cuisine)
	}
	if x := q.f.Box; x != nil {
		b.WriteString(" AND r.latitude BETWEEN ? AND ? AND r.longitude BETWEEN ? AND ?")
		args = append(args, x.MinLat, x.MaxLat, x.MinLon, x.MaxLon)
	}
	return b.String(), args
}

// read runs a query of selectSearch.
func (q *search) read(query string, args ...any) (out []found, err error) {
	rows, err := q.db.QueryContext(q.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r found
		err := rows.Scan(&r.n, &r.key, &r.ID, &r.Name, &r.Address, &r.City, &r.Country, &r.Cuisine, &r.Zone, &r.Latitude, &r.Longitude,
			&r.Ratings.Sum, &r.Ratings.Count, &r.hours)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// fits says whether a row passes what the query did not look at, and measures its distance.
func (q *search) fits(r *found) (bool, error) {
	if c := q.f.Near; c != nil {
		r.DistanceKm = persistence.DistanceKm(c.Latitude, c.Longitude, r.Latitude, r.Longitude)
		if r.DistanceKm > c.RadiusKm {
			return false, nil
		}
	}
	if q.f.OpenAt == nil {
		return true, nil
	}
	var shifts [][4]int
	if err := json.Unmarshal([]byte(r.hours), &shifts); err != nil {
		return false, fmt.Errorf("hours of %s: %w", r.ID, err)
	}
	zone, err := zoneOf(r.Zone)
	if err != nil {
		return false, err
	}
	hours := make([]engine.OpeningHours, len(shifts))
	for i, h := range shifts {
		hours[i] = engine.OpeningHours{Days: uint8(h[0]), Open: h[1], Close: h[2], LastSeating: h[3]}
	}
	day, minutes := q.f.OpenAt.In(zone)
	return persistence.Seats(hours, day, minutes), nil
}

// zones keeps what LoadLocation parsed; there are a few hundred.
var zones sync.Map

func zoneOf(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	zones.Store(name, z)
	return z, nil
}

// scan reads batches until the page is full, nothing is left, or enough was looked at. more reads the rows after place.
func (q *search) scan(more func(searchPlace) ([]found, error), placeOf func(searchPlace, *found) searchPlace) error {
	at := q.from
	for scanned := 0; scanned < searchScanned; {
		batch, err := more(at)
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
				if i < len(batch)-1 || len(batch) == searchBatch {
					q.next = batch[i].Place
				}
				return nil
			}
		}
		if len(batch) < searchBatch {
			return nil
		}
		scanned += len(batch)
	}
	q.next = at.String()
	return nil
}

// byName walks the index by name; a small box is looked up in the map first.
func (q *search) byName() error {
	from, args := "search s"+joinSearch+" WHERE 1", []any{}
	if x := q.f.Box; x != nil {
		var inside int
		box := []any{x.MaxLat, x.MinLat, x.MaxLon, x.MinLon}
		err := q.db.QueryRowContext(q.ctx, `SELECT count(*) FROM (SELECT 1 FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ?
 AND max_lon >= ? LIMIT ?)`, append(slices.Clone(box), smallBox+1)...).Scan(&inside)
		if err != nil {
			return err
		}
		if inside <= smallBox {
			from, args = `(SELECT n AS at FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ? AND max_lon >= ?)
 CROSS JOIN search s ON s.n = at`+joinSearch+" WHERE 1", box
		}
	}
	where, args := q.where(args)
	query := selectSearch + from + where + " AND (s.name, s.n) > (?, ?) ORDER BY s.name, s.n LIMIT ?"
	return q.scan(func(p searchPlace) ([]found, error) {
		return q.read(query, append(slices.Clone(args), p.Name, p.N, searchBatch)...)
	}, func(_ searchPlace, r *found) searchPlace { return searchPlace{Name: r.key, N: r.n} })
}

// byDistance looks into circles that grow until the page is full.
func (q *search) byDistance() error {
	c := q.f.Near
	for radius := max(firstRadiusKm, 1.5*q.from.Km); ; radius *= 2 {
		radius = min(radius, c.RadiusKm)
		near, err := q.within(radius)
		if err != nil {
			return err
		}
		if len(near) < q.limit && radius < c.RadiusKm {
			continue
		}
		for i := range near[:min(len(near), q.limit)] {
			near[i].Place = searchPlace{Km: near[i].DistanceKm, N: near[i].n}.String()
			q.rows = append(q.rows, near[i].SearchRow)
		}
		if len(near) > q.limit || len(near) == q.limit && radius < c.RadiusKm {
			q.next = q.rows[len(q.rows)-1].Place
		}
		return nil
	}
}

// within is what fits within radius of the centre and comes after the place, nearest first.
func (q *search) within(radius float64) ([]found, error) {
	c := q.f.Near
	dLat := radius/111.0 + 0.001 // a degree of latitude is at least 110.5 km; the map keeps 32-bit floats
	dLon := 360.0
	if polar := math.Cos((math.Abs(c.Latitude) + dLat) * math.Pi / 180); polar > 0.01 && math.Abs(c.Latitude)+dLat < 89 {
		dLon = dLat / polar
	}
	var near []found
	for _, shift := range []float64{-360, 0, 360} { // a circle may cross the 180th meridian
		if lon := c.Longitude + shift; lon+dLon < -180 || lon-dLon > 180 {
			continue
		}
		where, args := q.where([]any{c.Latitude + dLat, c.Latitude - dLat, c.Longitude + shift + dLon, c.Longitude + shift - dLon})
		rows, err := q.read(selectSearch+`(SELECT n AS at FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ? AND max_lon >= ?)
 CROSS JOIN search s ON s.n = at`+joinSearch+" WHERE 1"+where, args...)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			fits, err := q.fits(&rows[i])
			if err != nil {
				return nil, err
			}
			after := q.f.After == "" || byNearness(rows[i].DistanceKm, rows[i].n, q.from.Km, q.from.N) > 0
			seen := slices.ContainsFunc(near, func(o found) bool { return dLon >= 180 && o.n == rows[i].n })
			if fits && after && !seen && rows[i].DistanceKm <= radius {
				near = append(near, rows[i])
			}
		}
	}
	slices.SortFunc(near, func(a, b found) int { return byNearness(a.DistanceKm, a.n, b.DistanceKm, b.n) })
	return near, nil
}

func byNearness(km1 float64, n1 int64, km2 float64, n2 int64) int {
	return cmp.Or(cmp.Compare(km1, km2), cmp.Compare(n1, n2))
}

// byText takes the words as they are written, and as misspelt when nothing is found so.
func (q *search) byText() error {
	words := persistence.Words(q.f.Text)
	words = words[:min(len(words), persistence.MaxSearchWords)]
	if !q.from.Typos {
		if err := q.match(asWritten(words)); err != nil || len(q.rows) > 0 || q.f.After != "" || q.next != "" {
			return err
		}
	}
	match, err := q.misspelt(words)
	if err != nil || match == "" {
		return err
	}
	q.from.Typos = true
	return q.match(match)
}

// asWritten is the question in the words of FTS5. The words have letters and digits only: nothing of its syntax.
func asWritten(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(`"` + w + `"`)
	}
	return b.String() + "*" // the last one may be a beginning
}

func (q *search) match(match string) error {
	where, args := q.where([]any{match})
	query := selectSearch + `(SELECT rowid AS at, bm25(search_words, 10, 5, 2, 1) AS score FROM search_words WHERE search_words MATCH ?)
 CROSS JOIN search s ON s.n = at` + joinSearch + " WHERE 1" + where + " ORDER BY score, s.n LIMIT ? OFFSET ?"
	return q.scan(func(p searchPlace) ([]found, error) {
		return q.read(query, append(slices.Clone(args), searchBatch, p.Rows)...)
	}, func(p searchPlace, _ *found) searchPlace { return searchPlace{Rows: p.Rows + 1, Typos: q.from.Typos} })
}

// misspelt is the question with, for each word, the terms that it may mean; empty when a word means nothing.
func (q *search) misspelt(words []string) (string, error) {
	var parts []string
	for i, w := range words {
		alike, err := q.alike(w)
		if err != nil {
			return "", err
		}
		meant := []string{`"` + w + `"`}
		if i == len(words)-1 {
			meant[0] += "*"
		}
		for _, term := range alike {
			meant = append(meant, `"`+term+`"`)
		}
		parts = append(parts, "("+strings.Join(meant, " OR ")+")")
	}
	return strings.Join(parts, " AND "), nil
}

// alike is the terms within the edits that a word may be away, nearest by their trigrams first. An edit touches at most four of
// a word's trigrams, so whoever is within them has one in common.
func (q *search) alike(word string) ([]string, error) {
	most := persistence.Typos(word)
	if most == 0 {
		return nil, nil
	}
	letters := []rune(termBegin + word + termEnd)
	var grams []string
	for i := range len(letters) - 2 {
		grams = append(grams, `"`+string(letters[i:i+3])+`"`)
	}
	rows, err := q.db.QueryContext(q.ctx, `SELECT t.term FROM term_trigrams g JOIN terms t ON t.n = g.rowid WHERE term_trigrams MATCH ?
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
		if term != word && len(out) < maxAlike && persistence.WithinEdits(word, term, most) {
			out = append(out, term)
		}
	}
	return out, rows.Err()
}
