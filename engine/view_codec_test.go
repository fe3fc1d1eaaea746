package engine_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/engine/enginetest"
)

func sameView(t require.TestingT, v *engine.AccountView) {
	b := engine.AppendAccountView(nil, v)
	back, err := engine.DecodeAccountView(b)
	require.NoError(t, err)
	for i := range b {
		b[i] ^= 0xff // no reference to the input is kept
	}
	if !alike(reflect.ValueOf(v), reflect.ValueOf(back)) {
		require.Equal(t, v, back)
		t.FailNow()
	}
}

// alike is reflect.DeepEqual, except that an empty slice is as good as none.
func alike(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || alike(a.Elem(), b.Elem()))
	case reflect.Struct:
		for i := range a.NumField() {
			if !alike(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		same := a.Len() == b.Len()
		for i := 0; same && i < a.Len(); i++ {
			same = alike(a.Index(i), b.Index(i))
		}
		return same
	}
	return a.Equal(b)
}

// fullView is of an account that has as much as it may.
func fullView(tb testing.TB) *engine.AccountView {
	id := owner.Account
	a := engine.NewAggregate(engine.AggregateID(id))
	wide := func(n int) string { return strings.Repeat("x", n) }
	do := func(body engine.Body) {
		out, events := a.Decide(1000, &engine.Command{Caller: system, Body: body})
		require.False(tb, out.Code.Refused(), "%T: %s %s", body, out.Code, out.Field)
		for _, e := range events {
			a.Apply(e)
		}
	}
	do(&engine.Register{Profile: engine.Profile{ID: id, Email: "a@" + wide(engine.MaxEmail-2), FirstName: wide(engine.MaxName), LastName: wide(engine.MaxName),
		Phone: wide(engine.MaxPhone), Role: engine.RoleOwner, PasswordHash: wide(engine.MaxPasswordHash)}})
	token := engine.Hash32{1}
	next := func() engine.Hash32 {
		for i := range token {
			if token[i]++; token[i] != 0 {
				break
			}
		}
		return token
	}
	for i := range engine.MaxSessions {
		do(&engine.OpenSession{Family: wide(engine.MaxFamily-1) + string(rune('a'+i)), Refresh: next(), Expires: 1 << 60})
		for range engine.MaxSeenTokens {
			old := token
			do(&engine.RotateSession{Old: old, New: next()})
		}
	}
	for i := range engine.MaxAPIKeys {
		do(&engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(uint64(i)), Name: wide(engine.MaxName), Hash: next(), Quota: engine.MaxQuota}})
	}
	do(&engine.BeginSecondFactor{Secret: wide(engine.SecretBytes)})
	codes := make([]engine.Hash32, engine.MaxRecoveryCodes)
	for i := range codes {
		codes[i] = next()
	}
	do(&engine.ConfirmSecondFactor{Secret: wide(engine.SecretBytes), Step: 1 << 40, Recovery: codes})
	do(&engine.NoteThrottle{})
	return a.View().(*engine.AccountView)
}

// TestAccountViewsTravel: the fullest view is small; TestForwardedCommands has those of histories.
func TestAccountViewsTravel(t *testing.T) {
	v := fullView(t)
	sameView(t, v)
	b := engine.AppendAccountView(nil, v)
	t.Logf("%d bytes at most", len(b))
	require.Less(t, len(b), 24<<10)

	back, err := engine.DecodeAccountView(append(bytes.Clone(b), 0xc0, 0x3e, 1)) // field 1000: a newer owner may say more
	require.NoError(t, err)
	require.Equal(t, b, engine.AppendAccountView(nil, back))

	for name, spoil := range map[string]func(*enginepb.AccountView){
		"nobody":          func(p *enginepb.AccountView) { p.Id = "" },
		"somebody else":   func(p *enginepb.AccountView) { p.Id = string(guest(1).Account) },
		"no base":         func(p *enginepb.AccountView) { p.Base = nil },
		"no account":      func(p *enginepb.AccountView) { p.Base.Account = nil },
		"token":           func(p *enginepb.AccountView) { p.Base.Sessions[3].Refresh = []byte{1} },
		"earlier token":   func(p *enginepb.AccountView) { p.Base.Sessions[3].Previous = p.Base.Sessions[3].Previous[1:] },
		"key":             func(p *enginepb.AccountView) { p.Base.ApiKeys[3].Hash = nil },
		"recovery":        func(p *enginepb.AccountView) { p.Base.SecondFactor.Recovery = []byte{1} },
		"secret":          func(p *enginepb.AccountView) { p.Base.SecondFactor.Secret = nil },
		"too many tokens": func(p *enginepb.AccountView) { p.Base.Sessions = append(p.Base.Sessions, p.Base.Sessions[0]) },
		"too many keys": func(p *enginepb.AccountView) {
			p.Base.ApiKeys = append(p.Base.ApiKeys, &enginepb.ApiKey{Id: "key_", Hash: p.Base.ApiKeys[0].Hash})
		},
		"a key twice": func(p *enginepb.AccountView) { p.Base.ApiKeys[1] = p.Base.ApiKeys[0] },
	} {
		p := new(enginepb.AccountView)
		require.NoError(t, proto.Unmarshal(b, p))
		spoil(p)
		spoilt, err := proto.Marshal(p)
		require.NoError(t, err)
		_, err = engine.DecodeAccountView(spoilt)
		require.ErrorIs(t, err, engine.ErrAccountView, name)
	}
	_, err = engine.DecodeAccountView(b[:len(b)-1])
	require.ErrorIs(t, err, engine.ErrAccountView)
}

// TestAccountViewCarriesNoReceipts: they are the writer's, and most of a base.
func TestAccountViewCarriesNoReceipts(t *testing.T) {
	a := engine.NewAggregate(engine.AggregateID(owner.Account))
	key := engine.Hash(bytes.Repeat([]byte{0xab}, 16))
	_, events := a.Decide(1, &engine.Command{Caller: owner, Key: key, Body: &engine.Register{Profile: engine.Profile{
		ID: owner.Account, Email: "a@b", Role: engine.RoleOwner, PasswordHash: "phc"}}})
	a.Apply(events[0])
	require.True(t, bytes.Contains(a.AppendBase(nil), key[:]))
	require.False(t, bytes.Contains(engine.AppendAccountView(nil, a.View().(*engine.AccountView)), key[:]))
}

func FuzzDecodeAccountView(f *testing.F) {
	f.Add(engine.AppendAccountView(nil, fullView(f)))
	s := enginetest.NewAccountStream(rand.New(rand.NewPCG(13, 0)))
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	for i := range 120 {
		now, cmd := s.Next()
		_, events := a.Decide(now, cmd)
		for _, e := range events {
			a.Apply(e)
		}
		if i%10 == 0 {
			f.Add(engine.AppendAccountView(nil, a.View().(*engine.AccountView)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := engine.DecodeAccountView(b)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrAccountView)
			return
		}
		once := engine.AppendAccountView(nil, v)
		for i := range b {
			b[i] ^= 0xff // no reference to the input is kept
		}
		require.Equal(t, once, engine.AppendAccountView(nil, v))
		sameView(t, v)
	})
}
