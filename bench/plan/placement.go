package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"maitred/cluster"
	"maitred/engine"
	"maitred/persistence"
)

const (
	restaurants = 1_000_000
	nodes       = 100
	weight      = 100
	sets        = 5     // of names, over which means and worst cases are taken
	zipf        = 0.425 // popularity of real restaurants: bench/demand-profile.json
)

// counts are the numbers of partitions that are looked at; only the first ones can be had.
var counts = []int{persistence.DefaultPartitions, persistence.MaxPartitions, 4096}

// named makes n nodes of one set, all with the same weight.
func named(set uint64, n int) []cluster.Node {
	rng := rand.New(rand.NewPCG(set, 7))
	list := make([]cluster.Node, n)
	for i := range list {
		list[i] = cluster.Node{Name: fmt.Sprintf("node-%d-%x", i, rng.Uint32()), Weight: weight}
	}
	return list
}

// placement is how a number of partitions lies on the nodes.
type placement struct {
	partitions      int
	least, most     int     // partitions of a node
	restaurants     float64 // of the heaviest node ÷ the mean
	demand          float64 // reservations of the heaviest node ÷ the mean
	join, leave, up movement
	sorted          []float64 // demand of the nodes ÷ the mean, the heaviest first
}

// movement is how many partitions change sides ÷ how many have to, over the sets of names.
type movement struct{ mean, worst float64 }

func (m *movement) add(moved int, ideal float64) {
	ratio := float64(moved) / ideal
	m.mean, m.worst = m.mean+ratio/sets, max(m.worst, ratio)
}

func newPlacement(partitions int) placement {
	p := placement{partitions: partitions, least: partitions}
	rooms, demand := shares(partitions)
	for set := range uint64(sets) {
		list := named(set, nodes+1)
		before := cluster.NewRing(partitions, list[:nodes])
		byRooms, byDemand := make(map[string]float64, nodes), make(map[string]float64, nodes)
		for i := range partitions {
			to := before.Wish(persistence.Partition(i))
			byRooms[to] += rooms[i] * nodes
			byDemand[to] += demand[i] * nodes
		}
		var sorted []float64
		for _, n := range list[:nodes] {
			p.least, p.most = min(p.least, before.Load(n.Name)), max(p.most, before.Load(n.Name))
			p.restaurants, p.demand = max(p.restaurants, byRooms[n.Name]), max(p.demand, byDemand[n.Name])
			sorted = append(sorted, byDemand[n.Name])
		}
		slices.Sort(sorted)
		slices.Reverse(sorted)
		if set == 0 {
			p.sorted = sorted
		}
		p.moves(before, list)
	}
	return p
}

// moves counts what a node that comes, one that goes and one that becomes twice as large bring about.
func (p *placement) moves(before *cluster.Ring, list []cluster.Node) {
	all := float64(p.partitions)
	p.join.add(moved(before, cluster.NewRing(p.partitions, list)), all/(nodes+1))
	p.leave.add(moved(before, cluster.NewRing(p.partitions, list[1:nodes])), float64(before.Load(list[0].Name)))
	larger := slices.Clone(list[:nodes])
	larger[0].Weight *= 2
	p.up.add(moved(before, cluster.NewRing(p.partitions, larger)), all*2/(nodes+1)-all/nodes)
}

func moved(a, b *cluster.Ring) (n int) {
	for i := range a.Partitions() {
		if p := persistence.Partition(i); a.Wish(p) != b.Wish(p) {
			n++
		}
	}
	return n
}

// shares are each partition's part of the restaurants, and of their reservations.
func shares(partitions int) (rooms, demand []float64) {
	rooms, demand = make([]float64, partitions), make([]float64, partitions)
	all := 0.0
	for i := range restaurants {
		id := engine.AggregateID(engine.MakeRestaurantID(rand.New(rand.NewPCG(uint64(i), 3)).Uint64()))
		at, wanted := persistence.PartitionOf(id, partitions), math.Pow(float64(i+1), -zipf)
		rooms[at] += 1.0 / restaurants
		demand[at] += wanted
		all += wanted
	}
	for i := range demand {
		demand[i] /= all
	}
	return rooms, demand
}
