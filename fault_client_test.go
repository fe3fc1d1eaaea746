package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	httpfast "github.com/valyala/fasthttp"
)

// api speaks to one server and never repeats a request by itself: a repetition is a decision of the test.
type api struct{ c *httpfast.HostClient }

var requests atomic.Uint32

func newAPI(addr string, conns int) *api {
	return &api{&httpfast.HostClient{
		Addr: addr, Dial: dialFromGuests, MaxConns: conns, MaxIdemponentCallAttempts: 1, MaxConnWaitTimeout: time.Second,
		RetryIfErr:          func(*httpfast.Request, int, error) (bool, bool) { return false, false },
		ReadTimeout:         30 * time.Second,
		WriteTimeout:        30 * time.Second,
		MaxResponseBodySize: 8 << 20,
	}}
}

func (a *api) close() { a.c.CloseIdleConnections() }

type request struct {
	method, path, token, key, ifMatch string
	body                              any
	within                            time.Duration // 0 = 20 s
}

type answer struct {
	status     int
	body       []byte
	replayed   bool
	retryAfter string
}

func (a *api) do(r request) (answer, error) {
	req, res := httpfast.AcquireRequest(), httpfast.AcquireResponse()
	defer httpfast.ReleaseRequest(req)
	defer httpfast.ReleaseResponse(res)
	path := r.path
	if path[0] == '/' && path != "/readyz" && path != "/healthz" {
		path = "/api/v1" + path
	}
	host, _, _ := strings.Cut(a.c.Addr, ",") // several are taken in turn
	req.SetRequestURI("http://" + host + path)
	req.Header.SetMethod(r.method)
	n := requests.Add(1) % 60_000
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", n>>8, n&255)) // for a server that trusts us as a proxy
	for name, value := range map[string]string{"Idempotency-Key": r.key, "If-Match": r.ifMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return answer{}, err
		}
		req.Header.SetContentType("application/json")
		req.SetBody(b)
	}
	if r.within == 0 {
		r.within = 20 * time.Second
	}
	if err := a.c.DoTimeout(req, res, r.within); err != nil {
		return answer{}, err
	}
	return answer{
		status: res.StatusCode(), body: append([]byte(nil), res.Body()...),
		replayed:   string(res.Header.Peek("Idempotent-Replay")) == "true",
		retryAfter: string(res.Header.Peek("Retry-After")),
	}, nil
}

// kept is what a guest was told about a reservation.
type kept struct {
	ID         string `json:"id"`
	Restaurant string `json:"restaurant_id"`
	Table      string `json:"table_id"`
	Date       string `json:"date"`
	TimeSlot   string `json:"time_slot"`
	StartsAt   string `json:"starts_at"`
	EndsAt     string `json:"ends_at"`
	Guests     int    `json:"guests_count"`
	Status     string `json:"status"`
	Version    uint64 `json:"version"`
	Requests   string `json:"special_requests"`
}

// place is a restaurant of the test.
type place struct {
	id     string
	tables int
}

// world is what the guests choose from.
type world struct {
	places []place
	days   int // from tomorrow
	slots  []string
	owner  string // token of whom the restaurants are
}

type openingHours struct {
	Days        []string `json:"days"`
	Open        string   `json:"open"`
	Close       string   `json:"close"`
	LastSeating string   `json:"last_seating"`
}

var everyWeekday = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// furnish makes restaurants with tables for four through the API.
func furnish(t *testing.T, s *server, restaurants, tables int) *world {
	t.Helper()
	owner := s.tokens("owner", 1)[0]
	w := &world{days: 10, places: make([]place, restaurants), owner: owner}
	for minute := 12 * 60; minute <= 21*60; minute += 15 {
		w.slots = append(w.slots, fmt.Sprintf("%02d:%02d", minute/60, minute%60))
	}
	a := newAPI(s.addr, 16)
	defer a.close()
	each(16, restaurants, func(i int) {
		w.places[i] = place{id: makeRestaurant(t, a, owner, i), tables: tables}
	})
	each(16, restaurants*tables, func(i int) {
		body := map[string]any{"table_number": fmt.Sprint(i%tables + 1), "capacity": 4, "min_capacity": 1, "location": "sala", "is_available": true}
		create(t, a, owner, "/restaurants/"+w.places[i/tables].id+"/tables", fmt.Sprintf("table-%d-%d", i/tables, i%tables), body)
	})
	return w
}

func makeRestaurant(t *testing.T, a *api, owner string, i int) string {
	body := map[string]any{
		"name": fmt.Sprintf("Trattoria %d", i), "address": "Via Appia 1", "city": "Roma", "country": "IT", "cuisine_type": "italian",
		"time_zone": "Europe/Rome", "latitude": 41.9, "longitude": 12.5,
		"opening_hours": []openingHours{{Days: everyWeekday, Open: "12:00", Close: "23:30", LastSeating: "21:00"}},
	}
	var made struct {
		ID string `json:"id"`
	}
	got := create(t, a, owner, "/restaurants", fmt.Sprintf("restaurant-%d", i), body)
	if err := json.Unmarshal(got.body, &made); err != nil || made.ID == "" {
		t.Errorf("restaurant %d: %v: %s", i, err, got.body)
	}
	return made.ID
}

// create repeats a POST with its key until it is decided, and fails the test when that is not 201.
func create(t *testing.T, a *api, token, path, key string, body any) answer {
	deadline := time.Now().Add(readyWithin)
	for {
		got, err := a.do(request{method: "POST", path: path, token: token, key: key, body: body})
		if err == nil && got.status == 201 {
			return got
		}
		if undecided(got, err) && time.Now().Before(deadline) {
			pause(pollEvery)
			continue
		}
		t.Errorf("POST %s: %v %d %s", path, err, got.status, got.body)
		return got
	}
}

func undecided(got answer, err error) bool {
	return err != nil || got.status == 503 || got.status == 504 || got.status == 429
}

// pause waits: for a poll, or for a moment that a fault is to hit.
func pause(d time.Duration) { <-time.After(d) }

// each calls fn for 0 … n-1 on some goroutines.
func each(goroutines, n int, fn func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(goroutines, n) {
		wg.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// day is the date n days after today where the restaurants are.
func day(n int) string {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(err)
	}
	return time.Now().In(zone).AddDate(0, 0, n).Format(time.DateOnly)
}

// want is a random wish that fits the world.
func (w *world) want(rng *rand.Rand) (restaurant, date, slot string, guests int) {
	p := w.places[rng.IntN(len(w.places))]
	return p.id, day(1 + rng.IntN(w.days)), w.slots[rng.IntN(len(w.slots))], 1 + rng.IntN(4)
}

func requireStatus(t *testing.T, want int, got answer, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, want, got.status, "%s", got.body)
}
