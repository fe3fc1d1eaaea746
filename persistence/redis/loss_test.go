package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// tape is a history as a projector reads it. More of it can be published later.
type tape struct {
	frames persistencetest.Frames
	last   atomic.Uint64
}

func (s *tape) Last() persistence.Seq { return persistence.Seq(s.last.Load()) }

func (s *tape) Next(ctx context.Context, after persistence.Seq, most int) (events []persistence.Committed, reached persistence.Seq, err error) {
	for reached = after; reached < s.Last() && len(events) < most; reached++ {
		events = append(events, s.frames[reached]...)
	}
	return events, reached, ctx.Err()
}

// carry starts a projector over the first frames of a history. It ends with the test.
func carry(t testing.TB, s *Sink, frames persistencetest.Frames, last persistence.Seq, change ...func(*persistence.ProjectorConfig)) (*persistence.Projector, *tape) {
	t.Helper()
	source := &tape{frames: frames}
	source.last.Store(uint64(last))
	cfg := persistence.ProjectorConfig{
		Name: SinkName, Journal: journal, Events: source, Sink: s, MinEvents: 5, MaxEvents: 20, Linger: time.Millisecond, Idle: 5 * time.Millisecond,
		Retry: time.Millisecond, SlowWrite: time.Minute, Log: s.o.Log,
		Bounds: func(ctx context.Context) (persistence.Bounds, error) {
			return persistence.Bounds{First: 1, Last: persistence.Seq(len(frames))}, ctx.Err()
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	p := persistence.NewProjector(cfg)
	p.Start()
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, source
}

func finish(t testing.TB, p *persistence.Projector, to persistence.Seq) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, p.Wait(ctx, to), "the projector says: %v", p.Status().Err)
}

// eventuallyLoaded waits until Redis holds the fold again, and goes on holding it through one more write.
func eventuallyLoaded(t testing.TB, b *backend, p *persistence.Projector, n naive) {
	t.Helper()
	want := lines(n.contents(defaultRetain), true)
	require.Eventually(t, func() bool {
		return lines(b.contents(t), true) == want && p.Status().State == persistence.ProjectorRunning
	},
		20*time.Second, 5*time.Millisecond, "the projector says: %v", p.Status().Err)
	before := p.Status().Batches
	require.Eventually(t, func() bool { return p.Status().Batches > before+2 }, 10*time.Second, time.Millisecond, "an idle projector writes")
	requireLoaded(t, b, n)
}

// step fails a client's n-th call, or does something at it.
type step struct {
	left atomic.Int64
	do   func(ctx context.Context, call func() error) error
}

func (s *step) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (s *step) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		call := func() error { return next(ctx, cmd) }
		if s.left.Add(-1) != -1 {
			return call()
		}
		err := s.do(ctx, call)
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (s *step) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		call := func() error { return next(ctx, cmds) }
		if s.left.Add(-1) != -1 {
			return call()
		}
		err := s.do(ctx, call)
		if err != nil && !errors.Is(err, goredis.Nil) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// stepping is a client with a step that is far away.
func (b *backend) stepping(t testing.TB) (*Client, *step) {
	t.Helper()
	c, s := b.client(t), &step{}
	s.left.Store(1 << 60)
	c.db.AddHook(s)
	return c, s
}

// A write that stops at any of its calls, before or after the server has done it, leaves what the next try makes whole.
func TestStoppedAtEveryStep(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		for name, do := range map[string]func(ctx context.Context, call func() error) error{
			"before": func(context.Context, func() error) error { return errLost },
			"after":  func(_ context.Context, call func() error) error { return errors.Join(errLost, call()) },
		} {
			stops := int64(0)
			for ; ; stops++ {
				b.flush(t)
				frames, cursors, loads := history(11, 60), &memory.Cursors{}, 0
				c, step := b.stepping(t)
				s := sinkOf(t, c, cursors, from(&states{page: func(string) error {
					loads++
					return nil
				}}))
				write(t, s, frames, 30, dice(3), nil)
				step.do = do
				step.left.Store(stops)
				err := s.Write(t.Context(), at(30), at(60), frames.Events(30, 60))
				if err == nil {
					break
				}
				require.ErrorIs(t, err, errLost, "%s step %d", name, stops)
				write(t, s, frames, 60, dice(4), nil)
				requireHolds(t, b, folded(frames, 60), "%s step %d", name, stops)
				require.Equal(t, 1, loads, "%s step %d: what is missing is written, not loaded", name, stops)
			}
			require.Greater(t, stops, int64(3), "too few places were tried")
		}
	})
}

