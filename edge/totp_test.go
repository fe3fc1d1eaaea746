package edge

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// The vectors of RFC 6238, appendix B, cut to six digits.
func TestTotpVectors(t *testing.T) {
	const secret = "12345678901234567890"
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		require.Equal(t, code, totpCode(secret, at/totpPeriod), "at %d", at)
		for _, skew := range []int64{-totpPeriod, 0, totpPeriod} {
			step, ok := totpStep(secret, code, time.Unix(at+skew, 0))
			require.True(t, ok)
			require.Equal(t, at/totpPeriod, step)
		}
		for _, skew := range []int64{-2 * totpPeriod, 2 * totpPeriod} {
			if at+skew < 0 {
				continue
			}
			_, ok := totpStep(secret, code, time.Unix(at+skew, 0))
			require.False(t, ok)
		}
	}
	for _, bad := range []string{"", "28708", "2870820", " 287082", "２８７０８２"} {
		_, ok := totpStep(secret, bad, time.Unix(59, 0))
		require.False(t, ok, bad)
	}
}

func TestSecondFactorOverHTTP(t *testing.T) {
	h, c := openAudited(t), newClock()
	s := listen(t, h, func(cfg *Config) { cfg.Now = c.now })
	p := s.register("a@b.it", "owner")
	login := func(code string) *answer {
		return s.ask("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":"a@b.it","password":"correct horse","code":%q}`, code))
	}
	require.Equal(t, 404, p.do("POST", "/me/totp/confirm", `{"code":"123456"}`).StatusCode, "nothing is begun")
	a := p.do("POST", "/me/totp", `{"password":"correct horse"}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	link, err := url.Parse(a.doc["otpauth_url"].(string))
	require.NoError(t, err)
	require.Equal(t, "otpauth://totp/maitred:a@b.it", link.Scheme+"://"+link.Host+link.Path)
	require.Equal(t, a.doc["secret"], link.Query().Get("secret"))
	secret, err := totpEncoding.DecodeString(a.doc["secret"].(string))
	require.NoError(t, err)
	code := func() string { return totpCode(string(secret), c.now().Unix()/totpPeriod) }

	require.Equal(t, 200, login("").StatusCode, "it is not confirmed")
	require.Equal(t, 422, p.do("POST", "/me/totp/confirm", `{"code":"x"}`).StatusCode)
	a = p.do("POST", "/me/totp/confirm", fmt.Sprintf(`{"code":%q}`, code()))
	require.Equal(t, 200, a.StatusCode, a.text)
	recovery := a.doc["recovery_codes"].([]any)
	require.Len(t, recovery, 10)
	require.Equal(t, 409, p.do("POST", "/me/totp", `{"password":"correct horse"}`).StatusCode)
	require.Equal(t, 409, p.do("POST", "/me/totp/confirm", fmt.Sprintf(`{"code":%q}`, code())).StatusCode)

	require.Equal(t, 401, login(code()).StatusCode, "the code that confirmed it is used")
	c.pass(totpPeriod * time.Second)
	a = s.ask("POST", "/api/v1/auth/login", "", `{"email":"a@b.it","password":"wrong horse"}`)
	require.Equal(t, "unauthorized", a.code(), "who does not know the password does not learn of the second factor")
	require.Equal(t, "second_factor_required", login("").code())
	require.Equal(t, 401, login("").StatusCode)
	require.Equal(t, 200, login(code()).StatusCode)
	require.Equal(t, 401, login(code()).StatusCode, "a code is good once")
	require.Equal(t, 200, login(recovery[3].(string)).StatusCode)
	require.Equal(t, 401, login(recovery[3].(string)).StatusCode, "a recovery code too")
	require.Equal(t, 200, login(" "+recovery[4].(string)[:4]+recovery[4].(string)[5:]).StatusCode, "however it is written")

	for n := range accountFailures {
		require.Equal(t, 401, login("000000").StatusCode, "try %d", n)
	}
	require.Equal(t, 429, login(recovery[5].(string)).StatusCode, "wrong codes count as failed logins")
	c.pass(longestWait)

	fresh, err := s.tokens.Issue(engine.AccountID(p.id), engine.RoleOwner, c.now())
	require.NoError(t, err)
	require.Equal(t, 403, s.ask("DELETE", "/api/v1/me/totp", fresh, `{"password":"wrong horse"}`).StatusCode)
	require.Equal(t, 422, s.ask("DELETE", "/api/v1/me/totp", fresh, `{"pass":"x"}`).StatusCode)
	require.Equal(t, 204, s.ask("DELETE", "/api/v1/me/totp", fresh, `{"password":"correct horse"}`).StatusCode)
	require.Equal(t, 404, s.ask("DELETE", "/api/v1/me/totp", fresh, `{"password":"correct horse"}`).StatusCode)
	require.Equal(t, 200, login("").StatusCode)

	for _, e := range h.events(p.id) {
		require.Equal(t, "127.0.0.1", e.From, "%T", e.Body)
	}
	require.NotContains(t, s.log.String(), link.Query().Get("secret"))
	require.NotContains(t, s.log.String(), recovery[0].(string))
}

// Two logins with one code at once: one of them wins.
func TestACodeIsGoodOnceAtOnce(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "customer")
	secret, err := totpEncoding.DecodeString(p.do("POST", "/me/totp", `{"password":"correct horse"}`).doc["secret"].(string))
	require.NoError(t, err)
	step := time.Now().Unix() / totpPeriod
	a := p.do("POST", "/me/totp/confirm", fmt.Sprintf(`{"code":%q}`, totpCode(string(secret), step)))
	require.Equal(t, 200, a.StatusCode, a.text)
	recovery := a.doc["recovery_codes"].([]any)[0].(string)
	statuses := make(chan int, 4)
	for range 4 {
		go func() {
			a := s.ask("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":"a@b.it","password":"correct horse","code":%q}`, recovery))
			statuses <- a.StatusCode
		}()
	}
	won := 0
	for range 4 {
		if <-statuses == 200 {
			won++
		}
	}
	require.Equal(t, 1, won)
}
