package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"maitred/actors"
	"maitred/cluster"
	"maitred/persistence"
)

// Times of the controller and of gossip, by default: cluster.Times, memberlist's suspicion for 100 members.
const (
	look     = 200 * time.Millisecond
	rank     = time.Second
	settle   = 5 * time.Second
	noticed  = 9 * time.Second // until gossip has taken a dead one off: a probe and 4·log10(100) more
	maxMoves = 4               // at once from each node
)

// storm is what happens when some of the nodes die in one moment.
type storm struct {
	dead       int
	claims     int           // appends that inherit: one for each slot
	most       int           // claims that one node makes
	last       time.Duration // until the last slot is claimed
	deepest    int           // how many heirs before the claimer were dead, too
	heaviest   int           // partitions of the heaviest node afterwards
	toMove     int           // partitions that the ring wishes elsewhere once gossip has noticed
	quorum     float64       // chance that the journal loses its quorum: two of its three copies are among the dead
	unserved   []step        // partitions without a living owner, over time
	meanBefore float64       // partitions a node
	partitions int
}

type step struct {
	at   time.Duration
	left int
}

// newStorm plays the claims by the rule of the controller: each living node claims a silent slot when its turn in the order of heirs has
// come, and gives each partition to whom the ring without the dead node wishes it, if that one writes, else keeps it.
func newStorm(partitions, dead int) storm {
	s := storm{dead: dead, claims: dead, partitions: partitions, meanBefore: float64(partitions) / nodes, quorum: quorumLost(dead)}
	rng := rand.New(rand.NewPCG(uint64(dead), 11))
	within := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	list := named(0, nodes)
	ring := cluster.NewRing(partitions, list)
	gone := map[string]bool{}
	for _, i := range rng.Perm(nodes)[:dead] {
		gone[list[i].Name] = true
	}
	owner, byClaimer := map[persistence.Partition]string{}, map[string]int{}
	for _, n := range list {
		if !gone[n.Name] {
			continue
		}
		heirs := ring.Heirs(n.Name)
		turn := slices.IndexFunc(heirs, func(h string) bool { return !gone[h] })
		claimer := heirs[turn]
		byClaimer[claimer]++
		// The last record is up to a heartbeat old, and the claimer looks now and then.
		at := actors.Silence - within(actors.HeartbeatEvery) + time.Duration(turn)*rank + within(look)
		s.last, s.deepest, s.most = max(s.last, at), max(s.deepest, turn), max(s.most, byClaimer[claimer])
		s.unserved = append(s.unserved, step{at, ring.Load(n.Name)})
		s.inherit(ring, list, n.Name, claimer, gone, owner)
	}
	s.measure(ring, list, gone, owner)
	return s
}

func (s *storm) inherit(ring *cluster.Ring, list []cluster.Node, node, claimer string, gone map[string]bool, owner map[persistence.Partition]string) {
	without := cluster.NewRing(s.partitions, slices.DeleteFunc(slices.Clone(list), func(n cluster.Node) bool { return n.Name == node }))
	for i := range s.partitions {
		if p := persistence.Partition(i); ring.Wish(p) == node {
			if owner[p] = without.Wish(p); gone[owner[p]] {
				owner[p] = claimer
			}
		}
	}
}

func (s *storm) measure(ring *cluster.Ring, list []cluster.Node, gone map[string]bool, owner map[persistence.Partition]string) {
	after := cluster.NewRing(s.partitions, slices.DeleteFunc(slices.Clone(list), func(n cluster.Node) bool { return gone[n.Name] }))
	held := map[string]int{}
	for i := range s.partitions {
		p := persistence.Partition(i)
		now, inherited := owner[p]
		if !inherited {
			now = ring.Wish(p)
		}
		if held[now]++; now != after.Wish(p) {
			s.toMove++
		}
		s.heaviest = max(s.heaviest, held[now])
	}
	slices.SortFunc(s.unserved, func(a, b step) int { return int(a.at - b.at) })
	left := 0
	for _, u := range s.unserved {
		left += u.left
	}
	for i := range s.unserved {
		left -= s.unserved[i].left
		s.unserved[i].left = left
	}
}

// unservedAtOnce is how many partitions have no living owner in the first moment.
func (s *storm) unservedAtOnce() int {
	list := named(0, nodes)
	ring := cluster.NewRing(s.partitions, list)
	n := 0
	for _, i := range rand.New(rand.NewPCG(uint64(s.dead), 11)).Perm(nodes)[:s.dead] {
		n += ring.Load(list[i].Name)
	}
	return n
}

// quorumLost is the chance that at least two of the three nodes with a copy of the journal are among the dead.
func quorumLost(dead int) float64 {
	choose := func(n, k int) float64 {
		if k < 0 || k > n {
			return 0
		}
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return math.Exp(a - b - c)
	}
	return (3*choose(nodes-3, dead-2) + choose(nodes-3, dead-3)) / choose(nodes, dead)
}
