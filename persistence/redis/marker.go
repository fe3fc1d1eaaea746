package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"maitred/persistence"
)

// ErrForeign says that Redis follows another journal. It is refused: what it holds may be newer by number and is not ours.
var ErrForeign = errors.New("redis: the server follows another journal")

// errNotWhole says that something is missing in Redis: the next Cursor loads it anew.
var errNotWhole = errors.New("redis: the server was emptied, replaced, or lost its tail")

// errLoading says that another sink loads everything.
var errLoading = errors.New("redis: another sink is loading")

const (
	markerKey   = "maitred:cursor"
	loadLease   = 20 * time.Second // a load that is not renewed for so long has died
	topologyAge = 10 * time.Second // how long readers believe in the masters of a cluster
)

// marker is what one master says of itself.
type marker struct {
	journal string
	seq     persistence.Seq
	asOf    int64 // Unix ms
	load    string
	there   bool
}

// Scripts on one marker. KEYS[1] is the marker. They return 0 when the marker is not what they need.
var (
	// ARGV: journal, old seq, next seq, as_of. Never back.
	advanceScript = goredis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'journal', 'seq', 'as_of', 'load')
if not m[1] or m[4] or tonumber(m[2]) < tonumber(ARGV[2]) then return 0 end
if m[1] ~= ARGV[1] and (m[1] ~= '' or tonumber(m[2]) > 0) then return 0 end
redis.call('HSET', KEYS[1], 'journal', ARGV[1])
if tonumber(ARGV[3]) > tonumber(m[2]) then redis.call('HSET', KEYS[1], 'seq', ARGV[3]) end
if tonumber(ARGV[4]) > tonumber(m[3]) then redis.call('HSET', KEYS[1], 'as_of', ARGV[4]) end
return 1`)
	// ARGV: load, lease in ms.
	beginScript = goredis.NewScript(`
local load = redis.call('HGET', KEYS[1], 'load')
if load and load ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'load', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)
	// ARGV: load, lease in ms.
	renewScript = goredis.NewScript(`
if redis.call('HGET', KEYS[1], 'load') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)
	// ARGV: load, journal, seq, as_of.
	finishScript = goredis.NewScript(`
if redis.call('HGET', KEYS[1], 'load') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'journal', ARGV[2], 'seq', ARGV[3], 'as_of', ARGV[4])
return 1`)
)

// topology is the markers' keys as last seen.
type topology struct {
	mu   sync.Mutex
	keys []string
	at   time.Time
}

// markerKeys names the marker of each master, sorted.
func (c *Client) markerKeys(ctx context.Context) ([]string, error) {
	cluster, ok := c.db.(*goredis.ClusterClient)
	if !ok {
		return []string{markerKey}, nil
	}
	ranges, err := cluster.ClusterSlots(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask for the masters: %w", err)
	}
	lowest := map[string]int{}
	for _, r := range ranges {
		if len(r.Nodes) == 0 {
			continue
		}
		id := r.Nodes[0].ID + r.Nodes[0].Addr
		if at, known := lowest[id]; !known || r.Start < at {
			lowest[id] = r.Start
		}
	}
	var keys []string
	for _, slot := range lowest {
		if slot < 0 || slot >= slots {
			return nil, fmt.Errorf("redis: slot %d", slot)
		}
		keys = append(keys, "maitred:{"+strconv.Itoa(tags()[slot])+"}:cursor")
	}
	if len(keys) == 0 {
		return nil, errors.New("redis: the cluster has no masters")
	}
	slices.Sort(keys)
	c.masters.mu.Lock()
	defer c.masters.mu.Unlock()
	c.masters.keys, c.masters.at = keys, time.Now()
	return keys, nil
}

// knownMarkerKeys is markerKeys, as it was a short time ago.
func (c *Client) knownMarkerKeys(ctx context.Context) ([]string, error) {
	c.masters.mu.Lock()
	keys, fresh := c.masters.keys, time.Since(c.masters.at) < topologyAge
	c.masters.mu.Unlock()
	if fresh {
		return keys, nil
	}
	return c.markerKeys(ctx)
}

// markers reads those of keys.
func (c *Client) markers(ctx context.Context, keys []string) ([]marker, error) {
	var results []*goredis.SliceCmd
	_, err := c.db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, key := range keys {
			results = append(results, p.HMGet(ctx, key, "journal", "seq", "as_of", "load"))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the markers: %w", err)
	}
	all := make([]marker, len(keys))
	for i, r := range results {
		var text [4]string
		for k, v := range r.Val() {
			text[k], _ = v.(string)
		}
		m := &all[i]
		m.journal, m.load, m.there = text[0], text[3], text[1] != ""
		if !m.there {
			continue
		}
		seq, err1 := strconv.ParseUint(text[1], 10, 64)
		asOf, err2 := strconv.ParseInt(text[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("redis: %s is not ours: %w", keys[i], err)
		}
		m.seq, m.asOf = persistence.Seq(seq), asOf
	}
	return all, nil
}

// holds tells whether the marker says that everything up to at is here.
func (m *marker) holds(at persistence.Position) (bool, error) {
	if m.there && m.journal != "" && at.Journal != "" && m.journal != at.Journal {
		return false, fmt.Errorf("%s, not %s: %w", m.journal, at.Journal, ErrForeign)
	}
	return m.there && m.load == "" && m.seq >= at.Seq, nil
}

// mark runs a script on every marker, one after the other: who has the first has them all. False: one refused.
func (c *Client) mark(ctx context.Context, script *goredis.Script, keys []string, args ...any) (bool, error) {
	for _, key := range keys {
		took, err := script.Run(ctx, c.db, []string{key}, args...).Bool()
		if err != nil {
			return false, fmt.Errorf("mark %s: %w", key, err)
		}
		if !took {
			return false, nil
		}
	}
	return true, nil
}

const slots = 16_384 // of a cluster

// tags has a hash tag for each slot: the lowest number whose text hashes there.
var tags = sync.OnceValue(func() *[slots]int {
	found, left := new([slots]int), slots
	for n := 1; left > 0; n++ {
		if at := &found[slotOf(strconv.Itoa(n))]; *at == 0 {
			*at = n
			left--
		}
	}
	return found
})

// slotOf is the slot of a hash tag: CRC-16/XMODEM modulo 16,384 (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func slotOf(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}
