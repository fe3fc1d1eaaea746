package persistence_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/engine"
	"maitred/persistence"
)

// naiveTail is a list of all events: slow and plain.
type naiveTail struct {
	n      int
	events []naiveEvent
}

type naiveEvent struct {
	id  engine.AggregateID
	v   engine.Version
	seq persistence.Seq
}

func (n *naiveTail) keep(fn func(naiveEvent) bool) {
	n.events = slices.DeleteFunc(n.events, func(e naiveEvent) bool { return !fn(e) })
}

func (n *naiveTail) floor(p persistence.Partition, end persistence.Seq) persistence.Seq {
	for _, e := range n.events {
		if persistence.PartitionOf(e.id, n.n) == p {
			return min(end, e.seq-1)
		}
	}
	return end
}

func (n *naiveTail) of(id engine.AggregateID) (last engine.Version, at []persistence.Seq) {
	for _, e := range n.events {
		if e.id == id {
			last, at = e.v, append(at, e.seq)
		}
	}
	return last, slices.Compact(at)
}

func TestTailEqualsTheNaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const parts, ids = 4, 7
		tail, naive := persistence.NewTail(parts), &naiveTail{n: parts}
		var version [ids]engine.Version
		seq := persistence.Seq(10)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1, 2:
				f := &persistence.Frame{Node: "n"}
				for _, i := range rapid.SliceOfN(rapid.IntRange(0, ids-1), 0, 6).Draw(t, "events") {
					version[i]++
					f.Index = append(f.Index, persistence.IndexEntry{Aggregate: aggregate(i), Version: version[i]})
					naive.events = append(naive.events, naiveEvent{aggregate(i), version[i], seq})
				}
				if rapid.IntRange(0, 5).Draw(t, "with floor") == 0 {
					fl := persistence.Floor{Partition: persistence.Partition(rapid.IntRange(0, parts-1).Draw(t, "p"))}
					fl.Seq = persistence.Seq(rapid.IntRange(0, int(seq)-1).Draw(t, "floor"))
					f.Floors = append(f.Floors, fl)
					naive.keep(func(e naiveEvent) bool {
						return persistence.PartitionOf(e.id, parts) != fl.Partition || e.seq > fl.Seq
					})
				}
				require.NoError(t, tail.Add(seq, f))
				seq += persistence.Seq(rapid.IntRange(1, 3).Draw(t, "others' records"))
			case 3:
				i := rapid.IntRange(0, ids-1).Draw(t, "based")
				v := engine.Version(rapid.IntRange(0, int(version[i])).Draw(t, "version"))
				tail.Based(aggregate(i), v)
				naive.keep(func(e naiveEvent) bool { return e.id != aggregate(i) || e.v > v })
			}
			require.Equal(t, len(naive.events), tail.Len())
			for p := range persistence.Partition(parts) {
				require.Equal(t, naive.floor(p, seq), tail.Floor(p, seq))
			}
			for i := range ids {
				last, at := naive.of(aggregate(i))
				require.Equal(t, last, tail.Last(aggregate(i)))
				require.Equal(t, at, tail.Positions(aggregate(i), nil))
			}
			limit := persistence.Seq(rapid.IntRange(0, int(seq)).Draw(t, "limit"))
			want, got := map[engine.AggregateID]persistence.Seq{}, map[engine.AggregateID]persistence.Seq{}
			for _, e := range naive.events {
				if _, ok := want[e.id]; !ok && e.seq <= limit {
					want[e.id] = e.seq
				}
			}
			tail.Oldest(limit, func(id engine.AggregateID, s persistence.Seq) bool { got[id] = s; return true })
			require.Equal(t, want, got)
		}
	})
}

// Long names exactly those with LongTail events or more, whatever made their number rise and fall.
func TestTailLong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tail, n, version, seq := persistence.NewTail(2), [3]int{}, [3]engine.Version{}, persistence.Seq(1)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "aggregate")
			if more := rapid.SampledFrom([]int{1, 500, persistence.LongTail - 1, persistence.LongTail}).Draw(t, "events"); rapid.Bool().Draw(t, "adds") {
				f := &persistence.Frame{Node: "n"}
				for range more {
					version[i]++
					f.Index = append(f.Index, persistence.IndexEntry{Aggregate: aggregate(i), Version: version[i]})
				}
				require.NoError(t, tail.Add(seq, f))
				n[i], seq = n[i]+more, seq+1
			} else {
				n[i] = min(n[i], more)
				tail.Based(aggregate(i), version[i]-engine.Version(n[i]))
			}
			want, got := map[engine.AggregateID]int{}, map[engine.AggregateID]int{}
			for k := range n {
				if n[k] >= persistence.LongTail {
					want[aggregate(k)] = n[k]
				}
			}
			tail.Long(func(id engine.AggregateID, events int) { got[id] = events })
			require.Equal(t, want, got)
		}
	})
}

func one(id engine.AggregateID, versions ...engine.Version) *persistence.Frame {
	f := &persistence.Frame{Node: "n"}
	for _, v := range versions {
		f.Index = append(f.Index, persistence.IndexEntry{Aggregate: id, Version: v})
	}
	return f
}

