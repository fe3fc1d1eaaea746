package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

type nodeState uint8

const (
	nodeDown nodeState = iota
	nodeUp
	nodePaused
)

// xnode is one node: the real core, fold and residents, and the shell around them.
type xnode struct {
	name    string
	i       int
	state   nodeState
	starts  int
	core    *core
	gen     int
	io      effect // what the journal is being asked; kind 0 = nothing
	res     []xres // by restaurant
	frozen  [2]bool
	silence silence

	fold      *fold
	foldOwned bool
	origin    disk     // what the fold was restored from
	ops       []foldOp // and what it did since
	putting   [2]bool  // a base is on its way
}

// foldOp is one step of a fold: a record of the journal, or a base that was put.
type foldOp struct {
	entry persistence.Entry
	base  persistence.BaseHeader
}

// xres is what handle and actorState are to a restaurant.
type xres struct {
	res       *resident // not changed in place
	gen       int
	submitted engine.Version
	durable   engine.Version
	view      engine.View
	baseRev   persistence.Revision
	baseVer   engine.Version
}

// ownFold makes the fold changeable: a tail has no copy, so it is restored and takes the same steps again.
func (n *xnode) ownFold() *fold {
	if !n.foldOwned {
		f := must(restored(&n.origin))
		for _, op := range n.ops {
			if err := op.take(f); err != nil {
				panic(err)
			}
		}
		n.fold, n.foldOwned = f, true
	}
	return n.fold
}

func (op *foldOp) take(f *fold) error {
	if op.entry.Seq == 0 {
		f.based(op.base)
		return nil
	}
	return f.apply(op.entry, must(persistence.Decode(op.entry.Data)))
}

// step folds one record or base, and lets go of what belongs to another node now.
func (w *explored) step(n *xnode, op foldOp) error {
	f := n.ownFold()
	if err := op.take(f); err != nil {
		w.fail("fold of %s: %v", n.name, err)
		return err
	}
	n.ops = append(n.ops[:len(n.ops):len(n.ops)], op)
	if op.entry.Seq == 0 {
		return nil
	}
	for i := range w.nodes {
		if op.entry.Subject == persistence.SlotSubject(nodeName(i)) {
			n.silence.saw(nodeName(i), "", op.entry.Seq, w.now)
		}
	}
	for r := range n.res {
		if f.custody.Part(persistence.Partition(r)).Owner != n.name {
			if n.frozen[r] = false; !w.ctl.sinceOff {
				n.res[r] = xres{}
			}
		}
	}
	if len(n.core.since) > 0 && !w.ctl.packAfterRelease {
		n.core.hold(f.owned(n.name))
	}
	return nil
}

// start restores and begins the Claim.
func (w *explored) start(i int) {
	n := w.node(i)
	f, err := restored(&w.disk)
	if err != nil {
		w.fail("M7: %s does not start: %v", n.name, err)
		return
	}
	*n = xnode{
		name: n.name, i: i, state: nodeUp, starts: n.starts + 1, core: newCore(n.name, f.custody.Journal()),
		fold: f, foldOwned: true, origin: w.disk, res: make([]xres, w.restaurants),
		silence: silence{acked: -1},
	}
	for j := range w.nodes {
		n.silence.saw(nodeName(j), "", f.slot(nodeName(j)).Seq, w.now)
	}
	first := w.disk.first
	if w.ctl.keepExpectation {
		first = 0
	}
	w.settle(n, n.core.begin(w.moment(n), f.slot(n.name), first, nil))
}

func (w *explored) moment(n *xnode) moment { return moment{boot: w.now, wall: int64(100 * n.starts)} }

// settle performs effects as writer.settle does; what is for the journal goes into the network.
func (w *explored) settle(n *xnode, out []effect) {
	for i := range out {
		switch e := &out[i]; e.kind {
		case effectAppend:
			n.io = *e
			n.io.data = slices.Clone(e.data)
			if w.ctl.leaseFromRetry && e.attempt > 1 {
				n.core.sent = w.now
			}
			w.net = append(w.net, packet{node: n.i, boot: n.starts, data: n.io.data, expect: e.expect})
		case effectReadLast, effectFoldTo:
			n.io = *e
		case effectDurable:
			if !w.durable(n, e) {
				return
			}
		case effectReply:
			for j := range e.entries {
				w.reply(n, e.entries[j].token.(*token), e.err)
			}
		case effectHalt:
			if !errors.Is(e.err, errBeyondFold) {
				w.fail("%s halts: %v", n.name, e.err)
			}
			w.crash(n)
			return
		}
	}
}

