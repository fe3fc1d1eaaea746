package engine_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"maitred/engine"
	"maitred/engine/enginepb"
)

func TestErasedAccount(t *testing.T) {
	h := newAccountHarness(t)
	require.Equal(t, engine.CodeCreated, h.do(&engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now + 100}).Code)
	name := &engine.ChangeProfile{Change: engine.ProfileChange{FirstName: new("Grace")}}
	keyed := &engine.Command{Caller: engine.Caller{Account: h.id}, Key: engine.Hash{7}, Payload: engine.Hash{7}, Body: name}
	require.Equal(t, engine.CodeOK, h.send(keyed).Code)
	require.Equal(t, engine.CodeInvalidTransition, h.send(&engine.Command{Caller: system, Body: &engine.CompleteErasure{}}).Code)
	require.Equal(t, engine.CodeNotFound, h.send(&engine.Command{Caller: guest(1), Body: &engine.EraseAccount{}}).Code)
	require.Equal(t, engine.CodeStale, h.send(&engine.Command{Caller: keyed.Caller, IfMatch: 1, Body: &engine.EraseAccount{}}).Code)
	require.Zero(t, first(h.view.(*engine.AccountView).Erasure()))

	h.now += 5
	require.Equal(t, engine.Outcome{Code: engine.CodeOK, Version: 4}, h.send(&engine.Command{Caller: keyed.Caller, IfMatch: 2, Body: &engine.EraseAccount{}}))
	at, pending := h.view.(*engine.AccountView).Erasure()
	require.Equal(t, h.now, at)
	require.True(t, pending)
	require.Nil(t, h.view.(*engine.AccountView).Info())
	require.NotContains(t, string(h.a.AppendBase(nil)), "ada@")
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(1), New: token(2)}).Code)
	require.Equal(t, engine.CodeNotFound, h.do(&engine.OpenSession{Family: "g", Refresh: token(3), Expires: h.now + 100}).Code)
	require.Equal(t, engine.CodeNotFound, h.do(&engine.EraseAccount{}).Code)
	require.Equal(t, engine.CodeNotFound, h.send(keyed).Code, "the receipts are gone too")
	require.Equal(t, engine.CodeExists, h.do(&engine.Register{Profile: h.profile()}).Code, "restaurants may know the former")

	require.Equal(t, engine.CodeForbidden, h.do(&engine.CompleteErasure{}).Code)
	for range 2 {
		version := h.a.Version()
		require.Equal(t, engine.CodeOK, h.send(&engine.Command{Caller: system, Body: &engine.CompleteErasure{}}).Code)
		require.LessOrEqual(t, h.a.Version(), version+1)
	}
	_, pending = h.view.(*engine.AccountView).Erasure()
	require.False(t, pending)
	require.Equal(t, engine.CodeCreated, h.do(&engine.Register{Profile: h.profile()}).Code)
	require.Zero(t, first(h.view.(*engine.AccountView).Erasure()))
	require.EqualValues(t, 1, h.view.(*engine.AccountView).Info().Version)
	require.Equal(t, engine.CodeOK, h.do(&engine.EraseAccount{}).Code, "and again")
	require.Equal(t, engine.CodeExists, h.do(&engine.Register{Profile: h.profile()}).Code)
}

func first(at engine.Instant, _ bool) engine.Instant { return at }

