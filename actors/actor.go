package actors

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// Reloads of an aggregate after a panic or a damaged history.
const (
	loadTimeout    = 30 * time.Second
	firstReload    = 100 * time.Millisecond // back-off, doubled each time
	maxReload      = 30 * time.Second
	reloadsAMinute = 5 // more of them open the breaker
	breakerOpen    = time.Minute
)

// actorState is what only the actor's own goroutine touches.
type actorState struct {
	res       *resident
	epoch     persistence.Seq // custody under which res was loaded
	since     persistence.Seq // custody under which its events are written
	gen       uint64          // incarnation under which res was checked
	loads     uint64          // how often res was loaded
	submitted engine.Version  // newest version handed to the writer
	due       engine.Instant  // as the timers know it
	failures  int             // loads in a row that were caused by distrust
	last      time.Time       // of the last such load
	retryAt   time.Time       // not before
}

// receive implements player: every call gets exactly one answer, from here or from the writer.
func (hd *handle) receive(msg any) {
	c, ok := msg.(*call)
	if !ok {
		return
	}
	// Answering, or handing over to the writer, is the last thing that each of these does: a panic comes before it.
	defer func() {
		if p := recover(); p != nil {
			slog.Error("panic beside a decision", "aggregate", hd.id, "panic", p, "stack", string(debug.Stack()))
			hd.suspect.Store(true)
			c.finish(ErrPanicked)
		}
	}()
	switch c.kind {
	case callCommand:
		hd.command(c)
	case callOpen:
		_, err := hd.ready()
		c.view = hd.current()
		if err == nil && c.view == nil {
			err = ErrUnavailable
		}
		c.finish(err)
	case callRearm:
		if s := &hd.actor; s.res != nil {
			hd.house.timers.set(hd.id, s.res.agg.NextDue())
		}
		c.finish(nil)
	case callBase:
		c.finish(hd.makeBase(c))
	case callStands:
		c.finish(hd.stands(c.load))
	}
}

// command decides. What stands on a durable version leaves at once, if the lease holds; everything else goes through the
// writer, also an answer without events.
func (hd *handle) command(c *call) {
	if !c.deadline.IsZero() && time.Now().After(c.deadline) {
		c.finish(ErrExpired)
		return
	}
	gen, err := hd.ready()
	if err != nil {
		c.finish(err)
		return
	}
	s := &hd.actor
	a := s.res.decide(hd.house.now(), c.cmd)
	if a.err != nil {
		hd.house.panicked(hd.id, c.cmd, a.panic, a.stack)
		c.finish(a.err)
		return
	}
	c.outcome, c.events = a.outcome, a.events
	if a.due != s.due {
		s.due = a.due
		hd.house.timers.set(hd.id, a.due)
	}
	if len(a.events) == 0 && uint64(a.stands) <= hd.durable.Load() {
		if w := hd.house.writer; w.holding().epoch(hd.partition) != s.epoch || !w.leased() {
			c.finish(ErrUnavailable)
			return
		}
		c.finish(nil)
		return
	}
	s.submitted, c.load = a.stands, s.loads
	e := entry{
		partition: hd.partition, id: hd.id, since: s.since, first: a.first, stands: a.stands,
		events: a.encoded, bytes: a.bytes, token: c,
	}
	if !c.deadline.IsZero() {
		e.deadline = c.deadline.UnixMilli()
	}
	if !hd.house.writer.submit(gen, e) {
		c.finish(ErrUnavailable) // another incarnation: ready will load what is durable
	}
}

// ready makes sure that the state may be decided on under the present incarnation, which it returns.
func (hd *handle) ready() (uint64, error) {
	w := hd.house.writer
	gen, open := w.generation()
	if !open {
		return 0, ErrUnavailable
	}
	s := &hd.actor
	suspect, pending := hd.suspect.Load() || s.res != nil && s.res.suspect, s.submitted
	if r := hd.refusal.Load(); r != nil && r.load == s.loads {
		suspect, pending = true, min(pending, r.accepted)
	}
	held := w.holding()
	epoch, since := held.epoch(hd.partition), held.under(hd.partition)
	switch {
	case epoch == 0:
		return 0, hd.house.foreign(hd.partition)
	case s.res == nil && !suspect:
	case s.epoch != epoch: // it was another node's in between
	case suspect:
		if s.gen == gen && uint64(pending) > hd.durable.Load() {
			return 0, ErrQuarantined // the writer has events of the state before: wait for them
		}
		if err := hd.distrusted(); err != nil {
			return 0, err
		}
	case s.gen == gen && s.since == since:
		return gen, nil
	case uint64(s.res.version()) == hd.durable.Load():
		s.gen, s.since = gen, since
		return gen, hd.announce(gen)
	}
	if err := hd.load(gen, epoch); err != nil {
		return 0, err
	}
	s.since = since
	return gen, hd.announce(gen)
}

