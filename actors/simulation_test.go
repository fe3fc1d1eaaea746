package actors

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// The simulation drives a whole House in a bubble of testing/synctest: clients, crashes and a journal that fails in every
// way, all drawn from one seed. What clients were told is then compared with the journal by a checker that knows no engine.

const (
	simTables = 3
	simSteps  = 160
)

var simMinutes = [...]int{12 * 60, 13 * 60, 19 * 60}

// simOp is one wish of a client, with everything it was told. One key, and an id of its own for each try.
type simOp struct {
	n          int
	restaurant engine.AggregateID
	cancels    *simOp // nil = a reservation
	minute     int

	busy    bool // a try is on its way
	tries   int
	unknown bool // a try may have been done
	done    bool // acknowledged
	refused engine.Code
	made    engine.ReservationID
}

// simRefusal is an answer that says that no table is free.
type simRefusal struct {
	op       *simOp
	from, to persistence.Seq // end of the journal at the question and at the answer
	held     bool            // some prefix between them had no table free
}

type sim struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand // the driver's
	counts map[string]int

	mu      sync.Mutex // of what follows
	faults  *rand.Rand // the journal's
	rates   [memory.Full + 1]float64
	slow    float64
	away    bool
	doom    chan struct{} // crash now: an append is on its way
	quiet   bool
	bad     string
	epoch   int // of the process
	journal *memory.Journal
	bases   *memory.Bases

	house  *House
	cfg    Config
	offset time.Duration // of the wall clock
	begun  time.Time
	ids    []engine.AggregateID
	ops    []*simOp
	full   []*simRefusal
	gone   sync.WaitGroup // processes that crashed, and calls
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), faults: rand.New(rand.NewPCG(seed, 2)), counts: map[string]int{},
		begun: time.Now(), quiet: true, doom: make(chan struct{}, 1),
	}
	for k := memory.Lost; k <= memory.Full; k++ {
		if s.rng.IntN(2) == 0 {
			s.rates[k] = 0.12 * s.rng.Float64()
		}
	}
	if s.rng.IntN(2) == 0 {
		s.slow = 0.1
	}
	s.journal = memory.NewJournal(s.journalOptions())
	s.bases = memory.NewBases(s.basesOptions())
	s.cfg = Config{
		Node: "n1", Partitions: 4, Now: s.now, Boottime: func() time.Duration { return time.Since(s.begun) },
		IdleAfter: time.Duration(1+s.rng.IntN(20)) * time.Second, PassivateAll: s.rng.IntN(4) == 0 || passivateAll,
		SweepGrid: time.Second, BaseAge: time.Duration(1+s.rng.IntN(20)) * time.Second,
	}
	return s
}

func (s *sim) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.UnixMilli(int64(day-3) * 86_400_000).Add(time.Since(s.begun) + s.offset)
}

func (s *sim) journalOptions() memory.Options {
	return memory.Options{OnAppend: s.onAppend, Latency: s.latency}
}

func (s *sim) basesOptions() memory.BasesOptions {
	return memory.BasesOptions{OnPut: func(persistence.Base) memory.Fault { return s.draw(false) }}
}

func (s *sim) onAppend(memory.Append) memory.Fault { return s.draw(true) }

func (s *sim) draw(journal bool) memory.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet {
		return memory.Fault{}
	}
	if s.away {
		s.counts["journal away"]++
		return memory.Fault{Kind: memory.Lost}
	}
	for k := memory.Lost; k <= memory.Full; k++ {
		rate, name := s.rates[k], k.String()
		if !journal {
			rate, name = 3*rate, "base "+name // there are fewer of them
		}
		if s.faults.Float64() < rate && (journal || k != memory.Late) {
			s.counts[name]++
			if journal && k == memory.Late && s.faults.IntN(3) == 0 {
				time.AfterFunc(4*time.Millisecond, func() { // it is on its way by then, and not yet tried again
					select {
					case s.doom <- struct{}{}:
					default:
					}
				})
			}
			return memory.Fault{Kind: k, After: s.faults.IntN(4)}
		}
	}
	return memory.Fault{}
}

func (s *sim) latency(int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := time.Duration(s.faults.IntN(2000)) * time.Microsecond
	if !s.quiet && s.faults.Float64() < s.slow {
		s.counts["slow"]++
		d += time.Duration(s.faults.IntN(3000)) * time.Millisecond
	}
	return d
}

func (s *sim) fail(op *simOp, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad == "" {
		s.bad = what
		s.t.Errorf("SEED=%d: %s: %+v", s.seed, what, op)
	}
}

