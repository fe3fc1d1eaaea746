package persistence

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Weights of the parts of a restaurant in the relevance.
const (
	weightName    = 8
	weightCuisine = 4
	weightCity    = 2
	weightRest    = 1
)

const (
	firstRadiusKm = 0.5
	maxKept       = searchScanned + searchBatch // a page looks at no more than these
)

// ranked is where a restaurant stands in an order: by the key, then by the number.
type ranked struct {
	key float64
	n   int64
}

func (r ranked) compare(s ranked) int {
	return cmp.Or(cmp.Compare(r.key, s.key), cmp.Compare(r.n, s.n))
}

// firsts keeps the first maxKept of however many behind a place.
type firsts struct {
	behind ranked
	rows   []ranked
}

func (f *firsts) add(r ranked) {
	if r.compare(f.behind) <= 0 {
		return
	}
	if f.rows = append(f.rows, r); len(f.rows) == 2*maxKept {
		f.sorted()
	}
}

func (f *firsts) sorted() []ranked {
	slices.SortFunc(f.rows, ranked.compare)
	f.rows = f.rows[:min(len(f.rows), maxKept)]
	return f.rows
}

// rowsOf is the rows of an order.
func (q *search) rowsOf(order []ranked) ([]Found, error) {
	if len(order) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(order))
	for i, r := range order {
		numbers[i] = r.n
	}
	return q.index.Rows(q.ctx, numbers)
}

// relevance is, for each word that is asked for, the weight of the best part of a restaurant that has it. Of a restaurant that
// matches, what is in no other part is in the address or the description.
func relevance(asked Wording, r *Narrow) (score int) {
	parts := [...]struct {
		text   string
		weight int
	}{{" " + r.Name + " ", weightName}, {" " + r.Cuisine + " ", weightCuisine}, {" " + r.City + " ", weightCity}}
	for _, terms := range asked {
		weight := weightRest
		for _, p := range parts {
			if p.weight > weight && slices.ContainsFunc(terms, func(t Term) bool { return t.in(p.text) }) {
				weight = p.weight
			}
		}
		score += weight
	}
	return score
}

// in says whether a text of folded words, with a blank before and after each, has the term.
func (t Term) in(text string) bool {
	if t.Begin {
		return strings.Contains(text, " "+t.Word)
	}
	return strings.Contains(text, " "+t.Word+" ")
}

// byRelevance weighs all that match and reads those that come first. The order is a matter of each row alone, so that no other row
// moves it between two pages.
func (q *search) byRelevance(asked Wording) error {
	best := firsts{behind: ranked{math.Inf(-1), 0}}
	if q.from.Score > 0 {
		best.behind = ranked{-float64(q.from.Score), q.from.N}
	}
	err := q.index.Matching(q.ctx, asked, func(r Narrow) { best.add(ranked{-float64(relevance(asked, &r)), r.N}) })
	if err != nil {
		return err
	}
	order := best.sorted()
	return q.scan(func(_ SearchPlace, limit int) ([]Found, error) {
		given := order[:min(len(order), limit)]
		order = order[len(given):]
		rows, err := q.rowsOf(given)
		for i := range rows {
			rows[i].Score = int(-given[i].key)
		}
		return rows, err
	}, func(_ SearchPlace, r *Found) SearchPlace {
		return SearchPlace{Score: r.Score, N: r.N, Typos: q.from.Typos}
	})
}

// byDistance looks into circles that grow; at once into the whole when few restaurants match the text.
func (q *search) byDistance(asked Wording) error {
	c := circles{search: q, asked: asked}
	if asked != nil {
		n, err := q.index.Count(q.ctx, asked)
		if err != nil {
			return err
		}
		c.few = n <= MaxRanked
	}
	return q.scan(c.more, func(_ SearchPlace, r *Found) SearchPlace {
		return SearchPlace{Km: r.DistanceKm, N: r.N, Typos: q.from.Typos}
	})
}

// circles gives restaurants by distance.
type circles struct {
	*search
	asked  Wording
	few    bool
	radius float64  // that was looked into; 0 = nothing yet
	near   []ranked // what was found there and not given yet
}

// more is at most limit restaurants behind a place; it was the last one that was given, or the page begins there.
func (c *circles) more(at SearchPlace, limit int) ([]Found, error) {
	whole := c.f.Near.RadiusKm
	for len(c.near) < limit && c.radius < whole {
		switch {
		case c.few:
			c.radius = whole
		case c.radius == 0:
			c.radius = min(max(firstRadiusKm, 1.5*at.Km), whole)
		default:
			c.radius = min(2*c.radius, whole)
		}
		near := firsts{behind: ranked{at.Km, at.N}}
		if err := c.look(&near); err != nil {
			return nil, err
		}
		c.near = near.sorted()
	}
	given := c.near[:min(len(c.near), limit)]
	c.near = c.near[len(given):]
	rows, err := c.rowsOf(given)
	for i := range rows {
		rows[i].DistanceKm = given[i].key
	}
	return rows, err
}

// look adds the restaurants within the radius: of those that match, when they are few, else of those in boxes around.
func (c *circles) look(near *firsts) error {
	o := c.f.Near
	add := func(r Narrow) {
		if km := DistanceKm(o.Latitude, o.Longitude, r.Latitude, r.Longitude); km <= c.radius {
			near.add(ranked{km, r.N})
		}
	}
	if c.few {
		return c.index.Matching(c.ctx, c.asked, add)
	}
	for _, box := range around(o, c.radius) {
		if err := c.index.Inside(c.ctx, box, c.asked, add); err != nil {
			return err
		}
	}
	return nil
}

// around is boxes that have a circle in them and nothing twice.
func around(c *Circle, radius float64) (boxes []Box) {
	const whole = 179            // degrees: wider ones are one box, so that the ends do not lie over each other
	dLat := radius/111.0 + 0.001 // a degree of latitude is at least 110.5 km; an index may keep 32-bit floats
	dLon := 360.0
	if polar := math.Cos((math.Abs(c.Latitude) + dLat) * math.Pi / 180); math.Abs(c.Latitude)+dLat < 89 {
		dLon = dLat / polar
	}
	if dLon > whole {
		return []Box{{MinLat: c.Latitude - dLat, MaxLat: c.Latitude + dLat, MinLon: -180, MaxLon: 180}}
	}
	for _, shift := range []float64{-360, 0, 360} { // a circle may cross the 180th meridian
		if lon := c.Longitude + shift; lon+dLon >= -180 && lon-dLon <= 180 {
			boxes = append(boxes, Box{MinLat: c.Latitude - dLat, MaxLat: c.Latitude + dLat, MinLon: lon - dLon, MaxLon: lon + dLon})
		}
	}
	return boxes
}
