package edge

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// The abuse cases of accounts, by their numbers in DESIGN.md; each over HTTP on the production house.

// audited is a house whose journal can be read.
type audited struct {
	*actors.House
	t       *testing.T
	journal persistence.Journal
	calls   atomic.Int64 // commands and views
}

func openAudited(t *testing.T) *audited {
	t.Helper()
	journal := memory.NewJournal(memory.Options{})
	house, err := actors.Open(context.Background(), actors.Config{
		Node: "n1", Journal: journal, Bases: memory.NewBases(memory.BasesOptions{}), Feed: persistence.NewFeed(journal, 1<<20), Partitions: 16,
		PassivateAll: os.Getenv("MAITRED_TEST_PASSIVATE") != "",
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, house.Close())
		require.NoError(t, journal.Close())
	})
	return &audited{House: house, t: t, journal: journal}
}

func (h *audited) Do(id engine.AggregateID, cmd *engine.Command, d time.Time) (engine.Outcome, error) {
	h.calls.Add(1)
	return h.House.Do(id, cmd, d)
}

func (h *audited) View(id engine.AggregateID, d time.Time) (*actors.View, error) {
	h.calls.Add(1)
	return h.House.View(id, d)
}

// events are all of an aggregate's, in order.
func (h *audited) events(id string) (out []*engine.Event) {
	h.t.Helper()
	bounds, err := h.journal.Bounds(context.Background())
	require.NoError(h.t, err)
	err = persistence.ReadCommitted(context.Background(), h.journal, bounds.First, bounds.Last, func(_ persistence.Seq, list []persistence.Committed) error {
		for _, c := range list {
			if string(c.Aggregate) == id {
				out = append(out, c.Event)
			}
		}
		return nil
	})
	require.NoError(h.t, err)
	return out
}