// open starts a process on what is durable.
func (s *sim) open() {
	s.cfg.Journal, s.cfg.Bases, s.cfg.Feed = s.journal, s.bases, persistence.NewFeed(s.journal, 1<<20)
	s.cfg.Metrics = NewMetrics()
	var err error
	for range 50 {
		var h *House
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		h, err = Open(ctx, s.cfg)
		cancel()
		if err == nil {
			s.house = h
			return
		}
		s.mu.Lock()
		s.away = false
		s.mu.Unlock()
	}
	s.t.Fatalf("SEED=%d: the house does not open: %v", s.seed, err)
}

// crash ends the process: whoever waits for it never gets an answer, and only what is durable stays.
func (s *sim) crash() {
	late := s.journal.Deliver()
	s.mu.Lock()
	s.counts["crash"]++
	s.counts["late append after a crash"] += late
	s.epoch++
	for _, op := range s.ops {
		if op.busy {
			op.busy, op.unknown = false, true
			s.counts["crash with calls open"]++
		}
	}
	s.mu.Unlock()
	s.bases = s.bases.Snapshot(s.basesOptions())
	s.journal = s.journal.Reopen(s.journalOptions())
	old := s.house
	s.gone.Go(func() { _ = old.Close() })
	s.open()
}

// try sends an op (again) and writes down what came of it, unless the process is gone by then.
func (s *sim) try(op *simOp, patience time.Duration) {
	s.mu.Lock()
	op.busy = true
	from := s.end()
	epoch, house := s.epoch, s.house
	cmd := s.command(op)
	again := op.done
	made := op.made
	op.tries++
	s.mu.Unlock()
	s.gone.Go(func() {
		out, err := house.Do(op.restaurant, cmd, time.Now().Add(patience))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch != epoch {
			return
		}
		op.busy = false
		switch {
		case err == ErrUnknownOutcome:
			op.unknown = true
			s.counts["unknown outcome"]++
		case err != nil:
			s.counts["unavailable"]++
		case out.Code == engine.CodeCreated || out.Code == engine.CodeOK:
			op.done, op.made = true, out.Reservation.ID
			s.counts["acknowledged"]++
			if out.Replayed {
				s.counts["replayed"]++
			}
			if again && (!out.Replayed || out.Reservation.ID != made) {
				s.bad = "a retry got another answer"
				s.t.Errorf("SEED=%d: %s: %+v", s.seed, s.bad, op)
			}
		default:
			op.refused = out.Code
			s.counts["refused"]++
			if out.Code == engine.CodeSlotUnavailable {
				s.full = append(s.full, &simRefusal{op: op, from: from, to: s.end()})
			}
			if again {
				s.bad = "a retry of what was done is refused"
				s.t.Errorf("SEED=%d: %s: %+v", s.seed, s.bad, op)
			}
		}
	})
}

// end is the end of the journal.
func (s *sim) end() persistence.Seq {
	b, _ := s.journal.Bounds(context.Background())
	return b.Last
}

func (s *sim) command(op *simOp) *engine.Command {
	c := &engine.Command{Caller: guest}
	binary.LittleEndian.PutUint64(c.Key[:], uint64(op.n)|1<<50)
	c.Payload = c.Key
	if op.cancels != nil {
		c.Body = &engine.Transition{ID: op.cancels.made, Action: engine.ActionCancel}
		return c
	}
	c.Body = reservation(op.restaurant, uint64(op.n)<<16|uint64(op.tries), op.minute)
	return c
}

// step does one thing.
func (s *sim) step() {
	switch n := s.rng.IntN(100); {
	case n < 40:
		s.begin()
	case n < 55:
		s.again()
	case n < 65:
		s.read()
	case n < 70:
		s.passivate()
	case n < 73:
		s.crash()
	case n < 75:
		s.mu.Lock()
		s.away = !s.away
		s.mu.Unlock()
	case n < 77:
		s.counts["clock step"]++
		s.mu.Lock()
		s.offset += time.Duration(s.rng.IntN(7_200_000)-1_800_000) * time.Millisecond
		if s.rng.IntN(20) == 0 {
			s.offset += 84 * time.Hour
		}
		s.mu.Unlock()
	default:
		select {
		case <-time.After(time.Duration(s.rng.ExpFloat64() * float64(300*time.Millisecond))): // by the bubble's clock
		case <-s.doom:
			s.crash()
		}
	}
	synctest.Wait()
}

