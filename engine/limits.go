package engine

import "time"

// Every bound of the engine. Nothing in an aggregate grows beyond what stands here.
const (
	MaxTables           = 500
	MaxLive             = 50_000  // reservations of one restaurant that hold a table
	MaxReservations     = 100_000 // of one restaurant in its state, with those that are over
	MaxReceipts         = 4_096   // ring of the commands that create no reservation
	MaxEvents           = 64      // of one command
	MaxShifts           = 32      // opening hours of one restaurant
	MaxTablesPerParty   = 8
	MaxCapacity         = 100 // guests at one table
	MaxSessions         = 20  // of one account; the oldest goes
	MaxAccountReceipts  = 64
	MaxSeenTokens       = 16     // refresh tokens of a session that are known to be used up
	MaxAPIKeys          = 20     // of one account
	MaxQuota            = 60_000 // requests a minute of an API key
	MaxRecoveryCodes    = 10
	SecretBytes         = 20 // of a second factor: what RFC 4226 recommends for SHA-1
	MaxAlternatives     = 4
	alternativeDays     = 3 // neighbouring service days that are searched, each way
	MaxTransitionReason = 200
	MaxStaff            = 200 // of one restaurant
	MinRating           = 1
	MaxRating           = 5
)

// Bounds of texts, in bytes.
const (
	MaxName            = 200
	MaxAddress         = 400
	MaxDescription     = 4_000
	MaxSpecialRequests = 1_000
	MaxEmail           = 254
	MaxPhone           = 40
	MaxTimeZone        = 64
	MaxTableNumber     = 40
	MaxLocation        = 100
	MaxReviewComment   = 8_000
	MaxPasswordHash    = 256
	MaxFamily          = 64
	MaxFrom            = 45 // the longest textual IPv6 address
)

// Time.
const (
	minutesPerDay = 24 * 60
	tickSec       = 300 // occupancy is counted in ticks of five minutes since 1970

	DefaultGridMin = 15 // minutes between start times
	MinGridMin     = 5
	MaxGridMin     = 60
	HorizonDays    = 90 // how far ahead a reservation may start
	MaxTurnMin     = 150
	maxStaySec     = 24 * 3600 // of any reservation in the state

	noShowAfterMs   = int64(30 * time.Minute / time.Millisecond)
	horizonMs       = int64(HorizonDays) * 24 * 3600 * msPerSec
	forgetDays      = 33 // UTC days after its service day in which a final reservation leaves the state, but
	forgetLateDays  = 2  // not before so many UTC days after its last change
	msPerSec        = 1000
	maxShiftMinutes = 24 * 60

	ThrottleWindowMs = Instant(15 * time.Minute / time.Millisecond) // one LoginThrottled in it
)

// Relations between the bounds, checked by the compiler: a negative array length does not compile.
var (
	_ [0 - MinGridMin*60%tickSec]struct{}
	_ [0 - 86400%tickSec]struct{}
	_ [DefaultGridMin - MinGridMin]struct{}
	_ [MaxGridMin - DefaultGridMin]struct{}
	_ [0 - MaxTurnMin*60%tickSec]struct{}
	_ [chunkTicks - MaxTurnMin*60/tickSec]struct{} // a reservation touches at most two chunks
	_ [forgetLateDays - 2]struct{}                 // a receipt is kept for at least 24 h
	_ [forgetDays - forgetLateDays]struct{}
	_ [MaxReservations - MaxLive]struct{}
	_ [maxStaySec - MaxTurnMin*60]struct{}
	_ [MaxReceipts - MaxEvents]struct{}
	_ [maskWords*64 - MaxTables]struct{}
)
