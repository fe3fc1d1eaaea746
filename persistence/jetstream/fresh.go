package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"maitred/persistence"
)

// Progress is told now and then how much of what is done, of how many in all.
type Progress func(what string, done, all uint64)

func (p Progress) tell(what string, done, all uint64) {
	if p != nil {
		p(what, done, all)
	}
}

const (
	freshStart  = 2 * time.Minute // for servers that one process starts at once
	freshSettle = 5 * time.Minute // until every server has everything
	freshLook   = 50 * time.Millisecond
)

// fresh are the directories of a journal that is being made: of one server that stands alone, or of all servers of a cluster, which
// run in this process until it is whole. Each is marked until then, so that nobody serves a part of it.
type fresh struct {
	all  []*Embedded
	dirs []string
}

// ClusterOptions are the options of a new cluster's servers, which this process runs all of: name is that of their cluster, base what
// they have in common, and each has a directory of its node's name under base.Dir.
func ClusterOptions(name, secret string, nodes []string, base Options) ([]Options, error) {
	ports, err := freeLoopback(len(nodes))
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, port := range ports {
		routes = append(routes, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	all := make([]Options, len(nodes))
	for i, node := range nodes {
		if !persistence.ValidName(node) {
			return nil, fmt.Errorf("jetstream: %q is not the name of a node", node)
		}
		o := base
		o.Name, o.Dir, o.Replicas = node, filepath.Join(base.Dir, node), replicas
		o.Cluster = &Cluster{Name: name, Host: "127.0.0.1", Port: ports[i], Routes: routes, Secret: secret}
		all[i] = o
	}
	return all, nil
}

// freeLoopback finds ports of the loopback that nobody listens on now.
func freeLoopback(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("jetstream: look for a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// makeFresh makes the directories and starts their servers. None may hold a journal.
func makeFresh(ctx context.Context, to []Options) (*fresh, error) {
	if len(to) != 1 && len(to) != replicas {
		return nil, fmt.Errorf("jetstream: a journal is made for one node or for %d, not for %d", replicas, len(to))
	}
	f := &fresh{all: make([]*Embedded, len(to))}
	for i := range to {
		to[i].making = true
		if err := prepareFresh(to[i].Dir); err != nil {
			return nil, err
		}
		f.dirs = append(f.dirs, to[i].Dir)
	}
	ctx, cancel := context.WithTimeout(ctx, freshStart)
	defer cancel()
	errs := make([]error, len(to))
	var wg sync.WaitGroup
	for i, o := range to {
		wg.Go(func() { f.all[i], errs[i] = Open(ctx, o) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func prepareFresh(dir string) error {
	for _, there := range []string{storeDir(dir), filepath.Join(dir, partialFile)} {
		if _, err := os.Stat(there); err == nil {
			return fmt.Errorf("jetstream: %s holds a journal already, or a part of one: remove it or name another directory", dir)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("jetstream: make data directory: %w", err)
	}
	return mark(dir, partialFile)
}

// first is the server by way of which everything is written.
func (f *fresh) first() *Embedded { return f.all[0] }

// bulk fills one of the streams.
func (f *fresh) bulk(ctx context.Context, stream string) (*bulk, error) {
	l, err := f.first().current()
	if err != nil {
		return nil, err
	}
	next, err := nextOf(ctx, l, stream)
	if err != nil {
		return nil, err
	}
	return newBulk(l, next)
}

func (f *fresh) setCursors(ctx context.Context, all map[string]persistence.Position) (n int, err error) {
	to := f.first().Cursors()
	for sink, at := range all {
		if err := to.Move(ctx, sink, persistence.Position{}, at); err != nil {
			return n, fmt.Errorf("set the cursor of %s: %w", sink, err)
		}
		n++
	}
	return n, nil
}

// putBase adds a base to the bucket, at its next revision.
func (f *fresh) putBase(ctx context.Context, b *bulk, base persistence.Base) error {
	subject, err := baseSubject(base.ID)
	if err != nil {
		return err
	}
	seq, err := b.add(ctx, subject, headerOf(base.BaseHeader), base.State)
	if err != nil {
		return err
	}
	bases := f.first().bases
	bases.versions.Add(uint64(base.Version)) // as Put does
	bases.revision.Store(seq)
	return nil
}

// finish waits until every server has everything, lets each remember that, runs beside for each directory, stops the servers, and takes
// the marks away when all of it is on the disk.
func (f *fresh) finish(ctx context.Context, beside func(dir string) error) error {
	if err := f.settled(ctx); err != nil {
		return err
	}
	for _, e := range f.all {
		if err := e.remember(ctx); err != nil {
			return err
		}
	}
	if err := f.close(); err != nil {
		return err
	}
	for _, dir := range f.dirs {
		if beside != nil {
			if err := beside(dir); err != nil {
				return err
			}
		}
		if err := syncTree(dir); err != nil {
			return err
		}
	}
	for _, dir := range f.dirs {
		if err := unmark(dir, partialFile); err != nil {
			return err
		}
	}
	return nil
}

// close stops the servers, all at once: they would wait for each other.
func (f *fresh) close() error {
	errs := make([]error, len(f.all))
	var wg sync.WaitGroup
	for i, e := range f.all {
		if e != nil {
			wg.Go(func() { errs[i] = e.Close() })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// settled waits until each server's own streams are as long as the leader's.
func (f *fresh) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freshSettle)
	defer cancel()
	for _, stream := range []string{journalStream, baseStream, cursorStream} {
		want, err := f.first().lengthOf(ctx, stream)
		if err != nil {
			return err
		}
		for _, e := range f.all {
			if err := e.settled(ctx, stream, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// length is what a stream holds.
type length struct {
	first, last, messages, bytes uint64
}

func (e *Embedded) lengthOf(ctx context.Context, stream string) (length, error) {
	l, err := e.current()
	if err != nil {
		return length{}, err
	}
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return length{}, fmt.Errorf("jetstream: state of %s: %w", stream, err)
	}
	state := s.CachedInfo().State
	return length{state.FirstSeq, state.LastSeq, state.Msgs, state.Bytes}, nil
}

// settled waits until this server's own copy of a stream is as it should be.
func (e *Embedded) settled(ctx context.Context, stream string, want length) error {
	for {
		l, err := e.current()
		if err != nil {
			return err
		}
		have, err := l.ownLength(stream)
		if err != nil {
			return err
		}
		if have == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("jetstream: server %s has %+v of %s, not %+v: %w", e.opts.Name, have, stream, want, ctx.Err())
		case <-time.After(freshLook):
		}
	}
}

// ownLength asks this server for its copy, whoever leads the stream.
func (l *link) ownLength(stream string) (length, error) {
	info, err := l.server.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return length{}, fmt.Errorf("jetstream: state of the server: %w", err)
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if s.Name == stream {
				return length{s.State.FirstSeq, s.State.LastSeq, s.State.Msgs, s.State.Bytes}, nil
			}
		}
	}
	return length{}, nil
}

// remember writes the high-water mark of what was put past Append.
func (e *Embedded) remember(ctx context.Context) error {
	b, err := e.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	if b.Last < b.First {
		return nil
	}
	e.witness.saw(b.Last)
	return e.witness.write(ctx)
}

// syncTree makes everything under dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("jetstream: sync %s: %w", dir, err)
		}
		if d.IsDir() || d.Type().IsRegular() {
			return syncPath(path)
		}
		return nil
	})
}
