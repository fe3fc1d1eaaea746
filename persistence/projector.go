package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// ProjectorState says what a projector does.
type ProjectorState uint8

// The states of a projector. From Behind, Ahead and Foreign it does not go on by itself: an operator has to decide. The names of the
// first three speak of stores; they are said of every sink.
const (
	ProjectorStopped  ProjectorState = iota // not started, or closed
	ProjectorRunning                        // the last write worked, or none was needed yet
	ProjectorRetrying                       // the last one did not; it is tried again
	ProjectorBehind                         // the journal was purged beyond the cursor: rebuild the store
	ProjectorAhead                          // the store knows more than the journal: events were lost
	ProjectorForeign                        // the cursor is one of another journal
	ProjectorDetached                       // the journal was purged beyond the cursor: it catches up from the archive
	ProjectorStandby                        // another node carries to this sink
)

var projectorStates = [...]string{"stopped", "running", "retrying", "store_behind_journal", "store_ahead_of_journal", "store_of_another_journal", "detached", "standby"}

func (s ProjectorState) String() string { return projectorStates[s] }

// given says that the projector was given up.
func (s ProjectorState) given() bool {
	return s == ProjectorBehind || s == ProjectorAhead || s == ProjectorForeign
}

// Events is where a projector reads; *Feed.
type Events interface {
	Next(ctx context.Context, after Seq, max int) ([]Committed, Seq, error)
	Last() Seq
}

// Archive is a store whose audit other sinks catch up from. Its cursor pins the journal, so it has what the journal purged, unless it was
// made anew since.
type Archive interface {
	Cursor(ctx context.Context) (Position, error)
	Events(ctx context.Context, after Seq, limit int) ([]Committed, Seq, error)
}

// ProjectorConfig says what a projector carries where. Fields that have a default may stay zero.
type ProjectorConfig struct {
	Name    string // of the sink, for metrics and logs
	Journal string // id of the journal
	Events  Events
	Sink    Sink
	// Bounds is Journal.Bounds; it is asked at the start and after an error.
	Bounds func(ctx context.Context) (Bounds, error)
	// Archive has the events that the journal has no more: a sink that fell below the journal catches up from it (holes H15), and one
	// that is new begins where the journal does. nil = the sink has to be made anew then.
	Archive Archive

	MinEvents int           // a transaction has fewer only when Linger is over; default 512
	MaxEvents int           // of a transaction, by about a frame; default 6,000
	Linger    time.Duration // how long a transaction waits for MinEvents; default 200 ms
	Every     time.Duration // least time from one transaction to the next, so that events share them; one that left some behind is followed at once
	Idle      time.Duration // how long the cursor waits when there are only heartbeats; default 5 s
	SlowWrite time.Duration // transactions get smaller beyond this; default 400 ms
	Retry     time.Duration // first wait after an error, doubled up to 64 times this, each time by half more or less; default 50 ms
	// Pace says how long to wait before it is asked again; the next batch is read when it says 0. So the sink makes room for
	// bookings. nil = not at all. It must bound the lag itself.
	Pace func() time.Duration
	// Active says whether this node is the one that carries to the sink, of several that could; nil = always. It is for liveness: the
	// sink takes only what follows its own cursor, from whomever.
	Active func() bool
	// Moved is told each new position when it is in the sink: the purge follows it. nil = nobody asks.
	Moved func(Position)
	Now   func() time.Time // default time.Now
	Log   *slog.Logger     // default slog.Default
}

// retryGrows is how many times Retry a wait becomes at most.
const retryGrows = 64

// logEvery of the tries that fail is logged, beside the first: about one a minute.
const logEvery = 20

// silentAfter is how long a sink may work at one thing before somebody is told: a server that is frozen, or behind a network that loses
// everything, neither answers nor fails.
const silentAfter = time.Minute

var errSilent = errors.New("persistence: the sink has not answered for a minute")

// MaxPace bounds the time between two questions to ProjectorConfig.Pace.
const MaxPace = 2 * time.Second

