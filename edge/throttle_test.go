package edge

import (
	"net"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func accountNumber(n int) engine.AccountID {
	return engine.MakeAccountID([16]byte{byte(n), byte(n >> 8), byte(n >> 16)})
}

func addressNumber(n int) net.IP { return net.IPv4(10, byte(n>>16), byte(n>>8), byte(n)) }

// What is remembered is bounded, and an adversary who fills the room does not push out whoever has to wait.
func TestThrottleIsBounded(t *testing.T) {
	th, now := newThrottle(), testNow
	fail := func(account, address int) {
		a, wait := th.begin(accountNumber(account), addressNumber(address), now)
		require.Zero(t, wait)
		a.end(failed, now)
		th.all = attempts{} // not what is looked at here
	}
	const waiting = 200
	for n := range waiting * accountFailures {
		fail(n%waiting, n)
	}
	for n := waiting; n < maxAttempts+5_000; n++ {
		fail(n, n+waiting*accountFailures)
	}
	require.Len(t, th.accounts, maxAttempts)
	require.Len(t, th.addresses, maxAttempts)
	for n := range waiting {
		_, wait := th.begin(accountNumber(n), addressNumber(1<<20), now)
		require.Equal(t, firstWait, wait)
	}
	now = now.Add(2 * failureWindow)
	fail(1<<20, 1<<20)
	require.Less(t, len(th.accounts), maxAttempts, "what is over makes room")
}

// Failures of many people at one address leak away; a steady trickle is never throttled.
func TestTrickleIsNotThrottled(t *testing.T) {
	th, now := newThrottle(), testNow
	for n := range 5_000 {
		a, wait := th.begin(accountNumber(n), addressNumber(1), now)
		require.Zero(t, wait, "try %d", n)
		a.end(failed, now)
		now = now.Add(failureWindow / addressFailures)
	}
	require.LessOrEqual(t, th.all.failed, 2)
}

func TestGlobalThrottle(t *testing.T) {
	th, now := newThrottle(), testNow
	for n := range globalFailures {
		a, wait := th.begin(accountNumber(n), addressNumber(n), now)
		require.Zero(t, wait)
		a.end(failed, now)
	}
	_, wait := th.begin(accountNumber(1<<20), addressNumber(1<<20), now)
	require.Zero(t, wait, "who comes from an address without a failure does not wait for those who guess")
	_, wait = th.begin(accountNumber(1<<20), addressNumber(1), now)
	require.Equal(t, globalWait, wait)
	a, wait := th.begin(accountNumber(1<<20), addressNumber(1), now.Add(globalWait))
	require.Zero(t, wait, "a second, not more")
	a.end(passed, now)
}

func TestNetworkOfIPv6(t *testing.T) {
	require.Equal(t, network(net.ParseIP("2001:db8::1")), network(net.ParseIP("2001:db8::ffff:2")))
	require.NotEqual(t, network(net.ParseIP("2001:db8::1")), network(net.ParseIP("2001:db8:0:1::1")))
	require.NotEqual(t, network(net.ParseIP("10.0.0.1")), network(net.ParseIP("10.0.0.2")))
}

// A fault, and half of the proof, count neither way.
func TestUnjudgedAttempts(t *testing.T) {
	th, now := newThrottle(), testNow
	for n := range 3 * accountFailures {
		a, wait := th.begin(accountNumber(1), addressNumber(1), now)
		require.Zero(t, wait, "try %d", n)
		require.False(t, a.end(unjudged, now))
	}
	for n := range accountFailures {
		a, _ := th.begin(accountNumber(1), addressNumber(1), now)
		require.Equal(t, n == accountFailures-1, a.end(failed, now), "crossed once")
	}
}

func TestCalibration(t *testing.T) {
	for took, want := range map[time.Duration]uint32{
		54 * time.Millisecond: passwordPasses, passwordTarget: passwordPasses, passwordTarget / 2: 2 * passwordPasses, passwordTarget / 3: 3 * passwordPasses,
		0: passwordMostPasses, time.Hour: passwordPasses,
	} {
		require.Equal(t, want, passesFor(took), "%s", took)
	}
	p, err := newPasswords(0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, p.params.Memory, uint32(19_456), "OWASP")
	require.GreaterOrEqual(t, p.params.Iterations, uint32(2), "OWASP")
	dummy, _, _, err := argon2id.DecodeHash(p.dummy)
	require.NoError(t, err)
	require.Equal(t, p.params.Iterations, dummy.Iterations, "an unknown account costs as much as a known one")
	require.Equal(t, p.params.Memory, dummy.Memory)
}

// A login with a password of an older, lower cost keeps it at today's; sessions and ETag stay.
func TestRehashAtLogin(t *testing.T) {
	h := openAudited(t)
	s := listen(t, h)
	p := s.register("a@b.it", "customer")
	require.NoError(t, s.passwords.raise(passwordPasses+1))
	require.Equal(t, 401, s.login("a@b.it", "wrong horse").StatusCode)
	require.NotContains(t, kindsOf(h.events(p.id)), "PasswordRehashed")
	for range 2 {
		require.Equal(t, 200, s.login("a@b.it", "correct horse").StatusCode)
	}
	require.Equal(t, []string{"AccountRegistered", "SessionOpened", "SessionOpened", "PasswordRehashed", "SessionOpened"}, kindsOf(h.events(p.id)))
	a := p.do("GET", "/me", "")
	require.Equal(t, `"1"`, a.Header.Get("ETag"))
	require.Equal(t, 200, s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+p.refresh+`"}`).StatusCode)
	v, err := s.house.View(engine.AggregateID(p.id), time.Now().Add(time.Second))
	require.NoError(t, err)
	require.False(t, s.passwords.weak(v.View.(*engine.AccountView).Info().PasswordHash))
}

// An address is kept of privileged acts only.
func TestFromOverHTTP(t *testing.T) {
	h := openAudited(t)
	s := listen(t, h)
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	restaurant, _ := owner.trattoria()
	a := guest.do("POST", "/reservations", wish(restaurant, day(2), "19:00", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	id := a.doc["id"].(string)
	require.Equal(t, 200, guest.do("PATCH", "/reservations/"+id, `{"guests_count":1}`, "If-Match", `"1"`).StatusCode)
	require.Equal(t, 200, owner.do("POST", "/reservations/"+id+"/seat", "").StatusCode)
	for _, e := range h.events(restaurant) {
		want := "127.0.0.1"
		if e.ByAccount == guest.id {
			want = ""
		}
		require.Equal(t, want, e.From, "%T", e.Body)
	}
}
