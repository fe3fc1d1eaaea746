package edge

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// Bounds of a search.
const (
	maxQuery        = 200 // runes of q
	defaultRadiusKm = 5.0
	maxLooks        = 200 // restaurants whose book is asked for one page
	looksAtOnce     = 8
	startWithin     = 30 // minutes: the next start time that a party may take
	maxSearches     = 16 // in flight; beyond: 503
)

type foundJSON struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Address       string   `json:"address"`
	City          string   `json:"city"`
	Country       string   `json:"country"`
	CuisineType   string   `json:"cuisine_type"`
	TimeZone      string   `json:"time_zone"`
	Latitude      float64  `json:"latitude"`
	Longitude     float64  `json:"longitude"`
	AverageRating *float64 `json:"average_rating"`
	TotalReviews  int64    `json:"total_reviews"`
	DistanceKm    *float64 `json:"distance_km,omitempty"` // with lat and lon
	StartsAt      string   `json:"starts_at,omitempty"`   // with guests: the start time that is free
}

type foundsJSON struct {
	Items []foundJSON `json:"items"`
	pageJSON
}

// getRestaurants searches. It reads the store, and with guests the books of what it found there.
func (s *Server) getRestaurants(x *exchange) {
	q, t := x.searchQuery()
	if t != nil {
		x.trouble(t)
		return
	}
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	default:
		x.fail(kindBusy)
		return
	}
	ctx, cancel := x.listing()
	if ctx == nil {
		return
	}
	defer cancel()
	out := foundsJSON{Items: []foundJSON{}}
	looked := 0
	for {
		page, err := s.cfg.Lists.Search(ctx, q.filter)
		if err != nil {
			x.storeFault(err)
			return
		}
		free, err := s.look(ctx, q, page.Rows)
		if err != nil {
			x.fault(err)
			return
		}
		next := page.Next
		for i := range page.Rows {
			if free != nil && free[i] == nil {
				continue
			}
			out.Items = append(out.Items, q.item(&page.Rows[i], free, i))
			if len(out.Items) == q.limit {
				if i < len(page.Rows)-1 {
					next = page.Rows[i].Place
				}
				break
			}
		}
		looked += len(page.Rows)
		if len(out.Items) == q.limit || next == "" || len(page.Rows) == 0 || looked >= maxLooks || q.guests == 0 {
			out.pageJSON = x.page(next, q.scope, page.AsOf)
			x.send(200, out)
			return
		}
		q.filter.After = next
	}
}

// searchQuery is what a request asks for.
type searchQuery struct {
	filter persistence.SearchFilter
	limit  int
	guests int    // 0 = not asked
	scope  string // what a cursor is bound to
}

var searchParameters = []string{"q", "city", "cuisine", "lat", "lon", "radius_km", "box", "open_at", "guests", "limit", "cursor"}

func (x *exchange) searchQuery() (q searchQuery, t *trouble) {
	if t = x.query(searchParameters...); t != nil {
		return q, t
	}
	args := x.ctx.QueryArgs()
	get := func(name string) string { return string(args.Peek(name)) }
	f := &q.filter
	f.Text, f.City, f.Cuisine = get("q"), get("city"), get("cuisine")
	for _, text := range [...]struct {
		name, value string
		most        int
	}{{"q", f.Text, maxQuery}, {"city", f.City, maxName}, {"cuisine", f.Cuisine, maxName}} {
		if t = checkText(text.name, text.value, text.most, false); t != nil {
			return q, t
		}
		if text.value != "" && len(persistence.Words(text.value)) == 0 { // it would find everything
			return q, wrong(text.name, "at least one letter or digit")
		}
	}
	if f.Near, t = circle(get("lat"), get("lon"), get("radius_km")); t != nil {
		return q, t
	}
	if f.Box, t = box(get("box")); t != nil {
		return q, t
	}
	if f.OpenAt, t = moment(get("open_at")); t != nil {
		return q, t
	}
	if guests := get("guests"); guests != "" {
		n, err := strconv.Atoi(guests)
		if err != nil {
			return q, wrong("guests", "a whole number")
		}
		if t = checkParty("guests", n); t != nil {
			return q, t
		}
		if f.OpenAt == nil {
			return q, wrong("open_at", "needed with guests")
		}
		q.guests = n
	}
	if q.limit, t = x.limit(); t != nil {
		return q, t
	}
	if f.Limit = q.limit; q.guests > 0 {
		f.Limit = max(q.limit, maxLooks/10) // a small page does not ask the store for one restaurant after the other
	}
	var scope []string
	for _, name := range searchParameters[:len(searchParameters)-2] {
		scope = append(scope, get(name))
	}
	q.scope = strings.Join(scope, "\x00")
	f.After, t = x.readCursor(get("cursor"), q.scope)
	return q, t
}

// degrees reads a coordinate of at most most degrees.
func degrees(field, s string, most float64) (float64, *trouble) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(math.Abs(v) <= most) {
		return 0, wrong(field, "degrees, -"+strconv.Itoa(int(most))+" to "+strconv.Itoa(int(most)))
	}
	return v, nil
}

func circle(lat, lon, radius string) (*persistence.Circle, *trouble) {
	if lat == "" && lon == "" && radius == "" {
		return nil, nil
	}
	c, t := &persistence.Circle{RadiusKm: defaultRadiusKm}, (*trouble)(nil)
	if c.Latitude, t = degrees("lat", lat, 90); t != nil {
		return nil, t
	}
	if c.Longitude, t = degrees("lon", lon, 180); t != nil {
		return nil, t
	}
	if radius != "" {
		km, err := strconv.ParseFloat(radius, 64)
		if err != nil || !(km > 0 && km <= persistence.MaxRadiusKm) {
			return nil, wrong("radius_km", "more than 0, at most 100")
		}
		c.RadiusKm = km
	}
	return c, nil
}