func kindsOf(events []*engine.Event) (out []string) {
	for _, e := range events {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%T", e.Body), "*enginepb.Event_"))
	}
	return out
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (s *site) login(email, password string) *answer {
	s.t.Helper()
	return s.ask("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
}

// loginFrom logs in from another loopback address; safe for concurrent use.
func (s *site) loginFrom(address, email, password string) (status int, retryAfter string, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Post("http://"+s.addr+"/api/v1/auth/login", "application/json",
		strings.NewReader(fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After"), nil
}

func TestS01TokenForms(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	get := func(path, lines string) *answer {
		answers, _ := s.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines + "\r\n")
		require.Len(t, answers, 1, lines)
		return answers[0]
	}
	good := "Authorization: Bearer " + p.token + "\r\n"
	require.Equal(t, 200, get("/api/v1/me", good).StatusCode, "the control")
	for name, c := range map[string][2]string{
		"none":          {"/api/v1/me", ""},
		"empty":         {"/api/v1/me", "Authorization: \r\n"},
		"scheme alone":  {"/api/v1/me", "Authorization: Bearer\r\n"},
		"garbage":       {"/api/v1/me", "Authorization: Bearer !!!\r\n"},
		"basic":         {"/api/v1/me", "Authorization: Basic " + p.token + "\r\n"},
		"bare":          {"/api/v1/me", "Authorization: " + p.token + "\r\n"},
		"twice":         {"/api/v1/me", good + good},
		"good and bad":  {"/api/v1/me", good + "Authorization: Bearer x\r\n"},
		"query":         {"/api/v1/me?access_token=" + p.token, ""},
		"cookie":        {"/api/v1/me", "Cookie: access_token=" + p.token + "\r\n"},
		"refresh token": {"/api/v1/me", "Authorization: Bearer " + p.refresh + "\r\n"},
	} {
		a := get(c[0], c[1])
		require.Equal(t, 401, a.StatusCode, name)
		require.Equal(t, "unauthorized", a.code(), name)
		require.Equal(t, "Bearer", a.Header.Get("WWW-Authenticate"), name)
		require.NotContains(t, a.text, p.token, name)
	}
	require.NotContains(t, s.log.String(), p.token)
	require.NotContains(t, s.log.String(), p.refresh)
}

// forge signs claims of the account with a header of the test's choice.
func (s *site) forge(method jwt.SigningMethod, key any, id string, change func(*jwt.Token, *claims)) string {
	s.t.Helper()
	now := time.Now()
	c := claims{Role: "customer", Issued: now.UnixMilli(), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: id,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}}
	token := jwt.NewWithClaims(method, &c)
	token.Header["typ"], token.Header["kid"] = tokenType, s.cfg.Keys.ring.Load().current.kid
	if change != nil {
		change(token, &c)
	}
	text, err := token.SignedString(key)
	require.NoError(s.t, err)
	return text
}

func TestS02Algorithms(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	key := s.cfg.Keys.ring.Load().current
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", s.forge(jwt.SigningMethodEdDSA, key.private, p.id, nil), "").StatusCode, "the control")
	for name, token := range map[string]string{
		"none":                   s.forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, p.id, nil),
		"HS256, the public key":  s.forge(jwt.SigningMethodHS256, []byte(key.public), p.id, nil),
		"HS512, the kid":         s.forge(jwt.SigningMethodHS512, []byte(key.kid), p.id, nil),
		"EdDSA of somebody else": s.forge(jwt.SigningMethodEdDSA, stranger, p.id, nil),
		"alg of another name":    s.forge(jwt.SigningMethodEdDSA, key.private, p.id, func(t *jwt.Token, _ *claims) { t.Header["alg"] = "ES256" }),
		"alg in lower case":      s.forge(jwt.SigningMethodEdDSA, key.private, p.id, func(t *jwt.Token, _ *claims) { t.Header["alg"] = "eddsa" }),
	} {
		require.Equal(t, 401, s.ask("GET", "/api/v1/me", token, "").StatusCode, name)
	}
}

func TestS03Claims(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	// A key server that a forged header points to: nobody may ask it.
	asked := make(chan struct{}, 8)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	keys := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })}
	ended := make(chan struct{})
	go func() { _ = keys.Serve(ln); close(ended) }()
	defer func() { require.NoError(t, keys.Close()); <-ended }()
	url := "http://" + ln.Addr().String()

	past, future := jwt.NewNumericDate(time.Now().Add(-time.Second)), jwt.NewNumericDate(time.Now().Add(time.Minute))
	for name, change := range map[string]func(*jwt.Token, *claims){
		"expired":     func(_ *jwt.Token, c *claims) { c.ExpiresAt = past },
		"no exp":      func(_ *jwt.Token, c *claims) { c.ExpiresAt = nil },
		"nbf ahead":   func(_ *jwt.Token, c *claims) { c.NotBefore = future },
		"iss":         func(_ *jwt.Token, c *claims) { c.Issuer = "elsewhere" },
		"aud":         func(_ *jwt.Token, c *claims) { c.Audience = jwt.ClaimStrings{"elsewhere"} },
		"typ":         func(t *jwt.Token, _ *claims) { t.Header["typ"] = "JWT" },
		"unknown kid": func(t *jwt.Token, _ *claims) { t.Header["kid"] = "0000000000000000" },
		"no kid":      func(t *jwt.Token, _ *claims) { delete(t.Header, "kid") },
		"jku":         func(t *jwt.Token, _ *claims) { t.Header["kid"], t.Header["jku"] = "x", url },
		"x5u":         func(t *jwt.Token, _ *claims) { t.Header["kid"], t.Header["x5u"] = "x", url },
		"crit":        func(t *jwt.Token, _ *claims) { t.Header["crit"] = []string{"b64"} },
		"role":        func(_ *jwt.Token, c *claims) { c.Role = "system" },
		"subject":     func(_ *jwt.Token, c *claims) { c.Subject = "admin" },
	} {
		token := s.forge(jwt.SigningMethodEdDSA, s.cfg.Keys.ring.Load().current.private, p.id, change)
		require.Equal(t, 401, s.ask("GET", "/api/v1/me", token, "").StatusCode, name)
	}
	require.Empty(t, asked, "no outgoing request")
}

func TestS04LongTokens(t *testing.T) {
	s := listen(t, openHouse(t))
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"100 KiB":       {strings.Repeat("a", 100<<10), 431},
		"10,000 dots":   {strings.Repeat(".", 10_000), 431},
		"3,000 dots":    {strings.Repeat(".", 3_000), 401},
		"5 KiB":         {strings.Repeat("a", 5<<10), 401},
		"4 KiB of API":  {keyMark + strings.Repeat("a", 4000), 401},
		"dots and dots": {strings.Repeat("eyJ.", 900), 401},
	} {
		answers, _ := s.raw("GET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + c.token + "\r\n\r\n")
		require.Len(t, answers, 1, name)
		require.Equal(t, c.status, answers[0].StatusCode, name)
	}
	for i := range s.tokens.slots {
		require.Nil(t, s.tokens.slots[i].Load(), "what is refused is not remembered")
	}
}

