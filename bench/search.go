package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// searchCmd fills a server with restaurants of many cities and asks for them at a constant rate.
type searchCmd struct {
	Restaurants int     `default:"100000" help:"How many."`
	Rate        float64 `default:"300" help:"Searches a second, open loop."`
	Seconds     float64 `default:"20" help:"Of the measurement."`
	Dir         string  `help:"Parent of the temporary folder; must be on a real disk." placeholder:"DIR"`

	binary string // for tests: what plays maitred
}

const (
	searchCities  = 60
	searchWorkers = 64 // searches in flight; one that finds none free waits, and its wait counts
)

// Run implements the command.
func (c *searchCmd) Run() (err error) {
	ctx := context.Background()
	dir, err := workFolder(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	h, err := buildHouse(ctx, dir, c.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.kill()) }()
	if _, err := h.start(); err != nil {
		return err
	}
	owner, err := h.tokens(1, "owner", filepath.Join(dir, "owner.txt"))
	if err != nil {
		return err
	}
	if err := c.fill(ctx, newFounder(h.addr, owner[0])); err != nil {
		return err
	}
	if err := awaitSinks(h.metrics); err != nil {
		return err
	}
	c.warm(h.addr)
	return c.measure(h.addr)
}

// words are made up, the same in each run: 3,000 of them.
var words = func() (all []string) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 3_000 {
		w := ""
		for range 2 + rng.IntN(3) {
			w += string("bcdfglmnprstvz"[rng.IntN(14)]) + string("aeiou"[rng.IntN(5)])
		}
		all = append(all, w)
	}
	return all
}()

func (c *searchCmd) fill(ctx context.Context, f *founder) error {
	kinds := []string{"Trattoria", "Osteria", "Ristorante", "Pizzeria", "Caffè", "Da"}
	cuisines := []string{"romana", "pizza", "pesce", "sushi", "vegana", "indiana"}
	bar := newBar("restaurants", c.Restaurants)
	defer bar.stop()
	var next atomic.Int64
	group, inner := errgroup.WithContext(ctx)
	for range setupWorkers {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < c.Restaurants && inner.Err() == nil; i = int(next.Add(1)) - 1 {
				rng := rand.New(rand.NewPCG(uint64(i), 1))
				word := func() string { return words[rng.IntN(len(words))] }
				city := rng.IntN(searchCities)
				if _, err := f.post("/api/v1/restaurants", map[string]any{
					"name": kinds[rng.IntN(len(kinds))] + " " + word() + " " + word(), "city": fmt.Sprintf("Città %d", city), "cuisine_type": cuisines[rng.IntN(len(cuisines))],
					"address": "Via " + word() + fmt.Sprint(" ", rng.IntN(200)), "description": word() + " " + word() + " cucina di " + word(), "time_zone": "Europe/Rome",
					"latitude": 37 + float64(city)/6 + rng.NormFloat64()/30, "longitude": 9 + float64(city%9) + rng.NormFloat64()/30,
					"opening_hours": []map[string]any{
						{"days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "open": "12:00", "close": "15:00", "last_seating": "14:00"},
						{"days": []string{"tue", "wed", "thu", "fri", "sat", "sun"}, "open": "19:00", "close": "24:00", "last_seating": "22:00"},
					},
				}); err != nil {
					return err
				}
				bar.add(1)
			}
			return nil
		})
	}
	return group.Wait()
}

// searchKinds are the questions of the mix, drawn with equal chance.
var searchKinds = []struct {
	name string
	ask  func(rng *rand.Rand) string
}{
	{"a word", func(rng *rand.Rand) string { return "q=" + words[rng.IntN(len(words))] }},
	{"a common word", func(*rand.Rand) string { return "q=trattoria" }},
	{"a beginning", func(rng *rand.Rand) string { return "q=" + words[rng.IntN(len(words))][:3] }},
	{"misspelt", func(rng *rand.Rand) string { w := words[rng.IntN(len(words))]; return "q=" + w[:1] + "x" + w[1:] }},
	{"city and cuisine", func(rng *rand.Rand) string {
		return "cuisine=pesce&city=" + url.QueryEscape(fmt.Sprintf("Città %d", rng.IntN(searchCities)))
	}},
	{"near", func(rng *rand.Rand) string { return around(rng) }},
	{"near, wide", func(rng *rand.Rand) string { return around(rng) + "&radius_km=100" }},
	{"a word near", func(rng *rand.Rand) string { return around(rng) + "&q=osteria" }},
	{"open in a city", func(rng *rand.Rand) string {
		return "open_at=2026-12-01T20:00&city=" + url.QueryEscape(fmt.Sprintf("Città %d", rng.IntN(searchCities)))
	}},
	{"by name", func(*rand.Rand) string { return "" }},
}

func around(rng *rand.Rand) string {
	city := rng.IntN(searchCities)
	return fmt.Sprintf("lat=%.4f&lon=%.4f", 37+float64(city)/6, 9+float64(city%9))
}

func (c *searchCmd) warm(addr string) {
	client := &fasthttp.HostClient{Addr: addr}
	for i, k := range searchKinds {
		_, _, _ = client.Get(nil, "http://"+addr+"/api/v1/restaurants?limit=20&"+k.ask(rand.New(rand.NewPCG(uint64(i), 3))))
	}
}

// measure sends at a constant rate; latency counts from when a search should have been sent.
func (c *searchCmd) measure(addr string) error {
	client := &fasthttp.HostClient{Addr: addr, MaxConns: searchWorkers, ReadTimeout: 10 * time.Second}
	type shot struct {
		kind int
		due  time.Time
		url  string
	}
	shots := make(chan shot, int(c.Rate*c.Seconds)+1)
	hist := make([]*hdrhistogram.Histogram, len(searchKinds)+1)
	for i := range hist {
		hist[i] = hdrhistogram.New(1, 60_000_000, 3)
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for range searchWorkers {
		wg.Go(func() {
			for s := range shots {
				time.Sleep(time.Until(s.due))
				status, _, err := client.GetTimeout(nil, s.url, 10*time.Second)
				if err != nil {
					status = -1
				}
				took := time.Since(s.due).Microseconds()
				mu.Lock()
				statuses[status]++
				_ = hist[s.kind].RecordValue(took)
				_ = hist[len(searchKinds)].RecordValue(took)
				mu.Unlock()
			}
		})
	}
	begin := time.Now().Add(100 * time.Millisecond)
	for i := range int(c.Rate * c.Seconds) {
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		kind := rng.IntN(len(searchKinds))
		shots <- shot{kind, begin.Add(time.Duration(float64(i) / c.Rate * 1e9)), "http://" + addr + "/api/v1/restaurants?limit=20&" + searchKinds[kind].ask(rng)}
	}
	close(shots)
	wg.Wait()
	ms := func(h *hdrhistogram.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	fmt.Printf("%d restaurants, %.0f searches/s for %.0f s, answers %v\n", c.Restaurants, c.Rate, c.Seconds, statuses)
	fmt.Printf("%-18s %8s %8s %8s %8s\n", "", "n", "p50 ms", "p99 ms", "max ms")
	for i, h := range hist {
		name := "all"
		if i < len(searchKinds) {
			name = searchKinds[i].name
		}
		fmt.Printf("%-18s %8d %8.1f %8.1f %8.1f\n", name, h.TotalCount(), ms(h, 50), ms(h, 99), float64(h.Max())/1000)
	}
	if statuses[200] != int(c.Rate*c.Seconds) {
		return fmt.Errorf("search: not every search was answered: %v", statuses)
	}
	return nil
}
