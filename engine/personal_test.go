package engine_test

import (
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
			Id: "rsv_1", SpecialRequests: "secret", Contact: &enginepb.Contact{Name: "secret", Phone: "secret", Email: "secret"}}}}},
		{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{Id: "rsv_1", SpecialRequests: "secret"}}},
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
