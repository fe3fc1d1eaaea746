package engine

import (
	"encoding/binary"
	"fmt"

	"maitred/engine/enginepb"
)

// hidden stands in the place of what is nobody's business.
const hidden = "-"

// maxPersonal is the most personal strings of an event.
const maxPersonal = 5

// field is a personal string of an event, which may be bytes.
type field struct {
	text  *string
	bytes *[]byte
}

func (f field) get() string {
	if f.bytes != nil {
		return string(*f.bytes)
	}
	return *f.text
}

func (f field) len() int {
	if f.bytes != nil {
		return len(*f.bytes)
	}
	return len(*f.text)
}

func (f field) set(s string) {
	switch {
	case f.bytes == nil:
		*f.text = s
	case s == "":
		*f.bytes = nil
	default:
		*f.bytes = []byte(s)
	}
}

func (f field) hide() {
	if f.bytes != nil {
		*f.bytes = nil
		return
	}
	*f.text = hidden
}

// personal lists the personal strings of an event: how to reach somebody, his name, what he wrote, his password's hash, the
// secret of his second factor. The order is stored (SplitPersonal): new ones go to the end.
func personal(e *Event) (fields [maxPersonal]field, n int) {
	add := func(more ...*string) {
		for _, s := range more {
			fields[n].text = s
			n++
		}
	}
	switch body := e.Body.(type) {
	case *enginepb.Event_AccountRegistered:
		if a := body.AccountRegistered.GetAccount(); a != nil {
			add(&a.Email, &a.FirstName, &a.LastName, &a.Phone, &a.PasswordHash)
		}
	case *enginepb.Event_AccountChanged:
		if a := body.AccountChanged.GetAccount(); a != nil {
			add(&a.Email, &a.FirstName, &a.LastName, &a.Phone, &a.PasswordHash)
		}
	case *enginepb.Event_SecondFactorChanged:
		if f := body.SecondFactorChanged.GetFactor(); f != nil {
			fields[0].bytes, n = &f.Secret, 1
		}
	case *enginepb.Event_ApiKeyAdded:
		if k := body.ApiKeyAdded.GetKey(); k != nil {
			add(&k.Name)
		}
	case *enginepb.Event_PasswordRehashed:
		add(&body.PasswordRehashed.PasswordHash)
	case *enginepb.Event_ReservationCreated:
		if r := body.ReservationCreated.GetReservation(); r != nil {
			add(&r.SpecialRequests)
			if c := r.Contact; c != nil {
				add(&c.Name, &c.Phone, &c.Email)
			}
			if o := r.Override; o != nil {
				add(&o.Reason)
			}
		}
	case *enginepb.Event_ReviewAdded:
		add(&body.ReviewAdded.Comment)
	case *enginepb.Event_ReservationRescheduled:
		add(&body.ReservationRescheduled.SpecialRequests)
		if o := body.ReservationRescheduled.Override; o != nil {
			add(&o.Reason)
		}
	case *enginepb.Event_ReservationNoted:
		add(&body.ReservationNoted.Note)
	case *enginepb.Event_ReservationStatusChanged:
		if e.ByRole != RoleSystem { // the reasons of the engine are words of its own
			add(&body.ReservationStatusChanged.Reason)
		}
	}
	return fields, n
}

// HasPersonal reports whether the event holds personal strings in clear.
func HasPersonal(e *Event) bool {
	fields, n := personal(e)
	for _, f := range fields[:n] {
		if f.get() != "" {
			return true
		}
	}
	return false
}

// HidePersonal takes personal fields and password hashes out of a decoded event, for people who read a journal. The event
// must not be applied any more.
func HidePersonal(e *Event) {
	fields, n := personal(e)
	for _, f := range fields[:n] {
		if f.get() != "" || len(e.Sealed) > 0 {
			f.hide()
		}
	}
	e.Sealed = nil
	switch body := e.Body.(type) { // hashes of what is random: they tell nothing, and nobody needs to see them
	case *enginepb.Event_SecondFactorChanged:
		if f := body.SecondFactorChanged.GetFactor(); f != nil {
			f.Recovery = nil
		}
	case *enginepb.Event_SecondFactorUsed:
		body.SecondFactorUsed.Recovery = nil
	case *enginepb.Event_ApiKeyAdded:
		if k := body.ApiKeyAdded.GetKey(); k != nil {
			k.Hash = nil
		}
	}
}

