package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// The late watch answers calls whose deadline passes while an append is open.
const (
	lateAfter = 100 * time.Millisecond
	lateEvery = 50 * time.Millisecond
	// readTimeout bounds a read of the own slot's last record.
	readTimeout = 2 * time.Second
	// foldTimeout bounds one try to fold up to the Claim.
	foldTimeout = 30 * time.Second
)

// writer runs the core on one goroutine: it takes all that waits, appends, and hands out what became durable.
type writer struct {
	house   *House
	journal string
	subject persistence.Subject

	open       atomic.Bool  // commands may be decided
	leaseUntil atomic.Int64 // BOOTTIME in nanoseconds
	held       atomic.Pointer[holding]
	fault      atomic.Pointer[error] // what the standing reader met: the writer ends
	dark       atomic.Bool           // a record of another node could not be opened

	inbox struct {
		sync.Mutex
		gen     uint64 // incarnations since the start; 0 = none yet
		entries []entry
	}
	spare []entry
	pace  pace
	wake  chan struct{} // capacity 1
	sent  time.Time     // when the last append began; of the writer's goroutine

	mu       sync.Mutex // guards what follows; held while the core steps, never while the journal is asked
	core     *core
	out      []effect
	busy     bool // the journal is being asked
	late     *time.Timer
	feedNext []persistence.Committed
	reason   string
	last     persistence.Seq // newest durable
	moved    chan struct{}   // closed when what is held changes
	wanted   chan struct{}   // closed when the fold goes on; nil when nobody waits
	silence  silence
	clocks   map[string]*clock // of the others

	stopping atomic.Bool
	stopped  chan struct{}
}

func newWriter(h *House) *writer {
	w := &writer{
		house: h, journal: h.fold.custody.Journal(), subject: persistence.SlotSubject(h.cfg.Node),
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), moved: make(chan struct{}), reason: "claiming",
		silence: silence{acked: -1},
	}
	w.held.Store(nothing)
	h.fold.custody.Nodes(func(s persistence.SlotState) { w.silence.saw(s.Node, "", s.Seq, h.cfg.Boottime()) })
	w.core = newCore(h.cfg.Node, w.journal)
	w.pace.init(h.cfg.MaxQueue)
	w.late = time.AfterFunc(time.Hour, w.watch)
	w.late.Stop()
	return w
}

func (w *writer) now() moment {
	return moment{boot: w.house.cfg.Boottime(), wall: time.Now().UnixMilli(), clock: w.house.cfg.Now().UnixMilli()}
}

// start claims the slot and folds to exactly the claim.
func (w *writer) start(ctx context.Context) error {
	if !w.house.fold.admits(w.house.cfg.Node) {
		return ErrTooManyNodes
	}
	if err := w.awaitFormer(ctx); err != nil {
		return err
	}
	b, err := w.house.cfg.Journal.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("bounds of the journal: %w", err)
	}
	w.mu.Lock()
	w.out = w.core.begin(w.now(), w.house.fold.slot(w.house.cfg.Node), b.First, w.out[:0])
	io := w.settle()
	w.mu.Unlock()
	for io.kind != 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		io = w.perform(ctx, io)
	}
	if !w.open.Load() {
		return errors.New(w.status().Reason)
	}
	return nil
}

// run is the writer's goroutine. It sleeps while nothing waits, at most until the next heartbeat.
func (w *writer) run() {
	defer close(w.stopped)
	beat := time.NewTimer(HeartbeatEvery)
	defer beat.Stop()
	for {
		w.gather()
		io := w.step()
		for io.kind != 0 {
			io = w.perform(w.house.ctx, io)
		}
		if w.stopping.Load() {
			w.close()
			return
		}
		if w.waits() {
			continue
		}
		beat.Reset(HeartbeatEvery)
		select {
		case <-w.wake:
		case <-beat.C:
		}
	}
}

// gather waits until Config.FrameEvery has passed since the last frame was sent: what comes meanwhile shares one. A frame costs the journal
// about the same with one call or a hundred in it.
func (w *writer) gather() {
	if d := w.house.cfg.FrameEvery - time.Since(w.sent); d > 0 {
		pause(w.house.ctx, d)
	}
}

