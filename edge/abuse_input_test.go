package edge

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
)

// S17: JSON that is hostile by its form is refused with its code, quickly and without much memory, and reaches nobody.
func TestS17HostileJSON(t *testing.T) {
	house := &script{do: created}
	s := listen(t, house)
	token := s.token(guestID, engine.RoleCustomer)
	for _, c := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"depth 9,000", strings.Repeat("[", 9000), 400, "malformed"},
		{"depth 5,000 in a member", `{"special_requests":` + strings.Repeat(`{"a":`, 2500), 400, "malformed"},
		{"8,000 elements; a million do not fit in (S14)", "[" + strings.Repeat("1,", 8000) + "1]", 400, "malformed"},
		{"15 KiB number", `{"guests_count":` + strings.Repeat("9", 15<<10) + `}`, 422, "invalid"},
		{"repeated member", strings.Replace(reservationBody, "{", `{"date":"2026-12-24",`, 1), 400, "malformed"},
		{"BOM", "\ufeff" + reservationBody, 400, "malformed"},
		{"NaN", strings.Replace(reservationBody, ":2}", ":NaN}", 1), 400, "malformed"},
		{"trailing data", reservationBody + "{}", 400, "malformed"},
		{"wrong case", strings.Replace(reservationBody, "date", "Date", 1), 422, "unknown_member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.ask("POST", "/api/v1/reservations", token, c.body)
			require.Equal(t, c.status, a.StatusCode, a.text)
			require.Equal(t, c.code, a.code())
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			quickest := time.Hour
			for range 5 { // the machine may be busy with something else
				var w reservationRequest
				began := time.Now()
				decode([]byte(c.body), &w)
				quickest = min(quickest, time.Since(began))
			}
			runtime.ReadMemStats(&after)
			require.Less(t, quickest, hostileJSONWithin)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(5*1<<20), "a MiB each")
		})
	}
	require.Zero(t, house.calls.Load())
}

// S18: text that is no text never reaches the journal.
func TestS18HostileText(t *testing.T) {
	house := &script{do: created}
	s := listen(t, house)
	token := s.token(guestID, engine.RoleCustomer)
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"invalid UTF-8":             {"\xff", 400},
		"overlong UTF-8":            {"\xc0\xaf", 400},
		"UTF-8 of a surrogate":      {"\xed\xa0\x80", 400},
		"lone surrogate":            {`\ud800`, 400},
		"NUL":                       {`\u0000`, 422},
		"raw control character":     {"\x01", 400},
		"escaped control character": {`\u0007`, 422},
		"direction override":        {"\u202e", 422},
		"isolate":                   {"\u2066", 422},
		"10,000 combining marks":    {"e" + strings.Repeat("\u0301", 7000), 422},
	} {
		body := strings.Replace(reservationBody, "{", `{"special_requests":"`+c.text+`",`, 1)
		require.Equal(t, c.status, s.ask("POST", "/api/v1/reservations", token, body).StatusCode, name)
		owner := s.token(guestID, engine.RoleOwner)
		body = fmt.Sprintf(`{"name":"%s","address":"a","city":"b","country":"IT","cuisine_type":"c","time_zone":"Europe/Rome",
			"opening_hours":[{"days":["mon"],"open":"12:00","close":"15:00"}]}`, c.text)
		require.Equal(t, c.status, s.ask("POST", "/api/v1/restaurants", owner, body).StatusCode, name)
	}
	require.Zero(t, house.calls.Load())
}

// S22: what means something to SQL, to subjects of the journal or to a log is refused in ids and mere text elsewhere.
func TestS22Injection(t *testing.T) {
	s := listen(t, openHouse(t), func(c *Config) { c.AccessLog = 1 })
	owner := s.register("owner@example.org", "owner")
	restaurant, _ := owner.trattoria()
	for _, id := range []string{"'; DROP TABLE reservations; --", "*", ">", ".", "rst.>", "a b", "a\r\nb", "rst_\u00e8", "$SYS", strings.Repeat("a", 65)} {
		escaped := strings.NewReplacer("'", "%27", ";", "%3B", " ", "%20", "\r", "%0D", "\n", "%0A", ">", "%3E", "*", "%2A", "\u00e8", "%C3%A8").Replace(id)
		if id != "." { // a path of its own
			require.Equal(t, 400, owner.do("GET", "/restaurants/"+escaped, "").StatusCode, id)
			require.Equal(t, 400, owner.do("POST", "/reservations/"+escaped+"/cancel", "").StatusCode, id)
		}
		body, err := json.Marshal(map[string]any{"restaurant_id": id, "date": day(2), "time_slot": "19:00", "guests_count": 2})
		require.NoError(t, err)
		require.Equal(t, 422, owner.do("POST", "/reservations", string(body)).StatusCode, id)
	}
	const text = `'; DROP TABLE reservations; -- * > . $SYS ${jndi:x} <script>`
	a := owner.do("PATCH", "/restaurants/"+restaurant, fmt.Sprintf(`{"name":%q}`, text), "If-Match", owner.do("GET", "/restaurants/"+restaurant, "").Header.Get("ETag"))
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, text, owner.do("GET", "/restaurants/"+restaurant, "").doc["name"], "verbatim")
	require.Equal(t, 422, owner.do("PATCH", "/restaurants/"+restaurant, `{"name":"a\r\nb"}`, "If-Match", a.Header.Get("ETag")).StatusCode)

	a = s.ask("GET", "/api/v1/restaurants/"+restaurant+"?a=%0A{%22level%22:%22ERROR%22}", "", "", "X-Request-Id", `"},{"level":"ERROR`)
	require.Equal(t, 200, a.StatusCode)
	require.Regexp(t, `^[0-9a-f]{24}$`, a.Header.Get("X-Request-Id"), "an id that cannot stand in a log is replaced")
	require.Equal(t, "mine-7_A", s.ask("GET", "/api/v1/restaurants/"+restaurant, "", "", "X-Request-Id", "mine-7_A").Header.Get("X-Request-Id"))
	logged := s.log.String()
	require.Contains(t, logged, `"request_id":"mine-7_A"`)
	for line := range strings.Lines(logged) {
		var doc map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &doc), line)
		require.NotEqual(t, "ERROR", doc["level"])
	}
}

