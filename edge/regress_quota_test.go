package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// One address has 100 requests a minute. An account costs it two of them (register, make a key) and had 600 a minute of its own
// from then on, charged to the account alone. So whoever registered accounts had as many requests from one address as he liked:
// about 30,000 a minute more for every minute that he spent on it. Three accounts here.
func TestAccountsFromOneAddressDoNotMultiplyItsQuota(t *testing.T) {
	s := listen(t, openHouse(t), func(c *Config) { c.RateLimit = 100 })
	begun := time.Now()
	served := 0
	for i := range 3 {
		p := s.register(fmt.Sprint("bot", i, "@example.org"), "customer")
		a := p.do("POST", "/me/api-keys", `{"name":"k","password":"correct horse"}`)
		require.Equal(t, 201, a.StatusCode, a.text)
		key := a.doc["key"].(string)
		for range 600 {
			if s.ask("GET", "/api/v1/me", key, "").StatusCode == 200 {
				served++
			}
		}
	}
	allowed := 100 + 600 + int(700*time.Since(begun).Minutes()) // a slow machine is given more meanwhile
	require.Less(t, allowed, 3*600, "too slow to show anything")
	require.LessOrEqual(t, served, allowed, "requests of one address")
}

// The keys of an address share a quota, the fields name the tighter one, and a key to which an admin gave more has it.
func TestKeysOfOneAddressShareAQuota(t *testing.T) {
	now := time.Now()
	s := listen(t, &script{do: created}, func(c *Config) { c.RateLimit, c.Now = 1, func() time.Time { return now } })
	keys := map[string]*bearer{}
	for i, quota := range []int{4, 4, 12} {
		keys[fmt.Sprint("Bearer mtk_", i)] = &bearer{account: guestID, role: engine.RoleCustomer, quota: quota, limitKey: [16]byte{byte(i + 1)}}
	}
	s.keyCaller = func(line []byte, _ time.Time) *bearer { return keys[string(line)] }
	ask := func(token string) string {
		a := s.ask("GET", "/", token, "")
		return fmt.Sprint(a.StatusCode, " ", a.Header.Get("RateLimit-Policy"))
	}
	for range 4 {
		require.Equal(t, `200 "key";q=4;w=60`, ask("mtk_0"))
	}
	require.Equal(t, `200 "ip";q=6;w=60`, ask("mtk_1"))
	require.Equal(t, `200 "ip";q=6;w=60`, ask("mtk_1"))
	require.Equal(t, `429 "ip";q=6;w=60`, ask("mtk_1"))
	require.Equal(t, `200 "ip";q=1;w=60`, ask(""), "who has no key has what an address has")
	now = now.Add(time.Minute)
	for range 12 {
		require.Equal(t, `200 "key";q=12;w=60`, ask("mtk_2"))
	}
	require.Equal(t, `429 "key";q=12;w=60`, ask("mtk_2"))
}