// close answers whoever still waits, and takes no entry from then on.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox.Lock()
	w.inbox.gen = 0
	w.inbox.Unlock()
	w.out = w.out[:0]
	w.take()
	w.out = w.core.halt(persistence.ErrClosed, w.out)
	w.settle()
}

// waits tells whether step would find something.
func (w *writer) waits() bool {
	w.inbox.Lock()
	n := len(w.inbox.entries)
	w.inbox.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	return n > 0 || !w.core.idle()
}

// submit hands an entry over; false when its incarnation is over.
func (w *writer) submit(gen uint64, e entry) bool {
	w.inbox.Lock()
	if gen != w.inbox.gen || gen == 0 {
		w.inbox.Unlock()
		return false
	}
	w.inbox.entries = append(w.inbox.entries, e)
	first := len(w.inbox.entries) == 1
	w.inbox.Unlock()
	if first {
		w.rouse()
	}
	return true
}

func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// generation is the present incarnation's number in this house, and whether it admits.
func (w *writer) generation() (uint64, bool) {
	w.inbox.Lock()
	defer w.inbox.Unlock()
	return w.inbox.gen, w.inbox.gen != 0 && w.open.Load()
}

// leased tells whether strong reads are allowed now.
func (w *writer) leased() bool {
	return int64(w.house.cfg.Boottime()) < w.leaseUntil.Load() || w.house.cfg.Unsafe.NoLease
}

// step takes what waits into the core and lets it act. It returns what the journal is to be asked, if anything.
func (w *writer) step() effect {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = w.out[:0]
	w.take()
	if err := w.fault.Load(); err != nil && w.core.phase != phaseHalted {
		w.out = w.core.halt(*err, w.out)
		return w.settle()
	}
	w.out = w.core.next(w.now(), w.out)
	return w.settle()
}

// take moves the inbox into the core.
func (w *writer) take() {
	w.inbox.Lock()
	entries := w.inbox.entries
	w.inbox.entries = w.spare[:0]
	w.inbox.Unlock()
	for i := range entries {
		w.out = w.core.enqueue(entries[i], w.out)
	}
	clear(entries)
	w.spare = entries
}

// settle performs the effects that need no journal, in order, and returns the one that does.
func (w *writer) settle() (io effect) {
	for i := range w.out {
		switch e := &w.out[i]; e.kind {
		case effectAppend, effectReadLast, effectFoldTo:
			io = *e
		case effectDurable:
			if err := w.durable(e); err != nil {
				w.out = w.core.halt(err, nil)
				// Whoever waits for this frame is not told that it is done: the journal has what the fold refuses.
				w.abandon(e.entries)
				return w.settle()
			}
		case effectReply:
			w.reply(e)
		case effectExpire:
			c := e.entries[0].token.(*call)
			c.late = true
			c.finish(ErrUnknownOutcome)
		case effectSettle:
			for j := range e.entries {
				e.entries[j].token.(*call).handle.leave()
			}
		case effectPublish:
			w.house.cfg.Feed.Publish(e.seq, len(e.data), w.feedNext)
			w.feedNext = nil
		case effectHalt:
			w.halt(e.err)
		}
	}
	w.out = w.out[:0]
	w.leaseUntil.Store(int64(w.core.lease))
	w.open.Store(w.core.serving())
	return io
}

func (w *writer) reply(e *effect) {
	for i := range e.entries {
		c := e.entries[i].token.(*call)
		err := e.err
		if err != nil {
			if errors.Is(err, errRefused) {
				slog.Error("the writer refused an entry", "aggregate", e.entries[i].id, "first", e.entries[i].first,
					"stands", e.entries[i].stands, "since", e.entries[i].since)
				c.handle.refusal.Store(&refusal{c.load, w.core.tracks[e.entries[i].id].accepted})
				err = ErrUnavailable
			}
			c.outcome = engine.Outcome{}
		}
		c.finish(err)
	}
}