// S23: a page of another origin reads nothing and changes nothing; with origins named, only these may.
func TestS23CORS(t *testing.T) {
	const path, evil, good = "/api/v1/reservations", "https://evil.example", "https://book.example"
	preflight := func(s *site, origin string) *answer {
		return s.ask("OPTIONS", path, "", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	}
	house := &script{do: created}
	off, on := listen(t, house), listen(t, house, func(c *Config) { c.CORSOrigins = []string{good} })
	for _, s := range []*site{off, on} {
		require.Equal(t, 405, preflight(s, evil).StatusCode)
		a := s.ask("POST", path, "", reservationBody, "Origin", evil, "Cookie", "session=1")
		require.Equal(t, 401, a.StatusCode, "no credential that a browser adds by itself counts")
		for name := range a.Header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
		}
	}
	require.Zero(t, house.calls.Load())
	require.Equal(t, 405, preflight(off, good).StatusCode)
	require.Empty(t, off.ask("GET", "/", "", "").Header.Get("Vary"))
	require.Equal(t, "Origin", on.ask("GET", "/", "", "").Header.Get("Vary"), "a cache keeps the answers apart")

	a := preflight(on, good)
	require.Equal(t, 204, a.StatusCode)
	require.Equal(t, good, a.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, a.Header.Get("Access-Control-Allow-Methods"), "POST")
	require.Contains(t, a.Header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Empty(t, a.Header.Get("Access-Control-Allow-Credentials"))
	require.Zero(t, house.calls.Load(), "asking does nothing")
	a = on.ask("POST", path, on.token(guestID, engine.RoleCustomer), reservationBody, "Origin", good)
	require.Equal(t, 201, a.StatusCode)
	require.Equal(t, good, a.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, a.Header.Get("Access-Control-Expose-Headers"), "ETag")
	for _, origin := range []string{"https://book.example.evil.example", "https://book.example:444", "http://book.example", "null", "https://book.example/"} {
		require.Empty(t, on.ask("GET", "/", "", "", "Origin", origin).Header.Get("Access-Control-Allow-Origin"), origin)
	}
	for _, origin := range []string{"*", "null", "book.example", "https://book.example/", "https://a@b", "ftp://x", "https://"} {
		_, err := newCORS([]string{origin})
		require.Error(t, err, origin)
	}
}

// S25: who asks ten times as often as he may is told when to come back, and takes nothing from the others.
func TestS25OneClientStarvesNobody(t *testing.T) {
	now := time.Now()
	s := listen(t, &script{do: created}, func(c *Config) {
		c.RateLimit, c.TrustedProxies = 100, prefixes(t, "127.0.0.0/8")
		c.Now = func() time.Time { return now }
	})
	get := func(from string) *answer { return s.ask("GET", "/", "", "", "X-Forwarded-For", from) }
	served := 0
	for range 1000 {
		a := get("203.0.113.7")
		if a.StatusCode == 200 {
			served++
			continue
		}
		require.Equal(t, 429, a.StatusCode)
		require.Equal(t, "too_many_requests", a.code())
		require.Equal(t, "1", a.Header.Get("Retry-After"))
		require.Equal(t, `"ip";r=0;t=60`, a.Header.Get("RateLimit"))
	}
	require.Equal(t, 100, served)
	for range 50 {
		require.Equal(t, 200, get("203.0.113.8").StatusCode)
	}
	now = now.Add(6 * time.Second)
	for i, want := range []int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 429} {
		require.Equal(t, want, get("203.0.113.7").StatusCode, "a tenth of a minute earns a tenth of the quota: %d", i)
	}
	require.Equal(t, 200, s.ask("GET", "/healthz", "", "", "X-Forwarded-For", "203.0.113.7").StatusCode, "probes are not limited")
}

