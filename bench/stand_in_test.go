package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// The test binary plays all processes of a run: the bench's own sub-commands, and a stand-in for maitred that is honest or
// has one of the faults that the bench must find.

const faultVariable = "BENCH_TEST_FAULT" // "", "loses", "doubles" or "slow sink"

// slowSink is how many reservations/s the stand-in's pretended sink takes when it is slow.
const slowSink = 4000

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "load", "echo", "rowlock":
			main()
			return
		case "serve":
			if os.Args[2] == "--help" {
				fmt.Println("--admin-listen=ADDR")
				return
			}
			playServe()
			return
		case "token":
			playToken()
			return
		case "journal":
			fmt.Println("a stand-in has no journal")
			return
		}
	}
	os.Exit(m.Run())
}

func argument(name string) string {
	for i, a := range os.Args[:len(os.Args)-1] {
		if a == name {
			return os.Args[i+1]
		}
	}
	return ""
}

func playToken() {
	var n int
	_, _ = fmt.Sscan(argument("--count"), &n)
	for i := range n {
		fmt.Printf("%s%0200d\n", argument("--role"), i)
	}
}

// standIn keeps reservations in a map and in a file, which a kill does not harm.
type standIn struct {
	mu      sync.Mutex
	fault   string
	file    *os.File
	made    int
	created int
	byKey   map[string]string
	byID    map[string]string
	taken   map[string]int
	written float64 // by the pretended sink
	asked   time.Time
}

// lag is what the pretended sink has not written, and how old that is.
func (s *standIn) lag() (records int, seconds float64) {
	if s.fault != "slow sink" {
		return 0, 0
	}
	now := time.Now()
	if !s.asked.IsZero() {
		s.written = min(float64(s.created), s.written+now.Sub(s.asked).Seconds()*slowSink)
	}
	s.asked = now
	left := float64(s.created) - s.written
	return int(left), left / slowSink
}

func playServe() {
	dir := argument("--data")
	s := &standIn{fault: os.Getenv(faultVariable), byKey: map[string]string{}, byID: map[string]string{}, taken: map[string]int{}}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = s.open(filepath.Join(dir, "reservations.txt"))
	}
	if err == nil {
		admin, fault := net.Listen("tcp4", argument("--admin-listen"))
		if fault != nil {
			panic(fault)
		}
		go func() { _ = fasthttp.Serve(admin, s.handle) }()
		var l net.Listener
		if l, err = net.Listen("tcp4", argument("--listen")); err == nil {
			err = fasthttp.Serve(l, s.handle)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (s *standIn) open(path string) error {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), "\t", 4)
		_, _ = fmt.Sscanf(f[0], "rsv_%d", &s.made) // ids go on where they were
		s.byKey[f[1]], s.byID[f[0]] = f[0], f[3]
		s.taken[f[2]]++
	}
	s.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

func (s *standIn) handle(ctx *fasthttp.RequestCtx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx.SetContentType("application/json")
	path := string(ctx.Path())
	switch {
	case path == "/readyz", strings.HasPrefix(path, "/debug/pprof/"):
	case path == "/metrics":
		records, seconds := s.lag()
		fmt.Fprintf(ctx, "# HELP x y\nreservations_created_total %d\nmaitred_actors_resident 600\n", s.created)
		fmt.Fprintf(ctx, "maitred_sink_lag_records{sink=\"store\"} %d\nmaitred_sink_lag_seconds{sink=\"store\"} %g\n", records, seconds)
	case ctx.IsPost() && path == "/api/v1/reservations":
		s.reserve(ctx)
	case ctx.IsPost():
		s.made++
		ctx.SetStatusCode(201)
		fmt.Fprintf(ctx, `{"id":"rst_%022d"}`, s.made)
	case strings.HasSuffix(path, "/availability"):
		ctx.SetBodyString(`{"slots":[` + strings.Repeat(`{"time_slot":"10:00","available":true,"tables":3},`, 20) + `]}`)
	default:
		body, ok := s.byID[strings.TrimPrefix(path, "/api/v1/reservations/")]
		if !ok {
			ctx.SetStatusCode(404)
		}
		ctx.SetBodyString(body)
	}
}

func (s *standIn) reserve(ctx *fasthttp.RequestCtx) {
	key := string(ctx.Request.Header.Peek("Idempotency-Key"))
	if id, ok := s.byKey[key]; ok && s.fault != "doubles" {
		ctx.SetStatusCode(201)
		ctx.SetBodyString(s.byID[id])
		return
	}
	var b struct {
		Restaurant string `json:"restaurant_id"`
		Date       string `json:"date"`
		Slot       string `json:"time_slot"`
		Guests     int    `json:"guests_count"`
		Requests   string `json:"special_requests"`
	}
	if err := json.Unmarshal(ctx.PostBody(), &b); err != nil || b.Restaurant == "" || b.Requests == "" {
		ctx.SetStatusCode(422)
		return
	}
	place := b.Restaurant + b.Date + b.Slot
	s.taken[place]++
	s.made++
	s.created++
	id := fmt.Sprintf("rsv_%024d", s.made)
	body := fmt.Sprintf(`{"id":"%s","restaurant_id":"%s","table_id":"tbl_%s_%d","starts_at":"%sT%s:00Z","guests_count":%d,"status":"confirmed"}`,
		id, b.Restaurant, b.Restaurant, s.taken[place], b.Date, b.Slot, b.Guests)
	s.byKey[key], s.byID[id] = id, body
	if s.fault != "loses" || s.made%1000 != 0 {
		fmt.Fprintf(s.file, "%s\t%s\t%s\t%s\n", id, key, place, body)
	}
	ctx.SetStatusCode(201)
	ctx.SetBodyString(body)
}
