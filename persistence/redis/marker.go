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
var ErrForeign = errors.New("redis: the server follows another journal: empty it or choose another")

// errNotWhole says that something is missing in Redis: the next Cursor loads it anew.
var errNotWhole = errors.New("redis: the server was emptied, replaced, or lost its tail")

// errLoading says that another sink loads everything.
var errLoading = errors.New("redis: another sink is loading")

const (
	markerKey   = "maitred:cursor"
	topologyAge = 10 * time.Second // how long readers believe in the masters of a cluster
)

// marker is what one master says of itself.
type marker struct {
	journal string
	seq     persistence.Seq
	asOf    int64 // Unix ms
	loading bool
	there   bool
}

// Scripts on one marker, KEYS[1]. A server is known by the id that it takes when it begins to be a master: a step that was begun at
// one master is not finished at the one that replaced it, which may have lost what the step wrote before.
//
// load and until say who loads everything, and until when (Unix ms) nobody else may. gen names the load that was finished last.
var (
	// epochScript returns what must not change while a sink writes; empty = nobody may write now. ARGV: journal.
	epochScript = goredis.NewScript(luaEpoch + `
if foreign(ARGV[1]) then return 'foreign' end
return epoch()`)
	// ARGV: epoch, journal, old seq, next seq, as_of. Never back. 0 = the marker is not what the writer began with.
	advanceScript = goredis.NewScript(luaEpoch + `
if foreign(ARGV[2]) or epoch() ~= ARGV[1] then return 0 end
local m = redis.call('HMGET', KEYS[1], 'seq', 'as_of')
if tonumber(m[1]) < tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'journal', ARGV[2])
if tonumber(ARGV[4]) > tonumber(m[1]) then redis.call('HSET', KEYS[1], 'seq', ARGV[4]) end
if tonumber(ARGV[5]) > tonumber(m[2]) then redis.call('HSET', KEYS[1], 'as_of', ARGV[5]) end
return 1`)
	// ARGV: load, lease in ms, journal. Returns the id of the master, 'foreign', or '' when another load runs.
	beginScript = goredis.NewScript(luaEpoch + `
if foreign(ARGV[3]) then return 'foreign' end
local m = redis.call('HMGET', KEYS[1], 'load', 'until')
if m[1] and m[1] ~= ARGV[1] and tonumber(m[2]) > now() then return '' end
redis.call('HSET', KEYS[1], 'journal', ARGV[3], 'load', ARGV[1], 'until', now() + ARGV[2])
return reign()`)
	// ARGV: load, lease in ms, id of the master. 0 = the load was in vain.
	renewScript = goredis.NewScript(luaEpoch + `
if redis.call('HGET', KEYS[1], 'load') ~= ARGV[1] or reign() ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'until', now() + ARGV[2])
return 1`)
	// ARGV: load, id of the master, journal, seq, as_of, gen. 0 = the load was in vain.
	finishScript = goredis.NewScript(luaEpoch + `
if redis.call('HGET', KEYS[1], 'load') ~= ARGV[1] or reign() ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'journal', ARGV[3], 'seq', ARGV[4], 'as_of', ARGV[5], 'gen', ARGV[6])
return 1`)
)

// isForeign is what scripts answer about a marker of another journal.
const isForeign = "foreign"

const luaEpoch = `
local function reign() return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or 'unknown' end
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function foreign(journal)
  local has = redis.call('HGET', KEYS[1], 'journal')
  return has and has ~= '' and has ~= journal
end
local function epoch()
  local m = redis.call('HMGET', KEYS[1], 'seq', 'load', 'gen')
  if not m[1] or m[2] then return '' end
  return (m[3] or '') .. ' ' .. reign()
end`

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
	//lint:ignore SA1019 ClusterShards needs Redis 7
	//lint:ignore SA1019 Redis 6 has no CLUSTER SHARDS
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
		m.journal, m.loading, m.there = text[0], text[3] != "", text[1] != ""
		if !m.there {
			continue
		}
		seq, err1 := strconv.ParseUint(text[1], 10, 64)
		asOf, err2 := strconv.ParseInt(text[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", keys[i], errNotOurs, err)
		}
		m.seq, m.asOf = persistence.Seq(seq), asOf
	}
	return all, nil
}

// holds tells whether the marker says that everything up to at is here.
func (m *marker) holds(at persistence.Position) (bool, error) {
	switch {
	case m.journal != "" && at.Journal == "": // there is no cursor yet: a load tells whose it is
		return false, nil
	case m.journal != "" && m.journal != at.Journal:
		return false, fmt.Errorf("%s, not %s: %w", m.journal, at.Journal, ErrForeign)
	}
	return m.there && !m.loading && m.seq >= at.Seq, nil
}

// stand is a marker and what a step has to find there: the epoch of a write, the master of a load.
type stand struct{ key, at string }

// epochs is where a write begins. errNotWhole when a marker is missing or somebody loads.
func (c *Client) epochs(ctx context.Context, keys []string, journal string) ([]stand, error) {
	stands := make([]stand, len(keys))
	for i, key := range keys {
		at, err := epochScript.Run(ctx, c.db, []string{key}, journal).Text()
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the marker %s: %w", key, err)
		case at == isForeign:
			return nil, fmt.Errorf("%s, not %s: %w", key, journal, ErrForeign)
		case at == "":
			return nil, fmt.Errorf("%s: %w", key, errNotWhole)
		}
		stands[i] = stand{key, at}
	}
	return stands, nil
}

// mark runs a script on every marker, one after the other: who has the first has them all. errNotWhole: one refused.
func (c *Client) mark(ctx context.Context, script *goredis.Script, stands []stand, args func(at string) []any) error {
	for _, s := range stands {
		took, err := script.Run(ctx, c.db, []string{s.key}, args(s.at)...).Bool()
		switch {
		case err != nil:
			return fmt.Errorf("mark %s: %w", s.key, err)
		case !took:
			return fmt.Errorf("%s: %w", s.key, errNotWhole)
		}
	}
	return nil
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