// StripPersonal is the event without its personal strings: e itself when it has none, else a copy.
func StripPersonal(e *Event) *Event {
	if !HasPersonal(e) && len(e.Sealed) == 0 {
		return e
	}
	if body, ok := e.Body.(*enginepb.Event_ReservationCreated); ok {
		return stripCreated(e, body.ReservationCreated.Reservation)
	}
	c := e.CloneVT()
	fields, n := personal(c)
	for _, f := range fields[:n] {
		f.set("")
	}
	c.Sealed = nil
	return c
}

// stripCreated is the copy without personal strings of the event that comes most often, in one piece of memory instead of
// fifteen; a note has an event of its own. TestStripPersonalIsAClone holds it against CloneVT.
func stripCreated(e *Event, r *enginepb.Reservation) *Event {
	c := &struct {
		event       Event
		body        enginepb.Event_ReservationCreated
		created     enginepb.ReservationCreated
		reservation enginepb.Reservation
		contact     enginepb.Contact
	}{}
	c.event.AtMs, c.event.ByAccount, c.event.ByRole, c.event.Receipt, c.event.From = e.AtMs, e.ByAccount, e.ByRole, e.Receipt, e.From
	c.event.Owing = e.Owing
	c.event.Body, c.body.ReservationCreated, c.created.Reservation = &c.body, &c.created, &c.reservation
	n := &c.reservation
	n.Id, n.Guest, n.TableIds, n.ServiceDay, n.LocalMin = r.Id, r.Guest, r.TableIds, r.ServiceDay, r.LocalMin
	n.StartsAt, n.EndsAt, n.GuestsCount, n.Status, n.Version = r.StartsAt, r.EndsAt, r.GuestsCount, r.Status, r.Version
	n.Key, n.Body, n.CreatedMs, n.UpdatedMs, n.Reviewed, n.BufferMin, n.Area, n.HoldUntilMs = r.Key, r.Body, r.CreatedMs, r.UpdatedMs, r.Reviewed, r.BufferMin, r.Area, r.HoldUntilMs
	n.Policy, n.FeeDue, n.Waiting = r.Policy, r.FeeDue, r.Waiting
	if o := r.Override; o != nil {
		n.Override = &enginepb.Override{Lifted: o.Lifted, ByHand: o.ByHand}
	}
	if r.Contact != nil {
		n.Contact = &c.contact
	}
	return &c.event
}

// SplitPersonal is StripPersonal and, apart, what it took away, for JoinPersonal: each string with its length as a uvarint
// before it.
func SplitPersonal(e *Event) (stripped *Event, taken []byte) {
	fields, n := personal(e)
	size := 0
	for _, f := range fields[:n] {
		size += binary.MaxVarintLen16 + f.len()
	}
	taken = make([]byte, 0, size)
	for _, f := range fields[:n] {
		value := f.get()
		taken = append(binary.AppendUvarint(taken, uint64(len(value))), value...)
	}
	return StripPersonal(e), taken
}

// JoinPersonal puts back into a decoded event what SplitPersonal took away. Bytes that are not of this event are ErrEvent.
func JoinPersonal(e *Event, taken []byte) error {
	fields, n := personal(e)
	for _, f := range fields[:n] {
		if len(taken) == 0 {
			break // an older build knew fewer
		}
		size, used := binary.Uvarint(taken)
		if used <= 0 || size > uint64(len(taken)-used) {
			return fmt.Errorf("%w: its personal part is cut", ErrEvent)
		}
		f.set(string(taken[used : used+int(size)]))
		taken = taken[used+int(size):]
	}
	if len(taken) > 0 {
		return fmt.Errorf("%w: its personal part has too much", ErrEvent)
	}
	e.Sealed = nil
	return nil
}