// abandon answers those of a frame that was acknowledged and then refused by the fold.
func (w *writer) abandon(entries []entry) {
	for i := range entries {
		if c := entries[i].token.(*call); entries[i].expired {
			c.handle.leave()
		} else {
			c.finish(ErrUnknownOutcome)
		}
	}
}

func (w *writer) halt(err error) {
	w.reason = err.Error()
	w.open.Store(false)
	if errors.Is(err, persistence.ErrClosed) {
		w.reason = "closed"
		return
	}
	slog.Error("the writer has stopped for good", "node", w.house.cfg.Node, "err", err)
	if w.house.cfg.OnHalt != nil {
		go w.house.cfg.OnHalt(err)
	}
}

// durable folds an acknowledged frame, shows its events to the readers, and prepares what the sinks get: once a reply has
// left, its call belongs to somebody else.
func (w *writer) durable(e *effect) error {
	h := w.house
	if e.seq > h.fold.seq() {
		if err := w.foldFrame(e); err != nil {
			return err
		}
	}
	w.last = e.seq
	n := 0
	for i := range e.entries {
		n += len(e.entries[i].events)
	}
	if n > 0 {
		w.feedNext = make([]persistence.Committed, 0, n)
	}
	for i := range e.entries {
		x := &e.entries[i]
		if len(x.events) == 0 {
			continue
		}
		c := x.token.(*call)
		h.cfg.tellOwn(x.id, x.first, c.events)
		for j, ev := range c.events {
			w.feedNext = append(w.feedNext, persistence.Committed{
				Seq: e.seq, Index: len(w.feedNext), Aggregate: x.id, Version: x.first + engine.Version(j), Event: ev,
			})
		}
		c.handle.committed(c, x.stands)
	}
	h.cfg.Metrics.frame(n, len(e.data))
	return nil
}

// claimed begins a new incarnation: what waited under the old one is answered by the journal before the Claim.
func (w *writer) claimed(seq persistence.Seq) {
	w.inbox.Lock()
	w.inbox.gen++ // nothing of the old incarnation may be taken for the new one
	w.inbox.Unlock()
	w.take()
	node := w.house.cfg.Node
	w.out = w.core.claimed(w.house.fold.slot(node), w.house.fold.owned(node), w.out)
	w.last = seq
	w.out = append(w.out, effect{kind: effectPublish, seq: seq, data: nil})
	if !w.core.serving() {
		return
	}
	if told := w.house.cfg.OnIncarnation; told != nil {
		told(w.core.incarnation)
	}
	w.held.Store(w.holding().opened()) // a release that did not get into the journal is none
	w.hold()
	w.house.cfg.Metrics.incarnations.Inc()
}

// forget tells the core that an aggregate left memory.
func (w *writer) forget(id engine.AggregateID) {
	if gen, open := w.generation(); open {
		w.submit(gen, entry{kind: entryClosed, id: id})
	}
}

// offer gives floors to the next frame.
func (w *writer) offer(floors []persistence.Floor) {
	w.mu.Lock()
	w.core.setFloors(floors)
	w.mu.Unlock()
	w.rouse()
}

// watch answers calls whose deadline has passed while the journal is silent.
func (w *writer) watch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		return
	}
	w.out = w.out[:0]
	w.take()
	w.out = w.core.expire(time.Now().UnixMilli(), w.out) // deadlines are by the process's clock
	w.settle()
	w.late.Reset(lateEvery)
}

// status says how the writer stands.
func (w *writer) status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Status{Serving: w.core.serving(), Journal: w.journal, Incarnation: w.core.incarnation, Last: w.last}
	switch {
	case s.Serving:
	case w.core.phase == phaseHalted:
		s.Reason = w.reason
	case w.core.phase == phaseDoubt:
		s.Reason = "an append is not acknowledged"
	default:
		s.Reason = "claiming the own slot"
	}
	return s
}

// drain waits until done, or end.
func (w *writer) drain(end <-chan time.Time, done func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			return
		case <-w.stopped:
			return
		}
	}
}

// stop ends the goroutine. Whoever still waits is answered.
func (w *writer) stop() {
	w.stopping.Store(true)
	w.rouse()
	<-w.stopped
	w.late.Stop()
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
