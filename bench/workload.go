package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

// The floor that every bench restaurant has. Start times are two hours apart, which no turn time exceeds for parties of up
// to four, so one table takes startsPerDay parties a day and the capacity is known without asking.
const (
	tableCapacity = 4
	startsPerDay  = 6
	firstStartMin = 10 * 60
	startStepMin  = 120
	bookableDays  = 85 // from firstDayAhead on; the horizon is 90 days
	firstDayAhead = 2
	keysPerHot    = 10 // days of one restaurant among the hot reads
	hotPerRoom    = 40_000
)

// kind names a workload.
type kind string

const (
	kindSpread    kind = "spread"    // bookings over many restaurants, room for each
	kindHot       kind = "hot"       // bookings in one restaurant at a time, room for each
	kindReads     kind = "reads"     // availability of hot keys, bookings in them beside
	kindUniform   kind = "uniform"   // availability of all keys alike
	kindSustained kind = "sustained" // new reservations at a set rate; only of pair
	kindMix       kind = "mix"       // three reads, one booking
	kindRealistic kind = "realistic" // bookings with the shape of real demand; many are refused
	kindVerify    kind = "verify"    // read back each acknowledged reservation
)

// site is what was set up on a server: restaurants by their use.
type site struct {
	Spread    []string `json:"spread"`
	SpreadCap int      `json:"spread_tables"` // tables of each spread restaurant
	Hot       []string `json:"hot"`
	HotCap    int      `json:"hot_tables"`
	Reads     []string `json:"reads"`
	ReadsCap  int      `json:"reads_tables"`
	Real      []string `json:"real"`
	Today     string   `json:"today"` // the day that the enumerations count from
}

// job tells a load process what to do.
type job struct {
	Addr      string  `json:"addr"` // of the server; of several, with commas: connections go to them in turn
	Kind      kind    `json:"kind"`
	Conns     int     `json:"conns"`
	Rate      float64 `json:"rate"` // requests/s, open loop; 0 = closed loop
	WarmMs    int     `json:"warm_ms"`
	MeasureMs int     `json:"measure_ms"`
	Offset    int     `json:"offset"` // where the enumeration of bookings goes on
	Limit     int     `json:"limit"`  // most requests; 0 = no limit
	SiteFile  string  `json:"site_file"`
	TokenFile string  `json:"token_file"`
	AckFile   string  `json:"ack_file"` // written for bookings, read for verify
	SyncAcks  bool    `json:"sync_acks"`
	TraceFile string  `json:"trace_file"` // gets each answer of the window; empty = none
	Seed      uint64  `json:"seed"`
	Run       string  `json:"run"` // makes idempotency keys unique over rounds
}

// request is one request of a workload.
type request struct {
	booking    bool
	measured   bool
	restaurant int32 // index into site; only to count distinct ones
	token      int32
	seq        int32
}

// workload writes request after request.
type workload struct {
	job    *job
	site   site
	tokens [][]byte
	warmed bool     // it is not asked any more whether every token was sent
	days   [][]byte // YYYY-MM-DD
	next   int      // bookings so far, Offset included
	reads  int
	rng    rng
	demand *demand
	acks   []ack
	used   struct{ restaurants, tokens bitset }
}

func newWorkload(j *job) (*workload, error) {
	w := &workload{job: j, next: j.Offset, rng: rng(j.Seed | 1)}
	text, err := os.ReadFile(j.SiteFile)
	if err == nil {
		err = json.Unmarshal(text, &w.site)
	}
	if err != nil {
		return nil, fmt.Errorf("read the site: %w", err)
	}
	if w.tokens, err = readLines(j.TokenFile); err != nil {
		return nil, err
	}
	today, err := time.Parse(time.DateOnly, w.site.Today)
	if err != nil {
		return nil, fmt.Errorf("read the site: %w", err)
	}
	for d := range bookableDays {
		w.days = append(w.days, []byte(today.AddDate(0, 0, firstDayAhead+d).Format(time.DateOnly)))
	}
	switch j.Kind {
	case kindRealistic:
		w.demand, err = loadDemand(len(w.site.Real))
	case kindVerify:
		w.acks, err = readAcks(j.AckFile)
	}
	return w, err
}

// write appends the next request to b. ok is false when the workload has no more.
func (w *workload) write(b []byte, r *request) (out []byte, ok bool) {
	switch w.job.Kind {
	case kindSpread:
		return w.booking(b, r, w.site.Spread, w.site.SpreadCap, w.next)
	case kindHot:
		room := w.next / hotPerRoom
		if room >= len(w.site.Hot) {
			return b, false
		}
		return w.booking(b, r, w.site.Hot[room:room+1], w.site.HotCap, w.next%hotPerRoom)
	case kindReads:
		w.reads++
		if w.reads%20 == 0 || !w.warm() && w.reads%2 == 0 {
			return w.bookHotKey(b, r)
		}
		key := int(w.rng.below(uint64(len(w.site.Reads) * keysPerHot)))
		return w.availability(b, r, w.site.Reads, key/keysPerHot, key%keysPerHot, 2), true
	case kindUniform:
		return w.uniform(b, r), true
	case kindMix:
		w.reads++
		if w.reads%4 == 0 {
			return w.booking(b, r, w.site.Spread, w.site.SpreadCap, w.next)
		}
		return w.uniform(b, r), true
	case kindRealistic:
		return w.realistic(b, r), true
	case kindVerify:
		return w.verify(b, r)
	}
	return b, false
}

