package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
)

// A server that refuses writes, for want of memory or because it is a replica now, is tried again until it takes them.
func TestTheServerRefuses(t *testing.T) {
	for name, c := range map[string]struct{ begin, end []any }{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := single.empty(t)
			frames := history(81, 120)
			s := sinkOf(t, b.client(t), &memory.Cursors{})
			p, tape := carry(t, s, frames, 40)
			finish(t, p, 40)
			require.NoError(t, b.node(t, 0).Do(t.Context(), c.begin...).Err())
			t.Cleanup(func() { _ = b.node(t, 0).Do(context.Background(), c.end...).Err() })
			tape.last.Store(80)
			require.Eventually(t, func() bool {
				s := p.Status()
				return s.State == persistence.ProjectorRetrying && s.Failures > 3
			}, 10*time.Second, time.Millisecond)
			require.ErrorContains(t, p.Status().Err, name)
			requireHolds(t, b, folded(frames, 40))
			require.NoError(t, b.node(t, 0).Do(t.Context(), c.end...).Err())
			tape.last.Store(120)
			finish(t, p, 120)
			requireHolds(t, b, folded(frames, 120))
		})
	}
}

// A server that comes back with an older file is behind the cursor: what it has lost is loaded.
func TestRestoredFromAnOlderFile(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(82, 150), &states{}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		p, tape := carry(t, s, frames, 60)
		finish(t, p, 60)
		require.NoError(t, b.node(t, 0).Save(t.Context()).Err())
		t.Cleanup(func() { require.NoError(t, os.Remove(filepath.Join(b.nodes[0].Dir, "dump.rdb"))) })
		tape.last.Store(110)
		finish(t, p, 110)
		source.set(sourceAt(t, frames[:110], 100, dice(1)))
		require.NoError(t, b.nodes[0].Kill(t.Context()))
		b.again(t, 0)
		eventuallyLoaded(t, b, p, folded(frames, 110))
		tape.last.Store(150)
		finish(t, p, 150)
		requireLoaded(t, b, folded(frames, 150))
	})
}

// Slots of restaurants move between masters and back while the sink writes: keys are here, there, and asked for.
func TestSlotsMove(t *testing.T) {
	b := cluster.empty(t)
	frames, source := history(83, 300), &states{}
	source.set(sourceAt(t, frames[:1], 1, nil))
	s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
	p, tape := carry(t, s, frames, 20)
	finish(t, p, 20)
	nodes := []*goredis.Client{b.node(t, 0), b.node(t, 1), b.node(t, 2)}
	seq := persistence.Seq(20)
	for id := range folded(frames, 300) {
		slot, err := nodes[0].ClusterKeySlot(t.Context(), versionKey(id)).Result()
		require.NoError(t, err)
		home := -1
		for i, n := range nodes {
			if _, err := n.Get(t.Context(), versionKey(id)).Result(); err == nil || err == goredis.Nil {
				home = i
			}
		}
		require.GreaterOrEqual(t, home, 0)
		for _, way := range [][2]int{{home, (home + 1) % 3}, {(home + 1) % 3, home}} {
			followed(t, source, frames[:seq], seq)
			moveSlot(t, b, nodes, slot, way[0], way[1], func(step int) {
				seq += 5
				tape.last.Store(uint64(seq))
				if step == 2 { // before that a server answers TRYAGAIN about keys that are not there: everything waits
					finish(t, p, seq)
				}
			})
			eventuallyLoaded(t, b, p, folded(frames, seq))
		}
	}
}

// moveSlot moves a slot as redis-cli does, and stops before, in the middle of, and after the keys.
func moveSlot(t *testing.T, b *backend, nodes []*goredis.Client, slot int64, from, to int, at func(step int)) {
	t.Helper()
	ctx := t.Context()
	id := func(i int) string {
		id, err := nodes[i].Do(ctx, "CLUSTER", "MYID").Text()
		require.NoError(t, err)
		return id
	}
	require.NoError(t, nodes[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(from)).Err())
	require.NoError(t, nodes[from].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(to)).Err())
	at(0)
	host, port, err := net.SplitHostPort(b.nodes[to].Addr)
	require.NoError(t, err)
	for n := 0; ; n++ {
		keys, err := nodes[from].ClusterGetKeysInSlot(ctx, int(slot), 10).Result()
		require.NoError(t, err)
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		require.NoError(t, nodes[from].Do(ctx, args...).Err())
		if n == 0 {
			at(1)
		}
	}
	for _, i := range []int{to, from, 3 - to - from} {
		require.NoError(t, nodes[i].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", id(to)).Err())
	}
	at(2)
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			//lint:ignore SA1019 as maitred asks
			//lint:ignore SA1019 Redis 6 has no CLUSTER SHARDS
			for _, r := range n.ClusterSlots(ctx).Val() {
				if int64(r.Start) <= slot && slot <= int64(r.End) && fmt.Sprint(r.Nodes[0].ID) != id(to) {
					return false
				}
			}
		}
		return true
	}, 10*time.Second, 5*time.Millisecond)
}
