package engine

import "time"

// Every bound of the engine. Nothing in an aggregate grows beyond what stands here.
const (
	MaxTables           = 500
	MaxReservations     = 50_000 // in the state of one restaurant
	MaxReceipts         = 4_096  // ring of the commands that create no reservation
	MaxEvents           = 64     // of one command
	MaxShifts           = 32     // opening hours of one restaurant
	MaxTablesPerParty   = 8
	MaxCapacity         = 100 // guests at one table
	MaxSessions         = 20  // of one account; the oldest goes
	MaxAccountReceipts  = 64
	MaxAlternatives     = 4
	alternativeDays     = 3 // neighbouring service days that are searched, each way
	MaxTransitionReason = 200
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
	MaxPasswordHash    = 256
	MaxFamily          = 64
)

// Time.
const (
	minutesPerDay = 24 * 60
	tickSec       = 300 // occupancy is counted in ticks of five minutes since 1970
	ticksPerDay   = 86400 / tickSec
	wordsPerDay   = (ticksPerDay + 63) / 64

	DefaultGridMin = 15 // minutes between start times
	MinGridMin     = 5
	MaxGridMin     = 60
	HorizonDays    = 90 // how far ahead a reservation may start
	MaxTurnMin     = 150

	noShowAfterMs   = int64(30 * time.Minute / time.Millisecond)
	forgetAfterSec  = int64(30 * 24 * 3600) // a final reservation leaves the state so long after its end
	msPerSec        = 1000
	minReceiptKept  = int64(24 * 3600)
	maxShiftMinutes = 24 * 60
)

// Relations between the bounds, checked by the compiler: a negative array length does not compile.
var (
	_ [ticksPerDay*tickSec - 86400]struct{}
	_ [MinGridMin*60%tickSec + 0]struct{}
	_ [DefaultGridMin - MinGridMin]struct{}
	_ [MaxGridMin - DefaultGridMin]struct{}
	_ [MaxTurnMin*60%tickSec + 0]struct{}
	_ [ticksPerDay - MaxTurnMin*60/tickSec]struct{} // a reservation touches at most two days
	_ [forgetAfterSec - minReceiptKept]struct{}
	_ [MaxReceipts - MaxEvents]struct{}
	_ [wordsPerDay*64 - ticksPerDay]struct{}
)