// TestForgottenGuest: many reservations take several commands; what is over keeps its status; others' stay as they are.
func TestForgottenGuest(t *testing.T) {
	h := newHarness(t, "Europe/Rome", engine.OpeningHours{Days: 127, Open: 720, Close: 1440, LastSeating: 1300})
	for i := range 30 {
		h.table(fmt.Sprint(i), 1, 4)
	}
	key := engine.Hash{1, 2}
	old := h.create(h.day, 1200, 2)
	old.Contact, old.SpecialRequests = engine.Contact{Name: "Ada", Phone: "1", Email: "a@b"}, "window"
	require.Equal(t, engine.CodeCreated, h.send(&engine.Command{Caller: guest(1), Key: key, Body: old}).Code)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.Transition{ID: old.ID, Action: engine.ActionSeat}).Code)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.Annotate{ID: old.ID, Note: "sings"}).Code)
	tables := h.view.(*engine.RestaurantView).Reservation(old.ID).Tables
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.AssignTables{ID: old.ID, Tables: tables, Override: "a friend of Ada"}).Code)
	h.now += 4 * 86_400_000
	h.day += 4
	for i := range 100 {
		local, on := 720+150*(i%2), h.day+engine.Day(i/20)
		require.Equal(t, engine.CodeCreated, h.do(guest(1), h.create(on, local, 2)).Code, i)
	}
	early := h.do(guest(1), h.create(h.day, 1260, 2)).Reservation
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.Transition{ID: early.ID, Action: engine.ActionSeat}).Code)
	other := h.do(guest(2), h.create(h.day, 1200, 2)).Reservation

	for _, bad := range []engine.Caller{guest(1), owner, {}} {
		require.Equal(t, engine.CodeForbidden, h.do(bad, &engine.ForgetGuest{Guest: guest(1).Account}).Code)
	}
	require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: "guest"}, h.do(system, &engine.ForgetGuest{Guest: "nobody"}))
	before := h.a.Version()
	require.Equal(t, engine.Outcome{Code: engine.CodeOK, More: true}, h.do(system, &engine.ForgetGuest{Guest: guest(1).Account}))
	require.Equal(t, before+engine.MaxEvents-2, h.a.Version())
	require.Equal(t, engine.Outcome{Code: engine.CodeOK}, h.do(system, &engine.ForgetGuest{Guest: guest(1).Account}))
	require.Equal(t, before+100+1, h.a.Version())
	require.NoError(t, engine.CheckInvariants(h.a))

	view := h.view.(*engine.RestaurantView)
	require.NoError(t, engine.CheckViewInvariants(view))
	seated := view.Reservation(old.ID)
	require.Equal(t, engine.StatusSeated, seated.Status)
	require.EqualValues(t, 5, seated.Version)
	require.Equal(t, engine.StatusSeated, view.Reservation(early.ID).Status, "who sits at the table is not cancelled")
	require.Equal(t, other, view.Reservation(other.ID))
	for d := h.day - 5; d < h.day+8; d++ {
		for _, r := range view.DaySheet(d, nil) {
			if r.ID == other.ID {
				continue
			}
			require.Empty(t, string(r.Guest)+r.SpecialRequests+r.Note)
			require.Nil(t, r.Override)
			require.Zero(t, r.Contact)
			require.Zero(t, r.Key)
			require.True(t, r.ID == old.ID || r.ID == early.ID || r.Status == engine.StatusCancelled)
		}
	}
	base := h.a.AppendBase(nil)
	require.NotContains(t, string(base), string(guest(1).Account))
	again, err := engine.OpenBase(engine.AggregateID(h.id), base)
	require.NoError(t, err)
	require.Equal(t, h.a.Digest(), again.Digest())
	fresh := h.create(h.day, 1200, 2)
	out := h.send(&engine.Command{Caller: guest(1), Key: key, Payload: engine.Hash{9}, Body: fresh})
	require.Equal(t, engine.CodeCreated, out.Code, "the former's key is free")
	require.False(t, out.Replayed)
}

// TestPersonalStringsAreKnown: a string that is added to a message of a person has to be put on one of the two lists.
func TestPersonalStringsAreKnown(t *testing.T) {
	open := map[string]bool{"Account.id": true, "Reservation.id": true, "Reservation.guest": true, "Reservation.table_ids": true,
		"ReservationRescheduled.id": true, "ReservationRescheduled.table_ids": true, "ReservationStatusChanged.id": true,
		"Reservation.area": true, "ReservationRescheduled.area": true, "ReservationStatusChanged.fee_currency": true, "Policy.currency": true, // an area is the location of a table: the house wrote it
		"Reservation.note": true, "ReservationNoted.id": true} // a note has an event of its own, and stands here in bases only, which are sealed as a whole
	for _, e := range []*engine.Event{
		{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{Account: &enginepb.Account{}}}},
		{Body: &enginepb.Event_AccountChanged{AccountChanged: &enginepb.AccountChanged{Account: &enginepb.Account{}}}},
		{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{
			Reservation: &enginepb.Reservation{Contact: &enginepb.Contact{}, Override: &enginepb.Override{}}}}},
		{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{Override: &enginepb.Override{}}}},
		{Body: &enginepb.Event_ReservationNoted{ReservationNoted: &enginepb.ReservationNoted{}}},
		{Body: &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{}}},
	} {
		n := fill(e.ProtoReflect(), open)
		require.NotZero(t, n)
		clear := engine.AppendEvent(nil, e)
		require.True(t, engine.HasPersonal(e))
		stripped, taken := engine.SplitPersonal(e)
		require.Equal(t, clear, engine.AppendEvent(nil, e), "the event is as it was")
		require.NotContains(t, string(engine.AppendEvent(nil, stripped)), "secret", "%T", e.Body)
		require.Equal(t, engine.AppendEvent(nil, stripped), engine.AppendEvent(nil, engine.StripPersonal(e)))
		require.False(t, engine.HasPersonal(stripped))
		require.Equal(t, n, bytes.Count(taken, []byte("secret")))

		back, err := engine.DecodeEvent(engine.AppendEvent(nil, stripped))
		require.NoError(t, err)
		require.ErrorIs(t, engine.JoinPersonal(back, append(bytes.Clone(taken), 0)), engine.ErrEvent)
		require.ErrorIs(t, engine.JoinPersonal(back, taken[:len(taken)-1]), engine.ErrEvent)
		require.NoError(t, engine.JoinPersonal(back, taken))
		require.Equal(t, clear, engine.AppendEvent(nil, back))

		stripped.Sealed = []byte("secret")
		engine.HidePersonal(stripped)
		require.NotContains(t, stripped.String(), "secret")
		require.Equal(t, n, bytes.Count([]byte(stripped.String()), []byte(`"-"`)), stripped.String())
	}
}

