package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// newKey makes an API key of the person and returns its id and the key.
func (p person) newKey(body string) (id, key string) {
	p.t.Helper()
	a := p.do("POST", "/me/api-keys", strings.Replace(body, "{", `{"password":"correct horse",`, 1))
	require.Equal(p.t, 201, a.StatusCode, a.text)
	return a.doc["id"].(string), a.doc["key"].(string)
}

func TestAPIKeys(t *testing.T) {
	h, c := openAudited(t), newClock()
	s := listen(t, h, func(cfg *Config) { cfg.Now = c.now })
	owner, other := s.register("owner@example.org", "owner"), s.register("other@example.org", "owner")
	restaurant, _ := owner.trattoria()
	id, key := owner.newKey(`{"name":"till"}`)
	require.True(t, strings.HasPrefix(key, "mtk_"+owner.id[4:]+"_"))
	require.Len(t, key, keyLen)
	_, read := owner.newKey(`{"name":"board","scopes":["read"],"quota_per_minute":60}`)

	a := owner.do("GET", "/me/api-keys", "")
	require.Equal(t, 200, a.StatusCode)
	items := a.doc["items"].([]any)
	require.Len(t, items, 2)
	first, second := items[0].(map[string]any), items[1].(map[string]any)
	require.Equal(t, []any{id, "till", []any{"read", "write"}, float64(defaultQuota)}, []any{first["id"], first["name"], first["scopes"], first["quota_per_minute"]})
	require.Equal(t, []any{"board", []any{"read"}, 60.0}, []any{second["name"], second["scopes"], second["quota_per_minute"]})
	require.NotContains(t, a.text, key, "a key is shown once")
	require.NotContains(t, a.text, "mtk_")
	require.Empty(t, other.do("GET", "/me/api-keys", "").doc["items"])

	for range 2 { // the second time from the cache
		require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
		require.Equal(t, owner.id, s.ask("GET", "/api/v1/me", key, "").doc["id"], "the caller is the account")
		require.Equal(t, 200, s.ask("GET", "/api/v1/restaurants/"+restaurant+"/reservations?date="+day(1), read, "").StatusCode)
	}
	table := `{"table_number":"9","capacity":2,"min_capacity":1,"location":"hall"}`
	require.Equal(t, 403, s.ask("POST", "/api/v1/restaurants/"+restaurant+"/tables", read, table).StatusCode)
	require.Equal(t, 201, s.ask("POST", "/api/v1/restaurants/"+restaurant+"/tables", key, table).StatusCode)

	for _, bad := range []string{
		`{}`, `{"name":" "}`, `{"name":"x","quota_per_minute":0}`, `{"name":"x","quota_per_minute":601}`, `{"name":"x","quota_per_minute":60001}`, `{"name":"x","scopes":[]}`,
		`{"name":"x","scopes":["admin"]}`, `{"name":"x","scopes":["write"]}`, `{"name":"x","role":"admin"}`, `{"name":"` + strings.Repeat("x", 51) + `"}`,
	} {
		require.Equal(t, 422, owner.do("POST", "/me/api-keys", bad).StatusCode, bad)
	}
	for name, forged := range map[string]string{
		"another account": keyMark + other.id[4:] + key[keyAccount:], "cut": key[:keyLen-1], "longer": key + "A", "no account": keyMark + strings.Repeat("0", 26) + key[keyAccount:],
		"outside the grammar": keyMark + strings.Repeat("z", 26) + key[keyAccount:], "upper case": strings.ToUpper(key[:30]) + key[30:], "only the mark": keyMark,
		"last byte": key[:keyLen-1] + string(key[keyLen-1]^1),
	} {
		require.Equal(t, 401, s.ask("GET", "/api/v1/me", forged, "").StatusCode, name)
	}

	require.Equal(t, 404, other.do("DELETE", "/me/api-keys/"+id, "").StatusCode, "a stranger's")
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
	require.Equal(t, 204, owner.do("DELETE", "/me/api-keys/"+id, "").StatusCode)
	require.Equal(t, 401, s.ask("GET", "/api/v1/me", key, "").StatusCode, "at once")
	require.Equal(t, 404, owner.do("DELETE", "/me/api-keys/"+id, "").StatusCode)
	require.Equal(t, 200, s.ask("GET", "/api/v1/restaurants/"+restaurant+"/reservations?date="+day(1), read, "").StatusCode, "the other one lives")
	require.NotContains(t, s.log.String(), "mtk_")
	events := h.events(owner.id)
	require.Contains(t, kindsOf(events), "ApiKeyAdded")
	require.Equal(t, "ApiKeyRevoked", kindsOf(events)[len(events)-1])
	for _, e := range append(events, h.events(restaurant)...) {
		require.Equal(t, "127.0.0.1", e.From, "%T", e.Body)
		require.NotContains(t, e.String(), key)
	}
}

