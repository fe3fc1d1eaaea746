package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// offer makes reservations as fast as it is told, and remembers which were acknowledged.
type offer struct {
	w      *world
	tokens []string
	addr   string
	seed   uint64
	wish   string // the end of the special requests
	next   atomic.Int64
	rounds atomic.Uint64 // of closed

	mu    sync.Mutex
	acked map[string]int // reservation → token
}

// result is what became of the requests of one phase.
type result struct {
	took      time.Duration
	sent      atomic.Int64
	shed      atomic.Int64 // 503, 429
	unadvised atomic.Int64 // of these, without Retry-After
	other     atomic.Int64 // refusals of the book, 504
	silent    atomic.Int64

	mu   sync.Mutex
	good []time.Duration
	why  map[string]int // what refusals said, and after how long
}

// because notes what a refusal said.
func (r *result) because(got answer, took time.Duration) {
	var p struct{ Code string }
	_ = json.Unmarshal(got.body, &p) // empty when it says nothing
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why == nil {
		r.why = map[string]int{}
	}
	r.why[fmt.Sprintf("%s after %s", p.Code, took.Round(100*time.Millisecond))]++
}

func (r *result) rate() float64    { return float64(len(r.good)) / r.took.Seconds() }
func (r *result) offered() float64 { return float64(r.sent.Load()) / r.took.Seconds() }

func (r *result) p99() time.Duration {
	if len(r.good) == 0 {
		return 0
	}
	sorted := append([]time.Duration(nil), r.good...)
	slices.Sort(sorted)
	return sorted[len(sorted)*99/100]
}

// one makes one reservation.
func (o *offer) one(a *api, rng *rand.Rand, r *result) {
	n := o.next.Add(1)
	who := int(n) % len(o.tokens)
	restaurant, date, slot, guests := o.w.want(rng)
	body := map[string]any{
		"restaurant_id": restaurant, "date": date, "time_slot": slot, "guests_count": guests,
		"special_requests": mark(n) + " " + o.wish,
	}
	begun := time.Now()
	r.sent.Add(1)
	got, err := a.do(request{method: "POST", path: "/reservations", token: o.tokens[who], key: "offer-" + strconv.FormatInt(n, 10), body: body, within: 30 * time.Second})
	switch {
	case err != nil:
		r.silent.Add(1)
	case got.status == 503 || got.status == 429:
		r.shed.Add(1)
		r.because(got, time.Since(begun))
		if got.retryAfter == "" {
			r.unadvised.Add(1)
		}
	case got.status == 201:
		o.accept(got, who)
		r.mu.Lock()
		r.good = append(r.good, time.Since(begun))
		r.mu.Unlock()
	default:
		r.other.Add(1)
	}
}

// closed lets so many clients ask one after the other.
func (o *offer) closed(clients int, during time.Duration) *result {
	a, r, round := newAPI(o.addr, clients), &result{took: during}, o.rounds.Add(1)
	defer a.close()
	ctx, cancel := context.WithTimeout(context.Background(), during)
	defer cancel()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(o.seed, round<<32|uint64(i))) // no round wants what the one before has taken
			for ctx.Err() == nil {
				o.one(a, rng, r)
			}
		})
	}
	wg.Wait()
	return r
}

// open sends at a rate, whether answers come or not, as long as there is a connection left.
func (o *offer) open(perSecond float64, during time.Duration) *result {
	a, r := newAPI(o.addr, overloadConn), &result{took: during}
	defer a.close()
	arrivals := make(chan struct{}) // without a buffer: an arrival that finds no free connection is not offered
	var wg sync.WaitGroup
	for i := range overloadConn {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(o.seed+1, uint64(i)))
			for range arrivals {
				o.one(a, rng, r)
			}
		})
	}
	begun := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for due := 0.0; time.Since(begun) < during; <-tick.C {
		for now := time.Since(begun).Seconds() * perSecond; due < now; due++ {
			select {
			case arrivals <- struct{}{}:
			default:
			}
		}
	}
	r.took = time.Since(begun)
	close(arrivals)
	wg.Wait()
	return r
}

// recover is how long after the overload a light load is served at once again: nothing refused and no slower than at capacity.
func (o *offer) recover(t *testing.T, capacity *result) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		r := o.closed(16, 500*time.Millisecond)
		if r.shed.Load() == 0 && r.silent.Load() == 0 && len(r.good) > 0 && r.p99() <= 2*capacity.p99() {
			return time.Since(begun)
		}
		if time.Since(begun) > healthyWithin {
			t.Fatalf("not back to normal %v after the overload", healthyWithin)
		}
	}
}

func (o *offer) accept(got answer, who int) {
	var made kept
	if json.Unmarshal(got.body, &made) != nil || made.ID == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.acked == nil {
		o.acked = map[string]int{}
	}
	o.acked[made.ID] = who
}

// compare asks for every acknowledged reservation.
func (o *offer) compare(t *testing.T, y *tally) {
	t.Helper()
	a := newAPI(o.addr, 16)
	defer a.close()
	var ids []string
	for id := range o.acked {
		ids = append(ids, id)
	}
	require.NotEmpty(t, ids)
	var mu sync.Mutex
	each(16, len(ids), func(i int) {
		got, err := persist(a, request{method: "GET", path: "/reservations/" + ids[i], token: o.tokens[o.acked[ids[i]]]})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil || undecided(got, err):
			y.add(&y.wrong, "reservation %s cannot be read: %v %d %s", ids[i], err, got.status, got.body)
		case got.status != 200:
			y.add(&y.lost, "reservation %s was acknowledged: %d %s", ids[i], got.status, got.body)
		}
	})
}
