package actors

import "errors"

// Faults of Do and View. A refusal is an outcome, not an error.
var (
	// ErrBusy: no credit left, or the queue of the node is full; surely not done. 503 with Retry-After.
	ErrBusy = errors.New("actors: busy")
	// ErrUnavailable: the node does not serve now (recovering, lease over, closing, disk full); surely not done. 503.
	ErrUnavailable = errors.New("actors: not serving")
	// ErrExpired: the deadline passed before the command was decided; surely not done. 503.
	ErrExpired = errors.New("actors: deadline passed before the decision")
	// ErrUnknownOutcome: the deadline passed while the command's frame was in doubt. 504: repeat with the same key.
	ErrUnknownOutcome = errors.New("actors: outcome unknown")
	// ErrQuarantined: the aggregate's state is not trusted. 503 with its own code.
	ErrQuarantined = errors.New("actors: quarantined")
	// ErrPanicked: this command made the engine panic; it was not done. 500.
	ErrPanicked = errors.New("actors: command failed")
)