func TestS09RefreshReplayed(t *testing.T) {
	h := openAudited(t)
	s := listen(t, h)
	p := s.register("a@b.it", "customer")
	refresh := func(token string) *answer {
		return s.ask("POST", "/api/v1/auth/refresh", "", fmt.Sprintf(`{"refresh_token":%q}`, token))
	}
	a := refresh(p.refresh)
	require.Equal(t, 200, a.StatusCode, a.text)
	stolen := a.doc["refresh_token"].(string)
	a = refresh(p.refresh)
	require.Equal(t, 401, a.StatusCode)
	require.NotContains(t, a.text, "twice", "who shows it learns nothing")
	require.Equal(t, 401, refresh(stolen).StatusCode, "the family has ended")
	require.Equal(t, 200, s.login("a@b.it", "correct horse").StatusCode)

	events := h.events(p.id)
	require.Equal(t, []string{"AccountRegistered", "SessionOpened", "SessionRotated", "SessionRevoked", "SessionOpened"}, kindsOf(events))
	revoked := events[3].Body.(*enginepb.Event_SessionRevoked).SessionRevoked
	require.Equal(t, "refresh token used twice", revoked.Reason)
	require.Equal(t, events[1].Body.(*enginepb.Event_SessionOpened).SessionOpened.Family, revoked.Family)
	for _, e := range events {
		require.Equal(t, "127.0.0.1", e.From, "%T", e.Body)
		require.Equal(t, p.id, e.ByAccount, "%T", e.Body)
	}
}

// Guessing at one account, and once at each of many; known and unknown accounts cost the same work and answer the same bytes.
func TestS10Guessing(t *testing.T) {
	h, c := openAudited(t), newClock()
	s := listen(t, h, func(cfg *Config) { cfg.Now = c.now })
	p := s.register("known@example.org", "customer")
	type seen struct {
		status int
		retry  string
		hashes int64
		calls  int64
	}
	try := func(from, email, password string) seen {
		hashes, calls := s.passwords.done.Load(), h.calls.Load()
		status, retry, err := s.loginFrom(from, email, password)
		require.NoError(t, err)
		s.notesDone(t)
		return seen{status, retry, s.passwords.done.Load() - hashes, h.calls.Load() - calls}
	}
	for n := range 1_000 {
		known, unknown := try("127.0.0.2", "known@example.org", "wrong horse"), try("127.0.0.3", "nobody@example.org", "wrong horse")
		require.Equal(t, unknown, known, "try %d", n) // also the one that crosses the bound, of which an account's history gets a line
		want := seen{status: 401, hashes: 1, calls: known.calls}
		if n >= accountFailures {
			want = seen{status: 429, retry: "15"}
		}
		require.Equal(t, want, known, "try %d", n)
	}
	require.Equal(t, 429, try("127.0.0.4", "known@example.org", "correct horse").status, "the right password waits too, from everywhere")
	for _, wait := range []time.Duration{15, 30, 60, 120, 240, 480, 900, 900, 900} {
		c.pass(wait*time.Second - time.Millisecond)
		require.Equal(t, 429, try("127.0.0.4", "known@example.org", "correct horse").status, "after nearly %d s", wait)
		c.pass(time.Millisecond)
		if wait == 900 {
			break
		}
		require.Equal(t, 401, try("127.0.0.5", "known@example.org", "wrong horse").status, "one try after %d s", wait)
	}
	require.Equal(t, 200, try("127.0.0.4", "known@example.org", "correct horse").status, "nobody is locked out for good")
	for range accountFailures {
		require.Equal(t, 401, try("127.0.0.4", "known@example.org", "wrong horse").status, "and begins anew")
	}

	marks := 0
	for _, e := range h.events(p.id) {
		if b, ok := e.Body.(*enginepb.Event_LoginThrottled); ok {
			marks++
			require.NotNil(t, b)
			require.Equal(t, "127.0.0.2", e.From)
			require.Equal(t, engine.RoleSystem, e.ByRole)
		}
	}
	require.Equal(t, 1, marks, "one audit event in a window, which the house counts by its own clock")

	hashes := s.passwords.done.Load()
	statuses := map[int]int{}
	for n := range 1_000 {
		statuses[try("127.0.0.9", fmt.Sprintf("user%d@example.org", n), "correct horse").status]++
	}
	require.Equal(t, map[int]int{401: addressFailures, 429: 1_000 - addressFailures}, statuses)
	require.EqualValues(t, addressFailures, s.passwords.done.Load()-hashes)
	c.pass(longestWait)
	require.Equal(t, s.login("known@example.org", "wrong").text, s.login("stranger@example.org", "wrong").text)
	require.NotContains(t, s.log.String(), "example.org")
}

