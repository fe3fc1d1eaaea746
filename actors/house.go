package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"maitred/engine"
	"maitred/persistence"
)

// Config is what a House needs. Zero values of the tunables mean the default named beside them.
type Config struct {
	Node    string // this node's name
	Journal persistence.Journal
	Bases   persistence.Bases
	Feed    *persistence.Feed
	Seal    *persistence.Seal // of events; nil = they are kept in clear. Bases and Feed have it too.

	Shared       bool          // other nodes write into this journal too
	Partitions   int           // only for a new journal; 256
	MaxInFlight  int           // credits per aggregate; 4,096
	MaxQueue     int           // calls admitted on the node, fewer when the journal is slow (pace); 16,384
	FrameEvery   time.Duration // least time between the sends of two frames, so that calls share one; 0 = none
	MaxResident  int           // aggregates in memory; 200,000
	IdleAfter    time.Duration // passivate after; 5 min
	PassivateAll bool          // test mode: passivate after every command
	SweepEvery   time.Duration // how often the timers are looked at; 1 s
	SweepGrid    time.Duration // timers fire on multiples of it; 1 s
	BaseAge      time.Duration // an event is in a base after that; 10 min
	BaseEvents   int           // or when there are more such events; 1,000,000
	Keep         time.Duration // of the journal, in any case; 72 h
	PurgeEvery   time.Duration // 10 min
	Now          func() time.Time

	// Protocol is the lowest engine.Protocol of all nodes, 0 as long as one has not said; nil = all are as this one.
	Protocol func() uint16

	// StoreCursor is the sequence up to which the store has everything: the purge stays below. nil = there is no store.
	StoreCursor func() persistence.Seq
	// Known calls fn with the version of every aggregate that the store has seen durable: the house is not opened when
	// journal and bases know less. nil = nobody to ask.
	Known func(ctx context.Context, fn func(engine.AggregateID, engine.Version) error) error
	// Boottime is the clock of leases; CLOCK_BOOTTIME.
	Boottime func() time.Duration
	// Pressure stops admission while it is true (the disk fills up). Called by many goroutines. nil = never. The journal's
	// own limit is watched in any case.
	Pressure func() bool
	// Hand sends the state of an aggregate to the node that gets its partition, which gives it to Take. Its Revision is that of the last
	// base in SNAP, 0 = none known. nil = nothing is sent.
	Hand func(ctx context.Context, to string, state persistence.Base) error
	// Former is the incarnation of the last process that ran here and is surely dead, whose lease nobody has to wait for; 0 = not known.
	Former uint64
	// OnIncarnation is told of each incarnation that begins, before it serves: the next process's Former. nil = nobody is told.
	OnIncarnation func(uint64)
	// OnClaimed is told, from a goroutine of its own, of each node whose slot another one claimed: it answers nobody any more. nil =
	// nobody is told.
	OnClaimed func(node string)
	// OnAccount is told of every durable event of an account, whoever wrote it, and at the start of those of the last Recall. Some are told
	// more than once; personal strings may be sealed. The writer waits meanwhile: it must be quick, and may not call the house. nil =
	// nobody is told.
	OnAccount func(id engine.AccountID, v engine.Version, e *engine.Event)
	Recall    time.Duration // 0 = only what the start reads anyway
	// OnHalt is told once, from a goroutine of its own, that the house has stopped for good. nil = nobody is told.
	OnHalt func(error)
	// Metrics is what the house counts in; nil = counted nowhere.
	Metrics *Metrics
	// Unsafe switches guards off. For negative controls only.
	Unsafe Unsafe
}

// Unsafe switches guards off, so that a test can show that it would see it.
type Unsafe struct {
	NoLease   bool // reads do not ask how old the last acknowledgement is
	NoSilence bool // whoever wants to claim a slot may
}

