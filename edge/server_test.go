package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), // its clock, one a process
		// It sees that its server has ended when it next wakes, after at most 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"), // a client's: the same
	)
}

// script is a house that does what a test says.
type script struct {
	do     func(id engine.AggregateID, cmd *engine.Command) (engine.Outcome, error)
	view   func(id engine.AggregateID) (*actors.View, error)
	status actors.Status
	calls  atomic.Int64
}

func (h *script) Do(id engine.AggregateID, cmd *engine.Command, _ time.Time) (engine.Outcome, error) {
	h.calls.Add(1)
	return h.do(id, cmd)
}

func (h *script) View(id engine.AggregateID, _ time.Time) (*actors.View, error) {
	h.calls.Add(1)
	return h.view(id)
}

func (h *script) Status() actors.Status { return h.status }

// created answers every create with a reservation.
func created(_ engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
	c, ok := cmd.Body.(*engine.CreateReservation)
	if !ok {
		return engine.Outcome{}, errors.New("not a create")
	}
	return engine.Outcome{Code: engine.CodeCreated, Reservation: &engine.Reservation{
		ID: c.ID, Guest: cmd.Caller.Account, Day: c.Want.Day, LocalMin: c.Want.LocalMin, GuestsCount: c.GuestsCount,
		SpecialRequests: c.SpecialRequests, Status: engine.StatusConfirmed, Version: 1,
	}}, nil
}

// site is a server that listens, and what talks to it.
type site struct {
	*Server
	t    testing.TB
	addr string
	log  *lockedBuffer
	now  time.Time

	fiction bool // the house answers what no house does: the document is no measure
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t testing.TB, house House, change ...func(*Config)) *site {
	t.Helper()
	return prepare(t, house, change...).open()
}

// prepare makes a server that does not listen yet.
func prepare(t testing.TB, house House, change ...func(*Config)) *site {
	t.Helper()
	keys, err := OpenKeys(t.TempDir())
	require.NoError(t, err)
	log := &lockedBuffer{}
	at := time.Now()
	cfg := Config{
		House: house, Keys: keys, Registry: prometheus.NewRegistry(), PasswordMemory: 64,
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	if _, real := house.(*actors.House); real && os.Getenv("MAITRED_TEST_ELSEWHERE") != "" {
		haveElsewhere(t, &cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	return &site{Server: s, t: t, log: log, now: at}
}

func (s *site) open() *site {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	require.NoError(s.t, s.Open(ln))
	s.t.Cleanup(func() { require.NoError(s.t, s.Close()) })
	s.addr = ln.Addr().String()
	return s
}

func (s *site) token(account engine.AccountID, role engine.Role) string {
	s.t.Helper()
	token, err := s.tokens.Issue(account, role, time.Now())
	require.NoError(s.t, err)
	return token
}

// figures is the page of metrics.
func (s *site) figures() string {
	s.t.Helper()
	page := httptest.NewRecorder()
	promhttp.HandlerFor(s.cfg.Registry.(prometheus.Gatherer), promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
	return page.Body.String()
}

// answer is what came back.
type answer struct {
	*http.Response
	text string
	doc  map[string]any
}

func (a *answer) code() string {
	c, _ := a.doc["code"].(string)
	return c
}

// ask sends a request; headers are name, value pairs.
func (s *site) ask(method, path, token, body string, headers ...string) *answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.addr+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	require.NoError(s.t, err)
	a := read(s.t, res)
	if !s.fiction {
		keeps(s.t, req, body, a)
	}
	return a
}

func read(t testing.TB, res *http.Response) *answer {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	a := &answer{Response: res, text: string(b)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && len(b) > 0 {
		require.NoError(t, json.Unmarshal(b, &a.doc), "%s", b)
	}
	if res.StatusCode >= 400 {
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), "%s", b)
		require.EqualValues(t, res.StatusCode, a.doc["status"])
		require.NotEmpty(t, a.code())
	}
	return a
}

// raw sends bytes and reads answers until the server closes or none comes any more.
func (s *site) raw(request string) (answers []*answer, closed bool) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	defer c.Close()
	require.NoError(s.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, request)
	if err != nil { // refused before all was read
		s.t.Logf("write: %v", err)
	}
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			var timeout net.Error
			return answers, !(errors.As(err, &timeout) && timeout.Timeout())
		}
		answers = append(answers, read(s.t, res))
		require.NoError(s.t, c.SetReadDeadline(time.Now().Add(400*time.Millisecond)))
	}
}

const reservationBody = `{"restaurant_id":"rst_0123456789abc","date":"2026-12-24","time_slot":"19:00","guests_count":2}`

func TestCloseIsIdempotentAndLetsTheRequestInFlightFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := listen(t, &script{do: func(id engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
		close(entered)
		<-release
		return created(id, cmd)
	}})
	status := make(chan int)
	go func() {
		status <- s.ask("POST", "/api/v1/reservations", s.token(guestID, engine.RoleCustomer), reservationBody).StatusCode
	}()
	<-entered
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "it stops accepting at once")
	select {
	case err := <-closed:
		t.Fatalf("Close returned with a request in flight: %v", err)
	default:
	}
	close(release)
	require.Equal(t, 201, <-status)
	require.NoError(t, <-closed)
	require.NoError(t, s.Close())
	require.Error(t, s.Open(nil), "what was closed stays closed")
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	house := &script{do: func(id engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
		close(entered)
		<-release
		return created(id, cmd)
	}}
	s := listen(t, house, func(c *Config) { c.CloseTimeout = 50 * time.Millisecond })
	done := make(chan struct{})
	go func() {
		s.ask("POST", "/api/v1/reservations", s.token(guestID, engine.RoleCustomer), reservationBody)
		close(done)
	}()
	<-entered
	require.ErrorIs(t, s.Close(), context.DeadlineExceeded)
	close(release)
	<-done
}

