package engine

import (
	"errors"
	"fmt"

	"maitred/engine/enginepb"
)

// ErrEvent is what DecodeEvent wraps: the bytes are no event that this build understands.
var ErrEvent = errors.New("engine: not an event")

// ErrBase is what OpenBase wraps: the bytes are no base of that aggregate.
var ErrBase = errors.New("engine: not a base")

type message interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

// AppendEvent appends the event's protobuf encoding. Equal events give equal bytes.
func AppendEvent(dst []byte, e *Event) []byte { return appendMessage(dst, e) }

func appendMessage(dst []byte, m message) []byte {
	n, size := len(dst), m.SizeVT()
	if cap(dst)-n < size {
		dst = append(make([]byte, 0, max(2*cap(dst), n+size)), dst...)
	}
	dst = dst[:n+size]
	written, err := m.MarshalToSizedBufferVT(dst[n:])
	assert(err == nil && written == size, "a message cannot be encoded")
	return dst
}

// DecodeEvent reads what AppendEvent wrote. The event keeps no reference to b. An event without a body that this build knows
// is an error: it must not be skipped.
func DecodeEvent(b []byte) (*Event, error) {
	e := new(Event)
	if err := e.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if !hasContent(e) {
		return nil, fmt.Errorf("%w: it says nothing that this build knows", ErrEvent)
	}
	return e, nil
}

// hasContent reports whether the event has a body, and the body its content.
func hasContent(e *Event) bool {
	switch body := e.Body.(type) {
	case nil:
		return false
	case *enginepb.Event_RestaurantCreated:
		return body.RestaurantCreated.GetRestaurant() != nil
	case *enginepb.Event_RestaurantChanged:
		return body.RestaurantChanged.GetRestaurant() != nil
	case *enginepb.Event_TableAdded:
		return body.TableAdded.GetTable() != nil
	case *enginepb.Event_TableChanged:
		return body.TableChanged.GetTable() != nil
	case *enginepb.Event_RulesSet:
		return body.RulesSet.GetRules() != nil
	case *enginepb.Event_StaffSet:
		return body.StaffSet.GetMember() != nil
	case *enginepb.Event_ReservationCreated:
		return body.ReservationCreated.GetReservation() != nil
	case *enginepb.Event_AccountRegistered:
		return body.AccountRegistered.GetAccount() != nil
	case *enginepb.Event_AccountChanged:
		return body.AccountChanged.GetAccount() != nil
	case *enginepb.Event_ApiKeyAdded:
		return len(body.ApiKeyAdded.GetKey().GetHash()) == 32
	case *enginepb.Event_SecondFactorChanged:
		return body.SecondFactorChanged != nil
	case *enginepb.Event_SecondFactorUsed:
		return body.SecondFactorUsed != nil
	}
	return true
}

// digest is FNV-1a over the base.
func digest(base []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range base {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// NewAggregate makes the empty aggregate that id names (a restaurant or an account), version 0. An id outside the grammar
// panics: whoever routes by ids has checked it.
func NewAggregate(id AggregateID) Aggregate {
	switch {
	case IsRestaurantID(string(id)):
		return newRestaurant(RestaurantID(id))
	case IsAccountID(string(id)):
		return newAccount(AccountID(id))
	}
	panic("engine: " + string(id) + " names no aggregate")
}

// IsAggregateID reports whether NewAggregate accepts id.
func IsAggregateID(id string) bool { return IsRestaurantID(id) || IsAccountID(id) }

// OpenBase reads what AppendBase wrote. It keeps no reference to base. A base that contradicts itself is an error.
func OpenBase(id AggregateID, base []byte) (a Aggregate, err error) {
	defer func() {
		// Loading asserts the same invariants as Apply; here the bytes are to blame, not the code.
		if p := recover(); p != nil {
			a, err = nil, fmt.Errorf("%w of %s: %v", ErrBase, id, p)
		}
	}()
	switch {
	case IsRestaurantID(string(id)):
		return openRestaurant(RestaurantID(id), base)
	case IsAccountID(string(id)):
		return openAccount(AccountID(id), base)
	}
	return nil, fmt.Errorf("%w: %q names no aggregate", ErrBase, id)
}