// An API key is no way to manage the account that it belongs to.
func TestAPIKeysAreNotPersons(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	id, key := p.newKey(`{"name":"till"}`)
	for _, c := range [][3]string{
		{"PATCH", "/me", `{"first_name":"x"}`}, {"POST", "/me/totp", `{"password":"correct horse"}`}, {"POST", "/me/totp/confirm", `{"code":"1"}`}, {"DELETE", "/me/totp", `{"password":"x"}`},
		{"POST", "/me/api-keys", `{"name":"x"}`}, {"GET", "/me/api-keys", ""}, {"DELETE", "/me/api-keys/" + id, ""}, {"POST", "/auth/revoke-all", ""},
	} {
		a := s.ask(c[0], "/api/v1"+c[1], key, c[2], "If-Match", `"1"`)
		require.Equal(t, 403, a.StatusCode, "%v: %s", c, a.text)
		require.Equal(t, 401, s.ask(c[0], "/api/v1"+c[1], "", c[2], "If-Match", `"1"`).StatusCode, "%v", c)
	}
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
}

// What the limiter needs is with the caller, and a key is remembered for a minute.
func TestAPIKeyIsRemembered(t *testing.T) {
	h, c := openAudited(t), newClock()
	s := listen(t, h, func(cfg *Config) { cfg.Now = c.now })
	p := s.register("a@b.it", "customer")
	id, key := p.newKey(`{"name":"till","quota_per_minute":77}`)
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
	b, _ := s.tokens.known([]byte(key), c.now())
	require.NotNil(t, b)
	require.Equal(t, 77, b.quota)
	require.Equal(t, id, b.apiKey)
	require.NotZero(t, b.limitKey)
	calls := h.calls.Load()
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
	require.EqualValues(t, 1, h.calls.Load()-calls, "the route's own look at the account")
	c.pass(maxAPIKeyNote)
	require.Equal(t, 200, s.ask("GET", "/api/v1/me", key, "").StatusCode)
	require.EqualValues(t, 3, h.calls.Load()-calls)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.tokens.verify(bearerLine(key), c.now().Add(-time.Second)) })-1, "but the line itself")
}

// A key that is verified while it is being revoked: the account was read before, the cache was swept before.
func TestAPIKeyRevokedWhileItIsVerified(t *testing.T) {
	tokens := testTokens(t)
	b := &bearer{token: "mtk_x", account: guestID, expires: testNow.Add(time.Minute), key: &keyForAPIKeys, apiKey: "key_1"}
	_, b.hash = tokens.known([]byte(b.token), testNow)
	r := tokens.revocations
	known := func() *bearer {
		got, _ := tokens.known([]byte(b.token), testNow)
		return got
	}
	r.suspect(mark{guestID, "key_1"}, testNow) // since the epoch that b has from before the look at its account
	tokens.remember(b, place(b.hash), testNow)
	require.Nil(t, known())
	b.seen.Store(r.epoch.Load())
	require.Same(t, b, known())
	r.add(mark{guestID, "key_2"}, 7, testNow)
	require.Same(t, b, known(), "another key")
	r.add(mark{guestID, ""}, 8, testNow)
	require.Nil(t, known(), "revoke-all looks at the account anew")
}

func TestAtMostTwentyAPIKeys(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	for n := range engine.MaxAPIKeys {
		p.newKey(fmt.Sprintf(`{"name":"key %d"}`, n))
	}
	a := p.do("POST", "/me/api-keys", `{"name":"one more","password":"correct horse"}`)
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "limit_reached", a.code())
}
