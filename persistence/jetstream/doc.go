// Package jetstream keeps the journal and the bases in NATS JetStream: a server embedded in the process, alone (R1) or as
// one of a cluster (R3).
//
// A data directory holds, beside JetStream's own folder:
//
//	lock         flock, held for life; the holder's pid
//	mode         "standalone" or "clustered": a clustered server deletes streams that its cluster does not know
//	sound        nothing; it is called unsound from a write error until the last blocks were rewritten
//	hwm          the high-water mark: a record that was acknowledged, written lazily, read before the journal is trusted
//
// Open does, in this order: lock, mode, repair and fsync of the last blocks, server, streams and their assertions, and the
// comparison with the high-water mark. What it returns may be claimed in.
package jetstream
