package actors

import (
	"fmt"
	"math"
	"slices"

	"maitred/persistence"
)

type actKind uint8

const (
	actDeliver actKind = iota // an answer reaches its node
	actStore                  // the journal, or the bucket, takes a packet
	actFold                   // a node folds to its Claim
	actReadLast
	actReader // a node folds the next record of another
	actResume
	actTimeout // what a node asked is given up
	actNext    // pack and publish, or a heartbeat
	actRestart
	actClaim // of another's slot
	actDecide
	actBase
	actFloor
	actCheckpoint
	actPurge
	actPassivate
	actRelease
	actCrash
	actPause
	actLose
	actFull
	actDup
	actUnread
	actAway
	actBack
	actTick
)

var actNames = [...]string{"deliver answer", "store", "fold to claim", "read last", "fold next of others", "resume", "time out", "pack and publish",
	"restart", "claim slot", "decide", "put base", "offer floors", "checkpoint", "purge", "passivate", "release", "crash", "pause", "lose packet",
	"refuse as full", "duplicate", "last read unanswered", "journal goes away", "journal is back", "tick"}

type action struct {
	kind    actKind
	a, b, c int
}

func (a action) String() string { return fmt.Sprintf("%s %d %d %d", actNames[a.kind], a.a, a.b, a.c) }

// enabled lists what may happen next.
func (w *explored) enabled() []action {
	var out []action
	add := func(ok bool, k actKind, args ...int) {
		if ok {
			a := action{kind: k}
			for i, p := range [3]*int{&a.a, &a.b, &a.c} {
				if i < len(args) {
					*p = args[i]
				}
			}
			out = append(out, a)
		}
	}
	w.onNet(add)
	for i := range w.nodes {
		w.onNode(i, add)
	}
	busy := false
	for _, a := range out {
		busy = busy || a.kind <= actNext && a.kind != actResume
	}
	if w.prompt && busy {
		out = ends(out)
	}
	l := &w.left
	add(l.outages > 0 && !w.away && (!w.prompt || w.now <= w.tick), actAway)
	add(w.away, actBack)
	add(l.ticks > 0 && !(w.prompt && busy), actTick)
	add(l.purge > 0 && w.purgeBelow() > w.disk.first, actPurge)
	return out
}

// ends leaves the first and the last of what cannot wait: of the orders in which prompt nodes act, two.
func ends(all []action) []action {
	var can []action
	for _, a := range all {
		if a.kind <= actNext {
			can = append(can, a)
		}
	}
	out := slices.DeleteFunc(all, func(a action) bool { return a.kind <= actNext })
	out = append(out, can[0])
	if len(can) > 1 {
		out = append(out, can[len(can)-1])
	}
	return out
}

func (w *explored) onNet(add func(bool, actKind, ...int)) {
	l := &w.left
	for i := range w.net {
		p := &w.net[i]
		if p.answer {
			add(true, actDeliver, i)
			add(l.lost > 0, actLose, i)
			continue
		}
		add(!w.away, actStore, i)
		add(l.lost > 0, actLose, i)
		add(l.dups > 0, actDup, i)
		add(l.full > 0 && p.base == nil && p.claim == 0, actFull, i)
	}
}

func (w *explored) onNode(i int, add func(bool, actKind, ...int)) {
	n, l := w.nodes[i], &w.left
	switch n.state {
	case nodeDown:
		add(l.restarts > 0 && !w.away, actRestart, i)
		return
	case nodePaused:
		add(true, actResume, i)
		return
	}
	c := n.core
	add(l.crashes > 0, actCrash, i)
	add(l.pauses > 0, actPause, i)
	switch n.io.kind {
	case effectAppend:
		pending := w.pending(n)
		add(!pending && !w.away || l.late > 0, actTimeout, i)
	case effectReadLast:
		add(!w.away, actReadLast, i)
		add(l.unread > 0, actUnread, i)
	case effectFoldTo:
		add(!w.away, actFold, i)
	}
	add(!w.away && w.readable(n), actReader, i)
	due := w.now >= c.lastSent+HeartbeatEvery
	add(c.serving() && !c.flying && (!c.idle() || l.beats > 0 && due), actNext, i)
	if !c.serving() {
		return
	}
	w.onServing(n, add)
}

