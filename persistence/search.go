package persistence

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"maitred/engine"
)

// Bounds of a search.
const (
	MaxRadiusKm    = 100.0
	MaxSearchWords = 12   // further words of a text are not looked at
	maxTypoWord    = 40   // runes of a word that may be misspelt
	earthKm        = 6371 // mean radius, IUGG
)

// SearchFilter says which restaurants are wanted. Zero members do not filter.
//
// Text matches a restaurant when each of its words is a word of the restaurant's name, cuisine, city, address or description; the
// last one may also be the beginning of one. When nothing matches so, each word may also be misspelt: by one edit if it has
// 4 to 7 letters, by two if it has more (an edit inserts, drops or replaces a letter, or swaps neighbours).
//
// Order: with Near by distance, else with Text by relevance (in the order of registration when more than a thousand match), else by
// name; then in the order of registration. Relevance is a number of the restaurant alone: for each word that is asked for, 8 if it
// is in the name, else 4 in the cuisine, else 2 in the city, else 1; summed, the highest first. So pages neither repeat nor skip a
// restaurant that does not change itself.
type SearchFilter struct {
	Text          string
	City, Cuisine string // whole, case and accents do not matter
	Near          *Circle
	Box           *Box
	OpenAt        *Moment
	After         string // SearchRow.Place to go on from; empty = from the beginning
	Limit         int    // 1–100
}

// Circle is where a search is centred.
type Circle struct {
	Latitude, Longitude float64
	RadiusKm            float64 // ≤ MaxRadiusKm
}

// Box is a part of the map that does not cross the 180th meridian.
type Box struct{ MinLat, MinLon, MaxLat, MaxLon float64 }

// Moment is an instant, or a time on the clock of each restaurant.
type Moment struct {
	At      time.Time // zero: local
	Day     engine.Day
	Minutes int // after midnight, 0–1439
}

// SearchRow is a restaurant that was found.
type SearchRow struct {
	ID                                          engine.RestaurantID
	Name, Address, City, Country, Cuisine, Zone string
	Latitude, Longitude                         float64
	DistanceKm                                  float64 // from SearchFilter.Near; else 0
	Ratings                                     engine.Ratings
	Place                                       string // behind this row
}

// SearchPage is a part of what was found. A page may have fewer rows than Limit and still not be the last: a search reads a
// bounded number of restaurants. By distance it also meets every place of a circle that may hold all of a city: those it only
// measures, and keeps the nearest.
type SearchPage struct {
	Rows []SearchRow
	Next string // empty = last page
	AsOf time.Time
}

// letters that do not fall apart into a letter and accents.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i", "’", "'")

// Fold takes case and accents off a text and cuts it into its words, with one blank between: what is indexed and what is asked
// for. Letters and digits make words.
func Fold(s string) string { return strings.Join(Words(s), " ") }

// Words are the words of Fold.
func Words(s string) []string {
	s = letters.Replace(strings.ToLower(s))
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	words := strings.FieldsFunc(strings.ToLower(plain), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return words
}

// Typos is how many edits a word may be away.
func Typos(word string) int {
	switch n := len([]rune(word)); {
	case n < 4 || n > maxTypoWord:
		return 0
	case n < 8:
		return 1
	}
	return 2
}

// WithinEdits reports whether a becomes b by at most most edits: insert, drop or replace a letter, or swap neighbours (optimal
// string alignment).
func WithinEdits(a, b string, most int) bool {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > most || -d > most {
		return false
	}
	before, last, now := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		now[0] = i
		least := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
			least = min(least, now[j])
		}
		if least > most {
			return false
		}
		before, last, now = last, now, before
	}
	return last[len(y)] <= most
}

// DistanceKm is the great-circle distance (haversine, on a sphere of the earth's mean radius).
func DistanceKm(lat1, lon1, lat2, lon2 float64) float64 {
	rad := math.Pi / 180
	dLat, dLon := (lat2-lat1)*rad, (lon2-lon1)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * earthKm * math.Asin(math.Sqrt(min(1, h)))
}

// Contains reports whether a point is in the box.
func (b *Box) Contains(lat, lon float64) bool {
	return lat >= b.MinLat && lat <= b.MaxLat && lon >= b.MinLon && lon <= b.MaxLon
}

// zones keeps what LoadLocation parsed; there are a few hundred.
var zones sync.Map

// Zone is the time zone of an IANA name.
func Zone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("persistence: time zone %q: %w", name, err)
	}
	zones.Store(name, z)
	return z, nil
}

// In is the day and the minute that the clock of a zone shows at the moment.
func (m *Moment) In(zone *time.Location) (day engine.Day, minutes int) {
	if m.At.IsZero() {
		return m.Day, m.Minutes
	}
	t := m.At.In(zone)
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return engine.Day(midnight.Unix() / 86_400), t.Hour()*60 + t.Minute()
}

// Seats reports whether shifts seat guests on a day at a minute after midnight: also those of the day before that go on.
func Seats(shifts []engine.OpeningHours, day engine.Day, minutes int) bool {
	weekday := func(d engine.Day) uint8 { return 1 << ((int(d)%7 + 7 + 3) % 7) } // 1970-01-01 was a Thursday
	for _, h := range shifts {
		if h.Days&weekday(day) != 0 && minutes >= h.Open && minutes <= h.LastSeating ||
			h.Days&weekday(day-1) != 0 && minutes+1440 >= h.Open && minutes+1440 <= h.LastSeating {
			return true
		}
	}
	return false
}
