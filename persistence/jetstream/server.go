package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maitred/persistence"
)

// link is one life of the embedded server with this process' connections to it. A restart makes another one.
type link struct {
	server  *server.Server // nil when it is external
	secret  string         // of the server's clients; empty when nobody but this process can reach it
	writes  *nats.Conn     // appends and puts only: a replay must not stand before an acknowledgement
	reads   *nats.Conn
	js      jetstream.JetStream
	journal jetstream.Stream
	bases   jetstream.Stream
	callers *callers
	readers chan struct{} // places of those that pull

	direct   direct
	batchers chan *batcher // nil ones are made on first use
	gone     chan struct{} // closed first of all when the link ends

	external *External
	judged   map[string]bool // external servers that said how they are set, by their ids
	unfenced bool            // Unsafe.NoFence
}

func serverOptions(o Options) *server.Options {
	so := &server.Options{
		ServerName: o.Name, DontListen: true,
		JetStream: true, StoreDir: o.Dir, SyncAlways: !o.Unsafe.LazySync && !o.making,
		JetStreamMaxStore: o.MaxBytes + o.BaseMaxBytes + 1<<20, JetStreamMaxMemory: 64 << 20,
		MaxPayload: maxBaseBytes, MaxPending: 64 << 20, NoSigs: true,
	}
	if o.keepMax || o.keepBaseMax {
		so.JetStreamMaxStore = 1 << 50 // the streams have limits of their own, which are not known yet
	}
	if o.Cluster != nil {
		o.Cluster.apply(so)
	}
	return so
}

func newLink(o Options) *link {
	l := &link{unfenced: o.Unsafe.NoFence, external: o.External, gone: make(chan struct{}), readers: make(chan struct{}, maxReaders), batchers: make(chan *batcher, maxReaders)}
	for range maxReaders {
		l.batchers <- nil
	}
	return l
}

// startLink starts a server over o.Dir, or reaches external ones, and opens the streams. Nothing else may run over the directory.
func startLink(ctx context.Context, o Options) (*link, error) {
	if o.External != nil {
		return startExternal(ctx, o)
	}
	so := serverOptions(o)
	s, err := server.NewServer(so)
	if err != nil {
		return nil, fmt.Errorf("jetstream: make server: %w", err)
	}
	s.SetLoggerV2(newServerLog(o), false, false, false)
	l := newLink(o)
	l.server, l.secret = s, so.Authorization
	s.Start() // reads what is stored; that takes as long as it takes
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	if err := l.start(ctx, o); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *link) start(ctx context.Context, o Options) error {
	if err := l.await(ctx, o); err != nil {
		return err
	}
	return l.begin(ctx, o)
}

// begin connects to the server and opens the streams.
func (l *link) begin(ctx context.Context, o Options) (err error) {
	for name, nc := range map[string]**nats.Conn{"writes": &l.writes, "reads": &l.reads} {
		err := patiently(ctx, o, "connect", func(context.Context) (err error) {
			*nc, err = connect(l, name)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := l.known(o); err != nil { // before a stream is made there
		return err
	}
	if l.callers, err = newCallers(l.writes); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.reads, jetstream.WithDefaultTimeout(requestTimeout)); err != nil {
		return fmt.Errorf("jetstream: client: %w", err)
	}
	return l.open(ctx, o)
}

// await returns when the server takes requests, or says why it never will.
func (l *link) await(ctx context.Context, o Options) error {
	for !l.server.ReadyForConnections(100 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("jetstream: server did not start: %w", err)
		}
	}
	cfg := l.server.JetStreamConfig()
	switch {
	case !l.server.JetStreamEnabled() || cfg == nil:
		return fmt.Errorf("jetstream: JetStream did not start over %s; its log says why", o.Dir)
	case !o.Unsafe.NoAssertions && !cfg.SyncAlways && !o.making:
		return errors.New("jetstream: the server acknowledges before it fsyncs (sync is not always); a power cut would lose acknowledged reservations")
	}
	return nil
}

// open finds or makes the streams. In a cluster it tries until there is a leader to ask.
func (l *link) open(ctx context.Context, o Options) error {
	return patiently(ctx, o, "open the streams", func(ctx context.Context) error { return l.openOnce(ctx, o) })
}

// patiently calls fn until it succeeds when all that is wrong is a cluster without its leaders yet.
func patiently(ctx context.Context, o Options, what string, fn func(context.Context) error) error {
	if !o.remote() {
		return fn(ctx)
	}
	told := time.Now()
	for {
		try, cancel := context.WithTimeout(ctx, clusterTry)
		err := fn(try)
		cancel()
		if err == nil || !transient(err) {
			return err
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			o.Logger.Info("waiting until most of the journal's servers are there", "to", what, "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("jetstream: %s: the journal's servers have no leader: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *link) openOnce(ctx context.Context, o Options) (err error) {
	if l.journal, err = openStream(ctx, l.js, journalConfig(o), o.keepMax, !o.Unsafe.NoAssertions); err != nil {
		return err
	}
	if l.bases, err = openStream(ctx, l.js, baseConfig(o), o.keepBaseMax, !o.Unsafe.NoAssertions); err != nil {
		return err
	}
	_, err = openStream(ctx, l.js, cursorConfig(o), false, !o.Unsafe.NoAssertions)
	return err
}

// transient errors pass when the cluster has its leaders.
func transient(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, persistence.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.As(err, &api) && api.Code >= 500
}

func connect(l *link, name string) (*nats.Conn, error) {
	if l.external != nil {
		return l.external.dial(l.external.URL, name)
	}
	nc, err := nats.Connect("", nats.InProcessServer(l.server), nats.Name(name), nats.Token(l.secret), nats.Timeout(requestTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectBufSize(-1)) // nothing is kept to be sent later: by then somebody else may have been told that it failed
	if err != nil {
		return nil, fmt.Errorf("jetstream: connect %s: %w", name, err)
	}
	return nc, nil
}

// close ends the connections and the server, and returns when its files are closed.
func (l *link) close() {
	close(l.gone)
	for _, nc := range []*nats.Conn{l.writes, l.reads} {
		if nc != nil {
			nc.Close()
		}
	}
	if l.server == nil {
		return
	}
	l.server.Shutdown()
	l.server.WaitForShutdown()
}

// unwell says what is wrong with the server's stores; empty when nothing is. A write error is for the rest of this
// server's life.
func (l *link) unwell() string {
	if l.server == nil { // its operator's to bring back; a connection that has ended for good is not
		if l.writes.IsClosed() || l.reads.IsClosed() {
			return "a connection to the external servers has ended"
		}
		return ""
	}
	if !l.server.JetStreamEnabled() {
		return "JetStream was shut down by its server"
	}
	health := l.server.Healthz(&server.HealthzOptions{})
	if strings.Contains(health.Error, "write error") {
		return health.Error
	}
	return ""
}
