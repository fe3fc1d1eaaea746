package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"maitred/actors"
	"maitred/edge"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// Node is the composition root: everything that one process runs. Open wires the rooms from the journal outward, Close
// unwinds them in reverse: the edge first, the journal last.
type Node struct {
	Config   Config
	Log      *slog.Logger
	Registry *prometheus.Registry
	OnHalt   func(error) // told when the node can never write again; nil = nobody

	embedded  *jetstream.Embedded
	store     persistence.Rebuildable
	house     *actors.House
	projector *persistence.Projector            // of the store
	followers map[string]*persistence.Projector // all of them, by the name of the sink
	eraser    *eraser
	seal      *persistence.Seal
	edge      *edge.Server
	revoked   *edge.Revocations
	listener  net.Listener
	admin     net.Listener // nil: none

	certificate *edge.Certificate // nil: plain HTTP
	redirect    net.Listener      // nil: none
	tracing     *edge.Tracing     // nil: none
	cell        *cell             // nil: this node is alone

	copies       edge.Copies       // nil: none
	sharedLimits edge.SharedLimits // nil: none

	stored  atomic.Uint64 // sequence up to which the store has everything
	closers []closer      // in the order of opening
}

type closer struct {
	what  string
	close func() error
}

// Open starts the node and returns when it serves. On an error everything that was opened is closed again.
func (n *Node) Open(ctx context.Context) error {
	return n.open(ctx, n.openAdmin, n.openTracing, n.openCertificate, n.openEdge, n.openEraser, n.openCell, n.openFront, n.openRedirect)
}

// OpenWithoutEdge starts the node for an operator's command: it decides and stores, and nobody outside reaches it.
func (n *Node) OpenWithoutEdge(ctx context.Context) error { return n.open(ctx) }

func (n *Node) open(ctx context.Context, outside ...func(context.Context) error) error {
	n.Registry = prometheus.NewRegistry()
	n.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	inside := []func(context.Context) error{n.openSecret, n.openHop, n.checkJoin, n.openData, n.openSeal, n.openStore, n.openHouse, n.openProjectors}
	for _, step := range append(inside, outside...) {
		if err := step(ctx); err != nil {
			return errors.Join(err, n.Close())
		}
	}
	return nil
}

// Close stops the node. Idempotent; also after a failed Open.
func (n *Node) Close() error {
	var errs []error
	for len(n.closers) > 0 {
		last := n.closers[len(n.closers)-1]
		n.closers = n.closers[:len(n.closers)-1]
		if err := last.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", last.what, err))
		}
	}
	return errors.Join(errs...)
}

// Addr is where the API listens.
func (n *Node) Addr() string { return n.listener.Addr().String() }

func (n *Node) opened(what string, close func() error) {
	n.closers = append(n.closers, closer{what, close})
}

