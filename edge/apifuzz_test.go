package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"maitred/engine"
	"maitred/persistence"
)

const (
	fuzzRequests = 8_000
	fuzzEnough   = 50_000 // requests after which each operation must have succeeded
	fuzzWorkers  = 4
)

// fuzzTarget is an operation of the document.
type fuzzTarget struct {
	method, path string
	op           *openapi3.Operation
}

// fuzzWorker sends what it invents, and judges what comes back.
type fuzzWorker struct {
	*inventor
	s       *site
	c       *contract
	targets []fuzzTarget
	people  []person
	tokens  []string
	http    *fasthttp.HostClient
	count   map[string]int // answers by operation and status
	judged  map[string]bool
}

// Requests that are made from the document, fitting ones and spoiled ones, never get a 5xx but 503 and 504, and never an answer
// that the document does not know. MAITRED_FUZZ_REQUESTS says how many, MAITRED_FUZZ_SEED where to begin.
func TestRequestsFromTheDocument(t *testing.T) {
	total, err := strconv.Atoi(os.Getenv("MAITRED_FUZZ_REQUESTS"))
	if err != nil {
		total = fuzzRequests
	}
	seed, err := strconv.ParseUint(os.Getenv("MAITRED_FUZZ_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("MAITRED_FUZZ_SEED=%d MAITRED_FUZZ_REQUESTS=%d", seed, total)
	s := listen(t, openHouse(t), fuzzLists)
	var people []person
	for i, role := range []string{"owner", "customer", "customer", "customer"} {
		people = append(people, s.register(fuzzEmail(i), role))
	}
	c, err := theContract()
	require.NoError(t, err)
	workers := make([]*fuzzWorker, fuzzWorkers)
	for i := range workers { // all before the first request, which may end the sessions of the people
		workers[i] = newFuzzWorker(s, c, seed+uint64(i), people)
	}
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for n := 0; n < total/fuzzWorkers && !t.Failed(); n++ {
				if n%500 == 0 {
					w.renew()
				}
				if err := w.one(); err != nil {
					t.Error(err)
				}
			}
			w.http.CloseIdleConnections()
		})
	}
	wg.Wait()
	if !t.Failed() {
		reportFuzz(t, workers, total >= fuzzEnough)
	}
}

func newFuzzWorker(s *site, c *contract, seed uint64, people []person) *fuzzWorker {
	w := &fuzzWorker{
		inventor: newInventor(seed), s: s, c: c, people: people, count: map[string]int{}, judged: map[string]bool{},
		http: &fasthttp.HostClient{
			Addr: s.addr, MaxConns: 2, ReadTimeout: 20 * time.Second, DisableHeaderNamesNormalizing: true, DisablePathNormalizing: true,
			Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) },
		},
	}
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for range max(1, often[op.OperationID]) {
				w.targets = append(w.targets, fuzzTarget{method, path, op})
			}
		}
	}
	slices.SortFunc(w.targets, func(a, b fuzzTarget) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	restaurant, tables := people[0].trattoria()
	w.learn("RestaurantId", restaurant)
	for _, table := range tables {
		w.learn("TableId", table)
		w.learn("table_id", table)
	}
	for i := range people[1:] {
		a := people[0].do("POST", "/restaurants/"+restaurant+"/staff", `{"email":"`+fuzzEmail(i+1)+`","role":"host"}`)
		require.Equal(s.t, 201, a.StatusCode, a.text)
	}
	for _, p := range people {
		w.learn("UserId", p.id)
		w.learn("refresh_token", p.refresh)
	}
	return w
}

func fuzzEmail(i int) string { return fmt.Sprintf("fuzz%d@example.org", i) }

// renew makes new tokens: a request may have ended the old ones.
func (w *fuzzWorker) renew() {
	w.tokens = w.tokens[:0]
	for i, p := range w.people {
		role := engine.RoleCustomer
		if i == 0 {
			role = engine.RoleOwner
		}
		token, err := w.s.tokens.Issue(engine.AccountID(p.id), role, time.Now())
		if err != nil {
			panic(err)
		}
		w.tokens = append(w.tokens, token)
	}
}

// one sends a request and judges the answer.
func (w *fuzzWorker) one() error {
	target := pick(w.inventor, w.targets)
	tokens := w.tokens[:2]
	switch {
	case target.op.OperationID == "deleteMe":
		tokens = w.tokens[3:]
	case endsSessions[target.op.OperationID] || w.chance(10):
		tokens = w.tokens[2:3]
	}
	r := w.request(target.method, target.path, target.op, tokens)
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.Header.DisableNormalizing()
	req.Header.SetMethod(r.method)
	req.Header.SetHost("localhost")
	req.URI().DisablePathNormalizing = true
	req.SetRequestURI("http://localhost" + r.target)
	req.Header.SetNoDefaultContentType(true)
	head := http.Header{}
	for _, h := range r.headers {
		req.Header.Set(h[0], h[1])
		head.Set(h[0], h[1])
	}
	req.SetBodyString(r.body)
	if err := w.http.Do(req, res); err != nil {
		if r.tooLarge() { // it is refused while it is still written, and the answer may be lost with the connection
			w.count["cut off 000"]++
			return nil
		}
		return fmt.Errorf("no answer: %w\n%s", err, r)
	}
	status, body := res.StatusCode(), res.Body()
	w.count[target.op.OperationID+" "+strconv.Itoa(status)]++
	if status >= 500 && status != 503 && status != 504 {
		return fmt.Errorf("%d %s\n%s", status, body, r)
	}
	answerHead := http.Header{}
	for k, v := range res.Header.All() {
		answerHead.Set(string(k), string(v))
	}
	seen := ""
	if status >= 400 { // the document's judgement on refusals that look alike is the same
		names := slices.Sorted(maps.Keys(answerHead))
		seen = fmt.Sprint(target.op.OperationID, status, names, answerHead["Content-Type"], answerHead["Retry-After"], string(body))
		if w.judged[seen] {
			return nil
		}
	}
	if err := w.c.check(r.method, r.target, head, []byte(r.body), status, answerHead, body, false); err != nil {
		return fmt.Errorf("%w\n%s\n%d %s", err, r, status, body)
	}
	if status < 300 {
		w.remember(body)
	} else if len(w.judged) < 10_000 {
		w.judged[seen] = true
	}
	return nil
}

