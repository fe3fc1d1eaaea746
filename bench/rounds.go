package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// round runs every peer and every workload once, then crashes the server and checks what was acknowledged.
func (r *comparison) round(ctx context.Context, n int) error {
	run := func(k kind) string { return fmt.Sprintf("r%d-%s", n, k) }
	echo := target{name: "echo", addr: r.echo.addr, pid: r.echo.pid, siteFile: r.files.site}
	echoJob := r.job(kindSpread, run("echo"))
	echoJob.AckFile += ".echo"
	if _, err := r.step(ctx, n, echo, echoJob); err != nil {
		return err
	}
	spread := r.job(kindSpread, run(kindSpread))
	if err := r.burst(ctx, n, "maitred burst", spread); err != nil {
		return err
	}
	for i, p := range r.rowlocks {
		if err := r.rowlockStep(ctx, n, rowlockPeers[i].name, p); err != nil {
			return err
		}
	}
	if err := r.foundHot(ctx); err != nil {
		return err
	}
	if _, err := r.drain(); err != nil {
		return err
	}
	r.offsets[string(kindHot)] = 0
	if err := r.burst(ctx, n, "maitred hot", r.job(kindHot, run(kindHot))); err != nil {
		return err
	}
	echo.name = "echo reads"
	echoReads := r.job(kindUniform, run("echo"))
	echoReads.AckFile = ""
	if _, err := r.step(ctx, n, echo, echoReads); err != nil {
		return err
	}
	for _, k := range []kind{kindReads, kindUniform} {
		if _, err := r.step(ctx, n, r.target("maitred reads "+string(k)), r.job(k, run(k))); err != nil {
			return err
		}
	}
	return r.crashAndCheck(ctx, n, []string{run(kindSpread), run(kindHot), run(kindReads)}, spread)
}

func (r *comparison) rowlockStep(ctx context.Context, round int, name string, p *rowlockPeer) error {
	j := r.job(kindSpread, fmt.Sprintf("r%d-%s", round, name))
	j.Offset, j.TokenFile, j.AckFile = r.offsets[name], r.files.peerTokens, j.AckFile+".peer"
	got, err := r.step(ctx, round, target{name: name, addr: p.peer.addr, pid: p.peer.pid, siteFile: r.files.peerSite}, j)
	if err != nil {
		return err
	}
	r.offsets[name] = got.Load.Next
	return nil
}

// burst measures bookings without regard to the sinks, then how long they take to catch up.
func (r *comparison) burst(ctx context.Context, round int, name string, j job) error {
	got, err := r.step(ctx, round, r.target(name), j)
	if err != nil {
		return err
	}
	got.Drain, err = r.drain()
	return err
}

// drain waits until the sinks have caught up. nil = the server does not tell.
func (r *comparison) drain() (*float64, error) {
	begin := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Since(begin) < drainLimit {
		left, ok := scrape(r.house.metrics).backlog()
		if !ok {
			return nil, nil
		}
		if left <= 2 { // heartbeats
			seconds := time.Since(begin).Seconds()
			return &seconds, nil
		}
		<-tick.C
	}
	return nil, fmt.Errorf("the sinks have not caught up within %s", drainLimit)
}

// crashAndCheck kills the server, starts it again and compares it with the ledgers.
func (r *comparison) crashAndCheck(ctx context.Context, round int, runs []string, replay job) error {
	c := crash{Round: round, Acked: r.acked}
	r.acked = 0
	if v, ok := scrape(r.house.metrics).sum("reservations_created_total"); ok {
		c.Created = &v
	}
	say("round %d: kill -9, restart, check", round)
	if err := r.house.kill(); err != nil {
		return err
	}
	ready, err := r.house.start()
	if err != nil {
		return err
	}
	c.ReadySeconds = ready.Seconds()
	ledger, err := r.joinLedgers(fmt.Sprintf("check-%d.txt", round), runs)
	if err != nil {
		return err
	}
	if c.Check, err = r.verify(ctx, ledger); err != nil {
		return err
	}
	if replay.Kind != "" {
		if c.Replayed, c.ReplayFaults, err = r.replay(ctx, replay); err != nil {
			return err
		}
	}
	r.report.Crashes = append(r.report.Crashes, c)
	return nil
}

