package persistence_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

func TestCustodyFollowsClaimsReleasesAndGives(t *testing.T) {
	h := newChain(t, 8, "a")
	a := aggregate(1)
	p := persistence.PartitionOf(a, 8)
	require.Equal(t, persistence.PartState{Owner: "a", Since: 1, Floor: 1}, h.c.Part(p))

	first := h.claim("a", "a")
	require.Equal(t, first, h.c.Part(p).Since, "a node's own claim begins a new custody")
	h.write(h.frame("a", a, a))

	f := h.frame("a", a)
	f.Floors = []persistence.Floor{{Partition: p, Seq: first, Revision: 7}}
	f.Releases = []persistence.Give{{Partition: p, To: "b"}}
	given := h.write(f)
	require.Equal(t, persistence.PartState{Owner: "b", Since: given, Floor: first, Base: 7}, h.c.Part(p))

	h.claim("b", "b")
	h.write(h.frame("b", a))

	taken := h.claim("b", "c", persistence.Give{Partition: p, To: "a"})
	require.Equal(t, "a", h.c.Part(p).Owner)
	require.Equal(t, taken, h.c.Part(p).Since)
	require.Zero(t, h.c.Slot("b").Incarnation)
	h.write(h.frame("a", a))

	var ce *persistence.CustodyError
	require.ErrorAs(t, h.apply("j.w.b", h.frame("b", a)), &ce)
	require.Equal(t, persistence.AssertIncarnation, ce.Assertion)
	require.Equal(t, engine.Version(5), h.version[a])
}
