package persistence

// Every bound of the journal stands here.
const (
	// MaxFrameBytes is the longest encoded frame. What does not fit waits for the next one.
	MaxFrameBytes = 256 << 10
	// MaxRecordBytes is the longest record of any kind; the stream refuses more than 512 KiB.
	MaxRecordBytes = 320 << 10
	// MaxEventBytes is the longest encoded event.
	MaxEventBytes = 32 << 10
	// MaxFrameEvents is the most events in one frame.
	MaxFrameEvents = 8192
	// MaxPartitions is the most partitions that a genesis may ask for.
	MaxPartitions = 1024
	// DefaultPartitions is what a new journal gets.
	DefaultPartitions = 256
	// MaxNodes is the most slots that a journal may have in its life.
	MaxNodes = 512
	// SpareNodes are the slots below MaxNodes that no newcomer begins to take: a record that goes beyond MaxNodes would end every
	// fold, and several nodes may name newcomers at once, each before it has seen the others'.
	SpareNodes = 32
	// MaxNameBytes is the longest name of a node, a journal or an aggregate.
	MaxNameBytes = 64
	// MaxBaseBytes is the longest state of one aggregate in SNAP, which takes 32 MiB with its header: a restaurant with engine.MaxReservations fits.
	MaxBaseBytes = 32<<20 - 4096

	// CheckpointEvery is the distance in records between the sequences of which a checkpoint is made. Nothing after the last checkpoint is
	// purged, so a journal must be larger than as many full frames: 256 MiB.
	CheckpointEvery = 1024
	// checkpointsHeld is how many of those digests the fold keeps, so that a checkpoint that arrives late is still compared.
	checkpointsHeld = 16

	// readChunkBytes bounds what Feed reads from the journal for one call of Next.
	readChunkBytes = 1 << 20
	// readChunkRecords bounds how many records that are.
	readChunkRecords = 4096
	// positionGap is the widest hole between two positions that EventsOf bridges by reading on instead of asking again: a record read in
	// passing costs 4–7 µs, one that is asked for 57.
	positionGap = 10
	// positionRun is how many positions are worth a Read, which costs 0.6 ms to begin.
	positionRun = 16
	// positionsAsked is how many records EventsOf asks for at the same time.
	positionsAsked = 16
	// LongTail is how many events of one aggregate outside a base are many: at one Get each it takes 60 ms to open.
	LongTail = 1024
)

// What is written must fit into what may be read.
const (
	_ = uint(MaxRecordBytes - MaxFrameBytes)
	_ = uint(MaxFrameBytes - 4*MaxEventBytes)
	_ = uint(MaxRecordBytes - MaxPartitions*(MaxNameBytes+40) - MaxNodes*(MaxNameBytes+80))
	_ = uint(MaxPartitions - DefaultPartitions)
)
