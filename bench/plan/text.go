package main

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// text is the section of the document.
func (p *plan) text() []byte {
	var b bytes.Buffer
	p.placementText(&b)
	p.stormText(&b)
	p.trafficText(&b)
	return b.Bytes()
}

func (p *plan) placementText(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n%d nodes of one weight, %.0f M restaurants, placed by `ring.go`; the worst of %d sets of names. Demand: popularity as in\n"+
		"`bench/demand-profile.json` (Zipf, exponent %g). Moved: partitions that change sides ÷ those that must, mean (worst).\n\n", nodes, restaurants/1e6, sets, zipf)
	fmt.Fprintln(b, "| partitions | of a node | restaurants of the heaviest ÷ mean | demand of the heaviest ÷ mean | moved: a node comes | a node goes | one doubles its weight |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|")
	for _, c := range p.placements {
		fmt.Fprintf(b, "| %d | %d–%d | %.2f | %.2f | %s | %s | %s |\n", c.partitions, c.least, c.most, c.restaurants, c.demand, c.join, c.leave, c.up)
	}
	fmt.Fprintln(b, "\n![demand of each node](plots/skew.svg)")
}

func (m movement) String() string { return fmt.Sprintf("%.2f (%.2f)", m.mean, m.worst) }

func (p *plan) stormText(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nSome of the %d nodes die in one moment, %d partitions. A claim is one append. Gossip needs about %.0f s to notice: until then the\n"+
		"ring wishes for the dead, and what it wishes to them stays with the claimer. Quorum: chance that two of the journal's three copies are gone.\n\n",
		nodes, p.storms[0].partitions, noticed.Seconds())
	fmt.Fprintln(b, "| die | without an owner | claims | of one node, at most | last claim after | dead heirs before the claimer | partitions of the heaviest | moves afterwards | quorum lost |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|---|")
	for _, s := range p.storms {
		fmt.Fprintf(b, "| %d | %d | %d | %d | %.1f s | %d | %d (mean %.1f before) | %d | %s |\n", s.dead, s.unservedAtOnce(), s.claims, s.most, s.last.Seconds(), s.deepest,
			s.heaviest, s.meanBefore, s.toMove, percent(s.quorum))
	}
	fmt.Fprintln(b, "\n![partitions without an owner](plots/storm.svg)")
}

func percent(share float64) string {
	if share > 0 && share < 0.001 {
		return "< 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

func (p *plan) trafficText(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nOne journal. Every node reads every record; a heartbeat has %.0f bytes, a reservation %.0f. Wait: each node has one frame on its way, and the\n"+
		"leader takes %.0f frames/s (three servers on two cores and one disk) to %.0f (fsyncs of a disk of its own). Without JetStream's own headers.\n\n",
		p.traffics[0].heartbeatBytes, eventBytes, framesShared, framesDisk)
	fmt.Fprintln(b, "| nodes | heartbeats/s | leave the leader, idle | folding, idle, share of a core | wait for a frame when all write | reservations/s that fill 10 Gbit/s |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|")
	for _, t := range p.traffics {
		fmt.Fprintf(b, "| %d | %.0f | %.2f MB/s | %.2f %% | %s–%s | %s |\n", t.nodes, t.heartbeats, t.leaderIdle/1e6, 100*t.foldIdle, milli(t.waitDisk), milli(t.waitShared), round(t.most))
	}
	fmt.Fprintln(b, "\n![what leaves the leader](plots/leader.svg)")
	all := peak(restaurants)
	fmt.Fprintf(b, "\n%.0f M restaurants with %.0f reservations a day, %.1f %% of them in the busiest hour and its busiest seconds %.0f times that, ask for %s/s: %.0f %% of\n"+
		"what fills the leader's card with %d nodes. Folding that takes each node %.1f %% of a core at most, and the tail of %.0f minutes is %.0f MB in every node.\n"+
		"A wait of %s is reached at %.0f to %.0f nodes on one journal.\n\n",
		restaurants/1e6, perDay, 100*peakHour, rushFactor, round(all), 100*all/p.traffics[len(p.traffics)-1].most, nodes,
		(framesDisk*decodeMicro+all*tailMicro)/1e4, baseAge.Minutes(), all*baseAge.Seconds()*tailBytes/1e6,
		milli(latencyGoal), latencyGoal.Seconds()*framesShared, latencyGoal.Seconds()*framesDisk)
}

func milli(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1000) }

// round keeps two digits.
func round(v float64) string {
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return fmt.Sprintf("%.0f", math.Round(v/unit)*unit)
}