// fill puts a secret into every string of a person's message that is not open, and says how many.
func fill(m protoreflect.Message, open map[string]bool) (n int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() != nil && m.Has(f) && !f.IsList():
			n += fill(m.Mutable(f).Message(), open)
		case f.Kind() == protoreflect.StringKind && m.Descriptor().Name() != "Event" && !open[string(m.Descriptor().Name()+"."+f.Name())]:
			m.Set(f, protoreflect.ValueOfString("secret"))
			n++
		}
	}
	return n
}

// TestSealedEventIsNotApplied: blanks are never taken for what was said.
func TestSealedEventIsNotApplied(t *testing.T) {
	h := newAccountHarness(t)
	e := &engine.Event{AtMs: int64(h.now), Sealed: []byte{1}, Body: &enginepb.Event_SessionRevoked{SessionRevoked: &enginepb.SessionRevoked{}}}
	require.Panics(t, func() { h.a.Apply(e) })
	r := newHarness(t, "Europe/Rome")
	e = &engine.Event{AtMs: int64(r.now), Sealed: []byte{1}, Body: &enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: "x"}}}
	require.Panics(t, func() { r.a.Apply(e) })
}

// TestGoldenErasure replays an erasure as an older build has written it.
func TestGoldenErasure(t *testing.T) {
	path := filepath.Join("testdata", "golden", "erasure-1.events")
	if *update {
		require.NoError(t, os.WriteFile(path, erasureEvents(t), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	aggregates, kinds := map[engine.AggregateID]engine.Aggregate{}, map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var id, raw string
		_, err := fmt.Sscan(lines.Text(), &id, &raw)
		require.NoError(t, err)
		e, err := engine.DecodeEvent(unhex(t, raw))
		require.NoError(t, err)
		require.Equal(t, raw, fmt.Sprintf("%x", engine.AppendEvent(nil, e)))
		kinds[fmt.Sprintf("%T", e.Body)] = true
		if aggregates[engine.AggregateID(id)] == nil {
			aggregates[engine.AggregateID(id)] = engine.NewAggregate(engine.AggregateID(id))
		}
		aggregates[engine.AggregateID(id)].Apply(e)
	}
	require.Len(t, kinds, 8, "%v", kinds)
	require.Len(t, aggregates, 2)
	for _, a := range aggregates {
		require.NoError(t, engine.CheckInvariants(a))
		require.NotContains(t, string(a.AppendBase(nil)), "Ada")
	}
}

// erasureEvents is a guest who registers, books, and is erased.
func erasureEvents(t *testing.T) []byte {
	r, account := engine.MakeRestaurantID(5), guest(1).Account
	var b bytes.Buffer
	aggregates := map[engine.AggregateID]engine.Aggregate{}
	do := func(id engine.AggregateID, c engine.Caller, body engine.Body) {
		if aggregates[id] == nil {
			aggregates[id] = engine.NewAggregate(id)
		}
		out, events := aggregates[id].Decide(1_308_000_000_000, &engine.Command{Caller: c, Body: body})
		require.False(t, out.Code.Refused(), "%T: %v %s", body, out.Code, out.Field)
		for _, e := range events {
			aggregates[id].Apply(e)
			fmt.Fprintf(&b, "%s %x\n", id, engine.AppendEvent(nil, e))
		}
	}
	hours := []engine.OpeningHours{{Days: 127, Open: 720, Close: 1440, LastSeating: 1300}}
	do(engine.AggregateID(r), owner, &engine.CreateRestaurant{ID: r, Details: engine.Details{Name: "Osteria", TimeZone: "Europe/Rome", OpeningHours: hours}})
	do(engine.AggregateID(r), owner, &engine.AddTable{ID: engine.MakeTableID(r, 1), Table: engine.TableSpec{Number: "1", Capacity: 4, MinCapacity: 1, InService: true}})
	do(engine.AggregateID(account), guest(1), &engine.Register{Profile: engine.Profile{ID: account, Email: "Ada@b", FirstName: "Ada", Role: engine.RoleCustomer, PasswordHash: "x"}})
	do(engine.AggregateID(r), guest(1), &engine.CreateReservation{ID: engine.MakeReservationID(r, 9), GuestsCount: 2, SpecialRequests: "Ada's",
		Want: engine.When{HasLocal: true, Day: 15_140, LocalMin: 1200}, Contact: engine.Contact{Name: "Ada"}})
	do(engine.AggregateID(account), guest(1), &engine.EraseAccount{})
	do(engine.AggregateID(r), system, &engine.ForgetGuest{Guest: account})
	do(engine.AggregateID(account), system, &engine.CompleteErasure{})
	return b.Bytes()
}
