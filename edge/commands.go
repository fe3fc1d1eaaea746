package edge

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"maitred/engine"
)

// who is the caller as the engine sees it.
func (x *exchange) who() engine.Caller {
	if x.caller == nil {
		return engine.Caller{}
	}
	return engine.Caller{Account: x.caller.account, Role: x.caller.role, From: x.from()}
}

// callerID is the account that calls; empty for nobody.
func (x *exchange) callerID() string {
	if x.caller == nil {
		return ""
	}
	return string(x.caller.account)
}

// from is the address of the peer, as text.
func (x *exchange) from() string { return x.clientAddr().String() }

// scope hashes (caller, route, restaurant, Idempotency-Key) into the key of a command; zero when the client sent none.
func (x *exchange) scope(restaurant string) (engine.Hash, *trouble) {
	key := x.head.idempotencyKey
	if key == nil {
		return engine.Hash{}, nil
	}
	if len(key) == 0 || len(key) > maxKey {
		return engine.Hash{}, refusal(kindBadKey)
	}
	for _, c := range key {
		if c < 0x20 || c > 0x7e {
			return engine.Hash{}, refusal(kindBadKey)
		}
	}
	b := x.canon[:0]
	b = canonical(b, x.callerID())
	b = canonical(b, x.endpoint.method)
	b = canonical(b, x.endpoint.pattern)
	b = canonical(b, restaurant)
	b = canonical(b, aliased(key))
	x.canon = b
	return hash16(b), nil
}

// canonical appends a part of what is hashed, with its length, so that no two lists of parts look the same.
func canonical(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func canonicalInt(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

// canonicalText appends an optional text.
func canonicalText(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0)
	}
	return canonical(append(dst, 1), *s)
}

func hash16(b []byte) engine.Hash {
	sum := sha256.Sum256(b)
	return engine.Hash(sum[:16])
}

// ifMatch reads If-Match: the version in it, or 0 when there is none or any will do.
func (x *exchange) ifMatch(needed bool) (engine.Version, *trouble) {
	h := x.head.ifMatch
	if h == nil {
		if needed {
			return 0, refusal(kindNeedsIfMatch)
		}
		return 0, nil
	}
	if string(h) == "*" {
		return 0, nil
	}
	if bytes.HasPrefix(h, []byte(`W/"`)) { // If-Match compares strongly: a weak tag never matches
		return 0, refusal(kindStale)
	}
	if len(h) < 3 || h[0] != '"' || h[len(h)-1] != '"' {
		return 0, &trouble{kind: kindMalformed, field: "If-Match"}
	}
	v, err := strconv.ParseUint(aliased(h[1:len(h)-1]), 10, 64)
	if err != nil || v == 0 {
		return 0, refusal(kindStale) // a tag we never gave
	}
	return engine.Version(v), nil
}

// do lets the house decide and answers everything but a success; nil then.
func (x *exchange) do(id engine.AggregateID, cmd *engine.Command) *engine.Outcome {
	out, err := x.decide(id, cmd)
	if err != nil {
		x.fault(err)
		return nil
	}
	if !done(out.Code) {
		x.refuse(&out)
		return nil
	}
	if out.Replayed {
		x.replayed()
	}
	return &out
}

// restaurant is the durable view of a restaurant that exists; else it has answered and returns nil.
func (x *exchange) restaurant(id engine.RestaurantID) *engine.RestaurantView {
	v, err := x.s.house.View(engine.AggregateID(id), x.deadline(viewTimeout))
	if err != nil {
		x.fault(err)
		return nil
	}
	r, ok := v.View.(*engine.RestaurantView)
	if !ok || r.Restaurant() == nil {
		x.fail(kindNotFound)
		return nil
	}
	return r
}

// parseDate reads a service day within the years that the API knows.
func parseDate(field, s string) (engine.Day, *trouble) {
	day, ok := engine.ParseDate(s)
	if !ok || s[:4] < "2000" || s[:4] > "2100" {
		return 0, wrong(field, "YYYY-MM-DD, 2000 to 2100")
	}
	return day, nil
}

// when reads a start time: date and time_slot, or starts_at, or all three (the engine compares them).
func when(date, slot, startsAt string) (engine.When, *trouble) {
	var w engine.When
	if date != "" || slot != "" || startsAt == "" {
		day, t := parseDate("date", date)
		if t != nil {
			return w, t
		}
		minutes, ok := parseClock(slot)
		if !ok {
			return w, wrong("time_slot", "HH:MM, 00:00 to 23:59")
		}
		w.HasLocal, w.Day, w.LocalMin = true, day, minutes
	}
	if startsAt != "" {
		at, err := time.Parse(time.RFC3339, startsAt)
		if err != nil || at.Nanosecond() != 0 || at.Year() < firstYear || at.Year() > lastYear {
			return w, wrong("starts_at", "RFC 3339 in whole seconds, 2000 to 2100")
		}
		w.StartsAt = at.Unix()
	}
	return w, nil
}

// signCursor makes a cursor that only the same caller can use for the same list.
func (x *exchange) signCursor(place, filter string) string {
	mac := x.cursorMAC(place, filter)
	return base64.RawURLEncoding.EncodeToString(append(mac, place...))
}

func (x *exchange) cursorMAC(place, filter string) []byte {
	h := hmac.New(sha256.New, x.s.cfg.Keys.cursor)
	b := canonical(nil, x.endpoint.pattern)
	b = canonical(b, x.callerID())
	b = canonical(b, filter)
	h.Write(canonical(b, place))
	return h.Sum(nil)[:16]
}

// readCursor gives the place that a cursor names; empty for none.
func (x *exchange) readCursor(cursor, filter string) (string, *trouble) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(cursor) > maxCursor || len(b) <= 16 {
		return "", refusal(kindBadCursor)
	}
	place := string(b[16:])
	if !hmac.Equal(b[:16], x.cursorMAC(place, filter)) {
		return "", refusal(kindBadCursor)
	}
	return place, nil
}

// limit reads the parameter limit.
func (x *exchange) limit() (int, *trouble) {
	v := x.ctx.QueryArgs().Peek("limit")
	if v == nil {
		return defaultListLimit, nil
	}
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 1 || n > maxListLimit {
		return 0, wrong("limit", "1 to 100")
	}
	return n, nil
}

// query refuses parameters that the route does not know, that come twice, and that say nothing: a misspelt filter must not look like an
// empty one, nor an empty number like none, and of two values nobody knows which was meant. Texts and cursors may be empty.
func (x *exchange) query(known ...string) *trouble {
	seen := uint64(0)
	for name, value := range x.ctx.QueryArgs().All() {
		at := slices.IndexFunc(known, func(k string) bool { return string(name) == k })
		if at < 0 {
			return wrong("query", "unknown parameter")
		}
		if seen&(1<<at) != 0 {
			return wrong(known[at], "once")
		}
		seen |= 1 << at
		if len(value) == 0 && !slices.Contains(mayBeEmpty, known[at]) {
			return wrong(known[at], "leave it out, or give it a value")
		}
	}
	return nil
}

var mayBeEmpty = []string{"q", "city", "cuisine", "cursor"}