// The context ends within each call of a write.
func TestCancelledAtEveryStep(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, cursors := history(12, 100), &memory.Cursors{}
		c, step := b.stepping(t)
		s := sinkOf(t, c, cursors)
		write(t, s, frames, 30, dice(3), nil)
		for n := range int64(4) {
			ctx, cancel := context.WithCancel(t.Context())
			step.do = func(_ context.Context, call func() error) error {
				cancel()
				return call()
			}
			step.left.Store(n)
			_, old := begun(t, s)
			require.ErrorIs(t, s.Write(ctx, old, at(old.Seq+10), frames.Events(old.Seq, old.Seq+10)), context.Canceled)
			cancel()
			write(t, s, frames, old.Seq+10, dice(4), nil)
			requireHolds(t, b, folded(frames, old.Seq+10))
		}
	})
}

// All connections are cut, again and again, while the sink writes.
func TestConnectionsAreCut(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, knives := history(3, 100), []*goredis.Client{}
		var cuts atomic.Int64 // a call that connects anew calls within itself, so two cuts may overlap
		for i := range b.nodes {
			knives = append(knives, b.node(t, i))
		}
		c, step := b.stepping(t)
		step.do = func(ctx context.Context, call func() error) error {
			step.left.Store(2 + cuts.Load()%5)
			cut := make(chan error, 1)
			go func() { // beside the call
				var err error
				for _, k := range knives {
					n, killed := k.ClientKillByFilter(context.Background(), "TYPE", "normal", "SKIPME", "yes").Result()
					cuts.Add(n)
					err = errors.Join(err, killed)
				}
				cut <- err
			}()
			return errors.Join(call(), <-cut)
		}
		step.left.Store(7)
		s := sinkOf(t, c, &memory.Cursors{})
		p, _ := carry(t, s, frames, 100)
		finish(t, p, 100)
		require.NoError(t, p.Close())
		require.Greater(t, cuts.Load(), int64(10))
		requireHolds(t, b, folded(frames, 100))
	})
}

// followed makes a source stand at a sequence, with states that are of that time or any later one.
func followed(t testing.TB, source *states, frames persistencetest.Frames, seq persistence.Seq) {
	t.Helper()
	source.set(sourceAt(t, frames, seq, dice(uint64(seq))))
}

// Emptied while it writes, all of it or one master of a cluster: whole again, without restart.
func TestEmptiedWhileItWrites(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source, rng := history(21, 300), &states{}, dice(21)
		c, step := b.stepping(t)
		s := sinkOf(t, c, &memory.Cursors{}, from(source))
		p, tape := carry(t, s, frames, 1)
		for seq := persistence.Seq(30); seq <= 300; seq += 30 {
			behind := persistence.Seq(rng.IntN(30))
			followed(t, source, frames[:seq], max(seq, behind)-behind)
			only := []int{rng.IntN(3)}
			if b == single || rng.IntN(2) == 0 {
				only = nil
			}
			flushed := make(chan struct{})
			step.do = func(_ context.Context, call func() error) error {
				err := call()
				b.flush(t, only...)
				close(flushed)
				return err
			}
			tape.last.Store(uint64(seq))
			step.left.Store(rng.Int64N(12))
			<-flushed
			require.Eventually(t, func() bool { return p.Status().Position.Seq == seq && p.Status().State == persistence.ProjectorRunning }, 20*time.Second, time.Millisecond)
			eventuallyLoaded(t, b, p, folded(frames, seq))
		}
	})
}

func TestEmptiedWhileIdle(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(22, 150), &states{}
		s := sinkOf(t, b.client(t), &memory.Cursors{}, from(source))
		p, _ := carry(t, s, frames, 150)
		finish(t, p, 150)
		followed(t, source, frames, 140)
		b.flush(t)
		eventuallyLoaded(t, b, p, folded(frames, 150))
		for i := range b.nodes { // one master alone
			b.flush(t, i)
			eventuallyLoaded(t, b, p, folded(frames, 150))
		}
	})
}

// A server is killed and comes back empty.
func TestKilledWhileItWrites(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		frames, source := history(23, 200), &states{}
		c, step := b.stepping(t)
		s := sinkOf(t, c, &memory.Cursors{}, from(source))
		p, tape := carry(t, s, frames, 100)
		finish(t, p, 100)
		followed(t, source, frames, 90)
		dead := make(chan error, 1)
		step.do = func(_ context.Context, call func() error) error {
			dead <- b.nodes[0].Kill(context.Background())
			return call()
		}
		step.left.Store(2)
		tape.last.Store(200)
		require.NoError(t, <-dead)
		require.Eventually(t, func() bool { return p.Status().State == persistence.ProjectorRetrying }, 20*time.Second, time.Millisecond)
		b.again(t, 0)
		finish(t, p, 200)
		eventuallyLoaded(t, b, p, folded(frames, 200))
	})
}

// relay stands before a server and can be led to another one: a failover as a client sees it.
type relay struct {
	addr  string
	chunk int // bytes of the client that go on at once

	mu     sync.Mutex
	target string
	conns  []net.Conn
}

func newRelay(t testing.TB, target string, chunk int) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{addr: l.Addr().String(), chunk: chunk, target: target}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.lead("")
		all.Wait()
	})
	return r
}