func (c *Config) setDefaults() {
	orInt := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	orDuration := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	orInt(&c.Partitions, persistence.DefaultPartitions)
	orInt(&c.MaxInFlight, 4096)
	orInt(&c.MaxQueue, 16_384)
	orInt(&c.MaxResident, 200_000)
	orInt(&c.BaseEvents, 1_000_000)
	orDuration(&c.IdleAfter, 5*time.Minute)
	orDuration(&c.SweepEvery, time.Second)
	orDuration(&c.SweepGrid, time.Second)
	orDuration(&c.BaseAge, 10*time.Minute)
	orDuration(&c.Keep, 72*time.Hour)
	orDuration(&c.PurgeEvery, 10*time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Boottime == nil {
		c.Boottime = boottime
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
}

// House is the directory of what is open on this node, with the node's one writer.
type House struct {
	cfg    Config
	stage  *stage
	fold   *fold
	writer *writer
	timers *timers
	budget *cacheBudget
	denied denyList
	handed handed

	handles   *xsync.Map[engine.AggregateID, *handle]
	taken     atomic.Int64 // places of MaxResident: one for each handle, and for each that is about to be made
	queued    atomic.Int64 // calls inside Do and View
	untrusted atomic.Int64 // quarantined aggregates
	behind    atomic.Int64 // durable facts that views do not show yet
	calls     sync.Pool    // of *call
	loads     chan struct{}
	hint      chan struct{} // capacity 1: the standing reader is to look now
	closing   atomic.Bool
	full      atomic.Bool   // the journal is at its limit
	silent    atomic.Bool   // no reminders: not every node would understand them
	opened    time.Duration // BOOTTIME
	skewed    bool          // the clock is wrong; of the timers' goroutine

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	close  sync.Once
}

// Bounds of the house's own work.
const (
	maxLoads     = 8                // aggregates that are read from base and journal at the same time: more only take longer each
	closeTimeout = 10 * time.Second // for what is in flight when the house closes
	maxJournal   = 0.9              // of the journal's limit; the rest belongs to claims, releases and heartbeats
)

// Open folds the journal to its end, claims the node's slot, folds to exactly the claim and serves.
func Open(ctx context.Context, cfg Config) (*House, error) {
	cfg.setDefaults()
	stage, err := newStage()
	if err != nil {
		return nil, err
	}
	h := &House{
		cfg: cfg, stage: stage, budget: newCacheBudget(maxCacheBytes),
		handles: xsync.NewMap[engine.AggregateID, *handle](), loads: make(chan struct{}, maxLoads),
		hint: make(chan struct{}, 1),
	}
	h.opened = h.cfg.Boottime()
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	h.timers = newTimers(h)
	h.listen()
	h.fold, err = restore(ctx, &h.cfg, h.timers)
	if err != nil {
		h.cancel()
		return nil, fmt.Errorf("restore %s: %w", cfg.Node, err)
	}
	h.writer = newWriter(h)
	if err := h.writer.start(ctx); err != nil {
		h.cancel()
		return nil, fmt.Errorf("claim the slot of %s: %w", cfg.Node, err)
	}
	h.work.Go(h.writer.run)
	if cfg.Shared {
		h.work.Go(h.read)
	}
	h.work.Go(h.timers.run)
	h.work.Go(h.keep)
	return h, nil
}

// admits tells whether a command may enter.
func (h *House) admits() bool {
	return h.writer.open.Load() && !h.closing.Load() && !h.full.Load() && (h.cfg.Pressure == nil || !h.cfg.Pressure())
}

// Do lets the aggregate decide cmd and returns when what the answer stands on is durable. cmd belongs to the callee until
// Do returns.
func (h *House) Do(id engine.AggregateID, cmd *engine.Command, deadline time.Time) (engine.Outcome, error) {
	if !h.join() {
		h.cfg.Metrics.refused.WithLabelValues("queue").Inc()
		return engine.Outcome{}, ErrBusy
	}
	defer h.queued.Add(-1)
	if !h.admits() {
		h.cfg.Metrics.refused.WithLabelValues("not_serving").Inc()
		return engine.Outcome{}, ErrUnavailable
	}
	if h.denied.has(id, cmd.Key) {
		return engine.Outcome{}, ErrPanicked
	}
	if !creates(cmd.Body) && h.unknown(id) {
		return h.decideUnknown(id, cmd)
	}
	hd, err := h.enter(id, deadline)
	if err != nil {
		return engine.Outcome{}, err
	}
	cmd.Silent = h.silent.Load()
	c := h.newCall()
	c.kind, c.cmd, c.deadline, c.handle = callCommand, cmd, deadline, hd
	out, err := h.wait(c)
	if h.cfg.PassivateAll {
		h.passivate(hd)
	}
	return out, err
}

// Waiting is how many wait for their answer now.
func (h *House) Waiting() int { return int(h.queued.Load()) }

// join counts a call in; false when more wait than the journal can make durable in time.
func (h *House) join() bool {
	n := h.queued.Add(1)
	if n > h.writer.pace.room.Load() {
		h.queued.Add(-1)
		return false
	}
	return true
}

// wait sends a call that holds a credit and waits for its answer. Every call gets exactly one.
func (h *House) wait(c *call) (engine.Outcome, error) {
	hd := c.handle
	h.stage.send(hd.ref, c)
	<-c.done
	out, err := c.outcome, c.err
	if c.late {
		return engine.Outcome{}, err // the writer still has it: the credit comes back with the settlement
	}
	hd.leave()
	h.release(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	return out, nil
}

// creates tells whether a command may bring an aggregate into being.
func creates(b engine.Body) bool {
	switch b.(type) {
	case *engine.CreateRestaurant, *engine.Register:
		return true
	}
	return false
}

// unknown tells whether id surely does not exist: nobody has it open, and neither journal nor bases know it.
func (h *House) unknown(id engine.AggregateID) bool {
	if _, open := h.handles.Load(id); open {
		return false
	}
	return !h.fold.knows(id)
}

// decideUnknown answers a command to what does not exist, without making an actor: nobody can fill the memory with ids that
// he invents. Nothing stands on an undurable event, so that the lease is all it needs.
func (h *House) decideUnknown(id engine.AggregateID, cmd *engine.Command) (out engine.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.panicked(id, cmd, p, nil)
			out, err = engine.Outcome{}, ErrPanicked
		}
	}()
	p := persistence.PartitionOf(id, h.fold.partitions())
	epoch := h.writer.holding().epoch(p)
	if !h.unknown(id) { // custody came, and with it what another node wrote
		return engine.Outcome{}, ErrUnavailable
	}
	out, events := engine.NewAggregate(id).Decide(h.now(), cmd)
	if len(events) > 0 {
		return engine.Outcome{}, fmt.Errorf("%w: %T made events of %s, which does not exist", ErrPanicked, cmd.Body, id)
	}
	if err := h.may(p); err != nil {
		return engine.Outcome{}, err
	}
	if epoch != h.writer.holding().epoch(p) {
		return engine.Outcome{}, ErrUnavailable
	}
	return out, nil
}

// may tells whether what was just read of p may be shown: the lease holds, and the partition is still here.
func (h *House) may(p persistence.Partition) error {
	if !h.writer.holding().admits(p) {
		return h.foreign(p)
	}
	if !h.writer.leased() {
		return ErrUnavailable
	}
	return nil
}

func (h *House) now() engine.Instant { return engine.Instant(h.cfg.Now().UnixMilli()) }

// View is the newest durable picture of the aggregate (it is opened when it is not resident). It checks the lease.
func (h *House) View(id engine.AggregateID, deadline time.Time) (*View, error) {
	hd, open := h.handles.Load(id)
	if open {
		if v := hd.current(); v != nil {
			hd.use()
			return h.strong(v, hd.partition)
		}
	}
	if !h.writer.open.Load() || h.closing.Load() {
		return nil, ErrUnavailable
	}
	if !open && h.unknown(id) {
		return h.strange(id)
	}
	return h.openView(id, deadline)
}

// strong checks lease and custody after the state was read.
func (h *House) strong(v *View, p persistence.Partition) (*View, error) {
	if err := h.may(p); err != nil {
		return nil, err
	}
	if v.epoch != h.writer.holding().epoch(p) {
		return nil, ErrUnavailable // from before another node's custody: it is leaving
	}
	return v, nil
}

// strange is the view of what does not exist.
func (h *House) strange(id engine.AggregateID) (*View, error) {
	p := persistence.PartitionOf(id, h.fold.partitions())
	epoch := h.writer.holding().epoch(p)
	if !h.unknown(id) { // custody came, and with it what another node wrote
		return nil, ErrUnavailable
	}
	return h.strong(&View{View: engine.NewAggregate(id).View(), epoch: epoch}, p)
}

func (h *House) openView(id engine.AggregateID, deadline time.Time) (*View, error) {
	if !h.join() {
		return nil, ErrBusy
	}
	defer h.queued.Add(-1)
	hd, err := h.enter(id, deadline)
	if err != nil {
		return nil, err
	}
	c := h.newCall()
	c.kind, c.deadline, c.handle = callOpen, deadline, hd
	c.view = nil
	h.stage.send(hd.ref, c)
	<-c.done
	v, err := c.view, c.err
	hd.leave()
	h.release(c)
	if err != nil {
		return nil, err
	}
	return h.strong(v, hd.partition)
}

// Status says how the house stands, for /readyz.
type Status struct {
	Serving     bool
	Reason      string // why not
	Incarnation uint64
	Journal     string          // its id
	Last        persistence.Seq // newest durable
	Resident    int
	Quarantined int
}

// Status reads how the house stands.
func (h *House) Status() Status {
	s := h.writer.status()
	s.Resident, s.Quarantined = h.handles.Size(), int(h.untrusted.Load())
	switch {
	case !s.Serving:
	case h.closing.Load():
		s.Serving, s.Reason = false, "closing"
	case h.full.Load():
		s.Serving, s.Reason = false, "the journal is full"
	case h.cfg.Pressure != nil && h.cfg.Pressure():
		s.Serving, s.Reason = false, "the disk is full"
	case !h.writer.leased():
		s.Serving, s.Reason = false, "the lease is over"
	}
	return s
}

// panicked records a command that made the engine panic.
func (h *House) panicked(id engine.AggregateID, cmd *engine.Command, p any, stack []byte) {
	h.denied.add(id, cmd.Key)
	h.cfg.Metrics.panics.Inc()
	slog.Error("command made the engine panic", "aggregate", id, "command", fmt.Sprintf("%T", cmd.Body),
		"panic", p, "stack", string(stack))
}

// Close stops admission, lets what is in flight become durable, and stops. Idempotent.
func (h *House) Close() error {
	h.close.Do(func() {
		h.closing.Store(true)
		end := time.NewTimer(closeTimeout)
		defer end.Stop()
		h.writer.drain(end.C, func() bool { return h.queued.Load() == 0 })
		h.cancel()
		h.writer.stop()
		h.work.Wait()
		h.handles.Range(func(_ engine.AggregateID, hd *handle) bool {
			h.retire(hd)
			return true
		})
		h.stage.close()
	})
	return nil
}

// errGone says that a handle is being closed: wait and look again.
var errGone = errors.New("actors: handle closed")
