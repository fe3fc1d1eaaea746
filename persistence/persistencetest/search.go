package persistencetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Restaurants for searches: names with accents, words that are alike, places around Rome and on the other side of the world.
var (
	searchNames    = []string{"Trattoria da Nonna", "Osteria dell'Òrto", "Trattoria Ponte", "L'Antica Pizzeria", "Caffè Perù", "Nonno Cesare", "Pizzería", "Ōsaka Sushi", "Straße 9"}
	searchCities   = []string{"Roma", "ROMA", "Forlì", "Suva"}
	searchCuisines = []string{"Romana", "pizza", "giapponese", ""}
	searchStreets  = []string{"Via Appia 12", "Piazza Navona", "Lungotevere Ripa", ""}
	searchTexts    = []string{"Cucina casalinga, vista sul fiume", "Crêpes & galettes", ""}
	searchZones    = []string{"Europe/Rome", "Pacific/Fiji", "America/New_York"}
)

func makeRestaurants(rng *rand.Rand, n int) []*enginepb.Restaurant {
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	var out []*enginepb.Restaurant
	for i := range n {
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(i + 1))), Owner: string(engine.MakeAccountID([16]byte{1})),
			Name: pick(searchNames), City: pick(searchCities), CuisineType: pick(searchCuisines), Address: pick(searchStreets),
			Description: pick(searchTexts), TimeZone: pick(searchZones), Latitude: 41.9 + rng.NormFloat64()/20, Longitude: 12.5 + rng.NormFloat64()/20}
		if rng.IntN(6) == 0 {
			r.Latitude, r.Longitude = -18+rng.Float64(), []float64{179.9, -179.9}[rng.IntN(2)]+rng.Float64()/10-0.05
		}
		for range rng.IntN(3) {
			open := int32(rng.IntN(24)) * 60
			r.OpeningHours = append(r.OpeningHours, &enginepb.OpeningHours{Days: uint32(1 + rng.IntN(127)), OpenMin: open,
				LastSeatingMin: open + int32(rng.IntN(10))*60, CloseMin: open + 700})
		}
		out = append(out, r)
	}
	return out
}

// wanted is the oracle: every restaurant, one after the other, by the words of persistence.SearchFilter. typos says how the text
// is taken.
func wanted(all []*enginepb.Restaurant, f persistence.SearchFilter, typos bool) (out []*enginepb.Restaurant) {
	for _, r := range all {
		if textFits(r, f.Text, typos) && placeFits(r, f) && hoursFit(r, f.OpenAt) &&
			(persistence.Fold(f.City) == "" || persistence.Fold(f.City) == persistence.Fold(r.City)) &&
			(persistence.Fold(f.Cuisine) == "" || persistence.Fold(f.Cuisine) == persistence.Fold(r.CuisineType)) {
			out = append(out, r)
		}
	}
	return out
}

func textFits(r *enginepb.Restaurant, text string, typos bool) bool {
	all := strings.Join([]string{r.Name, r.CuisineType, r.City, r.Address, r.Description}, " ")
	words := persistence.Words(text)
	for i, w := range words {
		if !hasWord(all, w, i == len(words)-1, typos) {
			return false
		}
	}
	return true
}

// hasWord says whether one of a text's words is w, which may be a beginning, or misspelt.
func hasWord(text, w string, begin, typos bool) bool {
	return slices.ContainsFunc(persistence.Words(text), func(h string) bool {
		return h == w || begin && strings.HasPrefix(h, w) || typos && persistence.WithinEdits(w, h, persistence.Typos(w)) && persistence.Typos(h) > 0
	})
}

func placeFits(r *enginepb.Restaurant, f persistence.SearchFilter) bool {
	if f.Box != nil && !f.Box.Contains(r.Latitude, r.Longitude) {
		return false
	}
	return f.Near == nil || persistence.DistanceKm(f.Near.Latitude, f.Near.Longitude, r.Latitude, r.Longitude) <= f.Near.RadiusKm
}