// ProjectorStatus is what is known of a projector.
type ProjectorStatus struct {
	State      ProjectorState
	Err        error // of the last try; nil when it worked
	Position   Position
	LagRecords uint64        // records published and not in the sink
	Lag        time.Duration // age of what is not in the sink, from above; 0 = nothing is missing
	Events     uint64        // written since the start
	Batches    uint64        // transactions that worked
	Failures   uint64        // those that did not
	Recoveries uint64        // times that the sink took events again after it had not
}

// Projector carries durable events to one sink in stream order. Safe for concurrent use.
type Projector struct {
	cfg     ProjectorConfig
	metrics projectorMetrics

	mu       sync.Mutex
	status   ProjectorStatus
	complete time.Time // everything that was durable at this time is in the sink, or unknown before the first write
	moved    chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}
	closed   bool

	// The loop's own.
	size  int       // of the next batch
	begun time.Time // when the last one had everything; zero after one that had not
}

// NewProjector makes a projector that does nothing until Start.
func NewProjector(cfg ProjectorConfig) *Projector {
	orDuration := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	if cfg.MinEvents <= 0 {
		cfg.MinEvents = 512
	}
	if cfg.MaxEvents <= 0 {
		cfg.MaxEvents = 6_000
	}
	cfg.MinEvents = min(cfg.MinEvents, cfg.MaxEvents)
	orDuration(&cfg.Linger, 200*time.Millisecond)
	orDuration(&cfg.Idle, 5*time.Second)
	orDuration(&cfg.SlowWrite, 400*time.Millisecond)
	orDuration(&cfg.Retry, 50*time.Millisecond)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Log = cfg.Log.With("sink", cfg.Name)
	return &Projector{cfg: cfg, metrics: newProjectorMetrics(cfg.Name), size: cfg.MaxEvents, moved: make(chan struct{})}
}

// Start begins the loop. A second call, or one after Close, does nothing.
func (p *Projector) Start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil || p.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan struct{})
	p.status.State, p.complete = ProjectorRunning, p.cfg.Now()
	go p.run(ctx, p.done)
}

// Close stops the loop, within a transaction if there is one, and waits for its end. Idempotent.
func (p *Projector) Close() error {
	p.mu.Lock()
	p.closed = true
	cancel, done := p.cancel, p.done
	p.mu.Unlock()
	if done != nil {
		cancel()
		<-done
	}
	return nil
}

// Status is what is known now.
func (p *Projector) Status() ProjectorStatus {
	last := p.cfg.Events.Last()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	if last > s.Position.Seq {
		s.LagRecords = uint64(last - s.Position.Seq)
		s.Lag = max(0, p.cfg.Now().Sub(p.complete))
	}
	return s
}

// Wait waits until everything up to seq is in the sink, the projector has given up, or ctx ends.
func (p *Projector) Wait(ctx context.Context, seq Seq) error {
	for {
		p.mu.Lock()
		s, moved := p.status, p.moved
		p.mu.Unlock()
		switch {
		case s.Position.Seq >= seq:
			return nil
		case s.State.given():
			return fmt.Errorf("persistence: wait for %s at %d: %w", p.cfg.Name, seq, s.Err)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("persistence: wait for %s at %d: %w", p.cfg.Name, seq, ctx.Err())
		}
	}
}

// update changes the status and wakes those who Wait.
func (p *Projector) update(fn func(*ProjectorStatus)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(&p.status)
	close(p.moved)
	p.moved = make(chan struct{})
}

// errRefused stops the loop: State says why.
type errRefused struct {
	state ProjectorState
	text  string
}

func (e *errRefused) Error() string { return "persistence: " + e.state.String() + ": " + e.text }

