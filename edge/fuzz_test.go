package edge

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
)

// tape is a connection whose peer has said everything already.
type tape struct {
	said *bytes.Reader
	got  bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.said.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.got.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 4000} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

func fuzzServer(f *testing.F, house House) *Server {
	keys, err := OpenKeys(f.TempDir())
	require.NoError(f, err)
	s, err := New(Config{House: house, Keys: keys, Registry: prometheus.NewRegistry(), PasswordMemory: 8, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	return s
}

// empty is a house in which nothing exists.
func empty(engine.AggregateID) (*actors.View, error) { return &actors.View{}, nil }

// Whatever comes over the wire: no panic, no 500, answers that net/http can read, and no more commands than requests that
// net/http reads in the same bytes (a command that another parser does not see is a smuggled one).
func FuzzWire(f *testing.F) {
	house := &script{do: created, view: empty}
	s := fuzzServer(f, house)
	token, err := s.tokens.Issue(guestID, engine.RoleCustomer, time.Now())
	require.NoError(f, err)
	const mark = "TOKEN" // corpus files outlive the key
	post := string(postRequest(mark))
	for _, seed := range []string{
		post, post + post, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", strings.Replace(post, "Content-Length", "Transfer-Encoding: chunked\r\nContent-Length", 1),
		strings.Replace(post, "POST", "PUT", 1), strings.Replace(post, "\r\n", "\n", -1), strings.Replace(post, "Host:", "Host :", 1),
		"POST /api/v1/reservations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + post,
		strings.Replace(post, "Content-Length", "Transfer-Encoding: identity\r\nContent-Length", 1), // fasthttp takes it, net/http does not
		"GET /api/v1/restaurants/rst_x/availability?date=2026-01-01&guests_count=2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nIf-Match: \"1\"\r\nIdempotency-Key: k\r\n\r\n",
		"DELETE /api/v1/tables/tbl_x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nX-A: b\r\n c\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = bytes.ReplaceAll(raw, []byte(mark), []byte(token))
		before := house.calls.Load()
		c := &tape{said: bytes.NewReader(raw)}
		_ = s.http.ServeConn(c) // its error is the end of the tape
		answers := bufio.NewReader(&c.got)
		for answers.Buffered() > 0 || c.got.Len() > 0 {
			a, err := http.ReadResponse(answers, nil)
			if err != nil {
				if err == io.EOF || err == io.ErrUnexpectedEOF {
					break // the answer to HEAD, which has no body
				}
				t.Fatalf("an answer that cannot be read: %v", err)
			}
			if a.StatusCode >= 500 && a.StatusCode != 503 && a.StatusCode != 504 && a.StatusCode != 505 {
				t.Fatalf("%d for %q", a.StatusCode, raw)
			}
			_, _ = io.Copy(io.Discard, a.Body)
		}
		if commands := house.calls.Load() - before; commands > int64(requestsIn(raw)) {
			t.Fatalf("%d commands of %d requests in %q", commands, requestsIn(raw), raw)
		}
	})
}

// requestsIn counts what net/http takes for requests.
func requestsIn(raw []byte) (n int) {
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return n
		}
		n++
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return n
		}
	}
}

// What is no id leads nowhere, and the restaurant inside an id is one.
func FuzzIDs(f *testing.F) {
	r := engine.MakeRestaurantID(7)
	for _, seed := range []string{string(r), string(engine.MakeReservationID(r, 9)), "rsv_", "rsv_x", "tbl_" + strings.Repeat("z", 60), "rst_'; DROP", "*", ">"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		for _, prefix := range []string{"rsv_", "tbl_"} {
			if inside, ok := innerID(id, prefix); ok && (!engine.IsRestaurantID(string(inside)) || !fitsID(string(inside))) {
				t.Fatalf("%q is inside %q", id, inside)
			}
		}
		if (engine.IsRestaurantID(id) || engine.IsAccountID(id)) && !fitsID(id) {
			t.Fatalf("%q is an id of the engine and not of the API", id)
		}
	})
}

// Times and dates: what is accepted is within the years of the API.
func FuzzWhen(f *testing.F) {
	f.Add("2026-02-28", "19:30", "2026-02-28T19:30:00+01:00")
	f.Add("2026-02-30", "24:00", "")
	f.Add("", "", "2026-02-28T19:30:00Z")
	f.Fuzz(func(t *testing.T, date, slot, startsAt string) {
		w, trouble := when(date, slot, startsAt)
		if trouble != nil {
			return
		}
		if w.HasLocal && (w.LocalMin < 0 || w.LocalMin >= 24*60 || w.Day < 10_957 || w.Day > 47_846) {
			t.Fatalf("%q %q: %+v", date, slot, w)
		}
		if at := time.Unix(w.StartsAt, 0).UTC(); startsAt != "" && (at.Year() < firstYear-1 || at.Year() > lastYear+1) {
			t.Fatalf("%q: %+v", startsAt, w)
		}
	})
}
