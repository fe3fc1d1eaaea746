package engine

import "maitred/engine/enginepb"

// Revokes tells what an account's event takes from those who have it: the session family or the API key of that name, or with an empty
// name every session.
func Revokes(e *Event) (part string, ok bool) {
	switch body := e.Body.(type) {
	case *enginepb.Event_SessionRevoked:
		return body.SessionRevoked.GetFamily(), true
	case *enginepb.Event_AccountErased:
		return "", true
	case *enginepb.Event_ApiKeyRevoked:
		return body.ApiKeyRevoked.GetId(), true
	}
	return "", false
}