func (w *explored) onServing(n *xnode, add func(bool, actKind, ...int)) {
	l, i := &w.left, n.i
	for cmd, x := range w.commands {
		ok := n.core.since[x.restaurant] != 0 && (!n.frozen[x.restaurant] || w.ctl.packAfterRelease)
		add(ok && w.mayTry(cmd), actDecide, i, cmd)
	}
	for r := range n.res {
		x := &n.res[r]
		loaded := x.res != nil && x.gen == n.gen
		durable := loaded && x.res.version() == x.durable
		add(l.bases > 0 && durable && x.baseVer < x.durable && !n.putting[r], actBase, i, r)
		add(l.passivations > 0 && durable && x.baseVer == x.durable && !n.putting[r] && !w.inFlight(n, r), actPassivate, i, r)
		own := n.core.since[r] != 0 && !n.frozen[r]
		for to := range w.nodes {
			quiet := !n.core.flying && len(n.core.queue) == 0 && (x.res == nil || x.res.version() == x.durable)
			add(l.releases > 0 && own && to != i && quiet && len(n.core.releases) == 0, actRelease, i, r, to)
		}
	}
	add(l.floors > 0 && len(w.risen(n)) > 0, actFloor, i)
	due := n.fold.custody.Due(n.name)
	add(l.checkpoints > 0 && due != nil && w.disk.lastOf(persistence.Control) == n.fold.custody.Control(), actCheckpoint, i)
	for s := range w.nodes {
		add(l.claims > 0 && s != i && w.mayClaim(n, s), actClaim, i, s)
	}
}

// pending tells whether the net holds a packet that could answer what n asked.
func (w *explored) pending(n *xnode) bool {
	for i := range w.net {
		if p := &w.net[i]; p.node == n.i && p.boot == n.starts && p.base == nil && p.claim == 0 {
			return true
		}
	}
	return false
}

func (w *explored) inFlight(n *xnode, r int) bool {
	for _, q := range [2][]entry{n.core.queue, n.core.flightOpen()} {
		for i := range q {
			if int(q[i].partition) == r {
				return true
			}
		}
	}
	return false
}

// readable tells whether the standing reader of n may fold the next record: what others wrote, also on n's slot.
func (w *explored) readable(n *xnode) bool {
	seq := n.fold.seq() + 1
	if seq > w.disk.last() || seq < w.disk.first || n.io.kind == effectFoldTo {
		return false
	}
	e := w.disk.entries[seq-w.disk.start]
	if e.Subject != persistence.SlotSubject(n.name) {
		return true
	}
	c, ok := must(persistence.Decode(e.Data)).(*persistence.Claim)
	return ok && c.By != n.name
}

// mayTry: commands begin in order; another try needs nothing but attempts left; a cancellation needs what it cancels.
func (w *explored) mayTry(cmd int) bool {
	begun, tries := 0, 0
	for i := range w.tries {
		begun = max(begun, w.tries[i].cmd+1)
		if w.tries[i].cmd == cmd {
			tries++
		}
	}
	x := w.commands[cmd]
	return cmd <= begun && tries < w.attempts && (!x.cancel || w.madeBy(x.of) != "")
}

// mayClaim is the silence rule of DESIGN §5.
func (w *explored) mayClaim(n *xnode, s int) bool {
	owns := false
	for p := range n.fold.custody.Partitions() {
		owns = owns || n.fold.custody.Owns(nodeName(s), persistence.Partition(p))
	}
	seen := n.silence.seen[nodeName(s)]
	if !owns || seen.seq != n.fold.slot(nodeName(s)).Seq {
		return false
	}
	if w.ctl.claimWithoutSilence {
		return true
	}
	if n.core.flying && w.now >= n.core.asked+HeartbeatEvery && !w.ctl.silenceThroughOutage {
		return false // no answer to the own append: the journal may be away
	}
	if w.ctl.silenceThroughOutage {
		return n.silence.acked >= 0 && w.now >= seen.at+Silence
	}
	over := n.silence.over(nodeName(s), seen.seq)
	return over != 0 && w.now >= over
}

