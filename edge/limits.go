package edge

import (
	"runtime"
	"time"

	"maitred/engine"
)

// Every bound of the edge. Text bounds count runes.
const (
	maxBody          = 16 << 10 // bytes of a request body, chunked or not
	readBuffer       = 8 << 10  // bytes of request line and headers
	socketBuffer     = 64 << 10 // bytes that the kernel keeps for a connection, each way; it doubles them for its own books
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
	maxConflicts     = 500
	maxShiftName     = engine.MaxShiftName / 4

	maxName           = 200
	maxLine           = 300
	maxText           = engine.MaxSpecialRequests
	maxEmail          = 254
	maxPhone          = 32
	minPassword       = 8
	maxPassword       = 128
	maxGuests         = 10_000
	firstYear         = 2000
	lastYear          = 2100
	tokenSlots        = 1 << 16 // verified tokens remembered
	tokenWays         = 4
	passwordQueue     = 50      // waiting beyond those that are hashed: 429
	maxRevocations    = 1 << 17 // kept apart, 218 a second for the life of a token; beyond that everybody logs in again
	maxInHand         = 8192    // requests at once
	maxPerConn        = 100_000 // requests of a connection: then it is closed, so that clients spread anew
	workerSlack       = 1024    // workers beyond the connections: one is free only a moment after its connection is
	redirectConns     = 1024
	redirectConnsEach = 256 // of an address

	readTimeout    = 5 * time.Second // of a whole request
	writeTimeout   = 5 * time.Second
	idleTimeout    = 30 * time.Second
	commandTimeout = 5 * time.Second // until a command answers 503 or 504
	viewTimeout    = 2 * time.Second
	listTimeout    = 2 * time.Second
	ownsTimeout    = 2 * time.Second // until the store has caught up and says who owns a restaurant
	closeTimeout   = 5 * time.Second
	refusalTimeout = 50 * time.Millisecond // for telling a connection that there is no room
	tokenTTL       = 10 * time.Minute
	clockSlack     = 5 * time.Second     // by which clocks of nodes may differ before a token of one looks like the future to another
	sessionTTL     = 30 * 24 * time.Hour // absolute, of a refresh family
)

// Bounds of accounts: passwords, guesses, keys.
const (
	passwordMemory     = 19_456 // KiB of argon2id: OWASP's least, with
	passwordPasses     = 2
	passwordMostPasses = 10
	passwordTarget     = 30 * time.Millisecond // what a hash is to take at least

	accountFailures = 5       // failed logins of an account before it waits
	addressFailures = 30      // of an address (an IPv6 network of 64 bits)
	globalFailures  = 1_000   // of all
	maxAttempts     = 1 << 16 // accounts, and addresses, with failed logins that are remembered
	failureWindow   = 15 * time.Minute
	firstWait       = 15 * time.Second // after accountFailures or addressFailures; twice as long each time
	longestWait     = 15 * time.Minute
	globalWait      = time.Second // after globalFailures: one failure a second in all
	maxNotes        = 8           // audit events of throttled logins in flight; beyond, one is dropped
	maxCode         = 32          // bytes of a second factor's or recovery code

	maxKeyName    = 50
	maxAPIKeyNote = time.Minute // a verified API key is remembered this long
	defaultQuota  = 600         // requests a minute of an API key

	maxRetiredKeys = 8 // signing keys that sign no more and still verify
	jwksMaxAge     = 5 * time.Minute
	keysEvery      = 30 * time.Second // how often the file of keys is looked at
	retiredKeyTTL  = time.Hour        // a retired key verifies this long: more than tokenTTL + jwksMaxAge + keysEvery
)

var _ [retiredKeyTTL - tokenTTL - jwksMaxAge - keysEvery]struct{} // a negative length does not compile

// passwordSlots is how many passwords are hashed at once: half the cores, at most two. On every core, a flood of logins would
// leave none to reservations. Four short runs in turns on two cores with neighbours: their p99 grew 24 and 38 times with two
// hashers, 0.8 and 3 times with one. Longer runs on a busier machine grew more with one, too.
var passwordSlots = int32(max(1, min(2, runtime.GOMAXPROCS(0)/2)))
