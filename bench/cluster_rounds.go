package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// round measures everything once. What is divided by each other is measured within one round, one after the other.
func (r *clusterRun) round(ctx context.Context, n int) error {
	if err := r.warmUp(ctx, n); err != nil {
		return err
	}
	if err := r.trio.caughtUp(ctx); err != nil {
		return err
	}
	for i, p := range r.rowlocks {
		if err := r.rowlockStep(ctx, n, rowlockPeers[i].name, p); err != nil {
			return err
		}
	}
	burst, err := r.closed(ctx, n, "cluster burst", kindSpread, r.trio.nodes...)
	if err != nil {
		return err
	}
	replayed := r.last
	if err := r.forwarding(ctx, n); err != nil {
		return err
	}
	if err := r.drained(ctx, n, burst.PerSecond*halfLoad); err != nil {
		return err
	}
	for _, leader := range []bool{false, true} {
		if leader && !r.size.leader {
			continue
		}
		if err := r.killed(ctx, n, leader, burst.PerSecond*fullLoad); err != nil {
			return err
		}
	}
	return r.crashAll(ctx, n, replayed)
}

// warmUp lets every node see every guest's token once: verifying a signature is work of once in minutes.
func (r *clusterRun) warmUp(ctx context.Context, round int) error {
	say("round %d: warm up", round)
	j := r.clusterJob(kindSpread, fmt.Sprintf("r%d-warm", round))
	j.Limit, j.MeasureMs, j.WarmMs = r.size.guests*trioNodes, 60_000, 0
	j.Addr, j.SiteFile = r.trio.target("", "", r.trio.nodes...).addr, r.files.site
	got, err := load(ctx, r.dir, &j, func() {}, func() {})
	if err != nil {
		return err
	}
	r.offsets[string(kindSpread)] = got.Next
	return nil
}

// clusterJob is a job whose ledger is checked at the end of the round.
func (r *clusterRun) clusterJob(k kind, run string) job {
	j := r.job(k, run)
	if k == kindUniform {
		j.AckFile = ""
		return j
	}
	r.runs = append(r.runs, run)
	return j
}

// closed measures a closed loop on some of the nodes.
func (r *clusterRun) closed(ctx context.Context, round int, name string, k kind, asked ...*house) (*row, error) {
	if err := r.trio.caughtUp(ctx); err != nil {
		return nil, err
	}
	r.last = r.clusterJob(k, fmt.Sprintf("r%d-%s", round, strings.ReplaceAll(name, " ", "-")))
	return r.step(ctx, round, r.trio.target(name, r.files.site, asked...), r.last)
}

// forwarding lets n1 hold everything, and asks it and then n2, which has to forward each request.
func (r *clusterRun) forwarding(ctx context.Context, round int) error {
	for _, node := range []string{"n2", "n3"} {
		if err := r.trio.drain(node, false); err != nil {
			return err
		}
	}
	for _, node := range []string{"n2", "n3"} {
		if err := r.trio.emptied(ctx, node); err != nil {
			return err
		}
	}
	for _, k := range []kind{kindSpread, kindUniform} {
		what := map[kind]string{kindSpread: "bookings", kindUniform: "reads"}[k]
		for i, name := range []string{"local ", "forwarded "} {
			if _, err := r.closed(ctx, round, name+what, k, r.trio.nodes[i]); err != nil {
				return err
			}
		}
	}
	for _, node := range []string{"n2", "n3"} {
		if err := r.trio.drain(node, true); err != nil {
			return err
		}
	}
	return r.trio.settle(ctx)
}

// open offers a constant rate of reservations over few restaurants, and lets act do something from the beginning of the window on.
func (r *clusterRun) open(ctx context.Context, run string, rate float64, lasts time.Duration, asked []*house, act func(begin time.Time) error) ([]traced, error) {
	if err := r.trio.caughtUp(ctx); err != nil {
		return nil, err
	}
	j := r.clusterJob(kindSpread, run)
	j.Offset, j.Rate, j.Conns = r.offsets["few"], max(1, rate), openConnsOf(rate)
	j.TokenFile, j.WarmMs, j.MeasureMs = r.few.tokens, 2000, int(lasts.Milliseconds())
	j.TraceFile = filepath.Join(r.dir, "trace-"+run+".gob")
	t := r.trio.target(run, r.few.site, asked...)
	j.Addr, j.SiteFile = t.addr, t.siteFile
	acted := make(chan error, 1)
	got, err := load(ctx, r.dir, &j, func() { begin := time.Now(); go func() { acted <- act(begin) }() }, func() {})
	if err != nil {
		return nil, err
	}
	r.offsets["few"] = got.Next
	if got.Exhausted {
		return nil, errors.New("the restaurants of the open loops are full: fewer rounds, or fewer seconds")
	}
	trace, err := readTrace(j.TraceFile)
	for range got.Unanswered { // as if refused at the very end
		trace = append(trace, traced{Due: trace[len(trace)-1].Due, Done: trace[len(trace)-1].Done})
	}
	return trace, errors.Join(err, <-acted)
}

