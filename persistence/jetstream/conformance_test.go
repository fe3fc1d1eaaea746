package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// alone opens a standalone server and can open what it left.
func alone(t *testing.T, maxBytes uint64) (*Embedded, func(*testing.T) *Embedded) {
	o := testOptions(t.TempDir())
	if maxBytes > 0 {
		o.MaxBytes = int64(maxBytes)
	}
	e := openTest(t, o)
	return e, func(t *testing.T) *Embedded {
		require.NoError(t, e.Close())
		return openTest(t, o)
	}
}

func TestJournalStandalone(t *testing.T) {
	persistencetest.ExerciseJournal(t, func(t *testing.T, maxBytes uint64) persistencetest.Harness {
		e, reopen := alone(t, maxBytes)
		return persistencetest.Harness{Journal: e.Journal(), Reopen: func(t *testing.T) persistence.Journal { return reopen(t).Journal() }}
	})
}

func TestBasesStandalone(t *testing.T) {
	persistencetest.ExerciseBases(t, func(t *testing.T) persistencetest.BasesHarness {
		e, _ := alone(t, 0)
		last, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("so that the bases have a journal"), 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, last)
		return persistencetest.BasesHarness{Bases: e.Bases(), Reopen: func(t *testing.T) persistence.Bases {
			require.NoError(t, e.Close())
			o := e.opts
			o.AcceptLoss = true // the suite's bases stand at positions that its journal never had
			return openTest(t, o).Bases()
		}}
	})
}

func TestCursorsStandalone(t *testing.T) {
	e, reopen := alone(t, 0)
	persistencetest.ExerciseCursors(t, e.Cursors(), func(t *testing.T) persistence.Cursors { return reopen(t).Cursors() })
}

// trio is a cluster of three that one suite after the other uses, each with empty streams.
type trio struct {
	t       *testing.T // a server that was opened again outlives the suite's case
	options []Options
	servers []*Embedded
}

func openTrio(t *testing.T) *trio {
	options := clusterOptions(t, t.TempDir(), 3)
	return &trio{t, options, openCluster(t, options)}
}

// clear makes both streams anew and lets every server forget what it witnessed.
func (c *trio) clear(t *testing.T, maxBytes uint64) {
	l := c.servers[0].now.Load()
	o := c.options[0]
	if maxBytes > 0 {
		o.MaxBytes = int64(maxBytes)
	}
	for _, cfg := range []jetstream.StreamConfig{journalConfig(o), baseConfig(o)} {
		require.Eventually(t, func() bool {
			err := l.js.DeleteStream(t.Context(), cfg.Name)
			return err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
		}, electionLimit, 50*time.Millisecond)
		require.Eventually(t, func() bool {
			_, err := openStream(t.Context(), l.js, cfg, false, true)
			return err == nil
		}, electionLimit, 50*time.Millisecond)
	}
	for _, e := range c.servers {
		e.witness.mu.Lock()
		e.witness.acked.Store(0)
		e.witness.written, e.witness.mark = 0, HighWater{}
		require.NoError(t, os.RemoveAll(filepath.Join(e.opts.Dir, hwmFile)))
		e.witness.mu.Unlock()
	}
}

// reopen ends server i and starts it again.
func (c *trio) reopen(t *testing.T, i int) *Embedded {
	require.NoError(t, c.servers[i].Close())
	o := c.options[i]
	o.AcceptLoss = true // the bases of the suite stand at positions that its journal never had
	c.servers[i] = openTest(c.t, o)
	return c.servers[i]
}

// The same contract on three servers, and with the stream's leader as the one that is ended.
func TestCluster(t *testing.T) {
	c := openTrio(t)
	t.Run("journal", func(t *testing.T) {
		persistencetest.ExerciseJournal(t, func(t *testing.T, maxBytes uint64) persistencetest.Harness {
			c.clear(t, maxBytes)
			i := leaderOf(t, c.servers, journalStream)
			j := &Journal{home: c.servers[i]}
			return persistencetest.Harness{Journal: j, Reopen: func(t *testing.T) persistence.Journal { return c.reopen(t, i).Journal() }}
		})
	})
	t.Run("cursors", func(t *testing.T) {
		c.clear(t, 0)
		leaderOf(t, c.servers, cursorStream)
		persistencetest.ExerciseCursors(t, c.servers[1].Cursors(), func(t *testing.T) persistence.Cursors { return c.reopen(t, 1).Cursors() })
	})
	t.Run("bases", func(t *testing.T) {
		persistencetest.ExerciseBases(t, func(t *testing.T) persistencetest.BasesHarness {
			c.clear(t, 0)
			leaderOf(t, c.servers, baseStream) // until then a put is answered with 503
			return persistencetest.BasesHarness{Bases: c.servers[1].Bases(), Reopen: func(t *testing.T) persistence.Bases { return c.reopen(t, 1).Bases() }}
		})
	})
}
