package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	watchEvery     = 500 * time.Millisecond
	silentAppends  = 5                // without an answer, one after the other …
	silentFor      = 10 * time.Second // … for so long: the server is taken for dead although it says nothing is wrong
	restartBackoff = time.Second

	// AlarmAt and StopAt are the watermarks of Health.Pressure: the alarm, and the end of admission. What is left above
	// StopAt belongs to heartbeats, releases and claims.
	AlarmAt = 0.80
	StopAt  = 0.90
)

// Health says how the journal's server stands, for /readyz.
type Health struct {
	Serving      bool
	Reason       string  // why not
	Pressure     float64 // 0–1: how full the journal or its volume is, whichever is fuller
	BasePressure float64 // 0–1: how full SNAP is; full, floors stop and with them the purge
	FreeBytes    int64   // on the volume
	HoursLeft    float64 // until admission stops if the journal grows as in the last minutes and nothing is purged; +Inf when it does not grow
	Restarts     int     // of the server after a write error, in the life of this process
	LastRestart  time.Time
}

// watchdog brings the server back after a write error and measures what is left of the space. A stream that met a write
// error answers nothing for the rest of its server's life, also when the disk is well again.
type watchdog struct {
	home *Embedded

	mu     sync.Mutex
	health Health

	growth      growth        // of run alone
	together    together      // of run alone
	pressure    atomic.Uint64 // Health.Pressure, for admission
	silent      atomic.Int32  // appends without an answer since the last one with
	silentSince atomic.Int64  // Unix nanoseconds
}

func newWatchdog(e *Embedded) *watchdog { return &watchdog{home: e} }

// Health reads how the server stood at the last look, at most half a second ago.
func (e *Embedded) Health() Health {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	return e.watch.health
}

func (w *watchdog) appended(err error) {
	if !isTimeout(err) {
		if w.silent.Load() != 0 {
			w.silent.Store(0)
		}
		return
	}
	if w.silent.Add(1) == 1 {
		w.silentSince.Store(time.Now().UnixNano())
	}
}

func (w *watchdog) put(err error) { w.appended(err) }

func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if reason := w.dead(); reason != "" {
			w.restart(ctx, reason)
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.home.opts.Logger.Warn("jetstream: state of the journal not read", "err", err)
		}
	}
}

func (w *watchdog) dead() string {
	l := w.home.now.Load()
	if l == nil {
		return ""
	}
	if reason := l.unwell(); reason != "" {
		return reason
	}
	silence := time.Since(time.Unix(0, w.silentSince.Load()))
	if n := w.silent.Load(); n >= silentAppends && silence >= silentFor && !w.home.opts.remote() {
		return fmt.Sprintf("%d appends without an answer in %s", n, silence.Round(time.Second))
	}
	return ""
}