// hoursFit looks at the clock of the restaurant minute by minute of the shifts.
func hoursFit(r *enginepb.Restaurant, m *persistence.Moment) bool {
	if m == nil {
		return true
	}
	zone, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		panic(err)
	}
	local := time.Unix(int64(m.Day)*86_400+int64(m.Minutes)*60, 0).UTC()
	if !m.At.IsZero() {
		t := m.At.In(zone)
		local = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
	}
	for _, h := range r.OpeningHours {
		for back := range 2 {
			day := time.Date(local.Year(), local.Month(), local.Day()-back, 0, 0, 0, 0, time.UTC)
			since := int32(local.Sub(day) / time.Minute)
			if h.Days>>((int(day.Weekday())+6)%7)&1 == 1 && since >= h.OpenMin && since <= h.LastSeatingMin {
				return true
			}
		}
	}
	return false
}

func makeFilter(rng *rand.Rand) (f persistence.SearchFilter) {
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	f.Limit = []int{1, 3, 100}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		f.Text = pick("nonna", "tratoria", "Trattoria da", "òrto", "ORTO dell", "pizz", "peru", "strasse", "osaka sushi", "crepes", "via appia", "nona", "sushi roma",
			"pizzeria anticha", "zzz", `nonna" OR name:"x`, "NEAR(a b)", "nonna*", "-nonna", "caffé", "galetes", "^nonna", "{name}:nonna", "a AND b", "fiume vista cuc")
	}
	if rng.IntN(3) == 0 {
		f.City = pick(searchCities...)
	}
	if rng.IntN(4) == 0 {
		f.Cuisine = pick("ROMANA", "Pizza", "giapponese", "x")
	}
	switch rng.IntN(5) {
	case 0:
		f.Near = &persistence.Circle{Latitude: 41.9, Longitude: 12.5, RadiusKm: []float64{0.3, 3, 20}[rng.IntN(3)]}
	case 1:
		f.Near = &persistence.Circle{Latitude: -17.5, Longitude: []float64{179.99, -179.99}[rng.IntN(2)], RadiusKm: 60}
	case 2:
		f.Box = &persistence.Box{MinLat: 41.85, MaxLat: 41.95, MinLon: 12.4, MaxLon: 12.5 + rng.Float64()/10}
	}
	switch rng.IntN(4) {
	case 0:
		f.OpenAt = &persistence.Moment{At: time.Date(2026, 10, 25, rng.IntN(24), 30, 0, 0, time.UTC)} // clocks change in Rome
	case 1:
		f.OpenAt = &persistence.Moment{Day: engine.Day(20_700 + rng.IntN(7)), Minutes: rng.IntN(1440)}
	}
	return f
}

func storeSearch(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	rng := rand.New(rand.NewPCG(41, 1))
	s, all := open(t, dir), makeRestaurants(rng, 150)
	defer s.Close()
	write := func(seq persistence.Seq, v engine.Version, from []*enginepb.Restaurant) {
		var events []persistence.Committed
		for i, r := range from {
			e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
			if v > 1 {
				e.Body = &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: r}}
			}
			events = append(events, persistence.Committed{Seq: seq, Index: i, Aggregate: engine.AggregateID(r.Id), Version: v, Event: e})
		}
		require.NoError(t, s.Write(t.Context(), cursor(t, s), at(seq), events))
	}
	write(1, 1, makeRestaurants(rand.New(rand.NewPCG(42, 1)), 150)) // all of them were something else before
	write(2, 2, all)
	hits, guesses := 0, 0
	questions := 600
	if testing.Short() {
		questions = 150
	}
	for range questions {
		f := makeFilter(rng)
		want := wanted(all, f, false)
		if len(want) == 0 && len(persistence.Words(f.Text)) > 0 {
			want = wanted(all, f, true)
			guesses += min(1, len(want))
		}
		got := searchAll(t, s, f)
		require.Equal(t, idsOf(inOrder(want, f)), idsOfRows(got), "%+v", f)
		hits += min(1, len(got))
	}
	require.Greater(t, hits, questions/6)
	require.Greater(t, guesses, questions/60)
	_, err := s.Search(t.Context(), persistence.SearchFilter{Limit: 1, After: "?"})
	require.ErrorIs(t, err, persistence.ErrBadPlace)
}

