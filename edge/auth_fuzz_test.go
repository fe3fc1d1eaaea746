package edge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"maitred/actors"
	"maitred/engine"
)

// FuzzAuthorization: whatever the line says, nobody is let in but who holds the token, and nothing else is remembered.
func FuzzAuthorization(f *testing.F) {
	house := &script{view: func(engine.AggregateID) (*actors.View, error) { return &actors.View{View: &engine.AccountView{}}, nil }}
	s := listen(f, house)
	good, err := s.tokens.Issue(guestID, engine.RoleOwner, time.Now())
	require.NoError(f, err)
	f.Add("Bearer " + good)
	f.Add("bearer mtk_" + string(guestID[4:]) + "_0123456789012345678901234567890123456789012")
	f.Add("Bearer ..")
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, line string) {
		x := &exchange{s: s.Server, ctx: new(fasthttp.RequestCtx), now: time.Now(), head: head{authorization: []byte(line)}}
		k := x.authenticate(&endpoint{method: "GET"})
		mine := len(line) > len(bearerPrefix) && line[len(bearerPrefix):] == good
		require.Equal(t, x.caller == nil, k.status != 0)
		if !mine {
			require.Nil(t, x.caller, line)
			got, _ := s.tokens.known([]byte(line[min(len(bearerPrefix), len(line)):]), x.now)
			require.Nil(t, got)
		}
	})
}

// FuzzCode: no text is a code but the one that is.
func FuzzCode(f *testing.F) {
	const secret = "12345678901234567890"
	f.Add("287082", int64(59))
	f.Add("ABCD-efgh ijkl-MNOP", int64(0))
	f.Fuzz(func(t *testing.T, code string, at int64) {
		at &= 1<<40 - 1
		step, ok := totpStep(secret, code, time.Unix(at, 0))
		if ok {
			require.Equal(t, totpCode(secret, step), code)
			require.InDelta(t, at/totpPeriod, step, totpSkew)
		}
		require.Equal(t, normalRecovery(code), normalRecovery(normalRecovery(code)))
	})
}