// remember learns the ids and tokens of an answer.
func (w *fuzzWorker) remember(body []byte) {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	if id, ok := answer["id"].(string); ok {
		switch {
		case strings.HasPrefix(id, "rsv_"):
			w.learn("ReservationId", id)
		case answer["quota_per_minute"] != nil:
			w.learn("APIKeyId", id)
		case strings.HasPrefix(id, "tbl_"):
			w.learn("TableId", id)
		case strings.HasPrefix(id, "rst_") && w.chance(5): // most requests are about the few that have tables
			w.learn("RestaurantId", id)
		}
	}
	for _, name := range []string{"refresh_token", "next_cursor"} {
		if v, ok := answer[name].(string); ok {
			w.learn(strings.TrimPrefix(name, "next_"), v)
		}
	}
}

func (r invention) tooLarge() bool {
	n := len(r.target)
	for _, h := range r.headers {
		n += len(h[0]) + len(h[1])
	}
	return n > readBuffer-512 || len(r.body) > maxBody
}

func (r invention) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.method, r.target)
	for _, h := range r.headers {
		fmt.Fprintf(&b, "%s: %.200q\n", h[0], h[1])
	}
	fmt.Fprintf(&b, "%.1000q", r.body)
	return b.String()
}

// reportFuzz logs how often each status came, and fails when the requests were not what they should be: each operation has to
// succeed and to refuse.
func reportFuzz(t *testing.T, workers []*fuzzWorker, enough bool) {
	sum, byStatus := map[string]int{}, map[string]int{}
	for _, w := range workers {
		for k, n := range w.count {
			sum[k] += n
			byStatus[k[len(k)-3:]] += n
		}
	}
	for _, target := range workers[0].targets {
		accepted, refused := 0, 0
		for k, n := range sum {
			if id, status, _ := strings.Cut(k, " "); id == target.op.OperationID {
				if status < "300" {
					accepted += n
				} else {
					refused += n
				}
			}
		}
		if enough && accepted == 0 && !rarelyAccepted[target.op.OperationID] {
			t.Errorf("%s never succeeded", target.op.OperationID)
		}
		if refused == 0 && !strings.HasPrefix(target.path, "/api") {
			continue
		}
		require.Positive(t, refused, target.op.OperationID)
	}
	for _, k := range slices.Sorted(maps.Keys(byStatus)) {
		t.Logf("%s: %d", k, byStatus[k])
	}
}

// endsSessions are operations that one of the people alone tries (and another is erased): without valid tokens nothing else would be tried.
var endsSessions = map[string]bool{"revokeAll": true, "patchMe": true, "beginSecondFactor": true, "confirmSecondFactor": true, "removeSecondFactor": true}

// often are operations that others live on.
var often = map[string]int{"createReservation": 6, "seatReservation": 2, "completeReservation": 2, "createReview": 2, "patchReservation": 2}

// rarelyAccepted are operations whose success needs a history that chance seldom makes.
var rarelyAccepted = map[string]bool{"confirmReservation": true, "declineReservation": true, "confirmSecondFactor": true, "removeSecondFactor": true}

// oneRow is a store in which everybody has one of everything.
type oneRow struct{ Lists }

func fuzzLists(c *Config) { c.Lists = oneRow{} }

func (oneRow) ReservationsOf(context.Context, engine.AccountID, persistence.ListFilter) (persistence.Page, error) {
	at := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	return persistence.Page{AsOf: at, Next: "place", Rows: []persistence.ReservationRow{{
		ID: "rsv_0123456789abc0123456789abc", Restaurant: "rst_0123456789abc", RestaurantName: "Da Anna", Tables: []engine.TableID{"tbl_0123456789abc0123456789abc"},
		ServiceDay: 20811, LocalMin: 1140, StartsAt: at, EndsAt: at.Add(2 * time.Hour), GuestsCount: 2, Status: engine.StatusConfirmed, Version: 3,
	}}}, nil
}

func (oneRow) ReviewsOf(context.Context, engine.RestaurantID, persistence.ReviewFilter) (persistence.ReviewPage, error) {
	return persistence.ReviewPage{AsOf: time.Now(), Next: "place", Rows: []persistence.ReviewRow{{
		ID: "rev_0123456789abc0123456789abc", Restaurant: "rst_0123456789abc", Rating: 5, Comment: "fine", At: time.Now().UTC().Truncate(time.Second),
	}}}, nil
}

func (oneRow) PlacesOf(context.Context, engine.AccountID, string, int) (persistence.PlacePage, error) {
	return persistence.PlacePage{AsOf: time.Now(), Rows: []persistence.PlaceRow{{Restaurant: "rst_0123456789abc", Name: "Da Anna", City: "Roma", Role: engine.RoleOwner}}}, nil
}

func (oneRow) Search(context.Context, persistence.SearchFilter) (persistence.SearchPage, error) {
	return persistence.SearchPage{AsOf: time.Now(), Next: "place", Rows: []persistence.SearchRow{{ID: "rst_0123456789abc", Name: "Da Anna", Zone: "Europe/Rome", Latitude: 41.9, Longitude: 12.5}}}, nil
}
