package persistence_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/engine/enginetest"
	"maitred/persistence"
	"maitred/persistence/memory"
)

const sealedID = engine.AggregateID("usr_00000000000000000000000001")

func sealKey(b byte) []byte { return bytes.Repeat([]byte{b}, persistence.SealKeyBytes) }

func newSeal(t testing.TB, keys ...byte) *persistence.Seal {
	t.Helper()
	var ring [][]byte
	for _, k := range keys {
		ring = append(ring, sealKey(k))
	}
	s, err := persistence.NewSeal(ring...)
	require.NoError(t, err)
	return s
}

func registered() *engine.Event {
	return &engine.Event{AtMs: 7, Receipt: &enginepb.Receipt{Key: []byte("k")}, Body: &enginepb.Event_AccountRegistered{
		AccountRegistered: &enginepb.AccountRegistered{Account: &enginepb.Account{Id: string(sealedID), Email: "ada@secret",
			FirstName: "Ada secret", Phone: "secret 1", PasswordHash: "secret 2", Role: engine.RoleCustomer, Version: 1}}}}
}

func TestSealedEvents(t *testing.T) {
	s, e := newSeal(t, 1), registered()
	clear := engine.AppendEvent(nil, e)
	sealed := s.AppendEvent(nil, sealedID, 5, e)
	require.NotContains(t, string(sealed), "secret")
	require.Equal(t, clear, engine.AppendEvent(nil, e), "the event is as it was")
	require.NotEqual(t, sealed, s.AppendEvent(nil, sealedID, 5, e), "the nonce is new each time")

	back, err := s.DecodeEvent(sealed, sealedID, 5)
	require.NoError(t, err)
	require.Equal(t, clear, engine.AppendEvent(nil, back))
	back, err = s.DecodeEvent(clear, sealedID, 5)
	require.NoError(t, err, "what is older than the seal stays readable")
	require.Equal(t, clear, engine.AppendEvent(nil, back))
	require.Equal(t, clear, (*persistence.Seal)(nil).AppendEvent(nil, sealedID, 5, e))

	rotated := newSeal(t, 2, 1)
	_, err = rotated.DecodeEvent(sealed, sealedID, 5)
	require.NoError(t, err, "an earlier key opens")
	_, err = newSeal(t, 1).DecodeEvent(rotated.AppendEvent(nil, sealedID, 5, e), sealedID, 5)
	require.ErrorIs(t, err, persistence.ErrSealed, "the newest key seals")
	for what, try := range map[string]func() (*engine.Event, error){
		"another key":       func() (*engine.Event, error) { return newSeal(t, 3).DecodeEvent(sealed, sealedID, 5) },
		"no key":            func() (*engine.Event, error) { return (*persistence.Seal)(nil).DecodeEvent(sealed, sealedID, 5) },
		"another version":   func() (*engine.Event, error) { return s.DecodeEvent(sealed, sealedID, 6) },
		"another aggregate": func() (*engine.Event, error) { return s.DecodeEvent(sealed, sealedID[:29]+"2", 5) },
	} {
		_, err := try()
		require.ErrorIs(t, err, persistence.ErrSealed, what)
		require.NotContains(t, err.Error(), "secret")
	}
	for n := range 20 { // no byte of what is sealed can be changed or cut off
		e, err := engine.DecodeEvent(sealed)
		require.NoError(t, err)
		e.Sealed[n%len(e.Sealed)] ^= 1
		if n > 10 {
			e.Sealed = e.Sealed[:n-11]
		}
		if len(e.Sealed) == 0 {
			continue
		}
		_, err = s.DecodeEvent(engine.AppendEvent(nil, e), sealedID, 5)
		require.ErrorIs(t, err, persistence.ErrSealed, n)
	}
}

// TestSealKeepsEveryEvent: what is sealed and opened is the event that was made, and one without personal strings has the bytes
// that it always had.
func TestSealKeepsEveryEvent(t *testing.T) {
	s, plain, sealed := newSeal(t, 1), 0, 0
	stream := enginetest.NewStream(rand.New(rand.NewPCG(8, 0)), 3)
	id := engine.AggregateID(stream.ID)
	a := engine.NewAggregate(id)
	for n := 0; plain <= 50 || sealed <= 50; n++ {
		require.Less(t, n, 5000)
		now, cmd := stream.Next()
		out, events := a.Decide(now, cmd)
		stream.Saw(out)
		for _, e := range events {
			clear := engine.AppendEvent(nil, e)
			b := s.AppendEvent(nil, id, a.Version()+1, e)
			back, err := s.DecodeEvent(b, id, a.Version()+1)
			require.NoError(t, err)
			require.Equal(t, clear, engine.AppendEvent(nil, back))
			if engine.HasPersonal(e) {
				sealed++
				require.NotContains(t, string(b), "Ada")
				require.NotContains(t, string(b), "a quiet corner")
			} else {
				plain++
				require.Equal(t, clear, b)
			}
			a.Apply(back)
		}
	}
}