// openConnsOf is one connection for each request of a second: a server ends one that lets it wait for 5 s.
func openConnsOf(rate float64) int { return int(min(clusterConns, max(16, rate))) }

// drained takes everything from a node at half load, all nodes being asked, and gives it back.
func (r *clusterRun) drained(ctx context.Context, round int, rate float64) error {
	node := fmt.Sprintf("n%d", round%trioNodes+1)
	say("round %d: drain %s at %.0f/s", round, node, rate)
	d := drainFigures{Round: round, Node: node, Rate: rate}
	var begin, drain, empty, undo time.Time
	trace, err := r.open(ctx, fmt.Sprintf("r%d-drain", round), rate, 3*r.size.calm+r.size.back, r.trio.nodes, func(at time.Time) error {
		begin = at
		if err := after(ctx, r.size.calm); err != nil {
			return err
		}
		drain = time.Now()
		if err := errors.Join(r.trio.drain(node, false), r.trio.emptied(ctx, node)); err != nil {
			return err
		}
		empty = time.Now()
		if err := after(ctx, r.size.calm); err != nil {
			return err
		}
		undo = time.Now()
		return r.trio.drain(node, true)
	})
	if err != nil {
		return err
	}
	end := begin.Add(3*r.size.calm + r.size.back)
	d.DrainSeconds = empty.Sub(drain).Seconds()
	d.Before, d.During = spanOf(trace, begin, drain), spanOf(trace, drain, empty.Add(time.Second))
	d.Back, d.All = spanOf(trace, undo, end), spanOf(trace, begin, end)
	r.out.Drains = append(r.out.Drains, d)
	if err := r.trio.settle(ctx); err != nil {
		return err
	}
	return r.plot(fmt.Sprintf("drain-%d.svg", round), timeline{
		title: fmt.Sprintf("%s drained at %.0f reservations/s, half of what the cluster can do", node, rate), begin: begin, trace: trace,
		marks: []mark{{drain, node + " drains"}, {empty, "holds nothing"}, {undo, "takes its share again"}},
	})
}

// killed ends a node with SIGKILL while the others are asked for everything at full load, and starts it again.
func (r *clusterRun) killed(ctx context.Context, round int, leader bool, rate float64) error {
	name, watched := "kill", r.size.watched
	if leader {
		name, watched = "kill-leader", watched+electionTime
	}
	victim, err := r.trio.victim(ctx, leader)
	if err != nil {
		return err
	}
	say("round %d: %s at %.0f/s", round, name, rate)
	var begin, dead time.Time
	run := fmt.Sprintf("r%d-%s", round, name)
	trace, err := r.open(ctx, run, rate, watched, r.trio.except(victim), func(at time.Time) error {
		begin = at
		if err := after(ctx, 2*time.Second); err != nil {
			return err
		}
		dead = time.Now()
		return victim.kill()
	})
	if err != nil {
		return err
	}
	k := killFigures{Round: round, Leader: leader, Rate: rate, Watched: watched.Seconds() - 2}
	served, ok := servedAgain(trace, r.size.few, dead)
	k.Served, k.ServedAgain, k.Silence = ok, served.Seconds(), longestSilence(trace, dead).Seconds()
	k.Before, k.After = spanOf(trace, begin, dead), spanOf(trace, dead, begin.Add(watched))
	r.out.Kills = append(r.out.Kills, k)
	if _, err := victim.start(); err != nil {
		return err
	}
	if err := r.trio.settle(ctx); err != nil {
		return err
	}
	what := map[bool]string{true: "that led the journal", false: "that did not lead the journal"}[leader]
	return r.plot(fmt.Sprintf("%s-%d.svg", name, round), timeline{
		title: fmt.Sprintf("kill -9 of a node %s, at %.0f reservations/s by way of the others", what, rate), begin: begin, trace: trace, marks: []mark{{dead, "kill -9"}},
	})
}

// after waits.
func after(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crashAll kills every node, starts them again and compares them with the ledgers of the round.
func (r *clusterRun) crashAll(ctx context.Context, round int, replayed job) error {
	say("round %d: kill -9 of all nodes, restart, check", round)
	if err := r.trio.kill(); err != nil {
		return err
	}
	ready, err := r.trio.start(ctx)
	if err != nil {
		return err
	}
	c := crash{Round: round, ReadySeconds: ready.Seconds()}
	ledger, err := r.joinLedgers(fmt.Sprintf("check-%d.txt", round), r.runs)
	if err != nil {
		return err
	}
	r.house = r.trio.nodes[round%trioNodes] // any node answers for all
	if c.Check, err = r.verify(ctx, ledger); err != nil {
		return err
	}
	if c.Replayed, c.ReplayFaults, err = r.replay(ctx, replayed); err != nil {
		return err
	}
	c.Acked, r.runs = c.Check.Acknowledged, nil
	r.report.Crashes = append(r.report.Crashes, c)
	return nil
}
