package persistencetest

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// SinkUnderTest is an empty target of a projector.
type SinkUnderTest struct {
	// Open is what a process does: another sink on the same target, with the same cursor. One that can be closed may be closed twice.
	Open func(t *testing.T) persistence.Sink
	// Rewind moves the cursor back, as an operator may.
	Rewind func(t *testing.T, from, to persistence.Position)
	// RequireFold fails the test unless the target holds the fold of the frames up to a sequence, byte for byte.
	RequireFold func(t *testing.T, f Frames, upTo persistence.Seq)
}

// ExerciseSink is the contract of persistence.Sink, as the projector relies on it: whatever ends a writer, wherever, and however
// many there are, the target becomes the fold of the journal. fresh makes an empty target.
func ExerciseSink(t *testing.T, fresh func(t *testing.T) SinkUnderTest) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s SinkUnderTest)
	}{
		{"in batches", sinkBatches},
		{"replayed from an older cursor", sinkReplayed},
		{"stopped within a batch", sinkStopped},
		{"two at once", sinkTwo},
		{"refuses another cursor", sinkRefuses},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

// bring writes batches of random size from the sink's cursor to an end.
func bring(t *testing.T, s persistence.Sink, f Frames, to persistence.Seq, rng *rand.Rand) {
	t.Helper()
	for old := cursor(t, s); old.Seq < to; {
		next := at(min(to, old.Seq+persistence.Seq(1+rng.IntN(25))))
		require.NoError(t, s.Write(t.Context(), old, next, f.Events(old.Seq, next.Seq)))
		old = next
	}
}

func sinkBatches(t *testing.T, u SinkUnderTest) {
	f, rng := MakeFrames(31, 150), rand.New(rand.NewPCG(31, 1))
	for _, upTo := range []persistence.Seq{40, 90, 150} {
		bring(t, u.Open(t), f, upTo, rng)
		u.RequireFold(t, f, upTo)
	}
	s := u.Open(t)
	require.NoError(t, s.Write(t.Context(), at(150), at(150), nil), "nothing new")
	u.RequireFold(t, f, 150)
}

func sinkReplayed(t *testing.T, u SinkUnderTest) {
	f, rng := MakeFrames(32, 120), rand.New(rand.NewPCG(32, 1))
	s := u.Open(t)
	bring(t, s, f, 120, rng)
	for range 4 {
		older := at(persistence.Seq(1 + rng.IntN(119)))
		u.Rewind(t, at(120), older)
		require.Equal(t, older, cursor(t, s))
		bring(t, s, f, 120, rng)
		u.RequireFold(t, f, 120)
	}
}

// sinkStopped ends writers at any moment; each is followed by a new one.
func sinkStopped(t *testing.T, u SinkUnderTest) {
	f, rng := MakeFrames(33, 120), rand.New(rand.NewPCG(33, 1))
	stops, patience := 0, time.Duration(0) // it grows until a batch comes through; the first writer has no time at all
	for {
		s := u.Open(t)
		old := cursor(t, s)
		if old.Seq == 120 {
			break
		}
		next := at(min(120, old.Seq+persistence.Seq(1+rng.IntN(25))))
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(patience+1))
		if s.Write(ctx, old, next, f.Events(old.Seq, next.Seq)) != nil {
			stops++
			patience += patience/4 + 5*time.Microsecond
		}
		cancel()
		if process, ok := s.(io.Closer); ok {
			require.NoError(t, process.Close())
		}
	}
	require.Positive(t, stops, "nobody was stopped")
	u.RequireFold(t, f, 120)
}

func sinkTwo(t *testing.T, u SinkUnderTest) {
	f := MakeFrames(34, 150)
	sinks := []persistence.Sink{u.Open(t), u.Open(t)}
	for old := (persistence.Position{}); old.Seq < 150; {
		require.Equal(t, old, cursor(t, sinks[0]))
		require.Equal(t, old, cursor(t, sinks[1]))
		next := at(min(150, old.Seq+10))
		var wg sync.WaitGroup
		errs := make([]error, len(sinks))
		for i, s := range sinks {
			wg.Go(func() { errs[i] = s.Write(t.Context(), old, next, f.Events(old.Seq, next.Seq)) })
		}
		wg.Wait()
		require.True(t, errs[0] == nil || errs[1] == nil, "one of two wins: %v, %v", errs[0], errs[1])
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, persistence.ErrConflict)
			}
		}
		old = next
	}
	u.RequireFold(t, f, 150)
}

func sinkRefuses(t *testing.T, u SinkUnderTest) {
	f, s := MakeFrames(35, 60), u.Open(t)
	bring(t, s, f, 40, rand.New(rand.NewPCG(35, 1)))
	for _, old := range []persistence.Position{{}, at(39), at(41)} {
		require.ErrorIs(t, s.Write(t.Context(), old, at(50), nil), persistence.ErrConflict)
	}
	require.Error(t, s.Write(t.Context(), at(40), persistence.Position{Journal: "jrn_other", Seq: 50}, nil))
	require.Error(t, s.Write(t.Context(), at(40), at(42), f.Events(41, 50)), "events beyond the new cursor")
	require.Error(t, s.Write(t.Context(), at(40), at(42), f.Events(30, 42)), "events before the old cursor")
	u.RequireFold(t, f, 40)
}

// StoreSink is a store as a sink. open opens what lives in a folder.
func StoreSink(t *testing.T, open func(t *testing.T, dir string) TestStore) SinkUnderTest {
	dir := t.TempDir()
	s := open(t, dir)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return SinkUnderTest{
		Open: func(t *testing.T) persistence.Sink {
			other := open(t, dir)
			t.Cleanup(func() { require.NoError(t, other.Close()) })
			return other
		},
		Rewind: func(t *testing.T, from, to persistence.Position) {
			require.NoError(t, s.Write(t.Context(), from, to, nil))
		},
		RequireFold: func(t *testing.T, f Frames, upTo persistence.Seq) {
			require.Equal(t, fold(f, upTo).Dump(true), dump(t, s))
		},
	}
}
