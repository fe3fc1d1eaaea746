package engine

import "maitred/engine/enginepb"

// hidden stands in the place of what is nobody's business.
const hidden = "-"

// HidePersonal takes personal fields and password hashes out of a decoded event, for people who read a journal. The event
// must not be applied any more.
func HidePersonal(e *Event) {
	switch body := e.Body.(type) {
	case *enginepb.Event_AccountRegistered:
		hideAccount(body.AccountRegistered.GetAccount())
	case *enginepb.Event_AccountChanged:
		hideAccount(body.AccountChanged.GetAccount())
	case *enginepb.Event_SecondFactorChanged:
		if f := body.SecondFactorChanged.GetFactor(); f != nil {
			f.Secret, f.Recovery = nil, nil
		}
	case *enginepb.Event_SecondFactorUsed:
		body.SecondFactorUsed.Recovery = nil
	case *enginepb.Event_ApiKeyAdded:
		if k := body.ApiKeyAdded.GetKey(); k != nil {
			hide(&k.Name)
			k.Hash = nil
		}
	case *enginepb.Event_PasswordRehashed:
		hide(&body.PasswordRehashed.PasswordHash)
	case *enginepb.Event_ReservationCreated:
		if r := body.ReservationCreated.GetReservation(); r != nil {
			hide(&r.SpecialRequests)
			if c := r.Contact; c != nil {
				hide(&c.Name, &c.Phone, &c.Email)
			}
		}
	case *enginepb.Event_ReservationRescheduled:
		hide(&body.ReservationRescheduled.SpecialRequests)
	}
}

func hideAccount(a *enginepb.Account) {
	if a != nil {
		hide(&a.Email, &a.FirstName, &a.LastName, &a.Phone, &a.PasswordHash)
	}
}

func hide(fields ...*string) {
	for _, f := range fields {
		if *f != "" {
			*f = hidden
		}
	}
}
