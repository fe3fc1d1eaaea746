package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"maitred/engine"
)

// applyScript takes the change of one restaurant, if KEYS[1] (its position) still is ARGV[1]; ARGV[2] is the next one. What
// follows are commands: name, number of their key (0 = none), number of arguments, arguments. The position is written last.
var applyScript = goredis.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local i = 3
while i <= #ARGV do
  local k, n = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if k == 0 then
    redis.call(ARGV[i], unpack(ARGV, i + 3, i + 2 + n))
  else
    redis.call(ARGV[i], KEYS[k], unpack(ARGV, i + 3, i + 2 + n))
  end
  i = i + 3 + n
end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// maxArgs bounds the arguments of one command within the script: Lua's stack has 8,000 places.
const maxArgs = 1_000

// commands are the keys and arguments of one call of applyScript.
type commands struct {
	keys  []string
	args  []any
	index map[string]int
}

// key is the number of a key in KEYS.
func (c *commands) key(key string) int {
	n, known := c.index[key]
	if !known {
		c.keys = append(c.keys, key)
		n = len(c.keys)
		c.index[key] = n
	}
	return n
}

// on adds a command on a key with arguments that come in groups of each, as many commands as they need.
func (c *commands) on(name, key string, each int, args ...string) {
	k := c.key(key)
	for part := range slices.Chunk(args, maxArgs/each*each) {
		c.add(name, k, part)
	}
}

func (c *commands) add(name string, key int, args []string) {
	c.args = append(c.args, name, key, len(args))
	for _, a := range args {
		c.args = append(c.args, a)
	}
}

// commands is the change as applyScript takes it. Records come after the days: what was cut off in between, if it ever is, is
// made again from the old ones.
func (f *fold) commands(retain time.Duration, now time.Time) *commands {
	c := &commands{index: map[string]int{}}
	c.key(versionKey(f.id))
	c.args = append(c.args, f.was, encode(f.head))
	for _, key := range f.anew {
		c.add("DEL", c.key(key), nil)
	}
	if f.whole.Version > 0 {
		f.floorCommands(c)
	}
	for _, day := range slices.Sorted(maps.Keys(f.days)) {
		f.dayCommands(c, day, retain)
	}
	if len(f.days) > 0 {
		c.on("ZREMRANGEBYSCORE", daysKey(f.id), 2, "-inf", strconv.FormatInt(now.Unix(), 10))
	}
	for _, id := range slices.Sorted(maps.Keys(f.moved)) {
		r := f.records[id]
		c.on("SET", recordKey(f.id, id), 3, encode(r), "EXAT", strconv.FormatInt(dayEnds(r.Day, retain), 10))
	}
	if f.whole.Version > 0 {
		f.publish(c, "")
		return c
	}
	for _, day := range slices.Sorted(maps.Keys(f.days)) {
		f.publish(c, dateOf(day))
	}
	return c
}

func (f *fold) publish(c *commands, date string) {
	c.add("PUBLISH", 0, []string{channelPrefix + string(f.id), encode(message{f.id, date, f.head.Version})})
}

func (f *fold) floorCommands(c *commands) {
	set, drop := []string{fieldPosition, encode(f.whole)}, []string(nil)
	if f.about != nil {
		set = append(set, fieldDetails, encode(f.about))
	}
	if f.rules != nil {
		set = append(set, fieldRules, string(f.rules))
	}
	for _, id := range slices.Sorted(maps.Keys(f.floor)) {
		if t := f.floor[id]; t != nil {
			set = append(set, id, encode(t))
		} else {
			drop = append(drop, id)
		}
	}
	c.on("HSET", floorKey(f.id), 2, set...)
	c.on("HDEL", floorKey(f.id), 1, drop...)
}

func (f *fold) dayCommands(c *commands, day int32, retain time.Duration) {
	key, ends := dayKey(f.id, dateOf(day)), strconv.FormatInt(dayEnds(day, retain), 10)
	set, drop := []string{fieldPosition, encode(f.at[day])}, []string(nil)
	for _, id := range slices.Sorted(maps.Keys(f.days[day])) {
		if s := f.days[day][id]; s != nil {
			set = append(set, id, encode(s))
		} else {
			drop = append(drop, id)
		}
	}
	c.on("HSET", key, 2, set...)
	c.on("HDEL", key, 1, drop...)
	c.on("EXPIREAT", key, 1, ends)
	c.on("ZADD", daysKey(f.id), 2, ends, dateOf(day))
}

// maxCallArgs bounds the arguments of the calls that are sent at once, by about one restaurant.
const maxCallArgs = 50_000

// run sends the changes and returns the restaurants whose change was refused: somebody else has written in between.
func (s *Sink) run(ctx context.Context, folds []*fold) (refused []engine.AggregateID, err error) {
	now := s.o.Now()
	for len(folds) > 0 {
		var calls []*commands
		for n := 0; len(calls) < len(folds) && n < maxCallArgs; {
			c := folds[len(calls)].commands(s.o.Retain, now)
			calls, n = append(calls, c), n+len(c.args)
		}
		took, err := s.c.evalAll(ctx, calls)
		if err != nil {
			return nil, err
		}
		for i := range took {
			if !took[i] {
				refused = append(refused, folds[i].id)
			}
		}
		folds = folds[len(calls):]
	}
	return refused, nil
}

// evalAll runs applyScript for each call, by its hash; a server that does not know it gets the text.
func (c *Client) evalAll(ctx context.Context, calls []*commands) ([]bool, error) {
	took := make([]bool, len(calls))
	todo := make([]int, len(calls))
	for i := range todo {
		todo[i] = i
	}
	for _, send := range []func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd{applyScript.EvalSha, applyScript.Eval} {
		sent, results := todo, make([]*goredis.Cmd, 0, len(todo))
		_, _ = c.db.Pipelined(ctx, func(p goredis.Pipeliner) error { // each command has its error
			for _, n := range sent {
				results = append(results, send(ctx, p, calls[n].keys, calls[n].args...))
			}
			return nil
		})
		todo = nil
		for i, r := range results {
			done, err := r.Bool()
			switch {
			case err == nil:
				took[sent[i]] = done
			case strings.HasPrefix(err.Error(), "NOSCRIPT"):
				todo = append(todo, sent[i])
			default:
				return nil, fmt.Errorf("write %s: %w", calls[sent[i]].keys[0], err)
			}
		}
		if len(todo) == 0 {
			return took, nil
		}
	}
	return nil, fmt.Errorf("write %s: %w", calls[todo[0]].keys[0], errNoScript)
}

var errNoScript = errors.New("redis: the server does not know a script that it was just sent")