// notesDone waits until what goes on in the background is done.
func (s *site) notesDone(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.notes) == 0 }, 5*time.Second, 100*time.Microsecond)
}

// Many at once are no way around the bound.
func TestS10GuessingAtOnce(t *testing.T) {
	s := listen(t, openHouse(t))
	s.register("known@example.org", "customer")
	before := s.passwords.done.Load()
	for range passwordSlots { // nothing is hashed until the test says so
		s.passwords.slots <- struct{}{}
	}
	statuses := make(chan int, 100)
	for n := range 100 {
		go func() {
			status, retry, err := s.loginFrom(fmt.Sprintf("127.0.1.%d", n+1), "known@example.org", "wrong horse")
			if err != nil || status == 429 && retry == "" {
				t.Errorf("%d %q %v", status, retry, err)
			}
			statuses <- status
		}()
	}
	for range 100 - accountFailures {
		require.Equal(t, 429, <-statuses)
	}
	for range passwordSlots {
		<-s.passwords.slots
	}
	for range accountFailures {
		require.Equal(t, 401, <-statuses)
	}
	require.EqualValues(t, accountFailures, s.passwords.done.Load()-before)
}

func TestS11Passwords(t *testing.T) {
	s := listen(t, openHouse(t))
	register := func(email, password string) *answer {
		return s.ask("POST", "/api/v1/auth/register", "", `{"email":"`+email+`","password":"`+password+`","role":"customer"}`)
	}
	for name, c := range map[string]struct {
		password string
		status   int
	}{
		"17 KiB": {strings.Repeat("x", 17<<10), 413}, "129 runes": {strings.Repeat("ä", 129), 422}, "7 runes": {"äääääää", 422},
		"NUL": {`correct\u0000horse`, 422}, "bell": {`correct\u0007horse`, 422}, "128 runes": {strings.Repeat("語", 128), 201},
	} {
		require.Equal(t, c.status, register("a@b.it", c.password).StatusCode, name)
	}
	long := strings.Repeat("x", 72)
	require.Equal(t, 201, register("long@b.it", long+"1").StatusCode)
	require.Equal(t, 401, s.login("long@b.it", long+"2").StatusCode, "the 73rd byte counts")
	require.Equal(t, 401, s.login("long@b.it", long).StatusCode)
	require.Equal(t, 200, s.login("long@b.it", long+"1").StatusCode)
	for _, path := range []string{"register", "login"} {
		answers, closed := s.raw("POST /api/v1/auth/" + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n")
		require.Len(t, answers, 1)
		require.Equal(t, 413, answers[0].StatusCode, "1 MiB is refused when it is announced")
		require.True(t, closed)
	}
	hashes := s.passwords.done.Load()
	require.Equal(t, 401, s.login("long@b.it", strings.Repeat("x", 10<<10)).StatusCode)
	require.Equal(t, hashes, s.passwords.done.Load(), "what can be no password is not hashed")
}

// A flood of logins: two hashes at once, a bounded queue, the rest 429; a reservation does not pass the gate at all.
func TestS12LoginFlood(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	restaurant, _ := owner.trattoria()
	for range passwordSlots { // nothing is hashed until the test says so
		s.passwords.slots <- struct{}{}
	}
	const logins = 100
	refused := logins - int(passwordSlots) - passwordQueue
	statuses := make(chan int, logins)
	for n := range logins {
		go func() {
			status, retry, err := s.loginFrom(fmt.Sprintf("127.0.2.%d", n+1), fmt.Sprintf("user%d@example.org", n), "correct horse")
			if err != nil || status == 429 && retry == "" {
				t.Errorf("%d %q %v", status, retry, err)
			}
			statuses <- status
		}()
	}
	for range refused {
		require.Equal(t, 429, <-statuses)
	}
	require.EqualValues(t, passwordSlots+passwordQueue, s.passwords.waiting.Load())
	for n := range 10 {
		a := guest.do("POST", "/reservations", wish(restaurant, day(n+1), "19:00", 2))
		require.Equal(t, 201, a.StatusCode, "while every hasher is busy and the queue is full: %s", a.text)
	}
	require.Empty(t, statuses, "nobody else has been answered")
	for range passwordSlots {
		<-s.passwords.slots
	}
	for range logins - refused {
		require.Equal(t, 401, <-statuses)
	}
	require.LessOrEqual(t, s.passwords.most.Load(), int32(passwordSlots))
	require.Zero(t, s.passwords.waiting.Load())
}