// run tries until ctx ends or an operator is needed.
func (p *Projector) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	back := backoff.ExponentialBackOff{InitialInterval: p.cfg.Retry, MaxInterval: retryGrows * p.cfg.Retry, Multiplier: 2, RandomizationFactor: 0.5}
	back.Reset()
	for tries := 0; ; tries++ {
		p.standBy(ctx)
		before := p.Status().Batches
		err := p.project(ctx)
		if errors.Is(err, errStandby) {
			tries = -1
			continue
		}
		if ctx.Err() != nil {
			p.update(func(s *ProjectorStatus) { s.State = ProjectorStopped })
			return
		}
		var refused *errRefused
		if errors.As(err, &refused) {
			p.update(func(s *ProjectorStatus) { s.State, s.Err = refused.state, err })
			p.cfg.Log.Error("the sink was given up", "err", err)
			return
		}
		if p.Status().Batches != before {
			tries = 0
			back.Reset()
		}
		if tries%logEvery == 0 {
			p.cfg.Log.Warn("the sink does not take events; trying again", "err", err, "tries", tries+1)
		}
		p.update(func(s *ProjectorStatus) {
			s.State, s.Err = ProjectorRetrying, err
			s.Failures++
		})
		p.size = max(p.cfg.MinEvents, p.size/2)
		pause(ctx, back.NextBackOff())
	}
}

// errStandby: the sink is another node's by now.
var errStandby = errors.New("persistence: another node carries to this sink")

// standbyLook is how often a projector that is not active asks whether it is.
const standbyLook = 250 * time.Millisecond

// active tells whether to carry.
func (p *Projector) active() bool { return p.cfg.Active == nil || p.cfg.Active() }

// standBy waits until this projector is the active one.
func (p *Projector) standBy(ctx context.Context) {
	if p.active() {
		return
	}
	p.update(func(s *ProjectorStatus) { s.State, s.Err = ProjectorStandby, nil })
	for !p.active() && ctx.Err() == nil {
		p.observe(ctx)
		pause(ctx, standbyLook)
	}
	p.update(func(s *ProjectorStatus) { s.State = ProjectorRunning })
}

// observe takes over how far another node has carried.
func (p *Projector) observe(ctx context.Context) {
	now, last := p.cfg.Now(), p.cfg.Events.Last()
	at, err := p.cfg.Sink.Cursor(ctx)
	if err != nil {
		p.update(func(s *ProjectorStatus) { s.Err = err })
		return
	}
	p.update(func(s *ProjectorStatus) {
		s.Position, s.Err = at, nil
		if at.Seq >= last {
			p.complete = now
		}
	})
	if p.cfg.Moved != nil {
		p.cfg.Moved(at)
	}
}

// project reads the cursor and then writes batch after batch until the first error.
func (p *Projector) project(ctx context.Context) error {
	at, err := p.begin(ctx)
	if err != nil {
		return err
	}
	for {
		p.yield(ctx)
		pause(ctx, p.cfg.Every-p.cfg.Now().Sub(p.begun))
		events, reached, asOf, err := p.gather(ctx, at.Seq)
		if err != nil {
			return err
		}
		if !p.active() {
			return errStandby
		}
		next := Position{Journal: p.cfg.Journal, Seq: reached}
		if len(events) > 0 {
			p.begun = asOf
		}
		if err := p.write(ctx, at, next, events, asOf); err != nil {
			return err
		}
		at = next
	}
}

// watch says that the sink is silent unless the timer is stopped before.
func (p *Projector) watch() *time.Timer {
	return time.AfterFunc(silentAfter, func() {
		p.update(func(s *ProjectorStatus) { s.State, s.Err = ProjectorRetrying, errSilent })
		p.cfg.Log.Warn("the sink does not answer; waiting", "err", errSilent)
	})
}

// yield waits as long as Pace asks for it.
func (p *Projector) yield(ctx context.Context) {
	for p.cfg.Pace != nil && ctx.Err() == nil {
		d := p.cfg.Pace()
		if d <= 0 {
			return
		}
		pause(ctx, min(d, MaxPace))
	}
}