func TestCloseBeforeOpen(t *testing.T) {
	keys, err := OpenKeys(t.TempDir())
	require.NoError(t, err)
	s, err := New(Config{House: &script{}, Keys: keys, Registry: prometheus.NewRegistry(), PasswordMemory: 64})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
}

// Each fault of the house has its status, code and Retry-After on the wire.
func TestFaultsOnTheWire(t *testing.T) {
	var fault error
	house := &script{
		do:   func(engine.AggregateID, *engine.Command) (engine.Outcome, error) { return engine.Outcome{}, fault },
		view: func(engine.AggregateID) (*actors.View, error) { return nil, fault },
	}
	s := listen(t, house)
	s.fiction = true
	token := s.token(guestID, engine.RoleCustomer)
	for _, row := range append(kindOfError, struct {
		err  error
		kind kind
	}{errors.New("secret detail"), kindInternal}) {
		fault = row.err
		for _, a := range []*answer{
			s.ask("POST", "/api/v1/reservations", token, reservationBody),
			s.ask("GET", "/api/v1/restaurants/rst_0123456789abc/availability?date=2026-12-24&guests=2", "", ""),
			s.ask("POST", "/api/v1/reservations/rsv_0123456789abc0123456789abc/cancel", token, ""),
		} {
			require.Equal(t, row.kind.status, a.StatusCode, row.err)
			require.Equal(t, row.kind.code, a.code())
			require.Equal(t, row.kind.retry > 0, a.Header.Get("Retry-After") != "", row.err)
			require.NotContains(t, a.text, "secret detail")
		}
	}
}

// Each refusal of the engine, too.
func TestRefusalsOnTheWire(t *testing.T) {
	out := engine.Outcome{Field: "guests_count", Alternatives: []engine.Alternative{{Day: 20811, LocalMin: 1155, StartsAt: 20811*86400 + 1155*60 - 3600}}}
	s := listen(t, &script{do: func(engine.AggregateID, *engine.Command) (engine.Outcome, error) { return out, nil }})
	s.fiction = true
	token := s.token(guestID, engine.RoleCustomer)
	for c := engine.CodeCreated + 1; int(c) < engine.CodeCount; c++ {
		out.Code = c
		a := s.ask("POST", "/api/v1/reservations", token, reservationBody)
		require.Equal(t, kindOfCode[c].status, a.StatusCode)
		require.Equal(t, c.String(), a.code())
		require.Equal(t, []any{map[string]any{"date": "2026-12-24", "time_slot": "19:15", "starts_at": "2026-12-24T19:15:00+01:00"}}, a.doc["alternatives"])
	}
}

func TestAPanicIs500AndTheServerLives(t *testing.T) {
	s := listen(t, &script{do: func(_ engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
		if cmd.Body.(*engine.CreateReservation).GuestsCount == 3 {
			panic("poison")
		}
		return created("", cmd)
	}})
	token := s.token(guestID, engine.RoleCustomer)
	a := s.ask("POST", "/api/v1/reservations", token, strings.Replace(reservationBody, "2}", "3}", 1))
	require.Equal(t, 500, a.StatusCode)
	require.NotContains(t, a.text, "poison")
	require.Contains(t, s.log.String(), "poison")
	require.NotContains(t, s.log.String(), token)
	require.Equal(t, 201, s.ask("POST", "/api/v1/reservations", token, reservationBody).StatusCode)
	require.Contains(t, s.figures(), `http_requests_total{endpoint="/api/v1/reservations",method="POST",status="500"} 1`)
}

type followerAt persistence.ProjectorStatus

func (f followerAt) Status() persistence.ProjectorStatus { return persistence.ProjectorStatus(f) }

func TestHealthAndReadiness(t *testing.T) {
	house := &script{status: actors.Status{Serving: true, Last: 120, Incarnation: 3}}
	s := listen(t, house, func(c *Config) {
		c.Followers = map[string]Follower{
			"store": followerAt{State: persistence.ProjectorRunning, Position: persistence.Position{Seq: 100}, LagRecords: 20, Lag: 1500 * time.Microsecond},
			"away":  followerAt{State: persistence.ProjectorRetrying, Err: errors.New("password=secret")},
		}
		left := math.Inf(1)
		c.Space = func() JournalSpace {
			defer func() { left = 12.345 }()
			return JournalSpace{Used: 0.25, HoursLeft: left}
		}
	})
	require.Equal(t, 200, s.ask("GET", "/healthz", "", "").StatusCode)
	a := s.ask("GET", "/readyz", "", "")
	require.Equal(t, 200, a.StatusCode, "a follower that is away makes nothing unready")
	followers := a.doc["followers"].(map[string]any)
	require.Equal(t, map[string]any{"ok": true, "state": "running", "cursor": 100.0, "lag": 20.0, "lag_seconds": 0.002}, followers["store"])
	require.Equal(t, false, followers["away"].(map[string]any)["ok"])
	require.Equal(t, "retrying", followers["away"].(map[string]any)["state"])
	require.NotContains(t, a.text, "secret")
	require.Equal(t, map[string]any{"used": 0.25, "hours_left": nil}, a.doc["journal"])
	require.Equal(t, 12.35, s.ask("GET", "/readyz", "", "").doc["journal"].(map[string]any)["hours_left"])
	require.Equal(t, 200, s.ask("GET", "/", "", "").StatusCode)
}

func TestNotServingIsNotReady(t *testing.T) {
	s := listen(t, &script{status: actors.Status{Reason: "recovering"}})
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, 503, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	require.Equal(t, 200, s.ask("GET", "/healthz", "", "").StatusCode)
}