// risen is what House.offerFloors offers.
func (w *explored) risen(n *xnode) []persistence.Floor {
	var floors []persistence.Floor
	f := n.fold
	for p := range f.custody.Partitions() {
		part := f.custody.Part(persistence.Partition(p))
		if floor := f.tail.Floor(persistence.Partition(p), f.custody.Seq()); part.Owner == n.name && floor > part.Floor {
			floors = append(floors, persistence.Floor{
				Partition: persistence.Partition(p), Seq: floor, Revision: max(f.revision, part.Base),
			})
		}
	}
	return floors
}

func (w *explored) purgeBelow() persistence.Seq {
	if w.ctl.purgePastFloor {
		return min(w.god.Compared(), w.disk.last())
	}
	return persistence.PurgeBelow(w.god, persistence.PurgeLimits{
		Store: math.MaxInt64, Keep: math.MaxInt64, Bounds: persistence.Bounds{First: w.disk.first, Last: w.disk.last()},
	})
}

// do is the state after a.
func (w *explored) do(a action) *explored {
	n := w.clone(a)
	n.perform(a)
	if n.bad == "" {
		n.check()
	}
	return n
}

func (w *explored) take(i int) packet {
	p := w.net[i]
	w.net = append(w.net[:i], w.net[i+1:]...)
	return p
}

func (w *explored) perform(a action) {
	l := &w.left
	switch a.kind {
	case actDeliver:
		p := w.take(a.a)
		w.answered(w.node(p.node), &p)
	case actStore:
		w.store(w.take(a.a))
	case actLose:
		l.lost--
		if p := w.take(a.a); p.base != nil && w.nodes[p.node].starts == p.boot && w.nodes[p.node].state != nodeDown {
			p.err = persistence.ErrUnknown
			w.basePut(w.node(p.node), &p)
		}
	case actFull:
		l.full--
		p := w.take(a.a)
		p.answer, p.err = true, persistence.ErrFull
		w.net = append(w.net, p)
	case actDup:
		l.dups--
		w.net = append(w.net, w.net[a.a])
	case actAway:
		l.outages--
		w.away = true
	case actBack:
		w.away = false
	case actTick:
		l.ticks--
		w.now += w.tick
	case actPurge:
		l.purge--
		w.disk.first = w.purgeBelow()
	default:
		w.performOn(w.node(a.a), a)
	}
}

func (w *explored) performOn(n *xnode, a action) {
	l := &w.left
	switch a.kind {
	case actFold:
		w.foldTo(n)
	case actReadLast, actUnread:
		n.io = effect{}
		seq := w.disk.lastOf(persistence.SlotSubject(n.name))
		switch {
		case a.kind == actUnread:
			l.unread--
			w.settle(n, n.core.lastRead(w.moment(n), nil, nil))
		case seq != 0:
			w.settle(n, n.core.lastRead(w.moment(n), &w.disk.entries[seq-w.disk.start], nil))
		case w.ctl.keepExpectation:
			w.settle(n, n.core.lastRead(w.moment(n), nil, nil))
		default:
			w.settle(n, n.core.purged(w.moment(n), w.disk.first, n.fold.slot(n.name), n.fold.seq(), nil))
		}
	case actReader:
		_ = w.step(n, foldOp{entry: w.disk.entries[n.fold.seq()+1-w.disk.start]})
	case actTimeout:
		if w.pending(n) || w.away {
			l.late--
		}
		n.io = effect{}
		w.settle(n, n.core.failed(w.moment(n), persistence.ErrUnknown, nil))
	case actNext:
		if n.core.idle() {
			l.beats--
		}
		w.settle(n, n.core.next(w.moment(n), nil))
	case actDecide:
		w.decide(n, a.b)
	case actCrash:
		l.crashes--
		w.crash(n)
	case actRestart:
		l.restarts--
		w.start(n.i)
	case actPause:
		l.pauses--
		n.state = nodePaused
	case actResume:
		n.state = nodeUp
	default:
		w.maintain(n, a)
	}
}

