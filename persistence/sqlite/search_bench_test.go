package sqlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// cityOf makes n restaurants over 60 cities with names of two of 600 words and a handful of common ones.
func cityOf(n int) (events []persistence.Committed) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func(among int) string {
		r := rand.New(rand.NewPCG(uint64(rng.IntN(among)), 9))
		b := make([]byte, 0, 12)
		for range 2 + r.IntN(3) {
			b = append(b, "bcdfglmnprstvz"[r.IntN(14)], "aeiou"[r.IntN(5)])
		}
		return string(b)
	}
	kinds := []string{"Trattoria", "Osteria", "Ristorante", "Pizzeria", "Caffè", "Da"}
	cuisines := []string{"romana", "pizza", "pesce", "sushi", "vegana", "indiana"}
	for i := range n {
		city := rng.IntN(60)
		r := &enginepb.Restaurant{Id: string(engine.MakeRestaurantID(uint64(i + 1))), Owner: string(engine.MakeAccountID([16]byte{1})),
			Name: kinds[rng.IntN(len(kinds))] + " " + word(3000) + " " + word(600), City: fmt.Sprintf("Città %d", city), CuisineType: cuisines[rng.IntN(len(cuisines))],
			Address: "Via " + word(5000) + fmt.Sprint(" ", rng.IntN(200)), Description: word(600) + " " + word(600) + " cucina di " + word(600), TimeZone: "Europe/Rome",
			Latitude: 37 + float64(city)/6 + rng.NormFloat64()/30, Longitude: 9 + float64(city%9) + rng.NormFloat64()/30,
			OpeningHours: []*enginepb.OpeningHours{{Days: 127, OpenMin: 720, LastSeatingMin: 840, CloseMin: 900}, {Days: 0b1111110, OpenMin: 1140, LastSeatingMin: 1320, CloseMin: 1440}}}
		e := &enginepb.Event{AtMs: 1_790_000_000_000, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: r}}}
		events = append(events, persistence.Committed{Seq: 1, Index: i, Aggregate: engine.AggregateID(r.Id), Version: 1, Event: e})
	}
	return events
}

// BenchmarkSearch asks 100,000 restaurants, one question after the other.
func BenchmarkSearch(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir()+"/store.db")
	require.NoError(b, err)
	defer s.Close()
	began := time.Now()
	require.NoError(b, s.Write(b.Context(), persistence.Position{}, at(1), cityOf(100_000)))
	b.Logf("indexed in %v", time.Since(began))
	monday := &persistence.Moment{Day: 20_786, Minutes: 20 * 60}
	for name, f := range map[string]persistence.SearchFilter{
		"rare word": {Text: "bubo"}, "common word": {Text: "trattoria"}, "beginning": {Text: "tr"}, "two words": {Text: "pizzeria ba"}, "misspelt": {Text: "tratoria"},
		"misspelt two": {Text: "ristorrante pizeria"}, "text in a city": {Text: "osteria", City: "Citta 7"}, "city and cuisine": {City: "citta 9", Cuisine: "Pesce"}, "all": {},
		"near": {Near: &persistence.Circle{Latitude: 40, Longitude: 9, RadiusKm: 5}}, "near, wide": {Near: &persistence.Circle{Latitude: 40, Longitude: 9, RadiusKm: 100}},
		"near text": {Text: "osteria", Near: &persistence.Circle{Latitude: 40, Longitude: 9, RadiusKm: 5}},
		"nowhere":   {Near: &persistence.Circle{Latitude: 0, Longitude: 0, RadiusKm: 100}}, "small box": {Box: &persistence.Box{MinLat: 40, MinLon: 9, MaxLat: 40.01, MaxLon: 9.1}},
		"large box": {Box: &persistence.Box{MinLat: 37, MinLon: 9, MaxLat: 41, MaxLon: 14}}, "open": {City: "citta 9", OpenAt: monday}, "open nowhere": {OpenAt: &persistence.Moment{Day: 20_786, Minutes: 300}},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			f.Limit = 20
			for b.Loop() {
				began := time.Now()
				page, err := s.Search(b.Context(), f)
				require.NoError(b, err)
				took = append(took, time.Since(began))
				if len(took) == 1 {
					b.Logf("%d rows, more: %v", len(page.Rows), page.Next != "")
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