// overslept ends a node whose next record is gone: it must start anew.
func (w *explored) overslept(n *xnode) bool {
	if n.fold.seq()+1 >= w.disk.first {
		return false
	}
	w.crash(n)
	return true
}

func (w *explored) durable(n *xnode, e *effect) bool {
	if w.overslept(n) {
		return false
	}
	for seq := n.fold.seq() + 1; seq <= e.seq; seq++ {
		if w.step(n, foldOp{entry: w.disk.entries[seq-w.disk.start]}) != nil {
			return false
		}
	}
	for j := range e.entries {
		x := &e.entries[j]
		t := x.token.(*token)
		if r := &n.res[x.partition]; len(t.events) > 0 && r.res != nil {
			if r.view != nil && r.view.Version() < x.stands {
				r.view = r.view.Next(t.events)
			}
			r.durable = max(r.durable, x.stands)
		}
	}
	return true
}

// reply gives a client its answer and checks it against the stream (M1, M6).
func (w *explored) reply(n *xnode, t *token, err error) {
	a := &w.tries[t.attempt]
	if err != nil {
		if errors.Is(err, errRefused) {
			w.fail("the writer of %s refused an entry", n.name)
		}
		a.state = attemptFailed
		return
	}
	a.state = attemptDone
	if t.outcome.Reservation != nil {
		a.made = t.outcome.Reservation.ID
	}
	r := w.commands[a.cmd].restaurant
	before := w.at(r, t.stands-engine.Version(len(t.events)))
	switch {
	case w.at(r, t.stands) == nil || before == nil:
		w.fail("M1: attempt %d of command %d is answered %v on version %d, the stream has %d",
			a.try, a.cmd, t.outcome.Code, t.stands, w.hist[r].version)
		return
	case t.stands < a.floor:
		w.fail("M5: attempt %d of command %d is answered on version %d, %d was acknowledged before it", a.try, a.cmd, t.stands, a.floor)
	}
	out, _ := before.agg.Decide(t.now, w.command(a))
	if out.Code != t.outcome.Code {
		w.fail("M6: attempt %d of command %d is answered %v, the stream at version %d says %v",
			a.try, a.cmd, t.outcome.Code, before.version, out.Code)
	}
	if len(t.events) > 0 && w.at(r, t.stands).prev != before && w.at(r, t.stands).version != t.stands {
		w.fail("M1: version %d is another event", t.stands)
	}
	w.acked[r] = max(w.acked[r], t.stands)
}

// command is what a client sends: each try has the same key and, for a reservation, an id of its own.
func (w *explored) command(a *attempt) *engine.Command {
	c := &engine.Command{Caller: guest, Key: engine.Hash{byte(a.cmd + 1)}, Payload: engine.Hash{byte(a.cmd + 1)}}
	if w.ctl.noKeys {
		c.Key, c.Payload = engine.Hash{}, engine.Hash{}
	}
	x := w.commands[a.cmd]
	if x.cancel {
		c.Body = &engine.Transition{ID: w.madeBy(x.of), Action: engine.ActionCancel}
		return c
	}
	c.Body = &engine.CreateReservation{
		ID: w.idOf(a.cmd, a.try), GuestsCount: 2, Want: engine.When{HasLocal: true, Day: day, LocalMin: 12 * 60},
	}
	return c
}

// madeBy is the reservation that a client knows to be made by its command; empty = none.
func (w *explored) madeBy(cmd int) engine.ReservationID {
	for i := range w.tries {
		if a := &w.tries[i]; a.cmd == cmd && a.state == attemptDone {
			return a.made
		}
	}
	return ""
}

