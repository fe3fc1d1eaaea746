// Package redis follows the journal in Redis: what other teams and reads that may be stale need to know of a restaurant's
// availability, without asking its owner. It decides nothing, and everything in it can be made again.
//
// # Keys
//
// All keys of a restaurant share the hash tag {<restaurant id>}, so a cluster keeps them together. Dates are service days
// (YYYY-MM-DD): a shift past midnight belongs to the day on which it began.
//
//	maitred:{<id>}:day:<date>   hash: one field for each reservation that holds tables (held, pending, confirmed, seated)
//	                            <reservation id> → {"t":[table ids],"s":start,"e":end,"g":guests}, Unix seconds, end exclusive
//	                            @                → position of the newest event that changed the day's occupancy, or a later one
//	maitred:{<id>}:floor        hash: <table id> → {"number","capacity","min_capacity","in_service"}
//	                            @details         → {"name","time_zone","grid_minutes","opening_hours":[{"days","open","close","last_seating"}]}
//	                            @                → position of the newest event that changed the floor
//	maitred:{<id>}:days         sorted set: the dates that have a key, by the Unix second at which it expires
//	maitred:{<id>}:v            position of the newest event of the restaurant that is here; there is none: the restaurant is unknown
//	maitred:cursor              hash: journal, seq and as_of (Unix ms) up to which everything is here; see Markers below
//
// A position is {"v":<version of the restaurant>,"as_of":<Unix ms of that event>}. days of opening_hours is a bit set, bit 0 =
// Monday; open, close and last_seating are minutes after midnight and may exceed 1,440. A day without a key has no reservations, or it
// ended long ago.
// Fields may be added to every JSON object. maitred:{<id>}:r:<reservation id> (where a reservation is, also when it holds
// nothing) is maitred's own, and so is everything that this list does not name.
//
// rate:maitred:limit:<32 hexadecimal digits> is what a client owes of its rate limit, in redis_rate's format; the digits are its
// network address or a hash of its account, and the key is gone when the debt is, after 16 minutes at most.
//
// # Messages
//
// Each change is published on the channel maitred.availability.<restaurant id>, as JSON:
//
//	{"restaurant_id":"rst_…","service_date":"2026-11-28","version":17}
//
// Without service_date the floor or the opening hours changed, or the restaurant was written anew: every day may be another.
// The message leaves in the same atomic step as the change, so who reads on a message sees at least that version. Delivery is
// that of Redis: at most once. After a lost connection read anew. It is plain PUBLISH, not SPUBLISH: the same subscription works
// on a single server, behind Sentinel and in a cluster (where every node hears every message), and with servers before Redis 7.
//
// # What holds
//
//   - What a restaurant's keys say is one version of it: one Lua call takes all its changes of a batch, on the condition that
//     maitred:{<id>}:v is what they were made from. MULTI or one Lua call reads it in one piece.
//   - Newer wins: an event whose version is here changes nothing. Replays and late writers are harmless.
//   - Late is all that it can be: the cursor moves when everything up to it is here.
//   - A restaurant whose :v is missing is unknown, not empty. Nobody may take missing keys for free tables.
//   - Everything about a service day expires Retain after the end of its date (UTC). Floors and :v do not expire, however long nothing
//     happens at the restaurant: about 2 kB for each restaurant, and some 450 bytes for each reservation until its day is gone.
//
// Redis must not evict (maxmemory-policy noeviction): a day that was evicted looks free.
//
// # Markers
//
// The cursor lives beside the journal (persistence.Cursors). In Redis a marker names journal and position again; in a cluster
// there is one for each master, maitred:{<tag>}:cursor, its tag chosen so that the master's lowest slot has it. A marker that is
// missing, or behind the cursor, says that this server was emptied, replaced, restored from an older file, or lost its tail in a
// failover. Then the sink loads every restaurant from a Source, the newer version wins, and it goes on from the position of the
// source. Projectors write at least every few seconds, so it is noticed that soon. While a load runs, the marker says so (field
// load), and another sink may take over when the loader has died (field until). A marker of another journal is ErrForeign, before
// anything is written: an operator empties the server, or chooses another.
//
// DESIGN.md has the protocol step by step, what was decided against, and figures.
package redis