func (n *Node) openData(ctx context.Context) (err error) {
	if err := os.MkdirAll(n.Config.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	n.embedded, err = jetstream.Open(ctx, n.journalOptions())
	if err != nil {
		return fmt.Errorf("open the journal in %s: %w", n.Config.Data, err)
	}
	n.opened("journal", n.embedded.Close)
	return nil
}

// openSeal makes ready what hides personal data at rest. The first start makes the key.
func (n *Node) openSeal(ctx context.Context) (err error) {
	if n.Config.TestClear {
		return nil
	}
	return n.patiently(ctx, func() (err error) {
		n.seal, err = openSeal(ctx, n.Config.secrets(), n.embedded.Journal(), n.embedded.Bases())
		return err
	})
}

func (n *Node) journalOptions() jetstream.Options {
	o := jetstream.Options{
		Dir: n.Config.Data, MaxBytes: n.Config.JournalBytes, Logger: n.Log,
		Unsafe: jetstream.Unsafe{AnyFS: n.Config.TestAnyFS, LazySync: n.Config.TestLazySync, NoAssertions: n.Config.TestLazySync, NoFence: n.Config.without("fence")},
	}
	switch {
	case n.Config.NATSURL != "":
		o.Name = n.Config.Node
		o.External = &jetstream.External{URL: n.Config.NATSURL, SystemURL: n.Config.NATSSystemURL, CA: n.Config.NATSCA, Cluster: n.cell != nil}
	case n.cell != nil:
		o.Name, o.Cluster, o.Replicas = n.Config.Node, n.cell.journal, minReplicas
	}
	return o
}

// shared tells whether others may write to the journal: the other nodes, or, where the lock of --data does not guard it, a second process by this
// one's name.
func (n *Node) shared() bool { return n.cell != nil || n.Config.NATSURL != "" }

func (n *Node) openHouse(ctx context.Context) (err error) {
	var records persistence.Journal = n.embedded.Journal()
	if n.cell != nil { // the leader is on another machine, and who takes over restaurants needs many records at once
		records = persistence.NewRecent(records, n.Config.RecentBytes)
	}
	feed := persistence.NewFeed(records, n.Config.FeedBytes)
	feed.Seal = n.seal
	metrics := actors.NewMetrics()
	n.revoked = edge.NewRevocations()
	n.Registry.MustRegister(metrics)
	cfg := actors.Config{
		Metrics: metrics, Pressure: func() bool { return n.embedded.Pressure() >= jetstream.StopAt }, OnHalt: n.halted, OnClaimed: n.cutOff,
		Node: n.Config.Node, Shared: n.shared(), Journal: records, Bases: persistence.SealBases(n.embedded.Bases(), n.seal), Feed: feed, Seal: n.seal,
		Partitions: n.Config.Partitions, FrameEvery: n.Config.FrameEvery, MaxInFlight: n.Config.MaxInFlight, MaxQueue: n.Config.MaxQueue, IdleAfter: n.Config.IdleAfter,
		PassivateAll: n.Config.TestPassivate, SweepGrid: n.Config.SweepEvery, Now: n.Config.now,
		Keep: n.Config.JournalKeep, StoreCursor: func() persistence.Seq { return persistence.Seq(n.stored.Load()) },
		OnAccount: n.revoked.Saw, Recall: edge.RevocationsFor,
		Unsafe: actors.Unsafe{NoLease: n.Config.without("lease"), NoSilence: n.Config.without("silence")},
		Known:  n.knownHeads, Hand: n.handState(), BaseAge: n.Config.TestKeeping, PurgeEvery: n.Config.TestKeeping,
	}
	if n.shared() {
		cfg.Former, cfg.OnIncarnation = n.formerIncarnation(), n.noteIncarnation
	}
	if n.cell != nil {
		cfg.Protocol = n.cellProtocol
	}
	n.house, err = actors.Open(ctx, cfg)
	if err != nil {
		return fmt.Errorf("open the house: %w (maitred journal verify --data %s tells what is missing)", err, n.Config.Data)
	}
	n.opened("house", n.house.Close)
	if have, want := len(n.house.Owners()), n.Config.Partitions; want != 0 && have != want {
		return fmt.Errorf("--partitions %d: this journal was made with %d, and keeps them", want, have)
	}
	var journal string
	err = n.patiently(ctx, func() (err error) { journal, err = journalID(ctx, n.embedded.Journal()); return err })
	if err != nil {
		return err
	}
	n.projector = n.follow(persistence.ProjectorConfig{
		Name: "store", Journal: journal, Events: feed, Sink: n.store,
		Moved: func(at persistence.Position) { n.stored.Store(uint64(at.Seq)) },
	})
	return n.openSinks(journal, feed)
}

// startPatience is how long a start waits for the journal of several nodes to have somebody to answer.
const startPatience = 10 * time.Minute

// patiently does a step of the start that asks the journal. With several nodes it may have nobody to answer at the moment.
func (n *Node) patiently(ctx context.Context, step func() error) error {
	if !n.shared() {
		return step()
	}
	return persistence.Patiently(ctx, startPatience, step)
}

// halted ends the process when the writer has stopped for good: a supervisor starts it anew, or an operator reads why.
func (n *Node) halted(err error) {
	n.Log.Error("this node may not write any more and stops", "error", err)
	if n.OnHalt != nil {
		n.OnHalt(err)
	}
}

// journalID is the id that the journal's genesis gave it; every checkpoint repeats it.
func journalID(ctx context.Context, journal persistence.Journal) (string, error) {
	last, err := journal.Last(ctx, persistence.Control)
	if err != nil {
		return "", fmt.Errorf("read the journal's id: %w", err)
	}
	record, err := persistence.Decode(last.Data)
	if err != nil {
		return "", fmt.Errorf("read the journal's id: %w", err)
	}
	switch r := record.(type) {
	case *persistence.Genesis:
		return r.Journal, nil
	case *persistence.Checkpoint:
		return r.Journal, nil
	}
	return "", fmt.Errorf("record %d is neither genesis nor checkpoint", last.Seq)
}

func (n *Node) openProjectors(context.Context) error {
	for name, p := range n.followers {
		n.Registry.MustRegister(p)
		p.Start()
		n.opened("projector of "+name, p.Close)
	}
	return nil
}

func (n *Node) openEraser(context.Context) error {
	n.eraser.leads = n.house.Leads
	n.eraser.start()
	n.opened("eraser", n.eraser.Close)
	return nil
}

// ownsRestaurant asks the store once it shows every event that is durable now, whichever node wrote it.
func (n *Node) ownsRestaurant(ctx context.Context, account engine.AccountID) (bool, error) {
	last, err := n.lastRecord(ctx)
	if err != nil {
		return false, err
	}
	for {
		shown, err := n.shows(ctx, last)
		if err != nil {
			return false, fmt.Errorf("the store is behind: %w", err)
		}
		if shown {
			return n.store.OwnsRestaurant(ctx, account)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("the store is behind: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// storeIsCurrent tells whether the store shows every event that is durable now, whichever node wrote it.
func (n *Node) storeIsCurrent(ctx context.Context) (bool, error) {
	last, err := n.lastRecord(ctx)
	if err != nil {
		return false, err
	}
	return n.shows(ctx, last)
}

func (n *Node) lastRecord(ctx context.Context) (persistence.Seq, error) {
	b, err := n.embedded.Journal().Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the journal's bounds: %w", err)
	}
	return b.Last, nil
}

// quietRecords is how many records are looked through for events: what several nodes' heartbeats are until the store's cursor passes
// them.
const quietRecords = 256

// shows tells whether the store has every event up to seq. Its cursor waits for company when only heartbeats follow.
func (n *Node) shows(ctx context.Context, seq persistence.Seq) (bool, error) {
	at := persistence.Seq(n.stored.Load())
	if at >= seq {
		return true, nil
	}
	if seq-at > quietRecords {
		return false, nil
	}
	quiet := true
	err := persistence.ReadRecords(ctx, n.embedded.Journal(), at+1, seq, func(_ persistence.Entry, r persistence.Record) error {
		f, ok := r.(*persistence.Frame)
		quiet = quiet && (!ok || len(f.Index) == 0)
		return nil
	})
	return quiet, err
}

func (n *Node) space() edge.JournalSpace {
	h := n.embedded.Health()
	return edge.JournalSpace{Used: h.Pressure, HoursLeft: h.HoursLeft}
}

func (n *Node) openEdge(context.Context) error {
	keys, err := edge.OpenKeys(n.Config.secrets())
	if err != nil {
		return err
	}
	n.eraser = newEraser(n.store, n.house, n.storeIsCurrent, n.Config.now, n.Log, cmp.Or(n.Config.TestGrace, edge.EraseGrace))
	n.edge, err = edge.New(edge.Config{
		House: n.house, Cell: n.edgeCell(), Revocations: n.revoked, Lists: n.store, Followers: n.shownFollowers(), Space: n.space, Keys: keys, Copies: n.copies, SharedLimits: n.sharedLimits,
		Erasures: edge.Erasures{Owns: n.ownsRestaurant, Begun: n.eraser.signal},
		Registry: n.Registry, Now: n.Config.now, Log: n.Log, CloseTimeout: n.Config.ShutdownGrace / 2,
		RateLimit: n.Config.RateLimit, TrustedProxies: n.Config.TrustedProxy, CORSOrigins: n.Config.CORSOrigin,
		MaxConns: n.Config.MaxConns, MaxConnsPerIP: n.Config.MaxConnsPerIP, MaxInHand: n.Config.MaxRequests,
		TLS: n.tlsConfig(), AccessLog: n.Config.AccessLog, Tracing: n.tracing,
	})
	if err != nil {
		return err
	}
	n.eraser.house = n.edge.House()
	return nil
}

// openFront lets guests in.
func (n *Node) openFront(context.Context) (err error) {
	if n.listener, err = net.Listen("tcp", n.Config.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := n.edge.Open(n.listener); err != nil {
		return err
	}
	n.opened("edge", n.edge.Close)
	return nil
}