func TestSealedBases(t *testing.T) {
	raw := memory.NewBases(memory.BasesOptions{})
	s := newSeal(t, 1)
	bases := persistence.SealBases(raw, s)
	put := func(to persistence.Bases, id engine.AggregateID, v engine.Version, at persistence.Revision) persistence.Revision {
		rev, err := to.Put(t.Context(), persistence.Base{
			BaseHeader: persistence.BaseHeader{ID: id, Version: v, Position: 9, Revision: at}, State: []byte("\x0astate with a secret")})
		require.NoError(t, err)
		return rev
	}
	rev := put(raw, sealedID, 3, 0) // as an older build has put it
	b, err := bases.Get(t.Context(), sealedID)
	require.NoError(t, err)
	require.Equal(t, "\x0astate with a secret", string(b.State))

	put(bases, sealedID, 4, rev)
	hidden, err := raw.Get(t.Context(), sealedID)
	require.NoError(t, err)
	require.NotContains(t, string(hidden.State), "secret")
	b, err = bases.Get(t.Context(), sealedID)
	require.NoError(t, err)
	require.Equal(t, "\x0astate with a secret", string(b.State))
	require.EqualValues(t, 4, b.Version)
	require.Equal(t, hidden.BaseHeader, b.BaseHeader)

	for _, other := range []*persistence.Seal{newSeal(t, 2), newSeal(t, 2, 3)} {
		_, err = persistence.SealBases(raw, other).Get(t.Context(), sealedID)
		require.ErrorIs(t, err, persistence.ErrSealed)
	}
	hidden.ID, hidden.Revision = sealedID[:29]+"2", 0
	_, err = raw.Put(t.Context(), hidden)
	require.NoError(t, err)
	_, err = bases.Get(t.Context(), hidden.ID)
	require.ErrorIs(t, err, persistence.ErrSealed, "a base opens under no other name")
}

// TestCheck: a key that is missing is noticed by the journal alone and by the bases alone.
func TestCheck(t *testing.T) {
	s := newSeal(t, 1)
	j, bases := memory.NewJournal(memory.Options{}), memory.NewBases(memory.BasesOptions{})
	check := func(s *persistence.Seal) error { return s.Check(t.Context(), j, bases) }
	require.NoError(t, check(nil))

	_, err := persistence.SealBases(bases, s).Put(t.Context(), persistence.Base{
		BaseHeader: persistence.BaseHeader{ID: sealedID, Version: 1}, State: []byte("\x0as")})
	require.NoError(t, err)
	require.NoError(t, check(s))
	require.ErrorIs(t, check(nil), persistence.ErrSealed)
	require.ErrorIs(t, check(newSeal(t, 2)), persistence.ErrSealed)
	require.NoError(t, check(newSeal(t, 2, 1)))

	for i := range uint64(40) { // what an older build has put is passed over
		_, err := bases.Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: engine.AggregateID(engine.MakeRestaurantID(i)), Version: 1}})
		require.NoError(t, err)
	}
	require.ErrorIs(t, check(nil), persistence.ErrSealed)

	bases = memory.NewBases(memory.BasesOptions{})
	f := &persistence.Frame{Journal: "jrn_1", Node: "n1", Number: 1, Index: []persistence.IndexEntry{{Aggregate: sealedID, Version: 1}},
		Events: [][]byte{s.AppendEvent(nil, sealedID, 1, registered())}}
	_, err = j.Append(t.Context(), persistence.SlotSubject("n1"), persistence.Encode(nil, f), 0)
	require.NoError(t, err)
	require.NoError(t, check(s))
	require.ErrorIs(t, check(nil), persistence.ErrSealed)
	require.ErrorIs(t, check(newSeal(t, 2)), persistence.ErrSealed)
}

func TestSealKeysAreKeys(t *testing.T) {
	_, err := persistence.NewSeal()
	require.Error(t, err)
	_, err = persistence.NewSeal(sealKey(1)[:31])
	require.Error(t, err)
}

func benchmarkEvent(contact bool) *engine.Event {
	r := &enginepb.Reservation{Id: "rsv_bc120r02chrg880bn1zy0ajpan", Guest: string(sealedID), TableIds: []string{"tbl_bc120r02chrg8ekactx7bsvttn"},
		ServiceDay: 20_000, LocalMin: 1200, StartsAt: 1_790_000_000, EndsAt: 1_790_005_400, GuestsCount: 2, Status: engine.StatusConfirmed,
		Version: 1, Key: make([]byte, 16), Body: make([]byte, 16), CreatedMs: 1_790_000_000_000, UpdatedMs: 1_790_000_000_000, Contact: &enginepb.Contact{}}
	if contact {
		r.Contact = &enginepb.Contact{Name: "Ada Lovelace", Phone: "+39 06 1234567", Email: "ada@example.org"}
		r.SpecialRequests = strings.Repeat("window ", 4)
	}
	return &engine.Event{AtMs: 1_790_000_000_000, ByAccount: string(sealedID), ByRole: engine.RoleCustomer,
		Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}}
}

// BenchmarkEncodeEvent is the encoding of one reservation: the hot path has no contact.
func BenchmarkEncodeEvent(b *testing.B) {
	s := newSeal(b, 1)
	for name, seal := range map[string]*persistence.Seal{"clear": nil, "seal": s} {
		for of, e := range map[string]*engine.Event{"plain": benchmarkEvent(false), "contact": benchmarkEvent(true)} {
			b.Run(of+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					seal.AppendEvent(nil, sealedID, 1, e)
				}
			})
		}
	}
}