// joinLedgers concatenates the ledgers of runs; those that do not exist had no acknowledged booking.
func (r *comparison) joinLedgers(name string, runs []string) (string, error) {
	var all []byte
	for _, run := range runs {
		text, err := os.ReadFile(filepath.Join(r.dir, "acks-"+run+".txt"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("read a ledger: %w", err)
		}
		all = append(all, text...)
	}
	file := filepath.Join(r.dir, name)
	if err := os.WriteFile(file, all, 0o644); err != nil {
		return "", fmt.Errorf("join ledgers: %w", err)
	}
	return file, nil
}

// verify reads back every reservation of a ledger as its guest.
func (r *comparison) verify(ctx context.Context, ledger string) (*checkResult, error) {
	j := job{Addr: r.house.addr, Kind: kindVerify, Conns: 64, MeasureMs: 600_000, SiteFile: r.files.site, TokenFile: r.files.tokens, AckFile: ledger}
	for try := 1; ; try++ {
		got, err := load(ctx, r.dir, &j, func() {}, func() {})
		if err != nil {
			return nil, err
		}
		if got.Check.Unavailable == 0 || try == verifyTries {
			return got.Check, nil
		}
		say("  %d of %d are not to be had now; once more", got.Check.Unavailable, got.Check.Acknowledged)
		if err := after(ctx, verifyPause); err != nil {
			return nil, err
		}
	}
}

// A server that says "not now" has lost nothing yet.
const (
	verifyTries = 10
	verifyPause = 2 * time.Second
)

// replay repeats the first bookings of a run with their keys: each must answer with the id of the ledger.
func (r *comparison) replay(ctx context.Context, j job) (repeated int, faults []string, err error) {
	first, err := readAcks(j.AckFile)
	if err != nil {
		return 0, nil, err
	}
	ids := make(map[string]string, len(first))
	for _, a := range first {
		ids[a.key] = a.id
	}
	j.Addr, j.SiteFile, j.AckFile = r.house.addr, r.files.site, j.AckFile+".replay"
	j.Limit, j.WarmMs, j.MeasureMs, j.Conns = replaySample, 0, 60_000, 32
	if _, err := load(ctx, r.dir, &j, func() {}, func() {}); err != nil {
		return 0, nil, err
	}
	again, err := readAcks(j.AckFile)
	if err != nil {
		return 0, nil, err
	}
	for _, a := range again {
		if want, acked := ids[a.key]; acked && want != a.id && len(faults) < 5 {
			faults = append(faults, fmt.Sprintf("key %s: was %s, is %s", a.key, want, a.id))
		}
		delete(ids, a.key)
	}
	for i := range min(replaySample, len(first)) {
		key := fmt.Sprintf("%s-%d", j.Run, j.Offset+i)
		if want, unanswered := ids[key]; unanswered && len(faults) < 5 {
			faults = append(faults, fmt.Sprintf("key %s: was %s, the repetition was refused", key, want))
		}
	}
	return len(again), faults, nil
}

// realistic books with the shape of real demand. Many are refused, as in life: the share says how many were not.
func (r *comparison) realistic(ctx context.Context) error {
	got, err := r.step(ctx, 0, r.target("maitred realistic"), r.job(kindRealistic, "real"))
	if err != nil {
		return err
	}
	got.Drain, err = r.drain()
	if err != nil {
		return err
	}
	return r.crashAndCheck(ctx, 0, []string{"real"}, job{})
}

// finalCheck compares all ledgers of the run with a server that has been restarted, and the journal with itself.
func (r *comparison) finalCheck(ctx context.Context) error {
	say("final check of all ledgers and of the journal")
	files, err := filepath.Glob(filepath.Join(r.dir, "acks-*.txt"))
	if err != nil {
		return fmt.Errorf("find the ledgers: %w", err)
	}
	var runs []string
	for _, f := range files {
		runs = append(runs, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "acks-"), ".txt"))
	}
	ledger, err := r.joinLedgers("check-all.txt", runs)
	if err != nil {
		return err
	}
	if r.report.Final, err = r.verify(ctx, ledger); err != nil {
		return err
	}
	if err := r.house.kill(); err != nil {
		return err
	}
	r.report.Journal = r.house.verifyJournal()
	return nil
}
