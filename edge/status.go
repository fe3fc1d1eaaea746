package edge

import (
	"errors"

	"maitred/actors"
	"maitred/engine"
)

// kind is one row of the table code → status → retry.
type kind struct {
	status int
	code   string // stable, part of the contract
	title  string
	retry  int // seconds of Retry-After; 0 = the same request will not do better
}

// The refusals and faults that the edge itself finds.
var (
	kindMalformed      = kind{400, "malformed", "The request cannot be read", 0}
	kindWrongType      = kind{400, "wrong_type", "A member has the wrong JSON type", 0}
	kindBadCursor      = kind{400, "bad_cursor", "The cursor is not one of ours", 0}
	kindBadKey         = kind{400, "bad_idempotency_key", "Idempotency-Key must be 1 to 128 printable ASCII characters", 0}
	kindUnauthorized   = kind{401, "unauthorized", "A valid token or password is needed", 0}
	kindForbidden      = kind{403, "forbidden", "The role of the caller may not do this", 0}
	kindNotFound       = kind{404, "not_found", "There is no such thing, or it is not yours", 0}
	kindMethod         = kind{405, "method_not_allowed", "The method is not allowed here", 0}
	kindNotAcceptable  = kind{406, "not_acceptable", "Only application/json is spoken here", 0}
	kindTimeout        = kind{408, "request_timeout", "The request came too slowly", 0}
	kindStale          = kind{412, "stale", "The resource has changed since", 0}
	kindTooLarge       = kind{413, "too_large", "The body is larger than 16 KiB", 0}
	kindMediaType      = kind{415, "unsupported_media_type", "The body must be application/json, not encoded", 0}
	kindUnknownMember  = kind{422, "unknown_member", "The body has a member that is not known here", 0}
	kindInvalid        = kind{422, "invalid", "A value is not possible", 0}
	kindNeedsIfMatch   = kind{428, "precondition_required", "If-Match with the resource's ETag is needed", 0}
	kindTooMany        = kind{429, "too_many_requests", "Too many requests", 1}
	kindSecondFactor   = kind{401, "second_factor_required", "The code of the second factor is needed too", 0}
	kindThrottled      = kind{429, "login_throttled", "Too many failed attempts", 1}
	kindHeaders        = kind{431, "headers_too_large", "The request's headers are too large", 0}
	kindInternal       = kind{500, "internal", "The request failed here", 0}
	kindBusy           = kind{503, "busy", "Too much is in flight; surely not done", 1}
	kindUnavailable    = kind{503, "unavailable", "Not serving now; surely not done", 2}
	kindExpired        = kind{503, "expired", "Not decided in time; surely not done", 1}
	kindQuarantined    = kind{503, "quarantined", "The stored state is not trusted; surely not done", 60}
	kindStoreAway      = kind{503, "store_unavailable", "Lists are not available now", 5}
	kindUnknownOutcome = kind{504, "unknown_outcome", "Done or not is unknown: repeat with the same Idempotency-Key", 2}
	kindVersion        = kind{505, "http_version", "Only HTTP/1.1 is spoken here", 0}
)

// kindOfCode has a row for each code of Decide.
var kindOfCode = [...]kind{
	engine.CodeOK:                {200, "ok", "Done", 0},
	engine.CodeCreated:           {201, "created", "Done", 0},
	engine.CodeKeyReused:         {422, "idempotency_key_reused", "The Idempotency-Key was used with another request", 0},
	engine.CodeNotFound:          kindNotFound,
	engine.CodeForbidden:         kindForbidden,
	engine.CodeUnauthorized:      kindUnauthorized,
	engine.CodeExists:            {409, "exists", "It exists already", 0},
	engine.CodeStale:             kindStale,
	engine.CodeInvalidTransition: {409, "invalid_transition", "The reservation's status does not allow this", 0},
	engine.CodeInvalid:           kindInvalid,
	engine.CodeClosed:            {409, "closed", "The restaurant does not seat at this time", 0},
	engine.CodeTooLate:           {409, "too_late", "The time is in the past, or too near", 0},
	engine.CodeTooEarly:          {409, "too_early", "The time is too far ahead", 0},
	engine.CodeNotOnGrid:         {409, "not_on_grid", "The time is not a start time", 0},
	engine.CodePartyTooLarge:     {409, "party_too_large", "No table seats this many", 0},
	engine.CodeSlotUnavailable:   {409, "slot_unavailable", "No table is free at this time", 0},
	engine.CodeInUse:             {409, "in_use", "The table has reservations, or a combination needs it", 0},
	engine.CodeLimit:             {409, "limit_reached", "A limit is reached", 0},
	engine.CodePaused:            {409, "paused", "The restaurant takes no bookings at the moment", 0},
	engine.CodePacingLimit:       {409, "pacing_limit", "Too many guests arrive at this time", 0},
}

// kindOfError has a row for each fault of the actors.
var kindOfError = []struct {
	err  error
	kind kind
}{
	{actors.ErrBusy, kindBusy},
	{actors.ErrUnavailable, kindUnavailable},
	{actors.ErrExpired, kindExpired},
	{actors.ErrUnknownOutcome, kindUnknownOutcome},
	{actors.ErrQuarantined, kindQuarantined},
	{actors.ErrPanicked, kindInternal},
}

// kindOfFault is the row of a fault; what nobody knows is a 500.
func kindOfFault(err error) kind {
	for i := range kindOfError {
		if errors.Is(err, kindOfError[i].err) {
			return kindOfError[i].kind
		}
	}
	return kindInternal
}

// edgeKinds are the rows that neither Decide nor the actors give.
var edgeKinds = [...]kind{
	kindMalformed, kindWrongType, kindBadCursor, kindBadKey, kindUnauthorized, kindForbidden, kindNotFound, kindMethod,
	kindSecondFactor, kindNotAcceptable, kindTimeout, kindStale, kindTooLarge, kindMediaType, kindUnknownMember, kindInvalid, kindNeedsIfMatch,
	kindTooMany, kindThrottled, kindHeaders, kindInternal, kindStoreAway, kindVersion,
}

// done says whether the outcome of a command is a success.
func done(c engine.Code) bool { return c == engine.CodeOK || c == engine.CodeCreated }
