package edge

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// wireCase is bytes on the wire and what comes back.
type wireCase struct {
	name, request string
	status        int
	done          int // commands that reached the house
	open          bool
}

// wire makes requests by hand.
type wire struct{ post string }

const healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

var chunkedBody = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(reservationBody), reservationBody)

func length(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }

func (w wire) whole() string { return w.post + length(len(reservationBody)) + "\r\n" + reservationBody }

// onTheWire sends each case over a connection of its own: what is on the wire decides, and nothing behind a doubtful frame is
// executed or answered.
func onTheWire(t *testing.T, cases func(wire) []wireCase) {
	t.Helper()
	house := &script{do: created}
	s := listen(t, house)
	auth := "Authorization: Bearer " + s.token(guestID, engine.RoleCustomer) + "\r\nContent-Type: application/json\r\n"
	want := 0
	t.Run("wire", func(t *testing.T) {
		for _, c := range cases(wire{"POST /api/v1/reservations HTTP/1.1\r\nHost: x\r\n" + auth}) {
			want += c.done
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				answers, closed := s.raw(c.request)
				require.NotEmpty(t, answers)
				require.Equal(t, c.status, answers[0].StatusCode, answers[0].text)
				require.Equal(t, !c.open, closed, "connection closed")
				if !c.open {
					require.Len(t, answers, 1, "nothing behind it is answered")
				}
			})
		}
	})
	require.EqualValues(t, want, house.calls.Load(), "only whole requests were executed")
}

