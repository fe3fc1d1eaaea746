package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// Commands of an erasure. It has two steps, because an account and the restaurants are aggregates of their own: EraseAccount
// takes the profile away at once; then every restaurant forgets the guest; then CompleteErasure frees the id.
type (
	// EraseAccount takes the profile and every session away. Only the account itself may, or who stands above it.
	EraseAccount struct{}
	// CompleteErasure says that no restaurant knows the guest any more. Until then nobody can register under the id, which is
	// made of the e-mail: he would be taken for the one who was erased. Sent by the node, as the system.
	CompleteErasure struct{}
	// ForgetGuest cancels what the guest still has before him and takes him out of every reservation. When Outcome.More is
	// set there was more to cancel than one command may: send it again. It makes an event also when the book does not
	// know the guest, because the store keeps reservations that the book has let go. Sent by the node, as the system.
	ForgetGuest struct{ Guest AccountID }
)

func (*EraseAccount) isBody()    {}
func (*CompleteErasure) isBody() {}
func (*ForgetGuest) isBody()     {}

// maxForgotten is how many reservations one ForgetGuest cancels: two events more may follow.
const maxForgotten = MaxEvents - 2

// reasonErased is the reason of a cancellation that an erasure brings.
const reasonErased = "erased"

func (d *accountDecision) erase() Outcome {
	switch {
	case d.info == nil || !d.self():
		return refuse(CodeNotFound)
	case d.cmd.IfMatch != 0 && d.cmd.IfMatch != d.info.Version:
		return Outcome{Code: CodeStale, Account: d.info}
	}
	d.emit(&enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}})
	return d.done(CodeOK, nil, "")
}

func (d *accountDecision) completeErasure() Outcome {
	switch {
	case !d.trusted():
		return refuse(CodeForbidden)
	case !d.erased:
		return refuse(CodeInvalidTransition)
	case d.completed:
		return Outcome{Code: CodeOK}
	}
	d.emit(&enginepb.Event_AccountErasureCompleted{AccountErasureCompleted: &enginepb.AccountErasureCompleted{}})
	return d.done(CodeOK, nil, "")
}

// Erasure is when the account was erased, and whether restaurants may still know the guest. 0 = it was not erased, or was
// registered anew since.
func (v *AccountView) Erasure() (at Instant, pending bool) {
	if !v.erased {
		return 0, false
	}
	return v.last, !v.completed
}

func (d *decision) forgetGuest(c *ForgetGuest) Outcome {
	switch role := d.cmd.Caller.Role; {
	case role != RoleSystem && role != RoleAdmin:
		return refuse(CodeForbidden)
	case !IsAccountID(string(c.Guest)):
		return invalid("guest")
	}
	var ahead []*Reservation
	for _, r := range d.guestOf(c.Guest) {
		if blocks(r.Status) && r.Status != StatusSeated && Instant(r.StartsAt*msPerSec) > d.now || r.Status == StatusWaiting {
			ahead = append(ahead, r)
		}
	}
	for _, r := range ahead[:min(len(ahead), maxForgotten)] {
		d.change(r.ID, StatusCancelled, reasonErased)
	}
	if len(ahead) > maxForgotten {
		return Outcome{Code: CodeOK, More: true}
	}
	if d.member(c.Guest) != nil { // whoever registers under the same e-mail later is no staff
		d.emit(&enginepb.Event_StaffRemoved{StaffRemoved: &enginepb.StaffRemoved{Account: string(c.Guest)}})
	}
	d.emit(&enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: string(c.Guest)}})
	return Outcome{Code: CodeOK}
}

// guestOf lists the reservations of a guest in order of start. It looks at all of them: an erasure is rare.
func (b *book) guestOf(guest AccountID) (list []*Reservation) {
	b.resv.walk(func(_ uint64, r *Reservation) {
		if r.Guest == guest {
			list = append(list, r)
		}
	})
	slices.SortFunc(list, byStart)
	return list
}

// dropGuest takes a guest out of his reservations. The key goes too: whoever registers under the same e-mail later must not
// be answered with it.
func (b *book) dropGuest(e *Event, guest AccountID) {
	assert(guest != "", "I5: nobody is forgotten")
	for _, old := range b.guestOf(guest) {
		next := *old
		next.Guest, next.Contact, next.SpecialRequests = "", Contact{}, ""
		next.Override, next.Note = nil, "" // in the words of staff, about the guest
		next.Key, next.Payload = Hash{}, Hash{}
		b.replace(old, next.touched(e))
	}
}
