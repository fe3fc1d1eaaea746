package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
)

const secretA = "aaaaaaaaaaaaaaaaaaaa"

func (h *accountHarness) account() *engine.AccountView { return h.view.(*engine.AccountView) }

// A code is good once, over bases and views too (the harness opens each base anew).
func TestSecondFactorIsUsedOnce(t *testing.T) {
	h := newAccountHarness(t)
	login := func(step int64, recovery engine.Hash32) engine.Code {
		return h.do(&engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now + 1000, Step: step, Recovery: recovery}).Code
	}
	require.Equal(t, engine.CodeOK, h.do(&engine.BeginSecondFactor{Secret: secretA}).Code)
	require.False(t, h.account().SecondFactor().Active)
	codes := make([]engine.Hash32, engine.MaxRecoveryCodes+1)
	for i := range codes {
		codes[i] = token(byte(i + 1))
	}
	require.Equal(t, engine.CodeInvalid, h.do(&engine.ConfirmSecondFactor{Secret: secretA, Step: 5, Recovery: codes}).Code)
	require.Equal(t, engine.CodeInvalid, h.do(&engine.ConfirmSecondFactor{Secret: secretA, Recovery: codes[:2]}).Code)
	require.Equal(t, engine.CodeOK, h.do(&engine.ConfirmSecondFactor{Secret: secretA, Step: 5, Recovery: codes[:engine.MaxRecoveryCodes]}).Code)
	before := h.account().SecondFactor()
	for _, c := range []struct {
		step     int64
		recovery engine.Hash32
		want     engine.Code
	}{
		{0, engine.Hash32{}, engine.CodeUnauthorized}, {5, engine.Hash32{}, engine.CodeUnauthorized}, {4, engine.Hash32{}, engine.CodeUnauthorized},
		{7, engine.Hash32{}, engine.CodeCreated}, {7, engine.Hash32{}, engine.CodeUnauthorized}, {6, engine.Hash32{}, engine.CodeUnauthorized},
		{0, codes[3], engine.CodeCreated}, {0, codes[3], engine.CodeUnauthorized}, {9, token(99), engine.CodeUnauthorized},
		{8, engine.Hash32{}, engine.CodeCreated},
	} {
		require.Equal(t, c.want, login(c.step, c.recovery), "%v", c)
	}
	f := h.account().SecondFactor()
	require.EqualValues(t, 8, f.LastStep)
	require.Len(t, f.Recovery, engine.MaxRecoveryCodes-1)
	require.Len(t, before.Recovery, engine.MaxRecoveryCodes, "I11")
	require.Equal(t, engine.CodeExists, h.do(&engine.BeginSecondFactor{Secret: secretA}).Code)
	require.Equal(t, engine.CodeOK, h.do(&engine.RemoveSecondFactor{}).Code)
	require.Nil(t, h.account().SecondFactor())
	require.Equal(t, engine.CodeCreated, login(0, engine.Hash32{}))
}

func TestAPIKeysAreBounded(t *testing.T) {
	h := newAccountHarness(t)
	add := func(n uint64) engine.Outcome {
		return h.do(&engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(n), Name: "till", Hash: token(byte(n + 1)), Quota: 60}})
	}
	for n := range uint64(engine.MaxAPIKeys) {
		out := add(n)
		require.Equal(t, engine.CodeCreated, out.Code)
		require.Equal(t, h.now, out.APIKey.Created)
	}
	require.Equal(t, engine.Outcome{Code: engine.CodeLimit, Field: "api_keys"}, add(99))
	before := h.account().APIKeys()
	require.Equal(t, engine.CodeOK, h.do(&engine.RevokeAPIKey{ID: engine.MakeAPIKeyID(3)}).Code)
	require.Len(t, before, engine.MaxAPIKeys, "I11")
	require.Len(t, h.account().APIKeys(), engine.MaxAPIKeys-1)
	require.Equal(t, engine.CodeCreated, add(99).Code)
	for field, k := range map[string]engine.APIKey{
		"id":               {ID: "key_1", Name: "x", Hash: token(1)},
		"quota_per_minute": {ID: engine.MakeAPIKeyID(77), Name: "x", Hash: token(1), Quota: engine.MaxQuota + 1},
		"key":              {ID: engine.MakeAPIKeyID(77), Name: "x"},
		"name":             {ID: engine.MakeAPIKeyID(77), Name: "\xff", Hash: token(1)},
	} {
		require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: field}, h.do(&engine.AddAPIKey{Key: k}))
	}
}

// What is erased leaves no second factor and no key behind: not in the base either.
func TestErasureTakesSecondFactorAndKeys(t *testing.T) {
	h := newAccountHarness(t)
	h.do(&engine.BeginSecondFactor{Secret: secretA})
	h.do(&engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(1), Name: "till-of-ada", Hash: token(1)}})
	require.Contains(t, string(h.a.AppendBase(nil)), secretA)
	h.a.Apply(&engine.Event{AtMs: int64(h.now), Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}})
	base := string(h.a.AppendBase(nil))
	require.NotContains(t, base, secretA)
	require.NotContains(t, base, "till-of-ada")
	require.NoError(t, engine.CheckInvariants(h.a))
}

