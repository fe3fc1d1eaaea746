package edge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func TestDeleteMe(t *testing.T) {
	begun := 0
	s := listen(t, openHouse(t), func(c *Config) {
		c.Erasures = Erasures{Begun: func() { begun++ }, Owns: func(_ context.Context, id engine.AccountID) (bool, error) {
			t.Errorf("%s is a customer: nobody has to be asked", id)
			return true, nil
		}}
	})
	p := s.register("guest@example.org", "customer")
	require.Equal(t, 401, s.ask("DELETE", "/api/v1/me", "", `{"password":"correct horse"}`).StatusCode)
	for body, status := range map[string]int{
		`{"password":"wrong horse"}`: 403, `{}`: 422, `{"password":null}`: 400, `{"password":1}`: 400, `{"password":"x","id":"y"}`: 422, `[`: 400,
		`{"password":"` + strings.Repeat("x", 600) + `"}`: 422, `{"password":""}`: 403,
	} {
		require.Equal(t, status, p.do("DELETE", "/me", body).StatusCode, body)
	}
	require.Equal(t, 412, p.do("DELETE", "/me", `{"password":"correct horse"}`, "If-Match", `"2"`).StatusCode)
	require.Equal(t, 200, p.do("GET", "/me", "").StatusCode, "what was refused has done nothing")
	before := begun

	a := p.do("DELETE", "/me", `{"password":"correct horse"}`, "If-Match", `"1"`)
	require.Equal(t, 204, a.StatusCode, a.text)
	require.Empty(t, a.text)
	require.Equal(t, before+1, begun)
	require.Equal(t, 401, p.do("GET", "/me", "").StatusCode)
	require.Equal(t, 401, p.do("GET", "/reservations", "").StatusCode, "the access token is void at once")
	require.Equal(t, 401, p.do("DELETE", "/me", `{"password":"correct horse"}`).StatusCode)
	require.Equal(t, 401, s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+p.refresh+`"}`).StatusCode)
	require.Equal(t, 401, s.ask("POST", "/api/v1/auth/login", "", `{"email":"guest@example.org","password":"correct horse"}`).StatusCode)
	register := `{"email":"guest@example.org","password":"correct horse"}`
	require.Equal(t, 409, s.ask("POST", "/api/v1/auth/register", "", register).StatusCode, "until the erasure is complete")
	require.NotContains(t, s.log.String(), "guest@example.org")
	require.NotContains(t, s.log.String(), "horse")

	out, err := s.house.Do(engine.AggregateID(p.id), &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.CompleteErasure{}}, time.Now().Add(5*time.Second))
	require.NoError(t, err)
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, 201, s.ask("POST", "/api/v1/auth/register", "", register).StatusCode)
	require.Equal(t, 401, p.do("GET", "/me", "").StatusCode, "the former is not the newcomer")
}

func TestOwnersAreNotErased(t *testing.T) {
	var owns bool
	var fault error
	s := listen(t, openHouse(t), func(c *Config) {
		c.Erasures.Owns = func(context.Context, engine.AccountID) (bool, error) { return owns, fault }
	})
	p := s.register("owner@example.org", "owner")
	owns = true
	a := p.do("DELETE", "/me", `{"password":"correct horse"}`)
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "in_use", a.code())
	require.Equal(t, "restaurants", a.doc["field"])
	owns, fault = false, errors.New("away")
	a = p.do("DELETE", "/me", `{"password":"correct horse"}`)
	require.Equal(t, 503, a.StatusCode)
	require.Equal(t, "store_unavailable", a.code())
	require.Equal(t, 200, p.do("GET", "/me", "").StatusCode)
	fault = nil
	require.Equal(t, 204, p.do("DELETE", "/me", `{"password":"correct horse"}`).StatusCode)

	s = listen(t, openHouse(t)) // without a store nobody knows
	require.Equal(t, 503, s.register("owner@example.org", "owner").do("DELETE", "/me", `{"password":"correct horse"}`).StatusCode)
}
