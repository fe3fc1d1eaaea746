package engine_test

import (
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"strings"
	"testing"

	"maitred/engine"
	"maitred/engine/enginepb"
)

func TestHidePersonal(t *testing.T) {
	account := &enginepb.Account{Id: "usr_1", Email: "secret@x", FirstName: "secret", LastName: "secret", Phone: "secret", PasswordHash: "secret"}
	for _, e := range []*engine.Event{
		{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{Account: account}}},
		{Body: &enginepb.Event_AccountChanged{AccountChanged: &enginepb.AccountChanged{Account: account}}},
		{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: &enginepb.Reservation{
			Id: "rsv_1", SpecialRequests: "secret", Contact: &enginepb.Contact{Name: "secret", Phone: "secret", Email: "secret"}, Override: &enginepb.Override{Reason: "secret"}}}}},
		{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{Id: "rsv_1", SpecialRequests: "secret", Override: &enginepb.Override{Reason: "secret"}}}},
		{Body: &enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{Id: "rev_1", Comment: "secret"}}},
		{Body: &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: "rsv_1", Reason: "secret"}}},
		{Body: &enginepb.Event_ReservationNoted{ReservationNoted: &enginepb.ReservationNoted{Id: "rsv_1", Note: "secret"}}},
		{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{}}},
		{Body: &enginepb.Event_SecondFactorChanged{SecondFactorChanged: &enginepb.SecondFactorChanged{Factor: &enginepb.SecondFactor{Secret: []byte("secret"), Recovery: []byte("secret")}}}},
		{Body: &enginepb.Event_SecondFactorChanged{SecondFactorChanged: &enginepb.SecondFactorChanged{}}},
		{Body: &enginepb.Event_SecondFactorUsed{SecondFactorUsed: &enginepb.SecondFactorUsed{Recovery: []byte("secret")}}},
		{Body: &enginepb.Event_ApiKeyAdded{ApiKeyAdded: &enginepb.ApiKeyAdded{Key: &enginepb.ApiKey{Name: "secret", Hash: []byte("secret")}}}},
		{Body: &enginepb.Event_PasswordRehashed{PasswordRehashed: &enginepb.PasswordRehashed{PasswordHash: "secret"}}},
	} {
		engine.HidePersonal(e)
		if s := e.String(); strings.Contains(s, "secret") {
			t.Error(s)
		}
	}
}

// StripPersonal copies by hand what comes most often: it must be the clone with the strings taken out, whatever fields there are.
func TestStripPersonalIsAClone(t *testing.T) {
	var fill func(m protoreflect.Message, n int)
	fill = func(m protoreflect.Message, n int) {
		for i := range m.Descriptor().Fields().Len() {
			f := m.Descriptor().Fields().Get(i)
			switch {
			case f.ContainingOneof() != nil || f.Name() == "sealed":
			case f.IsList() && f.Kind() == protoreflect.Uint32Kind:
				m.Mutable(f).List().Append(protoreflect.ValueOfUint32(7))
			case f.IsList():
				m.Mutable(f).List().Append(protoreflect.ValueOfString("tbl_1"))
			case f.Kind() == protoreflect.MessageKind:
				fill(m.Mutable(f).Message(), n+10)
			case f.Kind() == protoreflect.StringKind:
				m.Set(f, protoreflect.ValueOfString(string(f.Name())))
			case f.Kind() == protoreflect.BytesKind:
				m.Set(f, protoreflect.ValueOfBytes([]byte(f.Name())))
			case f.Kind() == protoreflect.BoolKind:
				m.Set(f, protoreflect.ValueOfBool(true))
			case f.Kind() == protoreflect.EnumKind:
				m.Set(f, protoreflect.ValueOfEnum(1))
			case f.Kind() == protoreflect.Int64Kind:
				m.Set(f, protoreflect.ValueOfInt64(int64(n+i+1)))
			case f.Kind() == protoreflect.Int32Kind:
				m.Set(f, protoreflect.ValueOfInt32(int32(n+i+1)))
			case f.Kind() == protoreflect.Uint64Kind:
				m.Set(f, protoreflect.ValueOfUint64(uint64(n+i+1)))
			case f.Kind() == protoreflect.Uint32Kind:
				m.Set(f, protoreflect.ValueOfUint32(uint32(n+i+1)))
			default:
				t.Fatalf("a field of a kind that this test does not know: %s", f.FullName())
			}
		}
	}
	r := &enginepb.Reservation{}
	fill(r.ProtoReflect(), 0)
	e := &enginepb.Event{}
	fill(e.ProtoReflect(), 100)
	e.Body = &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}
	want := e.CloneVT()
	c := want.GetReservationCreated().Reservation
	c.SpecialRequests, c.Contact, c.Override.Reason, c.Note = "", &enginepb.Contact{}, "", "" // a note has an event of its own
	require.True(t, proto.Equal(want, engine.StripPersonal(e)), "%v\n%v", want, engine.StripPersonal(e))
	require.Equal(t, "special_requests", r.SpecialRequests, "the event stays as it is")
}