// warm tells whether every token was sent once, if the workload sends any.
func (w *workload) warm() bool {
	return w.warmed || w.next >= len(w.tokens) || w.job.Kind == kindUniform || w.job.Kind == kindVerify
}

func (w *workload) uniform(b []byte, r *request) []byte {
	room := int(w.rng.below(uint64(len(w.site.Spread))))
	return w.availability(b, r, w.site.Spread, room, int(w.rng.below(bookableDays)), 1+int(w.rng.below(6)))
}

// booking enumerates without conflict: restaurant fastest, then the start, then once more for each table.
func (w *workload) booking(b []byte, r *request, rooms []string, tables, i int) ([]byte, bool) {
	room, k := i%len(rooms), i/len(rooms)
	if k >= bookableDays*startsPerDay*tables {
		return b, false
	}
	k %= bookableDays * startsPerDay
	// Neighbours in time go to different days: a frame then touches as many days as in real life.
	day, start := k%bookableDays, k/bookableDays
	guests := 1 + i%tableCapacity
	return w.reserve(b, r, rooms, room, day, firstStartMin+start*startStepMin, guests), true
}

// bookHotKey books in one of the keys that are being read, so that cached answers die.
func (w *workload) bookHotKey(b []byte, r *request) ([]byte, bool) {
	keys := len(w.site.Reads) * keysPerHot
	key, k := w.next%keys, w.next/keys
	if k >= startsPerDay*w.site.ReadsCap {
		return b, false
	}
	return w.reserve(b, r, w.site.Reads, key/keysPerHot, key%keysPerHot, firstStartMin+k%startsPerDay*startStepMin, 2), true
}

func (w *workload) realistic(b []byte, r *request) []byte {
	room := w.demand.popularity.roll(&w.rng)
	day := min(w.demand.leadDays(&w.rng), bookableDays-1)
	minute := w.demand.startMin(&w.rng)
	return w.reserve(b, r, w.site.Real, room, day, minute, w.demand.party.roll(&w.rng)+1)
}

func (w *workload) reserve(b []byte, r *request, rooms []string, room, day, minute, guests int) []byte {
	token := w.guest(w.next)
	*r = request{booking: true, restaurant: int32(room), token: int32(token), seq: int32(w.next)}
	w.used.restaurants.set(room)
	w.used.tokens.set(token)
	w.next++
	b = append(b, "POST /api/v1/reservations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer "...)
	b = append(b, w.tokens[token]...)
	b = append(b, "\r\nIdempotency-Key: "...)
	b = w.key(b, int(r.seq))
	b = append(b, "\r\nContent-Length: "...)
	at := len(b)
	b = append(b, "000\r\n\r\n"...)
	body := len(b)
	b = append(b, `{"restaurant_id":"`...)
	b = append(b, rooms[room]...)
	b = append(b, `","date":"`...)
	b = append(b, w.days[day]...)
	b = append(b, `","time_slot":"`...)
	b = appendClock(b, minute)
	b = append(b, `","guests_count":`...)
	b = strconv.AppendInt(b, int64(guests), 10)
	b = append(b, `,"special_requests":"window, if you can"}`...)
	n := len(b) - body
	b[at], b[at+1], b[at+2] = byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10)
	return b
}

func (w *workload) availability(b []byte, r *request, rooms []string, room, day, guests int) []byte {
	*r = request{restaurant: int32(room)}
	w.used.restaurants.set(room)
	b = append(b, "GET /api/v1/restaurants/"...)
	b = append(b, rooms[room]...)
	b = append(b, "/availability?date="...)
	b = append(b, w.days[day]...)
	b = append(b, "&guests_count="...)
	b = strconv.AppendInt(b, int64(guests), 10)
	return append(b, " HTTP/1.1\r\nHost: bench\r\n\r\n"...)
}

func (w *workload) verify(b []byte, r *request) ([]byte, bool) {
	if w.reads >= len(w.acks) {
		return b, false
	}
	a := &w.acks[w.reads]
	*r = request{seq: int32(w.reads), token: a.token}
	w.reads++
	b = append(b, "GET /api/v1/reservations/"...)
	b = append(b, a.id...)
	b = append(b, " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "...)
	b = append(b, w.tokens[a.token]...)
	return append(b, "\r\n\r\n"...), true
}

// key is the idempotency key of booking seq.
func (w *workload) key(b []byte, seq int) []byte {
	b = append(b, w.job.Run...)
	b = append(b, '-')
	return strconv.AppendInt(b, int64(seq), 10)
}

// guest spreads bookings over all tokens, neighbours far apart.
func (w *workload) guest(seq int) int {
	return int(uint64(seq) * 7919 % uint64(len(w.tokens)))
}

func appendClock(b []byte, minute int) []byte {
	minute %= 24 * 60
	h, m := minute/60, minute%60
	return append(b, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10))
}

// bitset counts distinct small numbers.
type bitset []uint64

func (s *bitset) set(i int) {
	for i/64 >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[i/64] |= 1 << (i % 64)
}