// announce tells the writer at which version the aggregate is open.
func (hd *handle) announce(gen uint64) error {
	if !hd.house.writer.submit(gen, entry{kind: entryOpened, id: hd.id, stands: hd.actor.res.version()}) {
		return ErrUnavailable
	}
	return nil
}

// distrusted decides whether a state that is not trusted may be loaded anew now.
func (hd *handle) distrusted() error {
	s := &hd.actor
	now := time.Now()
	if now.Before(s.retryAt) {
		return ErrQuarantined
	}
	if now.Sub(s.last) > time.Minute {
		s.failures = 0
	}
	s.failures++
	s.last = now
	wait := min(firstReload<<min(s.failures-1, 16), maxReload)
	if s.failures > reloadsAMinute {
		wait = breakerOpen
		slog.Error("aggregate is quarantined: too many reloads", "aggregate", hd.id, "reloads", s.failures)
	}
	s.retryAt = now.Add(wait)
	if s.failures > reloadsAMinute {
		return ErrQuarantined
	}
	return nil
}

// load reads the aggregate from its base and its events in the journal, as the custody of epoch found it.
func (hd *handle) load(gen uint64, epoch persistence.Seq) error {
	h := hd.house
	h.loads <- struct{}{}
	defer func() { <-h.loads }()
	ctx, cancel := context.WithTimeout(h.ctx, loadTimeout)
	defer cancel()
	o, err := h.fold.open(ctx, &h.cfg, hd.id, h.handed.take(hd.id))
	if err != nil {
		if h.ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, persistence.ErrUnknown) {
			return ErrUnavailable // the journal does not answer now: no reason to distrust what it holds
		}
		slog.Error("aggregate cannot be opened", "aggregate", hd.id, "err", err)
		hd.quarantine(true)
		hd.suspect.Store(true)
		return ErrQuarantined
	}
	hd.quarantine(false)
	frame := persistence.FrameBytes(h.writer.journal, h.cfg.Node)
	s := &hd.actor
	s.res = newResident(hd.id, o.agg, frame)
	s.res.seal = h.cfg.Seal
	s.loads++
	s.gen, s.epoch, s.submitted = gen, epoch, o.agg.Version()
	hd.setBase(o.revision, o.based)
	if o.based > 0 { // it may be newer than what the fold was told: the answer to its put was lost
		h.fold.based(persistence.BaseHeader{ID: hd.id, Version: o.based, Revision: o.revision})
	}
	hd.durable.Store(uint64(o.agg.Version()))
	hd.show(&View{View: o.agg.View(), epoch: epoch, cache: &hd.cache, budget: h.budget})
	hd.suspect.Store(false)
	if due := o.agg.NextDue(); due != s.due {
		s.due = due
		h.timers.set(hd.id, due)
	}
	h.cfg.Metrics.loads.Inc()
	if o.sent {
		h.cfg.Metrics.states.WithLabelValues("opened").Inc()
	}
	return nil
}

// makeBase makes a base of the present state. When not every event of it is durable it is errNotDurable, and the base may be put if it becomes
// durable and the state still stands then.
func (hd *handle) makeBase(c *call) error {
	s := &hd.actor
	if err := hd.stands(s.loads); err != nil {
		return err
	}
	c.base, c.load = s.res.base(), s.loads
	if uint64(s.res.version()) != hd.durable.Load() {
		return errNotDurable
	}
	return nil
}

// stands tells whether the state has gone on from a certain load without a break, under one incarnation and one custody: a version of it that was
// decided then and is durable now is what was decided then.
func (hd *handle) stands(load uint64) error {
	s, w := &hd.actor, hd.house.writer
	gen, _ := w.generation()
	switch {
	case s.res == nil:
		return errNotLoaded
	case s.res.suspect || hd.suspect.Load() || s.loads != load:
		return errNotTrusted
	case uint64(s.res.version()) != hd.durable.Load() && (s.gen != gen || s.epoch != w.holding().epoch(hd.partition)):
		return errNotTrusted
	}
	return nil
}

// Why no base can be made now.
var (
	errNotDurable = errors.New("actors: the state is not durable")
	errNotTrusted = errors.New("actors: the state is loaded anew")
	errNotLoaded  = errors.New("actors: nothing is in memory")
)

// rearm sets the aggregate's timer again after it has fired.
func (hd *handle) rearm() {
	c := &call{kind: callRearm, handle: hd, done: make(chan struct{}, 1)}
	if hd.enter(hd.house.cfg.MaxInFlight) != nil {
		hd.house.timers.again(hd.id) // busy or leaving: nobody else may set its timer
		return
	}
	hd.start.Do(hd.spawn) // it may be in the directory, and not yet an actor
	hd.house.stage.send(hd.ref, c)
	<-c.done
	hd.leave()
}