// begin sends something new: a reservation, or the cancellation of one.
func (s *sim) begin() {
	op := &simOp{n: len(s.ops), restaurant: s.ids[s.rng.IntN(len(s.ids))], minute: simMinutes[s.rng.IntN(len(simMinutes))]}
	if of := s.pick(func(o *simOp) bool { return o.done && o.cancels == nil }); of != nil && s.rng.IntN(4) == 0 {
		op.restaurant, op.cancels = of.restaurant, of
	}
	s.ops = append(s.ops, op)
	s.try(op, time.Duration(200+s.rng.IntN(6000))*time.Millisecond)
}

// again repeats an op with its key, whatever became of it.
func (s *sim) again() {
	if op := s.pick(func(o *simOp) bool { return !o.busy && o.refused == 0 }); op != nil {
		s.try(op, time.Duration(200+s.rng.IntN(6000))*time.Millisecond)
	}
}

func (s *sim) pick(fit func(*simOp) bool) *simOp {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*simOp
	for _, op := range s.ops {
		if fit(op) {
			list = append(list, op)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[s.rng.IntN(len(list))]
}

func (s *sim) passivate() {
	id := s.ids[s.rng.IntN(len(s.ids))]
	if hd, ok := s.house.handles.Load(id); ok {
		h := s.house
		s.gone.Go(func() {
			h.passivate(hd)
			if now, ok := h.handles.Load(id); !ok || now != hd {
				s.mu.Lock()
				s.counts["passivated"]++
				s.mu.Unlock()
			}
		})
	}
}

// simulate is one seed.
func simulate(t *testing.T, seed uint64) *sim {
	var s *sim
	synctest.Test(t, func(t *testing.T) {
		s = newSim(t, seed)
		s.open()
		s.setup()
		s.mu.Lock()
		s.quiet = false
		s.mu.Unlock()
		for range simSteps {
			s.step()
		}
		s.finish()
		require.NoError(t, s.house.Close())
		s.gone.Wait()
		s.verify()
	})
	return s
}

func (s *sim) setup() {
	w := &world{t: s.t, house: s.house}
	for n := range uint64(2) {
		s.ids = append(s.ids, w.restaurant(n+1, simTables))
	}
}

// finish ends the faults and lets every client learn what became of what it was not told.
func (s *sim) finish() {
	s.mu.Lock()
	s.quiet, s.away = true, false
	s.mu.Unlock()
	for i := 0; !s.house.Status().Serving; i++ {
		require.Less(s.t, i, 600, "SEED=%d: the house does not serve again: %s", s.seed, s.house.Status().Reason)
		<-time.After(100 * time.Millisecond) // by the bubble's clock
	}
	<-time.After(15 * time.Second) // whoever waits has been answered
	synctest.Wait()
	for _, op := range s.ops {
		if op.busy {
			s.fail(op, "a call was never answered")
		}
		if op.unknown && !op.done {
			s.try(op, 10*time.Second)
			<-time.After(time.Second)
			synctest.Wait()
		}
	}
	for _, id := range s.ids {
		_, err := s.house.View(id, time.Now().Add(10*time.Second))
		require.NoError(s.t, err, "SEED=%d: %s cannot be read after the last fault", s.seed, id)
	}
	s.read()
	synctest.Wait()
}

func quietLog(t *testing.T) {
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
}

// Whatever fails: nothing acknowledged is lost, nothing is done twice, no table is given to two parties at any time, and
// refusals and reads were true. MAITRED_SIM_SEED replays one seed: the same commands and faults; who goes first among those
// that wake at the same instant stays with the scheduler, so that a rare seed needs a few repetitions (-count).
// MAITRED_SIM_SEEDS is how many.
func TestSimulation(t *testing.T) {
	quietLog(t)
	if seed := envInt("MAITRED_SIM_SEED", -1); seed >= 0 {
		s := simulate(t, uint64(seed))
		t.Log(s.counts)
		return
	}
	seeds := envInt("MAITRED_SIM_SEEDS", 100)
	total := map[string]int{}
	began := time.Now()
	for seed := range uint64(seeds) {
		for k, n := range simulate(t, seed).counts {
			total[k] += n
		}
		if t.Failed() {
			t.Fatalf("replay with MAITRED_SIM_SEED=%d", seed)
		}
	}
	t.Logf("%d seeds in %v", seeds, time.Since(began).Round(time.Millisecond))
	for _, k := range []string{
		"lost", "lost ack", "late", "conflict", "stored conflict", "full", "base lost", "base lost ack", "base conflict", "base stored conflict",
		"base full", "slow", "journal away", "crash", "crash with calls open", "passivated", "clock step", "no-show by timer",
		"acknowledged", "replayed", "refused", "full house", "unknown outcome", "unavailable", "strong read", "late append after a crash",
	} {
		t.Logf("%-26s %d", k, total[k])
		require.Positive(t, total[k], "%s never took effect", k)
	}
}
