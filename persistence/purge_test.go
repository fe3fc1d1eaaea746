package persistence_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/persistence"
)

// purgeable is a journal in which nothing but the case at hand keeps a record: all floors, the store and a checkpoint are
// at its end; but b owns partition 0, whose floor is still genesis.
func purgeable(t *testing.T) *chain {
	h := newChain(t, 4, "a")
	h.claim("a", "a")
	f := h.frame("a")
	f.Releases = []persistence.Give{{Partition: 0, To: "b"}}
	h.write(f)
	h.claim("b", "b")
	for range 50 {
		h.write(h.frame("a"))
	}
	f = h.frame("a")
	for p := persistence.Partition(1); p < 4; p++ {
		f.Floors = append(f.Floors, persistence.Floor{Partition: p, Seq: h.c.Seq()})
	}
	h.write(f)
	h.must(persistence.Control, h.c.Checkpoint())
	return h
}

func TestPurgeBelow(t *testing.T) {
	h := purgeable(t)
	end := h.c.Seq()
	all := persistence.PurgeLimits{Store: end, Keep: end, Bounds: persistence.Bounds{First: 1, Last: end}}
	f := h.frame("b")
	f.Floors = []persistence.Floor{{Partition: 0, Seq: end}}
	require.Equal(t, persistence.Seq(2), persistence.PurgeBelow(h.c, all), "partition 0 has its first floor at genesis")

	h.write(f)
	require.Equal(t, end-1, h.c.Compared())
	last := h.c.Slot("a").Seq
	require.Equal(t, min(last, h.c.Compared()), persistence.PurgeBelow(h.c, all))
	l := all
	l.Store = 20
	require.EqualValues(t, 21, persistence.PurgeBelow(h.c, l), "the store has not read on")
	l.Store = 0
	require.EqualValues(t, 1, persistence.PurgeBelow(h.c, l), "an empty store")
	l = all
	l.Keep = 15
	require.EqualValues(t, 15, persistence.PurgeBelow(h.c, l), "the window that is kept")
	l = all
	l.Anew = 1
	require.EqualValues(t, 1, persistence.PurgeBelow(h.c, l), "the bases that the floors rely on are lost")
	l = all
	l.Bounds.First = end + 1
	require.EqualValues(t, end+1, persistence.PurgeBelow(h.c, l), "never below what is there")
}

// A node that was away for long and owns something can still be told from a stranger; one that owns nothing pins nothing.
func TestPurgeKeepsTheLastRecordOfAnOwner(t *testing.T) {
	h := newChain(t, 2, "a")
	h.claim("a", "a")
	silent := h.claim("b", "b")
	for range 50 {
		h.write(h.frame("a"))
	}
	f := h.frame("a")
	f.Floors = []persistence.Floor{{Partition: 0, Seq: h.c.Seq()}, {Partition: 1, Seq: h.c.Seq()}}
	h.write(f)
	h.must(persistence.Control, h.c.Checkpoint())
	limits := func() persistence.PurgeLimits {
		end := h.c.Seq()
		return persistence.PurgeLimits{Store: end, Keep: end, Bounds: persistence.Bounds{First: 1, Last: end}}
	}
	require.Greater(t, persistence.PurgeBelow(h.c, limits()), silent)
	f = h.frame("a")
	f.Releases = []persistence.Give{{Partition: 1, To: "b"}}
	h.write(f)
	require.Equal(t, silent, persistence.PurgeBelow(h.c, limits()))
}

func TestPurgeNothingWithoutACheckpoint(t *testing.T) {
	h := newChain(t, 1, "a")
	h.claim("a", "a")
	f := h.frame("a")
	f.Floors = []persistence.Floor{{Partition: 0, Seq: 2}}
	h.write(f)
	require.EqualValues(t, 1, persistence.PurgeBelow(h.c, persistence.PurgeLimits{Store: 3, Keep: 3, Bounds: persistence.Bounds{First: 1, Last: 3}}))
}

// After any purge that the rule allows: the rest folds from the checkpoint, no owner's slot is forgotten, no event that is
// in no base is gone.
func TestPurgeLeavesWhatIsNeeded(t *testing.T) {
	nodes := []string{"a", "b", "c"}
	purged := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := newChain(t, 4, "a")
		for _, n := range nodes {
			h.claim(n, n)
		}
		var checkpoints []*persistence.Checkpoint
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			node := rapid.SampledFrom(nodes).Draw(rt, "node")
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0:
				cp := h.c.Checkpoint()
				h.must(persistence.Control, cp)
				checkpoints = append(checkpoints, cp)
			case 1:
				h.claim(node, rapid.SampledFrom(nodes).Draw(rt, "by"))
				h.claim(node, node)
			default:
				f := h.frame(node)
				for p := range persistence.Partition(4) {
					if h.c.Owns(node, p) && rapid.Bool().Draw(rt, "raise") {
						fl := rapid.IntRange(int(h.c.Part(p).Floor), int(h.c.Seq())).Draw(rt, "floor")
						f.Floors = append(f.Floors, persistence.Floor{Partition: p, Seq: persistence.Seq(fl)})
					}
				}
				h.write(f)
			}
		}
		end := h.c.Seq()
		l := persistence.PurgeLimits{
			Store:  persistence.Seq(rapid.IntRange(0, int(end)).Draw(rt, "store")),
			Keep:   persistence.Seq(rapid.IntRange(1, int(end)+1).Draw(rt, "keep")),
			Bounds: persistence.Bounds{First: 1, Last: end},
		}
		below := persistence.PurgeBelow(h.c, l)
		require.GreaterOrEqual(t, below, l.Bounds.First)
		if below == 1 {
			return
		}
		purged++
		require.LessOrEqual(t, below, l.Store+1)
		require.LessOrEqual(t, below, l.Keep)
		for p := range persistence.Partition(4) {
			part := h.c.Part(p)
			require.LessOrEqual(t, below, part.Floor+1)
			require.GreaterOrEqual(t, h.c.Slot(part.Owner).Seq, below)
		}
		newest := checkpoints[len(checkpoints)-1]
		require.LessOrEqual(t, below, newest.Seq)
		from, err := persistence.FromCheckpoint(newest)
		require.NoError(t, err)
		for _, e := range h.entries[newest.Seq:] {
			require.GreaterOrEqual(t, e.Seq, below)
			r, err := persistence.Decode(e.Data)
			require.NoError(t, err)
			require.NoError(t, from.Apply(e, r))
		}
		require.Equal(t, h.c.Digest(), from.Digest())
	})
	require.Greater(t, purged, 5, "the rule was not exercised")
}

func TestExpect(t *testing.T) {
	require.EqualValues(t, 7, persistence.Expect(7, 7))
	require.EqualValues(t, 0, persistence.Expect(6, 7))
	require.EqualValues(t, 0, persistence.Expect(0, 1))
}