// decide is what an actor does with a command: be ready, decide, hand over.
func (w *explored) decide(n *xnode, cmd int) {
	r := w.commands[cmd].restaurant
	a := attempt{cmd: cmd, node: n.i, state: attemptOpen, floor: w.acked[r]}
	for i := range w.tries {
		if w.tries[i].cmd == cmd {
			a.try++
		}
	}
	w.tries = append(w.tries, a)
	at := len(w.tries) - 1
	if !w.ready(n, r) {
		w.tries[at].state = attemptFailed
		return
	}
	x := &n.res[r]
	res := must(x.res.Clone())
	ans := res.decide(exploredNow, w.command(&a))
	if ans.err != nil {
		w.fail("the engine panicked: %v", ans.panic)
		return
	}
	x.res = res
	t := &token{attempt: at, outcome: ans.outcome, events: ans.events, stands: ans.stands, now: exploredNow}
	if w.ctl.viewsEarly && len(ans.events) > 0 {
		x.view = x.view.Next(ans.events)
	}
	if len(ans.events) == 0 && (ans.stands <= x.durable || w.ctl.refusalsEarly) {
		if w.now >= n.core.lease {
			w.tries[at].state = attemptFailed
			return
		}
		w.reply(n, t, nil)
		return
	}
	x.submitted = ans.stands
	w.settle(n, n.core.enqueue(entry{
		partition: persistence.Partition(r), id: exploredIDs[r], since: n.core.since[r], first: ans.first, stands: ans.stands,
		events: ans.encoded, bytes: ans.bytes, token: t,
	}, nil))
}

// ready is handle.ready: the state may be decided on under the present incarnation.
func (w *explored) ready(n *xnode, r int) bool {
	x := &n.res[r]
	switch {
	case x.res != nil && x.gen == n.gen:
		return true
	case x.res != nil && x.res.version() == x.durable:
		x.gen = n.gen
	default:
		if !w.load(n, r) {
			return false
		}
	}
	w.settle(n, n.core.enqueue(entry{kind: entryOpened, id: exploredIDs[r], stands: x.res.version()}, nil))
	return true
}

// load opens a restaurant with the real code and checks what came of it (M7).
func (w *explored) load(n *xnode, r int) bool {
	o, err := w.open(n, r)
	if err != nil {
		// A base that is ahead of the fold is another node's, and its events are in the stream.
		ahead := errors.Is(err, errFoldBehind) && o.based <= w.upTo(r, w.disk.last()).version
		if !ahead && !(w.disk.stale && errors.Is(err, errStaleBase)) {
			w.fail("M7: %s cannot open restaurant %d: %v", n.name, r, err)
		}
		return false
	}
	want := w.upTo(r, n.fold.seq())
	if o.agg.Version() != want.version || o.agg.Digest() != want.digest {
		w.fail("M7: %s opens restaurant %d at version %d, the prefix up to %d has %d (or another state)",
			n.name, r, o.agg.Version(), n.fold.seq(), want.version)
	}
	v := o.agg.Version()
	n.res[r] = xres{
		res: newResident(exploredIDs[r], o.agg, persistence.FrameBytes("jrn_explored", n.name)), gen: n.gen, submitted: v,
		durable: v, view: o.agg.View(), baseRev: o.revision, baseVer: o.based,
	}
	return true
}

func (w *explored) open(n *xnode, r int) (opened, error) {
	id := exploredIDs[r]
	cfg := Config{Journal: diskJournal{&w.disk}, Bases: diskBases{&w.disk}}
	if w.ctl.openWithoutTail {
		var o opened
		return o, o.fromBase(context.Background(), cfg.Bases, id, 0)
	}
	return n.fold.open(context.Background(), &cfg, id, nil)
}

// foldTo folds up to the Claim and begins the incarnation, as writer.foldTo and writer.claimed do.
func (w *explored) foldTo(n *xnode) {
	if w.overslept(n) {
		return
	}
	to := n.io.seq
	n.io = effect{}
	for seq := n.fold.seq() + 1; seq <= to; seq++ {
		e := w.disk.entries[seq-w.disk.start]
		if w.step(n, foldOp{entry: e}) != nil {
			return
		}
		if e.Subject == persistence.SlotSubject(n.name) {
			n.core.folded(seq, persistence.HashOf(e.Data))
		}
	}
	n.gen++
	w.settle(n, n.core.claimed(n.fold.slot(n.name), n.fold.owned(n.name), nil))
	n.frozen = [2]bool{}
}

