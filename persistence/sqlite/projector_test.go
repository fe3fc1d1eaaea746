package sqlite

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// A projector that is closed in the middle again and again, over a feed that keeps nearly nothing in memory, next to a
// second one on the same file: the store ends as the fold.
func TestProjectorsCloseAndGoOn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	const n = 400
	f := persistencetest.MakeFrames(31, n)
	j := memory.NewJournal(memory.Options{})
	feed := persistence.NewFeed(j, 4_000)
	dir := t.TempDir()
	stores := []*Store{openIn(t, dir), openIn(t, dir)}
	start := func(s *Store) *persistence.Projector {
		p := persistence.NewProjector(persistence.ProjectorConfig{
			Name: "store", Journal: at(1).Journal, Events: feed, Sink: s, Bounds: j.Bounds, Log: slog.New(slog.DiscardHandler),
			MinEvents: 5, MaxEvents: 40, Linger: time.Millisecond, Retry: time.Millisecond,
		})
		p.Start()
		return p
	}
	running := []*persistence.Projector{start(stores[0]), start(stores[1])}
	for i, events := range f {
		frame := &persistence.Frame{Journal: at(1).Journal, Node: "n1", Number: uint64(i + 1)}
		for _, c := range events {
			frame.Index = append(frame.Index, persistence.IndexEntry{Aggregate: c.Aggregate, Version: c.Version})
			frame.Events = append(frame.Events, engine.AppendEvent(nil, c.Event))
		}
		data := persistence.Encode(nil, frame)
		seq, err := j.Append(t.Context(), persistence.SlotSubject("n1"), data, persistence.Seq(i))
		require.NoError(t, err)
		feed.Publish(seq, len(data), events)
		if i%25 == 24 {
			require.NoError(t, running[i%2].Close())
			running[i%2] = start(stores[i%2])
		}
	}
	for _, p := range running {
		require.NoError(t, p.Wait(t.Context(), n))
		require.NoError(t, p.Close())
	}
	model := persistencetest.NewModel()
	model.Apply(at(n), f.Events(0, n))
	require.Equal(t, model.Dump(true), dumpOf(t, stores[0]))
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
}
