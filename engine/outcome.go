package engine

// Code is what an aggregate answers. A refusal is a Code, never an error. Numbers are never reused, and new ones come last; the order of
// checks stands in doc.go.
type Code uint8

// The codes of Decide.
const (
	CodeOK      Code = iota // done, or done before (Replayed)
	CodeCreated             // done, something new exists

	CodeKeyReused         // 422: the key was used with another body
	CodeNotFound          // 404: unknown, or a stranger's
	CodeForbidden         // 403: the caller's role may not
	CodeUnauthorized      // 401: session unknown, expired or revoked
	CodeExists            // 409: register or create of what exists
	CodeStale             // 412: IfMatch differs
	CodeInvalidTransition // 409
	CodeInvalid           // 422: valid form, nonsense content; Field names it
	CodeClosed            // 409: no shift offers this time
	CodeTooLate           // 409: in the past
	CodeTooEarly          // 409: beyond the horizon
	CodeNotOnGrid         // 409
	CodePartyTooLarge     // 409: no table of this restaurant can ever seat it
	CodeSlotUnavailable   // 409
	CodeInUse             // 409: table with live reservations
	CodeLimit             // 409 limit_reached: a bound of limits.go; Field names it
	CodePaused            // 409: guests may not book now
	CodePacingLimit       // 409: too many guests or parties start then
	codeEnd
)

// Alternative is a free start time near the refused one.
type Alternative struct {
	Day      Day
	LocalMin int
	StartsAt int64 // Unix seconds
}

// Outcome is the answer of Decide. Pointers lead to immutable values: a later event replaces them, never changes them.
type Outcome struct {
	Code         Code
	Field        string // for CodeInvalid and CodeLimit: the request member
	Replayed     bool   // answered from a receipt
	More         bool   // for ForgetGuest: there is more to do than one command may
	Reservation  *Reservation
	Table        *Table
	Restaurant   *Restaurant
	Member       *Member
	Account      *AccountInfo
	APIKey       *APIKey // for AddAPIKey
	Review       ReviewID
	Family       string  // session family, for OpenSession and RotateSession
	Version      Version // of an account with what was decided: what was revoked later has a higher one; 0 for others and refusals
	Alternatives []Alternative
	Rules        *Rules
	Waits        bool       // Reservation is a hold that will wait for the house when its guest confirms it
	Conflicts    []Obstacle // what has the tables that staff named; with CodeSlotUnavailable
}