// S13: two ways to say where a body ends are a way to smuggle a request.
func TestS13RequestSmuggling(t *testing.T) {
	onTheWire(t, func(w wire) []wireCase {
		return []wireCase{
			{"plain", w.whole(), 201, 1, true},
			{"chunked within the bound", w.post + "Transfer-Encoding: chunked\r\n\r\n" + chunkedBody, 201, 1, true},
			{"CL and TE", w.post + length(len(reservationBody)) + "Transfer-Encoding: chunked\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"TE and CL", w.post + "Transfer-Encoding: chunked\r\n" + length(4) + "\r\n" + chunkedBody + healthz, 400, 0, false},
			{"TE twice", w.post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"TE identity", w.post + "Transfer-Encoding: identity\r\n" + length(len(reservationBody)) + "\r\n" + reservationBody + healthz, 400, 0, false},
			{"TE identity alone", w.post + "Transfer-Encoding: identity\r\n\r\n" + healthz, 400, 0, false},
			{"TE chunked, identity", w.post + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"TE xchunked", w.post + "Transfer-Encoding: xchunked\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"TE folded", w.post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"space before colon", w.post + "Content-Length : 4\r\n\r\n" + reservationBody + healthz, 400, 0, false},
			{"two CL", w.post + length(len(reservationBody)) + length(len(reservationBody)) + "\r\n" + reservationBody + healthz, 400, 0, false},
			{"CL list", w.post + "Content-Length: 5,5\r\n\r\n" + reservationBody + healthz, 400, 0, false},
			{"CL plus", w.post + "Content-Length: +5\r\n\r\n" + reservationBody + healthz, 400, 0, false},
			{"CL negative", w.post + "Content-Length: -5\r\n\r\n" + reservationBody + healthz, 400, 0, false},
			{"bad chunk", w.post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + reservationBody + "\r\n0\r\n\r\n" + healthz, 400, 0, false},
			{"bad chunk end", w.post + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%sxx0\r\n\r\n", len(reservationBody), reservationBody) + healthz, 400, 0, false},
			{"huge chunk", w.post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n" + reservationBody + healthz, 400, 0, false},
			{"negative chunk", w.post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + reservationBody + healthz, 400, 0, false},
			{"chunk extension", w.post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunkedBody, "\r\n", ";a=b\r\n", 1), 201, 1, true},
			{"chunk extension with LF", w.post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunkedBody, "\r\n", ";a=\n0\r\n\r\n", 1) + healthz, 400, 0, false},
			{"TE with a tab", w.post + "Transfer-Encoding:\x0bchunked\r\n\r\n" + chunkedBody + healthz, 400, 0, false},
			{"folded header", w.post + "X-A: b\r\n c\r\n" + length(len(reservationBody)) + "\r\n" + reservationBody + healthz, 400, 0, false},
			{"no host", "GET /healthz HTTP/1.1\r\n\r\n", 400, 0, false},
			{"two hosts", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, 0, false},
			{"NUL in a header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n", 400, 0, false},
		}
	})
}

// S14: bodies beyond the bound.
func TestS14LargeBodies(t *testing.T) {
	onTheWire(t, func(w wire) []wireCase {
		return []wireCase{
			{"17 KiB", w.post + length(17<<10) + "\r\n" + strings.Repeat(" ", 17<<10), 413, 0, false},
			{"17 KiB chunked", w.post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat(" ", 1024)+"\r\n", 17) + "0\r\n\r\n", 413, 0, false},
			{"gzip", w.post + "Content-Encoding: gzip\r\n" + length(20) + "\r\n\x1f\x8b\x08" + strings.Repeat("\x00", 17), 415, 0, true},
			{"1 GiB announced", w.post + length(1<<30) + "\r\n", 413, 0, false},
		}
	})
}

// S15: headers and URIs beyond the bound.
func TestS15LargeHeaders(t *testing.T) {
	onTheWire(t, func(w wire) []wireCase {
		return []wireCase{
			{"10 KiB header", w.post + "X-A: " + strings.Repeat("a", 10<<10) + "\r\n\r\n", 431, 0, false},
			{"65 headers", w.post + strings.Repeat("X-A: b\r\n", 65) + length(len(reservationBody)) + "\r\n" + reservationBody, 431, 0, false},
			{"9 KiB URI", "GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, 0, false},
		}
	})
}

// S20: methods, versions and forms of a path that are not spoken here.
func TestS20Protocol(t *testing.T) {
	onTheWire(t, func(w wire) []wireCase {
		return []wireCase{
			{"HTTP/1.0", "GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 505, 0, false},
			{"HTTP/9.9", "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", 505, 0, false},
			{"absolute form", "GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, false},
			{"GET with a body", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400, 0, false},
			{"GET chunked", "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + healthz, 400, 0, false},
			{"TRACE", "TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405, 0, true},
			{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, false},
			{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, false},
			{"unknown method", "BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405, 0, true},
			{"dots", "GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404, 0, true},
			{"escaped dots", "GET /api/v1/restaurants/%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, true},
			{"escaped NUL", "GET /api/v1/restaurants/%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, true},
			{"half an escape", "GET /healthz?a=%2 HTTP/1.1\r\nHost: x\r\n\r\n" + healthz, 400, 0, false},
			{"escape of no digits", "GET /healthz%0X HTTP/1.1\r\nHost: x\r\n\r\n" + healthz, 400, 0, false},
			{"tab in the target", "GET /healthz?a\t HTTP/1.1\r\nHost: x\r\n\r\n" + healthz, 400, 0, false},
			{"semicolon", "GET /api/v1/restaurants/a;b HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0, true},
			{"two slashes", "GET //healthz HTTP/1.1\r\nHost: x\r\n\r\n", 404, 0, true},
			{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\r\n\r\n", 400, 0, false},
		}
	})
}

// S1, S20, S21 and negotiation.
func TestS20Headers(t *testing.T) {
	s := listen(t, &script{do: created})
	token := s.token(guestID, engine.RoleCustomer)
	const path = "/api/v1/reservations"
	cases := []struct {
		name    string
		token   string
		headers []string
		status  int
		code    string
	}{
		{"plain", token, nil, 201, ""},
		{"no token", "", nil, 401, "unauthorized"},
		{"garbage token", "x.y.z", nil, 401, "unauthorized"},
		{"4 KiB token", strings.Repeat("a", 5000), nil, 401, "unauthorized"},
		{"no content type", token, []string{"Content-Type", ""}, 415, "unsupported_media_type"},
		{"text", token, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		{"latin 1", token, []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported_media_type"},
		{"charset", token, []string{"Content-Type", "Application/JSON; Charset=UTF-8"}, 201, ""},
		{"gzip", token, []string{"Content-Encoding", "gzip"}, 415, "unsupported_media_type"},
		{"accept html", token, []string{"Accept", "text/html"}, 406, "not_acceptable"},
		{"accept all", token, []string{"Accept", "text/html, */*;q=0.1"}, 201, ""},
		{"key", token, []string{"Idempotency-Key", "k-1"}, 201, ""},
		{"key of 128", token, []string{"Idempotency-Key", strings.Repeat("k", 128)}, 201, ""},
		{"key of 129", token, []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, "bad_idempotency_key"},
		{"key with a tab", token, []string{"Idempotency-Key", "a\tb"}, 400, "bad_idempotency_key"},
		{"key not ASCII", token, []string{"Idempotency-Key", "è"}, 400, "bad_idempotency_key"},
		{"spoofed", token, []string{"X-User", "usr_1", "X-Forwarded-For", "1.2.3.4", "X-Internal-Owner", "n2"}, 201, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := s.ask("POST", path, c.token, reservationBody, c.headers...)
			require.Equal(t, c.status, a.StatusCode, a.text)
			require.Equal(t, c.code, a.code())
			require.Equal(t, c.status == 401, a.Header.Get("WWW-Authenticate") != "")
			for _, h := range securityHeaders {
				require.Equal(t, string(h[1]), a.Header.Get(string(h[0])))
			}
			require.Empty(t, a.Header.Get("Server"))
			require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
		})
	}
	raw := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
	for name, lines := range map[string]string{
		"two Authorization": "Authorization: Bearer " + token + "\r\nAuthorization: Bearer " + token + "\r\n",
		"token in query":    "",
	} {
		answers, _ := s.raw(raw + lines + "\r\n{}")
		require.Equal(t, 401, answers[0].StatusCode, name)
	}
	require.Equal(t, 401, s.ask("POST", path+"?access_token="+token, "", reservationBody).StatusCode)
	answers, _ := s.raw(raw + "Authorization: Bearer " + token + "\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n{}")
	require.Equal(t, 400, answers[0].StatusCode)
	require.NotContains(t, s.log.String(), token[len(token)-20:])
}

func TestMethodNotAllowedNamesTheAllowedOnes(t *testing.T) {
	s := listen(t, &script{})
	a := s.ask("DELETE", "/api/v1/restaurants/rst_0123456789abc", "", "")
	require.Equal(t, 405, a.StatusCode)
	require.Equal(t, "GET, PATCH", a.Header.Get("Allow"))
	require.Equal(t, 404, s.ask("GET", "/api/v1/nothing", "", "").StatusCode)
	require.Equal(t, 404, s.ask("GET", "/healthz/", "", "").StatusCode)
	require.Equal(t, http.StatusMethodNotAllowed, s.ask("OPTIONS", "/api/v1/reservations", "", "", "Origin", "https://evil.example").StatusCode)
}

// Labels are the patterns of routes, whatever the paths are.
func TestMetricLabelsAreBounded(t *testing.T) {
	s := listen(t, &script{do: created})
	for i := range 20 {
		s.ask("GET", fmt.Sprintf("/nothing/%d", i), "", "")
		s.ask("POST", fmt.Sprintf("/api/v1/reservations/rsv_x%d/cancel", i), s.token(guestID, engine.RoleCustomer), "")
		s.ask("BREW", fmt.Sprintf("/%d", i), "", "")
	}
	s.ask("POST", "/api/v1/reservations", s.token(guestID, engine.RoleCustomer), reservationBody)
	page := s.figures()
	require.Contains(t, page, `http_requests_total{endpoint="/api/v1/reservations/{id}/cancel",method="POST",status="404"} 20`)
	require.Contains(t, page, `http_requests_total{endpoint="other",method="other",status="404"}`)
	require.Contains(t, page, "\nreservations_created_total 1\n")
	require.NotContains(t, page, "rsv_x1")
	require.NotContains(t, page, "BREW")
}

// S16: a request that drips, header or body, ends at the read timeout, whole; a client that asks and never reads loses its
// connection at the write timeout.
func TestS16SlowClients(t *testing.T) {
	slow := prepare(t, &script{})
	require.Equal(t, readTimeout, slow.http.ReadTimeout)
	require.Equal(t, writeTimeout, slow.http.WriteTimeout)
	require.Equal(t, idleTimeout, slow.http.IdleTimeout)
	slow.http.ReadTimeout, slow.http.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	slow.open()
	for name, request := range map[string]string{
		"header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ",
		"body":   "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
	} {
		answers, closed := slow.raw(request)
		require.True(t, closed, name)
		require.Len(t, answers, 1, name)
		require.Equal(t, 408, answers[0].StatusCode, name)
	}
	c := slow.dial()
	var err error
	asked := []byte(strings.Repeat("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 100))
	for err == nil {
		_, err = c.Write(asked)
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server let go of it")
}