// S30: every answer carries the security fields and nothing of the inside; no log line holds personal data or a secret.
func TestS30NothingLeaks(t *testing.T) {
	s := listen(t, &failing{House: openHouse(t), fails: func(b engine.Body) bool { _, ok := b.(*engine.Transition); return ok }},
		func(c *Config) { c.AccessLog = 1 })
	var answers []*answer
	keep := func(a *answer) *answer { answers = append(answers, a); return a }
	owner, guest := s.register("owner@secret.example", "owner"), s.register("guest@secret.example", "customer")
	restaurant, tables := owner.trattoria()
	made := keep(guest.do("POST", "/reservations", strings.Replace(wish(restaurant, day(2), "19:00", 4), "{",
		`{"contact":{"name":"Zenobia","phone":"+39 06 9999999","email":"zenobia@secret.example"},`, 1), "Idempotency-Key", "idempotent-secret"))
	require.Equal(t, 201, made.StatusCode, made.text)
	id := made.doc["id"].(string)
	for _, a := range []*answer{
		guest.do("POST", "/reservations/"+id+"/cancel", `{"reason":"a private reason"}`), guest.do("GET", "/reservations/"+id+"?email=query@secret.example", ""),
		guest.do("GET", "/me", ""), guest.do("PATCH", "/me", `{"phone":"+39 06 9999999"}`, "If-Match", `"1"`), guest.do("GET", "/reservations", ""),
		owner.do("GET", "/restaurants/"+restaurant+"/reservations?date="+day(2), ""), owner.do("DELETE", "/tables/"+tables[0], ""),
		s.ask("POST", "/api/v1/auth/login", "", `{"email":"guest@secret.example","password":"wrong horse"}`),
		s.ask("POST", "/api/v1/auth/login", "", `{"email":"guest@secret.example","password":"correct horse"}`),
		s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+guest.refresh+`"}`), s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+guest.refresh+`"}`),
		s.ask("POST", "/api/v1/auth/login?password=correct+horse", "", `{"email":"guest@secret.example"`), s.ask("GET", "/guest@secret.example", "", ""),
		s.ask("BREW", "/", "", ""), s.ask("GET", "/", "", ""), s.ask("GET", "/readyz", "", ""), s.ask("GET", "/api/v1/me", "x.y.z", "", "X-Request-Id", "r-1"),
	} {
		keep(a)
	}
	raw, _ := s.raw("GET / HTTP/1.1\r\nHost: x\r\nX: guest@secret.example : \x00\r\n\r\n")
	large, _ := s.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
	for _, a := range append(append(answers, raw...), large...) {
		for _, h := range securityHeaders {
			require.Equal(t, string(h[1]), a.Header.Get(string(h[0])), "%s: %s", a.Status, h[0])
		}
		require.Empty(t, a.Header.Get("Server"))
		require.Empty(t, a.Header.Get("Strict-Transport-Security"), "not over TLS")
		for _, inside := range []string{"fasthttp", "goroutine", ".go:", "actors:", "engine:", "edge:", "sqlite", "argon2"} {
			require.NotContains(t, strings.ToLower(a.text), inside)
		}
	}
	logged := s.log.String()
	require.GreaterOrEqual(t, strings.Count(logged, `"msg":"request"`), len(answers), "the test would see a leak")
	require.Contains(t, logged, `"route":"/api/v1/reservations/{id}"`)
	for _, secret := range []string{
		"secret.example", "horse", "Zenobia", "9999999", "1234567", "Rossi", "Anna", "private reason", "a window", "idempotent-secret", "query",
		guest.token[len(guest.token)-20:], owner.token[len(owner.token)-20:], guest.refresh[len(guest.refresh)-20:], "x.y.z",
	} {
		require.False(t, strings.Contains(logged, secret), "%q is in the log: %.300s", secret, logged[max(0, strings.Index(logged, secret)-200):])
	}
}

// An answer that failed inside tells an id, and the log has the cause under it.
func TestAFailureHasItsRequestID(t *testing.T) {
	s := listen(t, &script{view: func(engine.AggregateID) (*actors.View, error) { return nil, errors.New("the cause") }})
	a := s.ask("GET", "/api/v1/restaurants/rst_0123456789abc", "", "")
	require.Equal(t, http.StatusInternalServerError, a.StatusCode)
	id := a.Header.Get("X-Request-Id")
	require.NotEmpty(t, id)
	require.True(t, bytes.Contains([]byte(s.log.String()), []byte(`"request_id":"`+id+`","error":"the cause"`)), s.log.String())
	require.Empty(t, s.ask("GET", "/", "", "").Header.Get("X-Request-Id"), "not asked for")
}
