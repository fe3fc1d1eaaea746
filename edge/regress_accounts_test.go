package edge

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
)

// hooked does something just before a session is opened.
type hooked struct {
	*actors.House
	before atomic.Pointer[func()]
}

func (h *hooked) Do(id engine.AggregateID, cmd *engine.Command, d time.Time) (engine.Outcome, error) {
	if _, ok := cmd.Body.(*engine.OpenSession); ok {
		if f := h.before.Swap(nil); f != nil {
			(*f)()
		}
	}
	return h.House.Do(id, cmd, d)
}

// A password that is changed while a login with the old one is judged opens nothing.
func TestLoginWhileThePasswordChanges(t *testing.T) {
	h := &hooked{House: openHouse(t)}
	s := listen(t, h)
	p := s.register("a@b.it", "customer")
	change := func() {
		a := p.do("PATCH", "/me", `{"password":"new horse battery","current_password":"correct horse"}`, "If-Match", `"1"`)
		require.Equal(t, 200, a.StatusCode, a.text)
	}
	h.before.Store(&change)
	require.Equal(t, 401, s.login("a@b.it", "correct horse").StatusCode)
	require.Equal(t, 200, s.login("a@b.it", "new horse battery").StatusCode)
}

// lossy loses the answer of commands that end sessions.
type lossy struct{ *actors.House }

func (h *lossy) Do(id engine.AggregateID, cmd *engine.Command, d time.Time) (engine.Outcome, error) {
	out, err := h.House.Do(id, cmd, d)
	switch cmd.Body.(type) {
	case *engine.ChangeProfile, *engine.RevokeSession:
		if err == nil {
			return engine.Outcome{}, actors.ErrUnknownOutcome
		}
	}
	return out, err
}

// 504 says that it may be done: then access tokens are void as if it were.
func TestUnknownOutcomeVoidsTokens(t *testing.T) {
	s := listen(t, &lossy{openHouse(t)})
	p := s.register("a@b.it", "customer")
	a := p.do("PATCH", "/me", `{"password":"new horse battery","current_password":"correct horse"}`, "If-Match", `"1"`)
	require.Equal(t, 504, a.StatusCode, a.text)
	require.Equal(t, 401, p.do("GET", "/me", "").StatusCode)
	q := s.register("c@d.it", "customer")
	require.Equal(t, 504, q.do("POST", "/auth/revoke-all", "").StatusCode)
	require.Equal(t, 401, q.do("GET", "/me", "").StatusCode)
}

// All keys of an account together have one quota.
func TestKeysShareTheQuota(t *testing.T) {
	c := newClock()
	s := listen(t, openHouse(t), func(cfg *Config) { cfg.Now, cfg.RateLimit = c.now, 1000 })
	p := s.register("a@b.it", "customer")
	var keys []string
	for n := range 3 {
		_, k := p.newKey(fmt.Sprintf(`{"name":"k%d","quota_per_minute":20}`, n))
		keys = append(keys, k)
		require.Equal(t, 200, s.ask("GET", "/api/v1/me", k, "").StatusCode) // known from now on
	}
	served := 0
	for n := range 100 {
		if s.ask("GET", "/api/v1/me", keys[n%3], "").StatusCode == 200 {
			served++
		}
	}
	require.LessOrEqual(t, served, 20)
}

// An access token alone makes nothing that outlives it.
func TestAStolenTokenMakesNoKeyAndNoFactor(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	require.Equal(t, 403, p.do("POST", "/me/totp", `{"password":"a guess"}`).StatusCode)
	require.Equal(t, 403, p.do("POST", "/me/api-keys", `{"name":"x","password":"a guess"}`).StatusCode)
	require.Empty(t, p.do("GET", "/me/api-keys", "").doc["items"])
}

// Whoever guesses from many networks keeps others from nothing: an hour of it, and right passwords from elsewhere all pass.
func TestGuessesFromManyNetworks(t *testing.T) {
	th, now := newThrottle(), testNow
	network := func(n int) net.IP {
		ip := net.ParseIP("2001:db8::1")
		ip[7] = byte(n)
		return ip
	}
	n := 0
	for step := range 60 * 60 * 20 { // every 50 ms
		now = now.Add(50 * time.Millisecond)
		for range 16 { // until one of 256 networks is let in
			n++
			if a, wait := th.begin(accountNumber(n), network(n%256), now); wait == 0 {
				a.end(failed, now)
				break
			}
		}
		if step%10 == 0 {
			a, wait := th.begin(accountNumber(1<<22+step), addressNumber(1<<21+step), now)
			require.Zero(t, wait, "step %d", step)
			a.end(passed, now)
		}
	}
}

// With more revocations than are kept apart, everybody's tokens are void rather than one that was revoked valid.
func TestMoreRevocationsThanAreKept(t *testing.T) {
	tokens := testTokens(t)
	victim := accountNumber(1)
	for n := 2; len(tokens.revocations.marks) < maxRevocations; n++ {
		if id := accountNumber(n); id != victim {
			tokens.revocations.add(mark{id, ""}, 2, testNow)
		}
	}
	token, err := tokens.Issue(victim, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	line := []byte("Bearer " + token)
	require.NotNil(t, tokens.verify(line, testNow))
	tokens.revocations.add(mark{victim, ""}, 2, testNow.Add(time.Second))
	require.Nil(t, tokens.verify(line, testNow.Add(2*time.Second)))
}
