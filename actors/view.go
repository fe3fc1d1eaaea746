package actors

import (
	"sync"
	"sync/atomic"

	"maitred/engine"
	"maitred/persistence"
)

// Bounds of the cache of encoded answers.
const (
	maxCacheBytes  = 64 << 20 // of a house
	cacheSlots     = 64       // of an aggregate
	maxCachedBody  = 64 << 10
	cachedOverhead = 128 // what an answer takes beside its body
)

// View is an aggregate's durable state for readers, with a bounded cache of encoded answers.
type View struct {
	engine.View
	epoch  persistence.Seq // of the custody under which it was loaded
	cache  *answerCache    // of the aggregate; nil = keeps nothing
	budget *cacheBudget
}

// cached is one encoded answer. Immutable.
type cached struct {
	day    engine.Day
	guests int
	state  engine.Version // of the day
	minute int64
	body   []byte
}

// answerCache holds an aggregate's answers: a table of fixed size, read without a lock. A newer answer takes the place of
// an older one.
type answerCache struct {
	slots atomic.Pointer[answerSlots] // made for the first answer that is kept
	first atomic.Uint64               // question that was last asked while there were none
}

type answerSlots struct {
	answers [cacheSlots]atomic.Pointer[cached]
	asked   [cacheSlots]atomic.Uint64 // question that was last asked and not found
}

func (c *answerCache) make() *answerSlots {
	if c.slots.Load() == nil {
		c.slots.CompareAndSwap(nil, new(answerSlots))
	}
	return c.slots.Load()
}

func slotOf(day engine.Day, guests int) int {
	return int((uint32(day)*31 + uint32(guests)) % cacheSlots)
}

// dayVersion is the version of a day of a restaurant.
func (v *View) dayVersion(day engine.Day) (engine.Version, bool) {
	r, ok := v.View.(*engine.RestaurantView)
	if !ok || v.cache == nil {
		return 0, false
	}
	return r.DayVersion(day), true
}

// Cached returns an encoded answer kept under (day, guests) if it is still of this state; nil otherwise. Read-only.
func (v *View) Cached(day engine.Day, guests int, minute int64) []byte {
	if v.cache == nil {
		return nil
	}
	slots := v.cache.slots.Load()
	if slots == nil {
		return nil
	}
	c := slots.answers[slotOf(day, guests)].Load()
	if c == nil || c.day != day || c.guests != guests || c.minute != minute {
		return nil
	}
	if state, ok := v.dayVersion(day); !ok || state != c.state {
		return nil
	}
	return c.body
}

// Wanted tells whether an answer is worth keeping: it was asked for twice with none of its neighbours in between. An answer
// that is asked for once would only push out one that is asked for often.
func (v *View) Wanted(day engine.Day, guests int) bool {
	if v.cache == nil {
		return false
	}
	question := uint64(uint32(day))<<32 | uint64(uint32(guests))
	asked := &v.cache.first
	if slots := v.cache.slots.Load(); slots != nil {
		asked = &slots.asked[slotOf(day, guests)]
	}
	if asked.Load() == question {
		return true
	}
	asked.Store(question)
	return false
}

// Keep stores an encoded answer for (day, guests), valid while the day's events and the minute stay the same. Bounded; body
// belongs to the cache from then on.
func (v *View) Keep(day engine.Day, guests int, minute int64, body []byte) {
	state, ok := v.dayVersion(day)
	if !ok || len(body) > maxCachedBody {
		return
	}
	c := &cached{day: day, guests: guests, state: state, minute: minute, body: body}
	slot := &v.cache.make().answers[slotOf(day, guests)]
	slot.Store(c)
	v.budget.add(slot, c)
}

// cacheBudget bounds the answers of all aggregates together: the oldest goes when a new one does not fit.
type cacheBudget struct {
	max   int64
	bytes atomic.Int64

	mu   sync.Mutex
	ring []kept // oldest at head
	head int
	n    int
}

type kept struct {
	slot *atomic.Pointer[cached]
	c    *cached
}

func newCacheBudget(max int64) *cacheBudget { return &cacheBudget{max: max, ring: make([]kept, 64)} }

func (b *cacheBudget) add(slot *atomic.Pointer[cached], c *cached) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == len(b.ring) {
		grown := make([]kept, 2*len(b.ring))
		for i := range b.n {
			grown[i] = b.ring[(b.head+i)%len(b.ring)]
		}
		b.ring, b.head = grown, 0
	}
	b.ring[(b.head+b.n)%len(b.ring)] = kept{slot, c}
	b.n++
	b.bytes.Add(size(c))
	for b.bytes.Load() > b.max {
		old := b.ring[b.head]
		b.ring[b.head] = kept{}
		b.head = (b.head + 1) % len(b.ring)
		b.n--
		old.slot.CompareAndSwap(old.c, nil)
		b.bytes.Add(-size(old.c))
	}
}

func size(c *cached) int64 { return int64(cap(c.body)) + cachedOverhead }