// storeSearchPages turns pages by relevance while restaurants come and change: nobody else moves.
func storeSearchPages(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s := open(t, dir)
	defer s.Close()
	put := restaurantWriter(t, s)
	const half = 6
	var names, others []string
	for n := 1; n <= half; n++ {
		put(1, n, "Bar", "come in trattoria")
		put(1, half+n, "Trattoria", "")
		others, names = append(others, string(engine.MakeRestaurantID(uint64(n)))), append(names, string(engine.MakeRestaurantID(uint64(half+n))))
	}
	var got, came []string
	f := persistence.SearchFilter{Text: "trattoria", Limit: 2}
	for page := 0; page == 0 || f.After != ""; page++ {
		found, err := s.Search(t.Context(), f)
		require.NoError(t, err)
		got, f.After = append(got, idsOfRows(found.Rows)...), found.Next
		put(1, 100+page, "Trattoria Trattoria", "trattoria") // it has the word most often
		came = append(came, string(engine.MakeRestaurantID(uint64(100+page))))
		put(engine.Version(page+2), half+1, "Trattoria", strings.Repeat("trattoria ", page))
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(got))), len(got), "nobody is on two pages")
	got = slices.DeleteFunc(got, func(id string) bool { return slices.Contains(came, id) })
	require.Equal(t, append(names, others...), got)
}

// storeSearchLongNames lists restaurants whose folded names are the same for longer than a place can say. The letter folds into 18.
func storeSearchLongNames(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s := open(t, dir)
	defer s.Close()
	var events []persistence.Committed
	var want []string
	for i := range 9 {
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(i + 1))), Owner: string(engine.MakeAccountID([16]byte{1})), TimeZone: "Europe/Rome",
			Name: strings.Repeat("\ufdfa", 199) + string(rune('a'+i/3))}
		e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
		events = append(events, persistence.Committed{Seq: 1, Index: i, Aggregate: engine.AggregateID(r.Id), Version: 1, Event: e})
		want = append(want, r.Id)
	}
	require.NoError(t, s.Write(t.Context(), cursor(t, s), at(1), events))
	page, err := s.Search(t.Context(), persistence.SearchFilter{Limit: 1})
	require.NoError(t, err)
	require.Less(t, len(page.Next), 400)
	require.Equal(t, want, idsOfRows(searchAll(t, s, persistence.SearchFilter{Limit: 2})))
}

// storeSearchTerms fills the words that a misspelt one may mean with others that are gone: they do not stand in the way.
func storeSearchTerms(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	s := open(t, dir)
	defer s.Close()
	put := restaurantWriter(t, s)
	found := func(text string) int { return len(searchAll(t, s, persistence.SearchFilter{Text: text, Limit: 10})) }
	crowd := "pizzeria" // and words that are nearer to trtatoria than trattoria is
	for c := 'a'; c <= 'z'; c++ {
		crowd += fmt.Sprintf(" trtator%[1]cia trta%[1]ctoria tr%[1]ctatoria trtato%[1]cria", c)
	}
	put(1, 1, "Trattoria", "")
	put(1, 2, "Da Ada", crowd)
	put(1, 3, "Pizzeria", "")
	put(2, 2, "Da Ada", "")
	require.Equal(t, 1, found("trtatoria"), "the words of who does not say them any more")
	require.Equal(t, 1, found("pizeria"), "a word that somebody else still has")
	put(3, 2, "Da Ada", crowd)
	require.Equal(t, 2, found("pizeria"), "a word that came back")

	require.NoError(t, s.Reset(t.Context()))
	put = restaurantWriter(t, s)
	put(1, 1, "Trattoria", "")
	require.Equal(t, 1, found("trtatoria"), "the words of before a reset")
}

// restaurantWriter writes restaurants into a store that has none.
func restaurantWriter(t *testing.T, s persistence.Store) func(v engine.Version, n int, name, description string) {
	seq := persistence.Seq(0)
	return func(v engine.Version, n int, name, description string) {
		seq++
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(n))), Owner: string(engine.MakeAccountID([16]byte{1})), Name: name, City: "Roma",
			Description: description, TimeZone: "Europe/Rome"}
		e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
		if v > 1 {
			e.Body = &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: r}}
		}
		require.NoError(t, s.Write(t.Context(), cursor(t, s), at(seq), []persistence.Committed{{Seq: seq, Aggregate: engine.AggregateID(r.Id), Version: v, Event: e}}))
	}
}

