package edge

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"maitred/engine"
)

func prefixes(t *testing.T, text ...string) (out []netip.Prefix) {
	t.Helper()
	for _, p := range text {
		prefix, err := netip.ParsePrefix(p)
		require.NoError(t, err)
		out = append(out, prefix)
	}
	return out
}

// exchangeFrom is a request of a peer, not sent.
func exchangeFrom(s *Server, peer string, headers ...string) *exchange {
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(peer), Port: 4711}, nil)
	for i := 0; i < len(headers); i += 2 {
		ctx.Request.Header.Add(headers[i], headers[i+1])
	}
	return s.acquire(ctx)
}

// S8: only a trusted proxy's X-Forwarded-For is read, and of it the last hop that is no proxy of ours.
func TestS08SpoofedHeaders(t *testing.T) {
	const xff = "X-Forwarded-For"
	s := listen(t, &script{}).Server
	require.Equal(t, "203.0.113.9", exchangeFrom(s, "203.0.113.9", xff, "198.51.100.1").clientAddr().String(), "no proxy is trusted")
	s.cfg.TrustedProxies = prefixes(t, "10.0.0.0/8", "2001:db8:ffff::/48")
	for _, c := range []struct {
		peer, want string
		headers    []string
	}{
		{"203.0.113.9", "203.0.113.9", []string{xff, "198.51.100.1"}},
		{"10.0.0.1", "10.0.0.1", nil},
		{"10.0.0.1", "198.51.100.1", []string{xff, "198.51.100.1"}},
		{"10.0.0.1", "198.51.100.1", []string{xff, "1.1.1.1, 198.51.100.1"}},
		{"10.0.0.1", "198.51.100.1", []string{xff, "1.1.1.1", xff, "198.51.100.1, 10.1.1.1"}},
		{"10.0.0.1", "198.51.100.1", []string{xff, "1.1.1.1,198.51.100.1:8080 ,10.1.1.1"}},
		{"10.0.0.1", "2001:db8::1", []string{xff, "[2001:db8::1]:80, 2001:db8:ffff::9"}},
		{"10.0.0.1", "198.51.100.1", []string{xff, "::ffff:198.51.100.1"}},
		{"10.0.0.1", "10.1.1.1", []string{xff, "1.1.1.1, nonsense, 10.1.1.1"}},
		{"10.0.0.1", "10.0.0.1", []string{xff, ""}},
		{"10.0.0.1", "10.0.0.1", []string{"X-Real-Ip", "1.1.1.1", "Forwarded", "for=1.1.1.1", "X-User", "usr_1"}},
	} {
		require.Equal(t, c.want, exchangeFrom(s, c.peer, c.headers...).clientAddr().String(), "%s %v", c.peer, c.headers)
	}
}

func TestAnIPv6NetworkIsOneClient(t *testing.T) {
	key := func(a string) [16]byte { return networkOf(netip.MustParseAddr(a)) }
	require.Equal(t, key("2001:db8::1"), key("2001:db8::ffff:1:2:3"))
	require.NotEqual(t, key("2001:db8::1"), key("2001:db8:0:1::1"))
	require.NotEqual(t, key("203.0.113.7"), key("203.0.113.8"))
	require.NotEqual(t, key("::ffff:203.0.113.7"), key("::ffff:203.0.113.8"))
}

func TestRateLimitHeaders(t *testing.T) {
	now := time.Now()
	s := listen(t, &script{do: created}, func(c *Config) { c.RateLimit, c.Now = 100, func() time.Time { return now } })
	a := s.ask("GET", "/api/v1/nothing", "", "")
	require.Equal(t, `"ip";q=100;w=60`, a.Header.Get("RateLimit-Policy"))
	require.Equal(t, `"ip";r=99;t=1`, a.Header.Get("RateLimit"))
	require.Equal(t, `"ip";r=98;t=2`, s.ask("GET", "/", "", "").Header.Get("RateLimit"))
	now = now.Add(time.Minute)
	require.Equal(t, `"ip";r=99;t=1`, s.ask("GET", "/", "", "").Header.Get("RateLimit"))
	require.Empty(t, s.ask("GET", "/healthz", "", "").Header.Get("RateLimit"))
	require.Empty(t, listen(t, &script{}).ask("GET", "/", "", "").Header.Get("RateLimit"), "no limit, no fields")
}

// A machine key has its own quota, wherever it comes from; a key that nobody knows costs its sender.
func TestAMachineKeyHasItsOwnQuota(t *testing.T) {
	now := time.Now()
	s := listen(t, &script{do: created}, func(c *Config) { c.RateLimit, c.Now = 3, func() time.Time { return now } })
	known := &bearer{account: guestID, role: engine.RoleCustomer, quota: 5, limitKey: [16]byte{1}}
	s.keyCaller = func(line []byte, _ time.Time) *bearer {
		if string(line) == "Bearer mtk_known" {
			return known
		}
		return nil
	}
	get := func(token string) *answer { return s.ask("GET", "/", token, "") }
	for i, want := range []int{200, 200, 200, 200, 200, 429} {
		a := get("mtk_known")
		require.Equal(t, want, a.StatusCode)
		require.Equal(t, `"key";q=5;w=60`, a.Header.Get("RateLimit-Policy"))
		require.Equal(t, fmt.Sprintf(`"key";r=%d;t=%d`, max(0, 4-i), min(60, 12*(i+1))), a.Header.Get("RateLimit"))
		require.Equal(t, map[bool]string{true: "12"}[want == 429], a.Header.Get("Retry-After"))
	}
	for _, want := range []int{200, 200, 200, 429} {
		require.Equal(t, want, get("mtk_guessed").StatusCode)
	}
	require.Equal(t, 429, get("").StatusCode, "the guesses were charged to the address")
	now = now.Add(12 * time.Second)
	require.Equal(t, 200, get("mtk_known").StatusCode)
}

// A flood of addresses neither fills the memory nor wipes out what a client owes.
func TestTheLimiterIsBoundedAndRemembersDebtors(t *testing.T) {
	l, now := newLimiter(100, false), time.Now()
	debtor := networkOf(netip.MustParseAddr("203.0.113.7"))
	for l.charge(debtor, 100, now).allowed {
	}
	for i := range uint32(limiterShards * limiterEntries * 2) {
		client := [16]byte{10: 0xff, 11: 0xff}
		binary.BigEndian.PutUint32(client[12:], i)
		l.charge(client, 100, now)
	}
	for i := range l.shards {
		require.LessOrEqual(t, len(l.shards[i].due), limiterEntries)
	}
	require.False(t, l.charge(debtor, 100, now).allowed)
}

func TestPayingDoesNotAllocate(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.RateLimit = MaxRateLimit }).Server
	x := exchangeFrom(s, "203.0.113.9")
	x.pay()
	require.Zero(t, testing.AllocsPerRun(1000, func() { x.pay() }))
}
