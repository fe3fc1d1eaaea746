package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

type accountHarness struct {
	*testing.T
	a    engine.Aggregate
	view engine.View
	id   engine.AccountID
	now  engine.Instant
}

func newAccountHarness(t *testing.T) *accountHarness {
	h := &accountHarness{T: t, id: engine.MakeAccountID([16]byte{3}), now: 1_000_000}
	h.a = engine.NewAggregate(engine.AggregateID(h.id))
	h.view = h.a.View()
	out := h.do(&engine.Register{Profile: h.profile()})
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	return h
}

func (h *accountHarness) profile() engine.Profile {
	return engine.Profile{ID: h.id, Email: "ada@example.org", FirstName: "Ada", Role: engine.RoleCustomer, PasswordHash: "$argon2id$v=19$x"}
}

func (h *accountHarness) do(body engine.Body) engine.Outcome {
	return h.send(&engine.Command{Caller: engine.Caller{Account: h.id, Role: engine.RoleCustomer}, Body: body})
}

func (h *accountHarness) send(cmd *engine.Command) engine.Outcome {
	h.Helper()
	out, events := h.a.Decide(h.now, cmd)
	for i, e := range events {
		d, err := engine.DecodeEvent(engine.AppendEvent(nil, e))
		require.NoError(h, err)
		events[i] = d
		h.a.Apply(d)
	}
	h.view = h.view.Next(events)
	require.NoError(h, engine.CheckInvariants(h.a))
	again, err := engine.OpenBase(engine.AggregateID(h.id), h.a.AppendBase(nil))
	require.NoError(h, err)
	require.Equal(h, h.a.Digest(), again.Digest(), "I12")
	require.Equal(h, h.a.Version(), h.view.Version())
	h.a = again
	return out
}

func token(n byte) engine.Hash32 { return engine.Hash32{n, 1} }

func TestAccountLife(t *testing.T) {
	h := newAccountHarness(t)
	require.Equal(t, engine.CodeExists, h.do(&engine.Register{Profile: h.profile()}).Code)
	info := h.view.(*engine.AccountView).Info()
	require.Equal(t, "$argon2id$v=19$x", info.PasswordHash)
	name := "Grace"
	change := &engine.Command{Caller: engine.Caller{Account: h.id}, IfMatch: 1, Body: &engine.ChangeProfile{Change: engine.ProfileChange{FirstName: &name}}}
	require.EqualValues(t, 2, h.send(change).Account.Version)
	require.Equal(t, engine.CodeStale, h.send(change).Code)
	require.Equal(t, "Grace", h.view.(*engine.AccountView).Info().FirstName)
	require.Equal(t, "Ada", info.FirstName, "I11")
	change.Caller = guest(1)
	require.Equal(t, engine.CodeNotFound, h.send(change).Code)
}

func TestRegisterRefuses(t *testing.T) {
	id := engine.MakeAccountID([16]byte{3})
	for field, spoil := range map[string]func(*engine.Profile){
		"email":      func(p *engine.Profile) { p.Email = "ada" },
		"password":   func(p *engine.Profile) { p.PasswordHash = "" },
		"first_name": func(p *engine.Profile) { p.FirstName = "\xff" },
		"id":         func(p *engine.Profile) { p.ID = engine.MakeAccountID([16]byte{4}) },
	} {
		p := engine.Profile{ID: id, Email: "ada@example.org", Role: engine.RoleOwner, PasswordHash: "x"}
		spoil(&p)
		out, events := engine.NewAggregate(engine.AggregateID(id)).Decide(1, &engine.Command{Body: &engine.Register{Profile: p}})
		require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: field}, out)
		require.Empty(t, events, "I10")
	}
	admin := engine.Profile{ID: id, Email: "ada@example.org", Role: engine.RoleAdmin, PasswordHash: "x"}
	out, _ := engine.NewAggregate(engine.AggregateID(id)).Decide(1, &engine.Command{Body: &engine.Register{Profile: admin}})
	require.Equal(t, engine.CodeForbidden, out.Code)
}

func TestSessions(t *testing.T) {
	h := newAccountHarness(t)
	require.Equal(t, engine.CodeCreated, h.do(&engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now + 100}).Code)
	rotate := &engine.Command{Key: engine.Hash{5}, Payload: engine.Hash{5}, Body: &engine.RotateSession{Old: token(1), New: token(2)}}
	out := h.send(rotate)
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, "f", out.Family)
	out = h.send(rotate)
	require.True(t, out.Replayed, "the same request again is no theft")
	require.Equal(t, "f", out.Family)
	require.Equal(t, engine.CodeOK, h.do(&engine.RotateSession{Old: token(2), New: token(3)}).Code)
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(9), New: token(4)}).Code, "an unknown token revokes nothing")
	before := h.a.Version()
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(1), New: token(4)}).Code, "used before the last")
	require.Equal(t, before+1, h.a.Version(), "I10: it ends the family")
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(3), New: token(4)}).Code)
}

func TestSessionsEnd(t *testing.T) {
	h := newAccountHarness(t)
	for i := range byte(engine.MaxSessions + 1) {
		h.do(&engine.OpenSession{Family: string('a' + rune(i)), Refresh: token(100 + i), Expires: h.now + 1000})
	}
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(100), New: token(1)}).Code, "I9: the oldest has gone")
	require.Equal(t, engine.CodeOK, h.do(&engine.RevokeSession{Refresh: token(101)}).Code)
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RevokeSession{Refresh: token(101)}).Code)
	h.now += 1000
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(102), New: token(1)}).Code, "expired")
	h.do(&engine.OpenSession{Family: "new", Refresh: token(1), Expires: h.now + 1000})
	require.Equal(t, engine.CodeUnauthorized, h.send(&engine.Command{Caller: guest(1), Body: &engine.RevokeSession{All: true}}).Code)
	require.Equal(t, engine.CodeOK, h.do(&engine.RevokeSession{All: true}).Code)
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(1), New: token(2)}).Code)
}