// The address goes with privileged acts only, and never when it cannot be one.
func TestFrom(t *testing.T) {
	const at = "2001:db8::1"
	h := newAccountHarness(t)
	from := func(a engine.Aggregate, cmd *engine.Command) string {
		cmd.Caller.From = at
		out, events := a.Decide(h.now, cmd)
		require.NotEmpty(t, events, "%s %s", out.Code, out.Field)
		for _, e := range events {
			a.Apply(e)
		}
		return events[0].From
	}
	self := engine.Caller{Account: h.id, Role: engine.RoleCustomer}
	require.Equal(t, at, from(h.a, &engine.Command{Caller: self, Body: &engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now + 1}}))
	cmd := &engine.Command{Caller: self, Body: &engine.RevokeSession{All: true}}
	cmd.Caller.From = strings.Repeat("x", engine.MaxFrom+1)
	_, events := h.a.Decide(h.now, cmd)
	require.Empty(t, events[0].From)

	r := engine.NewAggregate(engine.AggregateID(scriptRestaurant))
	s := &script{t: t, names: map[string]string{}}
	require.Equal(t, at, from(r, &engine.Command{Caller: owner, Body: &engine.CreateRestaurant{ID: scriptRestaurant, Details: s.details(map[string]string{"name": "x"})}}))
	require.Equal(t, at, from(r, &engine.Command{Caller: owner, Body: s.body("add-table", map[string]string{"id": "a", "capacity": "4"})}))
	h.now = engine.Instant(day(t, "2026-06-10")) * 86_400_000
	book := map[string]string{"id": "r1", "date": "2026-06-12", "time": "20:00"}
	require.Empty(t, from(r, &engine.Command{Caller: guest(2), Body: s.body("book", book)}), "a guest's own reservation")
	require.Empty(t, from(r, &engine.Command{Caller: guest(2), Body: s.body("do", map[string]string{"id": "r1", "action": "cancel"})}))
	require.Equal(t, at, from(r, &engine.Command{Caller: owner, Body: s.body("do", map[string]string{"id": "r1", "action": "reinstate"})}))
}

// goldenAccount is a fixed history with every event of an account.
func goldenAccount() (events [][]byte, base []byte) {
	id := engine.MakeAccountID([16]byte{3})
	self := engine.Caller{Account: id, Role: engine.RoleCustomer, From: "127.0.0.1"}
	a := engine.NewAggregate(engine.AggregateID(id))
	name := "Ada"
	keep := func(list ...*engine.Event) {
		for _, e := range list {
			a.Apply(e)
			events = append(events, engine.AppendEvent(nil, e))
		}
	}
	profile := engine.Profile{ID: id, Email: "ada@example.org", Role: engine.RoleCustomer, PasswordHash: "phc"}
	open := func(n byte, step int64) *engine.OpenSession {
		return &engine.OpenSession{Family: string('a' + rune(n)), Refresh: token(n), Expires: 9_000_000, Step: step}
	}
	life := []engine.Body{
		&engine.Register{Profile: profile, Session: open(1, 0)}, &engine.ChangeProfile{Change: engine.ProfileChange{FirstName: &name}},
		&engine.RotateSession{Old: token(1), New: token(2)}, &engine.BeginSecondFactor{Secret: secretA},
		&engine.ConfirmSecondFactor{Secret: secretA, Step: 4, Recovery: []engine.Hash32{token(8), token(9)}}, open(3, 5),
		&engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(1), Name: "till", Hash: token(1), Quota: 60, ReadOnly: true}},
		&engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(2), Name: "site", Hash: token(2)}},
		&engine.RevokeAPIKey{ID: engine.MakeAPIKeyID(1)}, &engine.RevokeSession{Refresh: token(3)},
	}
	act := func(bodies ...engine.Body) {
		for _, body := range bodies {
			out, list := a.Decide(1_000_000, &engine.Command{Caller: self, Body: body})
			if out.Code.Refused() {
				panic(out.Code.String() + " " + out.Field)
			}
			keep(list...)
		}
	}
	act(life...)
	keep(&engine.Event{AtMs: 2_000_000, ByAccount: string(id), Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}})
	keep(&engine.Event{AtMs: 2_000_000, Body: &enginepb.Event_AccountErasureCompleted{AccountErasureCompleted: &enginepb.AccountErasureCompleted{}}})
	act(life[:8]...)
	self = engine.Caller{Role: engine.RoleSystem}
	act(&engine.RehashPassword{Old: "phc", New: "phc2"}, &engine.NoteThrottle{})
	return events, a.AppendBase(nil)
}

// TestGoldenAccount is TestGolden for an account.
func TestGoldenAccount(t *testing.T) {
	events, base := filepath.Join("testdata", "golden", "account-1.events"), filepath.Join("testdata", "golden", "account-1.base")
	if *update {
		made, b := goldenAccount()
		var text strings.Builder
		for _, e := range made {
			fmt.Fprintf(&text, "%x\n", e)
		}
		require.NoError(t, os.WriteFile(events, []byte(text.String()), 0o644))
		require.NoError(t, os.WriteFile(base, fmt.Appendf(nil, "%x\n", b), 0o644))
	}
	text, err := os.ReadFile(events)
	require.NoError(t, err)
	var a engine.Aggregate
	kinds := map[string]bool{}
	for _, line := range strings.Fields(string(text)) {
		raw := unhex(t, line)
		e, err := engine.DecodeEvent(raw)
		require.NoError(t, err)
		require.Equal(t, raw, engine.AppendEvent(nil, e), "the encoding is canonical")
		kinds[fmt.Sprintf("%T", e.Body)] = true
		if a == nil {
			a = engine.NewAggregate(engine.AggregateID(e.GetAccountRegistered().Account.Id))
		}
		a.Apply(e)
	}
	require.Len(t, kinds, 13, "every event of an account is there: %v", kinds)
	text, err = os.ReadFile(base)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(text)), fmt.Sprintf("%x", a.AppendBase(nil)))
	require.NoError(t, engine.CheckInvariants(a))
}