// storeSearchMany asks for more restaurants than a page looks at, and more than are ranked. They lie on a line, four at a place.
func storeSearchMany(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	const many = 1_300
	s := open(t, dir)
	defer s.Close()
	var events []persistence.Committed
	var all []string
	for i := range many {
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(i + 1))), Owner: string(engine.MakeAccountID([16]byte{1})), Name: "Osteria",
			City: "Roma", TimeZone: "Europe/Rome", Latitude: 41.9 + float64(i/4)/1000, Longitude: 12.5,
			OpeningHours: []*enginepb.OpeningHours{{Days: 127, OpenMin: 720, LastSeatingMin: 840, CloseMin: 900}}}
		e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
		events = append(events, persistence.Committed{Seq: 1, Index: i, Aggregate: engine.AggregateID(r.Id), Version: 1, Event: e})
		all = append(all, r.Id)
	}
	require.NoError(t, s.Write(t.Context(), cursor(t, s), at(1), events))
	near := &persistence.Circle{Latitude: 41.9, Longitude: 12.5, RadiusKm: persistence.MaxRadiusKm}
	noon, night := &persistence.Moment{Day: 20_786, Minutes: 750}, &persistence.Moment{Day: 20_786, Minutes: 300}
	for _, f := range []persistence.SearchFilter{{Near: near}, {Near: near, Text: "osteria"}, {Text: "osteria"}, {}} {
		for _, f.OpenAt = range []*persistence.Moment{nil, noon} {
			for _, f.Limit = range []int{7, 100} {
				require.Equal(t, all, idsOfRows(searchAll(t, s, f)), "%+v", f)
			}
		}
		f.OpenAt = night
		page, err := s.Search(t.Context(), f)
		require.NoError(t, err)
		require.Empty(t, page.Rows)
		require.NotEmpty(t, page.Next, "a page looks at some and says where to go on: %+v", f)
		require.Empty(t, searchAll(t, s, f))
	}
}

func searchAll(t *testing.T, s persistence.Store, f persistence.SearchFilter) (got []persistence.SearchRow) {
	t.Helper()
	for pages := 0; ; pages++ {
		require.Less(t, pages, 500, "%+v does not end", f)
		page, err := s.Search(t.Context(), f)
		require.NoError(t, err, "%+v", f)
		require.LessOrEqual(t, len(page.Rows), f.Limit)
		got = append(got, page.Rows...)
		if page.Next == "" {
			return got
		}
		f.After = page.Next
	}
}

// inOrder sorts what is wanted, which is in the order of registration, as persistence.SearchFilter says.
func inOrder(rows []*enginepb.Restaurant, f persistence.SearchFilter) []*enginepb.Restaurant {
	typos := !slices.ContainsFunc(rows, func(r *enginepb.Restaurant) bool { return textFits(r, f.Text, false) })
	slices.SortStableFunc(rows, func(a, b *enginepb.Restaurant) int {
		switch {
		case f.Near != nil:
			far := func(r *enginepb.Restaurant) float64 {
				return persistence.DistanceKm(f.Near.Latitude, f.Near.Longitude, r.Latitude, r.Longitude)
			}
			return cmp.Compare(far(a), far(b))
		case len(persistence.Words(f.Text)) > 0:
			return cmp.Compare(scoreOf(b, f.Text, typos), scoreOf(a, f.Text, typos))
		}
		return strings.Compare(persistence.Fold(a.Name), persistence.Fold(b.Name))
	})
	return rows
}

// scoreOf is the relevance of a restaurant.
func scoreOf(r *enginepb.Restaurant, text string, typos bool) (score int) {
	words := persistence.Words(text)
	for i, w := range words {
		switch last := i == len(words)-1; {
		case hasWord(r.Name, w, last, typos):
			score += 8
		case hasWord(r.CuisineType, w, last, typos):
			score += 4
		case hasWord(r.City, w, last, typos):
			score += 2
		default:
			score++
		}
	}
	return score
}

func idsOf(rows []*enginepb.Restaurant) (ids []string) {
	for _, r := range rows {
		ids = append(ids, r.Id)
	}
	return ids
}

func idsOfRows(rows []persistence.SearchRow) (ids []string) {
	for i := range rows {
		ids = append(ids, string(rows[i].ID))
	}
	return ids
}
