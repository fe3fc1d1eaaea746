package edge

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Copies answers reads from a copy that may be behind its restaurant: Redis. It fails when the copy is older than notBefore.
type Copies interface {
	Availability(ctx context.Context, now engine.Instant, id engine.RestaurantID, day engine.Day, guests int, notBefore time.Time) (persistence.Availability, error)
}

// anyAge is a patience without a bound.
const anyAge = time.Duration(1<<63 - 1)

// maxStale is how old an answer the request takes: max-stale of Cache-Control, in seconds (RFC 9111, section 5.2.1.2). False: it
// wants what is true now. What cannot be read is as if it were not there, as that RFC has it.
func (x *exchange) maxStale() (time.Duration, bool) {
	for _, field := range x.ctx.Request.Header.PeekAll("Cache-Control") {
		for directive := range bytes.SplitSeq(field, []byte{','}) {
			name, value, bound := bytes.Cut(bytes.TrimSpace(directive), []byte{'='})
			if !bytes.EqualFold(name, []byte("max-stale")) {
				continue
			}
			if !bound {
				return anyAge, true
			}
			seconds, err := strconv.ParseUint(string(bytes.Trim(value, `"`)), 10, 31)
			return time.Duration(seconds) * time.Second, err == nil
		}
	}
	return 0, false
}

// copied answers from a copy that is at most patience old; false when there is none.
func (x *exchange) copied(q availabilityQuery, patience time.Duration) bool {
	var notBefore time.Time
	if patience != anyAge {
		notBefore = x.now.Add(-patience)
	}
	a, err := x.s.cfg.Copies.Availability(context.Background(), engine.Instant(x.now.UnixMilli()), engine.RestaurantID(x.param), q.day, q.guests, notBefore)
	if err != nil {
		return false
	}
	x.buf = appendAvailability(x.buf[:0], q.day, a.TimeZone, a.Starts, q.minutes)
	x.buf = appendTerms(x.buf, a.Terms)
	x.buf = append(x.buf[:len(x.buf)-1], `,"as_of":"`...)
	x.buf = append(a.AsOf.UTC().AppendFormat(x.buf, time.RFC3339), `"}`...)
	x.reply(200)
	return true
}