// restart replaces the server by a new one over the same directory, after its last blocks were rewritten, and tries until
// it is there.
func (w *watchdog) restart(ctx context.Context, reason string) {
	log := w.home.opts.Logger
	log.Error("jetstream: the journal's server is restarted", "reason", reason)
	w.set(func(h *Health) { h.Serving, h.Reason = false, reason })
	if err := w.distrust(); err != nil {
		log.Error("jetstream: write error not marked; a crash before the restart is done would trust the last blocks", "err", err)
	}
	if l := w.home.now.Swap(nil); l != nil {
		l.close()
	}
	for wait := restartBackoff; ; wait = min(2*wait, 5*restartBackoff) {
		l, err := w.reopen(ctx)
		if err == nil {
			w.silent.Store(0)
			w.home.now.Store(l)
			w.set(func(h *Health) {
				h.Serving, h.Reason, h.LastRestart = true, "", time.Now()
				h.Restarts++
			})
			log.Info("jetstream: the journal's server is back")
			return
		}
		if ctx.Err() != nil {
			return
		}
		log.Warn("jetstream: the journal's server does not come back yet", "err", err)
		w.set(func(h *Health) { h.Reason = err.Error() })
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// distrust marks what the next start may not take for durable; external servers have their own.
func (w *watchdog) distrust() error {
	if w.home.opts.External != nil {
		return nil
	}
	return markUnsound(w.home.opts.Dir)
}

// rewrite makes the last blocks durable.
func (w *watchdog) rewrite() error {
	if w.home.opts.External != nil {
		return nil
	}
	// The marker may be missing when the disk refused even a rename: rewrite all the same.
	for _, stream := range []string{journalStream, baseStream} {
		if err := hardenStream(streamDir(w.home.opts.Dir, stream), true); err != nil {
			return err
		}
	}
	return markSound(w.home.opts.Dir)
}

func (w *watchdog) reopen(ctx context.Context) (*link, error) {
	if err := w.rewrite(); err != nil {
		return nil, err
	}
	l, err := startLink(ctx, w.home.opts)
	if err != nil {
		return nil, err
	}
	if err := w.home.witness.compareNow(ctx, l); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (w *watchdog) set(change func(*Health)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.health)
}

// look measures the space that is left.
func (w *watchdog) look(ctx context.Context) error {
	l := w.home.now.Load()
	if l == nil {
		return nil
	}
	free, err := freeBytes(w.home.opts.Dir)
	if err != nil {
		return err
	}
	w.home.full.Store(free < w.home.opts.MinFree)
	journal, err1 := streamInfo(ctx, l.journal)
	bases, err2 := streamInfo(ctx, l.bases)
	if err := errors.Join(err1, err2); err != nil {
		w.set(func(h *Health) { h.FreeBytes = free })
		return err
	}
	own := journal.State.Bytes + bases.State.Bytes
	pressure := share(journal)
	if w.home.opts.External == nil { // whose volume is another one
		pressure = max(pressure, volumePressure(own, free-w.home.opts.MinFree))
	}
	w.alarm(pressure)
	w.pressure.Store(math.Float64bits(pressure))
	w.set(func(h *Health) {
		h.Serving, h.Reason = true, ""
		h.Pressure, h.BasePressure, h.FreeBytes = pressure, share(bases), free
		h.HoursLeft = w.growth.hoursLeft(time.Now(), own, pressure)
	})
	return w.bringTogether(ctx, l, journal, bases)
}

// growth is how fast the streams grow, what is purged left out: a mean over about growthOver.
type growth struct {
	at     time.Time
	bytes  uint64
	perSec float64
}

const (
	growthOver  = 10 * time.Minute
	growthEvery = 5 * time.Second
)

// hoursLeft takes what is used now into the mean and says how long it lasts until pressure is StopAt.
func (g *growth) hoursLeft(now time.Time, bytes uint64, pressure float64) float64 {
	if g.at.IsZero() {
		g.at, g.bytes = now, bytes
	}
	if past := now.Sub(g.at); past >= growthEvery {
		grown := 0.0
		if bytes > g.bytes {
			grown = float64(bytes - g.bytes)
		}
		part := min(1, past.Seconds()/growthOver.Seconds())
		g.perSec += part * (grown/past.Seconds() - g.perSec)
		g.at, g.bytes = now, bytes
	}
	if g.perSec < 1 || pressure <= 0 {
		return math.Inf(1)
	}
	return max(0, float64(bytes)*(StopAt/pressure-1)) / g.perSec / 3600
}

func (w *watchdog) alarm(pressure float64) {
	before := w.home.Health().Pressure
	for _, mark := range []float64{AlarmAt, StopAt} {
		if before < mark && pressure >= mark {
			w.home.opts.Logger.Warn("jetstream: the journal fills up", "pressure", pressure, "watermark", mark)
		}
	}
}

func share(info *jetstream.StreamInfo) float64 {
	if info.Config.MaxBytes <= 0 {
		return 0
	}
	return float64(info.State.Bytes) / float64(info.Config.MaxBytes)
}

// volumePressure is the share of the space that the streams could have which they already use.
func volumePressure(own uint64, usable int64) float64 {
	if usable <= 0 {
		return 1
	}
	return float64(own) / (float64(own) + float64(usable))
}

// Pressure is how full the journal is, 0–1, at the last look: stop admission at StopAt. It costs one atomic load.
func (e *Embedded) Pressure() float64 { return math.Float64frombits(e.watch.pressure.Load()) }
