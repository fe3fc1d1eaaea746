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
	MaxTurnTimes        = 64
	MaxCombinations     = 200
	MaxBlocks           = 20        // of one table
	MaxFee              = 1_000_000 // minor units a guest
	MaxHolds            = 500       // of one restaurant at a time
	MaxHoldsPerGuest    = 4         // of one guest there
	MaxWaiting          = 300       // on the waitlist of one restaurant
	MaxWaitingADay      = 100       // of them for one day
	MaxWaitingPerGuest  = 4         // of one guest there, with holds
	MaxSpecialDays      = 100
	MaxObstacles        = 32                              // that an answer names
	MaxPacing           = 10_000                          // covers or parties that start in a window
	maxParty            = MaxTablesPerParty * MaxCapacity // guests
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
	MaxShiftName       = 160
	MaxOverride        = 200
	MaxNote            = 1_000
)

// Time.
const (
	minutesPerDay = 24 * 60
	tickSec       = 300 // occupancy is counted in ticks of five minutes since 1970

	DefaultGridMin = 15 // minutes between start times
	MinGridMin     = 5
	MaxGridMin     = 60
	HorizonDays    = 90 // how far ahead a reservation may start, unless the house says otherwise
	MaxHorizonDays = 366
	MaxNoticeMin   = 90 * minutesPerDay
	MinTurnMin     = 15
	MaxTurnMin     = 8 * 60
	MaxBufferMin   = 2 * 60

	DefaultPacingWindow = 15
	MaxPacingWindow     = 4 * 60

	DefaultHoldMin   = 5
	MaxHoldMin       = 60
	DefaultOfferMin  = 10
	minAnswerSec     = 60        // between an offer and its start
	maxWaitSec       = 12 * 3600 // between the first and the last start that suit a waiting party
	waitFromNowSec   = 3 * 3600  // who comes without a wish waits so long
	DefaultNoShowMin = 30
	minNoShowMin     = 5
	MaxNoShowMin     = minutesPerDay

	lastDay     = Day(2932896)        // 9999-12-31
	lastSecond  = int64(253402300799) // its end
	lastInstant = Instant(lastSecond * msPerSec)

	maxStaySec = 24 * 3600 // of any reservation in the state

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
	_ [0 - MinTurnMin*60%tickSec]struct{}
	_ [0 - MaxTurnMin*60%tickSec]struct{}
	_ [0 - MaxBufferMin*60%tickSec]struct{}
	_ [forgetLateDays - 2]struct{} // a receipt is kept for at least 24 h
	_ [forgetDays - forgetLateDays]struct{}
	_ [MaxReservations - MaxLive]struct{}
	_ [maxStaySec - (MaxTurnMin+MaxBufferMin)*60]struct{}
	_ [MaxReceipts - MaxEvents]struct{}
	_ [maskWords*64 - MaxTables]struct{}
	_ [1<<8 - MaxCombinations]struct{} // their places are bytes
)
