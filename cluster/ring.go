package cluster

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"maitred/persistence"
)

// Node is one that may hold partitions.
type Node struct {
	Name   string
	Weight uint16 // share of the partitions, relative to the others'; 0 = none
}

// headroom is how much more than its share a node may hold, in percent. Less makes the load more even and lets more partitions
// move when a node comes or goes: DESIGN.md has the figures.
const headroom = 15

// Ring says which node should hold which partition: a wish, and a pure function of partitions, names and weights, the same on
// every node and machine (there is no floating point in it). Who may write is said by the fold of the journal alone. Immutable.
type Ring struct {
	nodes  []Node   // by name, ascending; those with a weight
	names  []string // theirs
	wished []int32  // by partition: index into names
	load   []int    // by name
}

// NewRing places partitions on nodes by weighted rendezvous hashing with a load cap: the pair of partition and node with the
// lowest cost comes first, and a node that has its cap takes no more. That is the stable matching between the two, so it does not
// depend on an order, and what did not change sides stays. A ring without nodes wishes nothing.
//
// Weighted rendezvous: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005 (logarithmic method); cap:
// Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018.
func NewRing(partitions int, nodes []Node) *Ring {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Weight == 0 })
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	r := &Ring{nodes: nodes, wished: make([]int32, partitions), load: make([]int, len(nodes))}
	all := 0
	for _, n := range nodes {
		r.names = append(r.names, n.Name)
		all += int(n.Weight)
	}
	for p := range r.wished {
		r.wished[p] = -1
	}
	for _, c := range pairs(partitions, nodes) {
		limit := share(partitions, int(nodes[c.node].Weight), all)
		if r.wished[c.partition] < 0 && r.load[c.node] < limit {
			r.wished[c.partition] = c.node
			r.load[c.node]++
		}
	}
	return r
}

// share is the most that a node of a weight may hold, rounded up, so that all caps together are never too few.
func share(partitions, weight, all int) int {
	return (partitions*weight*(100+headroom) + 100*all - 1) / (100 * all)
}

// pair is what it costs to place a partition on a node.
type pair struct {
	cost      uint64
	partition int32
	node      int32 // by name, ascending
}

func pairs(partitions int, nodes []Node) []pair {
	out := make([]pair, 0, partitions*len(nodes))
	for p := range partitions {
		for i, n := range nodes {
			key := binary.LittleEndian.AppendUint16(make([]byte, 0, 2+persistence.MaxNameBytes), uint16(p))
			out = append(out, pair{cost(append(key, n.Name...), n.Weight), int32(p), int32(i)})
		}
	}
	slices.SortFunc(out, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.partition, b.partition), cmp.Compare(a.node, b.node))
	})
	return out
}

// cost is -log2(hash/2^64)/weight, scaled by 2^48: exponentially distributed with the weight as its rate, so that the lowest of
// several is each one's with a chance in proportion to its weight.
func cost(key []byte, weight uint16) uint64 {
	h := xxhash.Sum64(key) | 1 // the logarithm of 0 is none
	return (64<<32 - log2(h)) << 16 / uint64(weight)
}

// log2 is the binary logarithm of x > 0 with 32 bits after the point, rounded down: the fraction comes bit by bit, by squaring.
func log2(x uint64) uint64 {
	whole := uint64(bits.Len64(x) - 1)
	m := x << (63 - whole) // 1 ≤ m/2^63 < 2
	fraction := uint64(0)
	for range 32 {
		m, _ = bits.Mul64(m, m) // m/2^62 now
		fraction <<= 1
		if m>>63 != 0 {
			fraction |= 1
		} else {
			m <<= 1
		}
	}
	return whole<<32 | fraction
}

// Wish is the node that should hold p; empty when there is none.
func (r *Ring) Wish(p persistence.Partition) string {
	if i := r.wished[p]; i >= 0 {
		return r.names[i]
	}
	return ""
}

// Partitions is how many partitions the ring places.
func (r *Ring) Partitions() int { return len(r.wished) }

// Load is how many partitions node should hold.
func (r *Ring) Load(node string) int {
	if i, ok := slices.BinarySearch(r.names, node); ok {
		return r.load[i]
	}
	return 0
}

// Heirs are the ring's nodes in the order in which they may claim the slot of node: the first one at once, each next one later.
func (r *Ring) Heirs(node string) []string {
	order := slices.DeleteFunc(slices.Clone(r.names), func(n string) bool { return n == node })
	rank := func(heir string) uint64 { return xxhash.Sum64String(node + "\x00" + heir) }
	slices.SortFunc(order, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	return order
}

// same tells whether both rings place the same partitions on the same nodes by the same weights.
func (r *Ring) same(o *Ring) bool {
	return len(r.wished) == len(o.wished) && slices.Equal(r.nodes, o.nodes)
}

// without is the ring of all nodes but one.
func (r *Ring) without(node string) *Ring {
	return NewRing(len(r.wished), slices.DeleteFunc(slices.Clone(r.nodes), func(n Node) bool { return n.Name == node }))
}
