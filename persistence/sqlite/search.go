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

	"maitred/engine"
	"maitred/persistence"
)

// Bounds of one search.
const (
	searchBatch   = 256
	searchScanned = 512   // rows that a page looks at
	mostRanked    = 1_000 // restaurants whose relevance is weighed
	maxAlike      = 32    // terms that stand for one misspelt word
	maxTermRows   = 400   // terms that are compared with it
	smallBox      = 2_000 // restaurants in a box that are sorted by name
	firstRadiusKm = 0.5
)

const selectSearch = `SELECT s.n, s.name, i.id, r.name, r.address, r.city, r.country, r.cuisine_type, r.time_zone, r.latitude, r.longitude,
 r.rating_sum, r.rating_count, r.opening_hours FROM `

// late is the rows whose numbers, as at, a query of narrow rows gives: what is sorted and thrown away has been looked up nowhere.
func late(numbers, order string) string {
	return selectSearch + "(" + numbers + ") CROSS JOIN search s ON s.n = at" + joinSearch + " ORDER BY " + order
}

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
		if words := persistence.Words(f.Text); len(words) > 0 {
			return q.byText(words[:min(len(words), persistence.MaxSearchWords)])
		}
		return q.run(nil)
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

// run asks in the order that the filter has.
func (q *search) run(asked wording) error {
	switch {
	case q.f.Near != nil:
		return q.byDistance(asked)
	case asked != nil:
		return q.byMatch(q.narrow(asked.match()))
	}
	return q.byName()
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
	zone, err := persistence.Zone(r.Zone)
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

// scan reads batches until the page is full, nothing is left, or enough was looked at. more reads at most limit rows after place.
func (q *search) scan(more func(after searchPlace, limit int) ([]found, error), placeOf func(searchPlace, *found) searchPlace) error {
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

// byName walks the index by name; a small box is looked up in the map first.
func (q *search) byName() error {
	from, args := "search s WHERE 1", []any{}
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
 CROSS JOIN search s ON s.n = at JOIN restaurants r ON r.n = s.n WHERE 1`, box
		} else {
			from = "search s JOIN restaurants r ON r.n = s.n WHERE 1"
		}
	}
	where, args := q.where(args)
	query := late("SELECT s.n AS at FROM "+from+where+" AND (s.name, s.n) > (?, ?) ORDER BY s.name, s.n LIMIT ?", "s.name, s.n")
	return q.scan(func(p searchPlace, limit int) ([]found, error) {
		return q.read(query, append(slices.Clone(args), p.Name, p.N, limit)...)
	}, func(_ searchPlace, r *found) searchPlace { return searchPlace{Name: r.key, N: r.n} })
}

// byDistance looks into circles that grow until the page is full; at once into the whole when few restaurants match the text.
func (q *search) byDistance(asked wording) error {
	c, few := q.f.Near, false
	if asked != nil {
		n, err := q.count(q.narrow(asked.match()))
		if err != nil {
			return err
		}
		few = n <= mostRanked
	}
	for radius := max(firstRadiusKm, 1.5*q.from.Km); ; radius *= 2 {
		if radius = min(radius, c.RadiusKm); few {
			radius = c.RadiusKm
		}
		near, err := q.within(radius, asked, few)
		if err != nil {
			return err
		}
		if len(near) < q.limit && radius < c.RadiusKm {
			continue
		}
		for i := range near[:min(len(near), q.limit)] {
			near[i].Place = searchPlace{Km: near[i].DistanceKm, N: near[i].n, Typos: q.from.Typos}.String()
			q.rows = append(q.rows, near[i].SearchRow)
		}
		if len(near) > q.limit || len(near) == q.limit && radius < c.RadiusKm {
			q.next = q.rows[len(q.rows)-1].Place
		}
		return nil
	}
}

// within is what fits within radius of the centre and comes after the place, nearest first.
func (q *search) within(radius float64, asked wording, few bool) (near []found, err error) {
	rows, err := q.candidates(radius, asked, few)
	if err != nil {
		return nil, err
	}
	seen := map[int64]bool{}
	for i := range rows {
		r := &rows[i]
		fits, err := q.fits(r)
		if err != nil {
			return nil, err
		}
		if fits && !seen[r.n] && r.DistanceKm <= radius && (q.f.After == "" || byNearness(r.DistanceKm, r.n, q.from.Km, q.from.N) > 0) {
			seen[r.n] = true
			near = append(near, *r)
		}
	}
	slices.SortFunc(near, func(a, b found) int { return byNearness(a.DistanceKm, a.n, b.DistanceKm, b.n) })
	return near, nil
}

// candidates are the restaurants that may be within radius: those that match, when they are few, else those in boxes around.
func (q *search) candidates(radius float64, asked wording, few bool) (all []found, err error) {
	if few {
		where, args := q.where([]any{q.narrow(asked.match())})
		return q.read(selectSearch+matching+joinSearch+" WHERE 1"+where, args...)
	}
	c := q.f.Near
	dLat := radius/111.0 + 0.001 // a degree of latitude is at least 110.5 km; the map keeps 32-bit floats
	dLon := 360.0
	if polar := math.Cos((math.Abs(c.Latitude) + dLat) * math.Pi / 180); math.Abs(c.Latitude)+dLat < 89 {
		dLon = dLat / polar
	}
	for _, shift := range []float64{-360, 0, 360} { // a circle may cross the 180th meridian
		lon := c.Longitude + shift
		if lon+dLon < -180 || lon-dLon > 180 {
			continue
		}
		where, args := q.where([]any{c.Latitude + dLat, c.Latitude - dLat, lon + dLon, lon - dLon})
		if asked != nil {
			var also []any
			where, also = where+asked.where(), asked.args()
			args = append(args, also...)
		}
		rows, err := q.read(selectSearch+`(SELECT n AS at FROM places WHERE min_lat <= ? AND max_lat >= ? AND min_lon <= ? AND max_lon >= ?)
 CROSS JOIN search s ON s.n = at`+joinSearch+" WHERE 1"+where, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func byNearness(km1 float64, n1 int64, km2 float64, n2 int64) int {
	return cmp.Or(cmp.Compare(km1, km2), cmp.Compare(n1, n2))
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

// narrow adds city and cuisine to a question, so that fewer rows are weighed.
func (q *search) narrow(match string) string {
	match = "(" + match + ")"
	for column, value := range map[string]string{"city": q.f.City, "cuisine": q.f.Cuisine} {
		if len(persistence.Words(value)) > 0 { // where compares the blanks too
			match += " AND " + column + ` : "` + whole(value) + `"`
		}
	}
	return match
}

// matching is the rows of a question.
const matching = "(SELECT rowid AS at FROM search_words WHERE search_words MATCH ?) CROSS JOIN search s ON s.n = at"

// count says how many restaurants match, at most mostRanked+1.
func (q *search) count(match string) (n int, err error) {
	err = q.db.QueryRowContext(q.ctx, "SELECT count(*) FROM (SELECT 1 FROM search_words WHERE search_words MATCH ? LIMIT ?)", match, mostRanked+1).Scan(&n)
	return n, err
}

// byMatch orders by relevance; when more than mostRanked restaurants match, one word says nothing about any of them, and they come
// in the order in which they were made.
func (q *search) byMatch(match string) error {
	ranked := q.from.N == 0
	if q.f.After == "" {
		n, err := q.count(match)
		if err != nil {
			return err
		}
		ranked = n <= mostRanked
	}
	where, args := q.where([]any{match})
	if !ranked {
		query := selectSearch + "search_words w CROSS JOIN search s ON s.n = w.rowid" + joinSearch + " WHERE search_words MATCH ?" + where +
			" AND w.rowid > ? ORDER BY w.rowid LIMIT ?"
		return q.scan(func(p searchPlace, limit int) ([]found, error) {
			return q.read(query, append(slices.Clone(args), p.N, limit)...)
		}, func(_ searchPlace, r *found) searchPlace { return searchPlace{N: r.n, Typos: q.from.Typos} })
	}
	from := "SELECT w.rowid AS at, bm25(search_words, 10, 5, 2, 1) AS score FROM search_words w"
	if where != "" {
		from += " CROSS JOIN search s ON s.n = w.rowid JOIN restaurants r ON r.n = s.n"
	}
	query := late(from+" WHERE search_words MATCH ?"+where+" ORDER BY score, w.rowid LIMIT ? OFFSET ?", "score, s.n")
	return q.scan(func(p searchPlace, limit int) ([]found, error) {
		return q.read(query, append(slices.Clone(args), limit, p.Rows)...)
	}, func(p searchPlace, _ *found) searchPlace { return searchPlace{Rows: p.Rows + 1, Typos: q.from.Typos} })
}

// misspelt is the text with, for each word, the terms that it may mean.
func (q *search) misspelt(words []string) (wording, error) {
	t := asWritten(words)
	for i, w := range words {
		alike, err := q.alike(w)
		if err != nil {
			return nil, err
		}
		for _, term := range alike {
			t[i] = append(t[i], part{word: term})
		}
	}
	return t, nil
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