// answered brings the answer to what the node asked; answers to older questions are dropped.
func (w *explored) answered(n *xnode, p *packet) {
	if n.state != nodeUp || p.boot != n.starts {
		return
	}
	if p.base != nil {
		w.basePut(n, p)
		return
	}
	if p.claim != 0 || n.io.kind != effectAppend || !bytes.Equal(n.io.data, p.data) {
		return
	}
	n.io = effect{}
	if p.err != nil {
		w.settle(n, n.core.failed(w.moment(n), p.err, nil))
		return
	}
	n.silence.answered(n.core.asked, w.now)
	w.settle(n, n.core.acked(w.moment(n), p.seq, nil))
}

func (w *explored) basePut(n *xnode, p *packet) {
	r := restaurantOf(p.base.ID)
	n.putting[r] = false
	x := &n.res[r]
	if p.err != nil {
		if b := w.disk.now[r]; x.res != nil && b.Version <= x.durable {
			x.baseRev, x.baseVer = b.Revision, b.Version
		}
		return
	}
	h := p.base.BaseHeader
	h.Revision = p.rev
	x.baseRev, x.baseVer = p.rev, h.Version
	_ = w.step(n, foldOp{base: h})
}

// reads tells whether the node would give a strong read of r now.
func (n *xnode) reads(r int, now time.Duration, ctl *control) bool {
	return n.state == nodeUp && n.res[r].view != nil && (now < n.core.lease || ctl.leaseOff) &&
		(!n.frozen[r] || ctl.readsAfterRelease) && (n.core.since[r] != 0 || !ctl.sinceOff)
}

func (n *xnode) fingerprint(now time.Duration, b []byte) []byte {
	b = fmt.Appendf(b, "|%d %d %d %v %v", n.state, n.starts, n.gen, n.frozen, n.putting)
	if n.state == nodeDown {
		return b
	}
	c := n.core
	until := func(t time.Duration) time.Duration { return max(t-now, 0) }
	b = fmt.Appendf(b, " %d %v %d %d %d %d %v %d %v %v %d %v %d %d %v %v", c.phase, c.booting, c.incarnation, c.number, c.prevSeq, c.first,
		c.since, c.found, c.flying, c.claimInc, len(c.tried), until(c.lease), c.attempt, c.conflict, until(c.doubtEnd), until(c.lastSent+HeartbeatEvery))
	b = append(append(b, c.hash[:]...), c.prevHash[:]...)
	b = fmt.Appendf(b, " %v %v %d %d %d %v", c.floors, c.releases, n.io.kind, n.io.seq, n.io.attempt, until(n.silence.acked+Silence)+min(n.silence.acked, 0))
	if c.phase == phaseDoubt || c.flying || c.phase == phaseClaiming {
		b = fmt.Appendf(b, " %v %v", max(now-c.sent, 0), max(now-c.asked, 0))
	}
	for _, q := range [2][]entry{c.queue, c.flightOpen()} {
		b = append(b, '/')
		for i := range q {
			b = fmt.Appendf(b, " %d %d %d", q[i].token.(*token).attempt, q[i].first, q[i].stands)
		}
	}
	d := n.fold.custody
	b = fmt.Appendf(b, " %d %d %d", d.Seq(), n.fold.revision, n.fold.tail.Len())
	for _, name := range slices.Sorted(maps.Keys(n.silence.seen)) {
		seen := n.silence.seen[name]
		b = fmt.Appendf(b, " %d %v", seen.seq, until(seen.at+Silence))
	}
	for r := range n.res {
		b = fmt.Appendf(b, " %d %d", n.fold.tail.Last(exploredIDs[r]), n.fold.tail.Base(exploredIDs[r]))
		if x := &n.res[r]; x.res != nil {
			b = fmt.Appendf(b, " %d %d %d %x %d %d %d", x.gen, x.submitted, x.durable, x.res.agg.Digest(), x.view.Version(), x.baseRev, x.baseVer)
			t := c.tracks[exploredIDs[r]]
			b = fmt.Appendf(b, " %d %d", t.accepted, t.durable)
		}
	}
	return b
}