// maintain is what can wait: bases, floors, checkpoints, passivation, moves.
func (w *explored) maintain(n *xnode, a action) {
	l := &w.left
	switch a.kind {
	case actBase:
		l.bases--
		x := &n.res[a.b]
		b := x.res.base()
		b.Revision, b.Position = x.baseRev, n.fold.seq()
		if w.ctl.noReceipts {
			b.State = forgetful(b.State)
		}
		n.putting[a.b] = true
		w.net = append(w.net, packet{node: n.i, boot: n.starts, base: &b})
	case actPassivate:
		l.passivations--
		w.settle(n, n.core.enqueue(entry{kind: entryClosed, id: exploredIDs[a.b]}, nil))
		n.res[a.b] = xres{}
	case actFloor:
		l.floors--
		n.core.setFloors(w.risen(n))
	case actCheckpoint:
		l.checkpoints--
		w.stored(w.disk.append(persistence.Control, persistence.Encode(nil, n.fold.custody.Due(n.name))))
	case actRelease:
		l.releases--
		n.frozen[a.b] = true
		give := persistence.Give{Partition: persistence.Partition(a.b), To: nodeName(a.c)}
		if w.ctl.packAfterRelease {
			n.core.releases = append(n.core.releases, give)
		} else if !n.core.release(give) {
			w.fail("%s does not release %d", n.name, a.b)
		}
	case actClaim:
		l.claims--
		slot := n.fold.slot(nodeName(a.b))
		w.net = append(w.net, packet{
			node: n.i, boot: n.starts, claim: a.b + 1, expect: persistence.Expect(slot.Seq, w.disk.first),
			data: persistence.Encode(nil, &persistence.Claim{
				Journal: "jrn_explored", Node: nodeName(a.b), By: n.name, PrevSeq: slot.Seq, PrevHash: slot.Hash,
			}),
		})
	}
}

// crash ends a process; what it sent stays on its way. The control of lazy sync loses the last record.
func (w *explored) crash(n *xnode) {
	*n = xnode{name: n.name, i: n.i, starts: n.starts}
	if !w.ctl.lazySync || len(w.disk.entries) < 2 {
		return
	}
	kept := w.disk.entries[:len(w.disk.entries)-1]
	w.disk.entries, w.god = nil, new(persistence.Custody)
	for r := range w.hist {
		for w.hist[r].prev != nil {
			w.hist[r] = w.hist[r].prev
		}
	}
	for _, e := range kept {
		w.stored(w.disk.append(e.Subject, e.Data))
	}
}

// store is the compare-and-swap of journal or bucket; its answer is on its way then.
func (w *explored) store(p packet) {
	p.answer = true
	if p.base != nil {
		p.rev, p.err = w.disk.put(restaurantOf(p.base.ID), *p.base, !w.ctl.baseWithoutCAS)
		w.net = append(w.net, p)
		return
	}
	slot := p.node
	if p.claim != 0 {
		slot = p.claim - 1
		p.answer = true
	}
	subject := persistence.SlotSubject(nodeName(slot))
	free := w.ctl.casOff || p.claim != 0 && w.ctl.claimExpectsNothing
	switch {
	case !free && w.disk.lastOf(subject) != p.expect:
		p.err = persistence.ErrConflict
	default:
		if p.claim != 0 && w.prompt && w.nodes[slot].state == nodeUp {
			w.fail("H30: the slot of a living node is claimed")
		}
		p.seq = w.disk.append(subject, p.data)
		w.stored(p.seq)
	}
	if p.claim == 0 {
		w.net = append(w.net, p)
	}
}