// box reads min_lat,min_lon,max_lat,max_lon.
func box(s string) (*persistence.Box, *trouble) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, ",")
	if len(parts) != 4 {
		return nil, wrong("box", "min_lat,min_lon,max_lat,max_lon")
	}
	var v [4]float64
	for i, p := range parts {
		var t *trouble
		if v[i], t = degrees("box", p, float64(90*(1+i%2))); t != nil {
			return nil, t
		}
	}
	if v[0] > v[2] || v[1] > v[3] {
		return nil, wrong("box", "min_lat ≤ max_lat and min_lon ≤ max_lon: a box does not cross the 180th meridian")
	}
	return &persistence.Box{MinLat: v[0], MinLon: v[1], MaxLat: v[2], MaxLon: v[3]}, nil
}

// moment reads an instant, or a time on the clock of each restaurant.
func moment(s string) (*persistence.Moment, *trouble) {
	if s == "" {
		return nil, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil && at.Year() >= firstYear && at.Year() <= lastYear {
		return &persistence.Moment{At: at}, nil
	}
	date, clock, _ := strings.Cut(s, "T")
	day, t := parseDate("open_at", date)
	minutes, ok := parseClock(clock)
	if t != nil || !ok {
		return nil, wrong("open_at", "RFC 3339, or YYYY-MM-DDTHH:MM on the restaurants' clocks, 2000 to 2100")
	}
	return &persistence.Moment{Day: day, Minutes: minutes}, nil
}

func (q *searchQuery) item(r *persistence.SearchRow, free []*engine.Start, i int) foundJSON {
	j := foundJSON{
		ID: string(r.ID), Name: r.Name, Address: r.Address, City: r.City, Country: r.Country, CuisineType: r.Cuisine, TimeZone: r.Zone,
		Latitude: r.Latitude, Longitude: r.Longitude, AverageRating: averageOf(r.Ratings), TotalReviews: r.Ratings.Count,
	}
	if q.filter.Near != nil {
		km := math.Round(r.DistanceKm*1000) / 1000
		j.DistanceKm = &km
	}
	if free != nil {
		s := free[i]
		j.StartsAt = string(appendInstant(nil, s.StartsAt, offset(s.Day, s.LocalMin, s.StartsAt)))
	}
	return j
}

// look asks the books of the rows for a start time that the party can have; nil without guests. A row without one, or whose book
// does not answer, is nil; an error when none answers.
func (s *Server) look(ctx context.Context, q searchQuery, rows []persistence.SearchRow) ([]*engine.Start, error) {
	if q.guests == 0 {
		return nil, nil
	}
	free := make([]*engine.Start, len(rows))
	errs := make([]error, len(rows))
	gate := make(chan struct{}, looksAtOnce)
	var wg sync.WaitGroup
	for i := range rows {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil { // finish recovers in the handler's goroutine alone
					s.metrics.panics.Inc()
					s.log.Error("a book panicked", "restaurant", rows[i].ID, "panic", p, "stack", string(debug.Stack()))
					errs[i] = actors.ErrPanicked
				}
				<-gate
			}()
			free[i], errs[i] = s.freeStart(ctx, q, &rows[i])
		})
	}
	wg.Wait()
	if len(rows) > 0 && !slices.Contains(errs, nil) {
		return nil, errs[0]
	}
	return free, nil
}

// freeStart is the first start time at or within startWithin after the moment at which the restaurant has a table; nil = there is none.
func (s *Server) freeStart(ctx context.Context, q searchQuery, r *persistence.SearchRow) (*engine.Start, error) {
	deadline, _ := ctx.Deadline()
	var start *engine.Start
	err := s.wherever(deadline, func() (err error) {
		start, err = s.freeStartHere(r.ID, q.filter.OpenAt, q.guests, deadline)
		return err
	}, func(at *actors.NotOwnerError) (err error) {
		start, err = s.routed.look(at, r.ID, q.filter.OpenAt, q.guests, deadline)
		return err
	})
	if errors.Is(err, actors.ErrQuarantined) { // it stays so: no search must end at it
		return nil, nil
	}
	return start, err
}

func (s *Server) freeStartHere(id engine.RestaurantID, moment *persistence.Moment, guests int, deadline time.Time) (*engine.Start, error) {
	view, err := s.cfg.House.View(engine.AggregateID(id), deadline)
	if err != nil {
		return nil, err
	}
	v, ok := view.View.(*engine.RestaurantView)
	if !ok || v.Restaurant() == nil {
		return nil, nil
	}
	zone, err := persistence.Zone(v.Restaurant().TimeZone)
	if err != nil {
		return nil, err
	}
	day, minutes := moment.In(zone)
	now := engine.Instant(s.clock().UnixMilli())
	for _, back := range [...]engine.Day{0, 1, -1} { // a shift of the day before may go on past midnight, half an hour too
		for _, start := range v.Availability(now, day-back, guests, nil) {
			wait := int64(start.LocalMin-1440*int(back)-minutes) * 60
			if at := moment.At; !at.IsZero() {
				wait = start.StartsAt - at.Unix() // the clock may show the same twice
			}
			if start.Free > 0 && wait >= 0 && wait <= startWithin*60 {
				return &start, nil
			}
		}
	}
	return nil, nil
}
