package edge

import (
	"time"

	"maitred/engine"
)

// Every bound of the edge. Text bounds count runes.
const (
	maxBody          = 16 << 10 // bytes of a request body, chunked or not
	readBuffer       = 8 << 10  // bytes of request line and headers
	writeBuffer      = 8 << 10  // bytes of an answer that leave in one write: a day of availability fits
	maxHeaders       = 64
	maxToken         = 4 << 10 // bytes of a bearer token
	maxKey           = 128     // bytes of an Idempotency-Key
	maxID            = 64      // bytes of an id in a path or body
	maxRefreshToken  = 128     // bytes
	maxCursor        = 512     // bytes
	maxListLimit     = 100
	defaultListLimit = 50
	maxHours         = engine.MaxShifts

	maxName        = 200
	maxLine        = 300
	maxText        = engine.MaxSpecialRequests
	maxEmail       = 254
	maxPhone       = 32
	minPassword    = 8
	maxPassword    = 128
	maxGuests      = 10_000
	firstYear      = 2000
	lastYear       = 2100
	tokenSlots     = 1 << 16 // verified tokens remembered
	tokenWays      = 4
	passwordSlots  = 2  // hashes at once
	passwordQueue  = 50 // waiting beyond that: 429
	maxRevocations = 1 << 16

	readTimeout    = 5 * time.Second // of a whole request
	writeTimeout   = 5 * time.Second
	idleTimeout    = 30 * time.Second
	commandTimeout = 5 * time.Second // until a command answers 503 or 504
	viewTimeout    = 2 * time.Second
	listTimeout    = 2 * time.Second
	ownsTimeout    = 2 * time.Second // until the store has caught up and says who owns a restaurant
	probeTimeout   = time.Second
	closeTimeout   = 5 * time.Second
	tokenTTL       = 10 * time.Minute
	sessionTTL     = 30 * 24 * time.Hour // absolute, of a refresh family
)