func (r *relay) serve(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	s, err := net.Dial("tcp", r.target)
	if err == nil {
		r.conns = append(r.conns, c, s)
	}
	r.mu.Unlock()
	if err != nil {
		return
	}
	defer s.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(c, s)
		_ = c.Close()
		close(done)
	}()
	_, _ = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{c}, make([]byte, r.chunk))
	_ = s.Close()
	<-done
}

// lead ends all connections; the next ones go to target.
func (r *relay) lead(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// replica starts a server that copies the one of b, which is behind a relay now.
func replica(t testing.TB, b *backend) (*backend, *relay) {
	t.Helper()
	r, err := dev.StartRedis(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	copied := &backend{name: "replica", nodes: []*dev.Redis{r}}
	for _, b := range []*backend{b, copied} {
		require.NoError(t, b.node(t, 0).ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err())
	}
	host, port, err := net.SplitHostPort(b.nodes[0].Addr)
	require.NoError(t, err)
	require.NoError(t, copied.node(t, 0).ReplicaOf(t.Context(), host, port).Err())
	return copied, newRelay(t, b.nodes[0].Addr, 32<<10)
}

// promote waits until the replica has everything that its master has now, and makes it a master.
func promote(t testing.TB, b, copied *backend) {
	t.Helper()
	want := text(b.contents(t))
	require.Eventually(t, func() bool { return text(copied.contents(t)) == want }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, copied.node(t, 0).ReplicaOf(t.Context(), "no", "one").Err())
}

// A replica without the tail takes over at any step of a write: what it has lost is written again.
func TestFailoverWhileItWrites(t *testing.T) {
	b := single.empty(t)
	copied, r := replica(t, b)
	for n := int64(0); ; n++ {
		host, port, _ := net.SplitHostPort(b.nodes[0].Addr)
		require.NoError(t, copied.node(t, 0).ReplicaOf(t.Context(), host, port).Err())
		r.lead(b.nodes[0].Addr)
		b.flush(t)
		frames, cursors, source := history(31, 60), &memory.Cursors{}, &states{}
		c, step := open(t, Options{Addrs: []string{r.addr}}), &step{}
		step.left.Store(1 << 60)
		c.db.AddHook(step)
		s := sinkOf(t, c, cursors, from(source))
		write(t, s, frames, 30, dice(1), nil)
		source.set(sourceAt(t, frames, 20, nil))
		promote(t, b, copied)
		led := false
		step.do = func(_ context.Context, call func() error) error {
			r.lead(copied.nodes[0].Addr)
			led = true
			return call()
		}
		step.left.Store(n)
		err := s.Write(t.Context(), at(30), at(60), frames.Events(30, 60))
		if !led {
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, int64(4))
			return
		}
		if err == nil {
			require.Zero(t, n, "only a write that began after it can go on")
		}
		write(t, s, frames, 60, dice(2), nil)
		requireLoaded(t, copied, folded(frames, 60), "at step %d", n)
	}
}

// The tail is lost while nobody writes: the marker says so.
func TestFailoverWhileIdle(t *testing.T) {
	b := single.empty(t)
	copied, r := replica(t, b)
	frames, cursors, source := history(32, 60), &memory.Cursors{}, &states{}
	s := sinkOf(t, open(t, Options{Addrs: []string{r.addr}}), cursors, from(source))
	write(t, s, frames, 30, dice(1), nil)
	promote(t, b, copied)
	write(t, s, frames, 60, dice(2), nil)
	source.set(sourceAt(t, frames, 50, nil))
	r.lead(copied.nodes[0].Addr)
	p, _ := carry(t, s, frames, 60)
	eventuallyLoaded(t, copied, p, folded(frames, 60))
}

// A replica takes over in the middle of a load, without the restaurants that were loaded meanwhile: the load was in vain.
func TestFailoverWhileItLoads(t *testing.T) {
	b := single.empty(t)
	copied, r := replica(t, b)
	frames, cursors := history(33, 60), &memory.Cursors{}
	source := sourceAt(t, frames, 60, nil)
	s := sinkOf(t, open(t, Options{Addrs: []string{r.addr}}), cursors, from(slow{source, 1}))
	pages := 0
	source.page = func(string) error {
		switch pages++; pages {
		case 1:
			promote(t, b, copied)
		case 3:
			r.lead(copied.nodes[0].Addr)
		}
		return nil
	}
	require.ErrorIs(t, s.Rebuild(t.Context()), errNotWhole)
	source.page = nil
	require.NoError(t, s.Rebuild(t.Context()))
	requireLoaded(t, copied, folded(frames, 60))
}

// slow is a source whose pages are short.
type slow struct {
	*states
	limit int
}

func (s slow) Restaurants(ctx context.Context, after string, limit int) ([]persistence.AggregateState, string, error) {
	return s.states.Restaurants(ctx, after, min(limit, s.limit))
}
