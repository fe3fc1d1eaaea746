package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"maitred/persistence"
)

// Embedded is a JetStream server in this process over one directory, with journal and bases in it; with Options.External, the same of servers
// that are not in this process, and what this one knows of them.
type Embedded struct {
	opts    Options
	lock    *os.File
	journal *Journal
	bases   *Bases
	witness *witness
	watch   *watchdog
	full    atomic.Bool // too little space on the volume to send anything

	now    atomic.Pointer[link] // nil while the server restarts, and after Close
	closed atomic.Bool
	stop   context.CancelFunc
	done   sync.WaitGroup
	once   sync.Once
}

// errRestarting: the server is being restarted after a write error. Calls may be repeated.
var errRestarting = errors.New("jetstream: the journal's server is restarting")

// Open locks o.Dir, makes its tail durable, starts the server, asserts how it is set, and compares the journal with its
// witnesses. ErrLocked, *RegressedError or a sentence say why not.
func Open(ctx context.Context, o Options) (*Embedded, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("jetstream: data directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{opts: o, lock: lock}
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Embedded) open(ctx context.Context) error {
	o := e.opts
	e.journal, e.bases = &Journal{home: e}, &Bases{home: e}
	e.witness, e.watch = newWitness(e), newWatchdog(e)
	if !o.Unsafe.AnyFS {
		if err := checkFS(o.Dir); err != nil {
			return err
		}
	}
	if err := checkMarks(o.Dir, o); err != nil {
		return err
	}
	if err := checkMode(o.Dir, o.mode()); err != nil {
		return err
	}
	if o.External == nil {
		if err := hardenTail(o.Dir); err != nil {
			return err
		}
	}
	l, err := startLink(ctx, o)
	if err != nil {
		return err
	}
	e.now.Store(l)
	starting, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	err = patiently(starting, o, "compare the journal with its witnesses", func(ctx context.Context) error {
		if err := e.witness.compare(ctx, l); err != nil {
			return err
		}
		return e.watch.look(ctx)
	})
	if err == nil {
		err = e.bases.survey(starting)
	}
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.done.Go(func() { e.witness.run(background) })
	if !o.Unsafe.NoWatchdog {
		e.done.Go(func() { e.watch.run(background) })
	}
	return nil
}

// Journal is the stream JOURNAL. Closing it does not stop the server.
func (e *Embedded) Journal() *Journal { return e.journal }

// Bases is the bucket SNAP.
func (e *Embedded) Bases() *Bases { return e.bases }

// Cursors is the bucket CURSORS.
func (e *Embedded) Cursors() *Cursors { return &Cursors{home: e} }

// Leader is the name of the server that leads the journal, by its own word; empty when nobody does, or nobody says so in time.
func (e *Embedded) Leader(ctx context.Context) string {
	return e.leader(ctx, func(l *link) jetstream.Stream { return l.journal })
}

// BasesLeader is Leader of the bases. It follows the journal's (together).
func (e *Embedded) BasesLeader(ctx context.Context) string {
	return e.leader(ctx, func(l *link) jetstream.Stream { return l.bases })
}

func (e *Embedded) leader(ctx context.Context, of func(*link) jetstream.Stream) string {
	l, err := e.current()
	if err != nil {
		return ""
	}
	if !e.opts.remote() {
		return e.opts.Name
	}
	info, err := of(l).Info(ctx)
	switch {
	case err != nil:
		return ""
	case info.Cluster == nil: // one external server
		return l.reads.ConnectedServerName()
	}
	return info.Cluster.Leader
}

// Close stops the server and gives up the directory. Idempotent.
func (e *Embedded) Close() error {
	var err error
	e.once.Do(func() {
		e.closed.Store(true)
		if e.stop != nil {
			e.stop()
		}
		e.done.Wait()
		if l := e.now.Swap(nil); l != nil {
			l.close()
		}
		err = e.lock.Close() // releases the flock
	})
	if err != nil {
		return fmt.Errorf("jetstream: give up the lock: %w", err)
	}
	return nil
}

// current is the link to use now.
func (e *Embedded) current() (*link, error) {
	if l := e.now.Load(); l != nil {
		return l, nil
	}
	if e.closed.Load() {
		return nil, persistence.ErrClosed
	}
	return nil, fmt.Errorf("%w: %w", persistence.ErrUnknown, errRestarting)
}