func TestTailRefusesAHole(t *testing.T) {
	a := aggregate(1)
	var ce *persistence.CustodyError
	tail := persistence.NewTail(8)
	require.NoError(t, tail.Add(5, one(a, 7, 8)), "what came before is not the tail's")
	require.ErrorAs(t, tail.Add(6, one(a, 10)), &ce)
	require.Equal(t, persistence.AssertVersion, ce.Assertion)
	require.ErrorAs(t, tail.Add(6, one(a, 8)), &ce, "a version twice")
	require.NoError(t, tail.Add(6, one(a, 9)))

	tail = persistence.NewTail(8)
	tail.Based(a, 90)
	require.ErrorAs(t, tail.Add(6, one(a, 92)), &ce, "between base and tail")
	require.NoError(t, tail.Add(6, one(a, 91)))
	tail.Based(a, 91)
	require.ErrorAs(t, tail.Add(9, one(a, 93)), &ce, "after the last event left the tail")
}

func TestTailLeavesOutWhatIsBased(t *testing.T) {
	a := aggregate(1)
	p := persistence.PartitionOf(a, 8)
	tail := persistence.NewTail(8)
	tail.Based(a, 3)
	for v := engine.Version(1); v <= 5; v++ {
		require.NoError(t, tail.Add(persistence.Seq(v)*10, one(a, v)))
	}
	require.Equal(t, []persistence.Seq{40, 50}, tail.Positions(a, nil))
	require.Equal(t, 2, tail.Len())
	require.Equal(t, engine.Version(3), tail.Base(a))
	require.EqualValues(t, 39, tail.Floor(p, 60))
	tail.Based(a, 2)
	require.Equal(t, 2, tail.Len(), "an older base changes nothing")
	tail.Based(a, 9)
	require.Zero(t, tail.Len())
	require.Zero(t, tail.Last(a))
	require.EqualValues(t, 60, tail.Floor(p, 60))

	tail = persistence.NewTail(8)
	tail.Floored(p, 20)
	for v := engine.Version(1); v <= 3; v++ {
		require.NoError(t, tail.Add(persistence.Seq(v)*10, one(a, v)))
	}
	require.Equal(t, []persistence.Seq{30}, tail.Positions(a, nil), "a replay that begins below the partition's floor")
	var ce *persistence.CustodyError
	require.ErrorAs(t, tail.Add(40, one(a, 5)), &ce)
}

func TestTailOldestStops(t *testing.T) {
	tail := persistence.NewTail(4)
	for i := range 20 {
		require.NoError(t, tail.Add(persistence.Seq(i+1), one(aggregate(i), 1)))
	}
	n := 0
	tail.Oldest(20, func(engine.AggregateID, persistence.Seq) bool { n++; return n < 3 })
	require.Equal(t, 3, n)
}

// A million events over 10,000 aggregates: what a restart must fold.
func TestTailOfAMillionEvents(t *testing.T) {
	const events, aggregates, frame = 1_000_000, 10_000, 100
	ids := make([]engine.AggregateID, aggregates)
	for i := range ids {
		ids[i] = aggregate(i)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	version := make([]engine.Version, aggregates)
	f := &persistence.Frame{Node: "n", Index: make([]persistence.IndexEntry, frame)}
	before := heap()
	tail := persistence.NewTail(256)
	var spent time.Duration
	for seq := persistence.Seq(1); seq <= events/frame; seq++ {
		for i := range f.Index {
			a := rng.IntN(aggregates)
			version[a]++
			f.Index[i] = persistence.IndexEntry{Aggregate: ids[a], Version: version[a]}
		}
		began := time.Now()
		require.NoError(t, tail.Add(seq, f))
		spent += time.Since(began)
	}
	perEvent := float64(heap()-before) / events
	require.Equal(t, events, tail.Len())
	t.Logf("%v, %.1f bytes an event with everything", spent, perEvent)
	require.Less(t, perEvent, 24.0)
	require.Less(t, spent, 5*time.Second, "0.1 s on an idle machine; this bound only tells linear from quadratic")
	quickest := time.Hour
	for range 5 { // the machine may be busy with something else
		began := time.Now()
		for p := range persistence.Partition(256) {
			require.Less(t, tail.Floor(p, events), persistence.Seq(events/frame))
		}
		quickest = min(quickest, time.Since(began))
	}
	require.Less(t, quickest, 100*time.Millisecond, "floors are asked for at every heartbeat")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What left the tail leaves memory.
func TestTailLetsGo(t *testing.T) {
	a := aggregate(1)
	tail := persistence.NewTail(4)
	before := heap()
	for v := engine.Version(1); v <= 500_000; v++ {
		require.NoError(t, tail.Add(persistence.Seq(v), one(a, v)))
	}
	tail.Based(a, 499_990)
	require.Less(t, int64(heap())-int64(before), int64(1<<20), fmt.Sprint(tail.Len(), " events left"))
	require.Equal(t, 10, tail.Len())
}