// begin reads the cursor and compares it with the journal.
func (p *Projector) begin(ctx context.Context) (Position, error) {
	alarm := p.watch()
	at, err := p.cfg.Sink.Cursor(ctx)
	if alarm.Stop(); err != nil {
		return at, fmt.Errorf("read the cursor: %w", err)
	}
	b, err := p.cfg.Bounds(ctx)
	if err != nil {
		return at, fmt.Errorf("read the journal's bounds: %w", err)
	}
	switch {
	case at.Journal != "" && at.Journal != p.cfg.Journal:
		return at, &errRefused{ProjectorForeign, fmt.Sprintf("its cursor is of journal %s, this is %s", at.Journal, p.cfg.Journal)}
	case at.Seq > b.Last:
		return at, &errRefused{ProjectorAhead, fmt.Sprintf("its cursor is %d, the journal ends at %d", at.Seq, b.Last)}
	case at.Seq+1 >= b.First:
	case p.cfg.Archive == nil:
		return at, &errRefused{ProjectorBehind, fmt.Sprintf("its cursor is %d, the journal begins at %d", at.Seq, b.First)}
	default:
		return p.catchUp(ctx, at, b.First)
	}
	p.update(func(s *ProjectorStatus) { s.Position = at })
	return at, nil
}

// gather reads at most size events: what is there, and when that is little, what comes within Linger. asOf is a time at
// which nothing durable was missing in what it returns; zero when there is more.
func (p *Projector) gather(ctx context.Context, after Seq) (events []Committed, reached Seq, asOf time.Time, err error) {
	if events, reached, err = p.cfg.Events.Next(ctx, after, p.size); err != nil {
		return nil, after, asOf, fmt.Errorf("read events after %d: %w", after, err)
	}
	for waited := time.Duration(0); ; waited += p.cfg.Linger {
		now := p.cfg.Now()
		for len(events) < p.size && p.cfg.Events.Last() > reached {
			more, to, err := p.cfg.Events.Next(ctx, reached, p.size-len(events))
			if err != nil {
				return nil, after, asOf, fmt.Errorf("read events after %d: %w", reached, err)
			}
			events, reached = append(events, more...), to
		}
		if p.cfg.Events.Last() <= reached {
			asOf = now
		}
		if len(events) >= p.cfg.MinEvents || len(events) > 0 && waited > 0 || waited >= p.cfg.Idle {
			return events, reached, asOf, nil
		}
		if pause(ctx, p.cfg.Linger); ctx.Err() != nil {
			return nil, after, asOf, ctx.Err()
		}
	}
}

func (p *Projector) write(ctx context.Context, at, next Position, events []Committed, asOf time.Time) error {
	start := p.cfg.Now()
	alarm := p.watch()
	err := p.cfg.Sink.Write(ctx, at, next, events)
	if alarm.Stop(); err != nil {
		return fmt.Errorf("write %d events up to %d: %w", len(events), next.Seq, err)
	}
	took := p.cfg.Now().Sub(start)
	p.adapt(took, len(events))
	if asOf.IsZero() && len(events) > 0 {
		asOf = time.UnixMilli(events[len(events)-1].Event.GetAtMs())
	}
	p.update(func(s *ProjectorStatus) {
		if s.State == ProjectorRetrying {
			s.Recoveries++
			p.cfg.Log.Info("the sink takes events again", "cursor", next.Seq)
		}
		s.State, s.Err, s.Position = ProjectorRunning, nil, next
		s.Events += uint64(len(events))
		s.Batches++
		if !asOf.IsZero() {
			p.complete = asOf
		}
	})
	if p.cfg.Moved != nil {
		p.cfg.Moved(next)
	}
	return nil
}

// adapt makes the next batch smaller after a slow one, and larger after a full one.
func (p *Projector) adapt(took time.Duration, events int) {
	p.metrics.write.Observe(took.Seconds())
	switch {
	case took > p.cfg.SlowWrite:
		p.size = max(p.cfg.MinEvents, p.size/2)
	case events >= p.size:
		p.size = min(p.cfg.MaxEvents, p.size*2)
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
