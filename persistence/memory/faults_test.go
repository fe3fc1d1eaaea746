package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// faulty is a journal whose second append goes wrong; what is returned is the outcome of that one.
func faulty(t *testing.T, f memory.Fault) (*memory.Journal, persistence.Seq, error) {
	j := memory.NewJournal(memory.Options{OnAppend: func(a memory.Append) memory.Fault {
		if a.Number == 2 {
			require.Equal(t, persistence.Subject("j.w.a"), a.Subject)
			require.Equal(t, persistence.Seq(1), a.Expect)
			return f
		}
		return memory.Fault{}
	}})
	_, err := j.Append(t.Context(), "j.w.a", []byte("first"), 0)
	require.NoError(t, err)
	seq, err := j.Append(t.Context(), "j.w.a", []byte("second"), 1)
	return j, seq, err
}

func last(t *testing.T, j *memory.Journal) string {
	e, err := j.Last(t.Context(), "j.w.a")
	require.NoError(t, err)
	return string(e.Data)
}

func TestFaults(t *testing.T) {
	for kind, c := range map[memory.FaultKind]struct {
		err  error
		last string
	}{
		memory.Lost:           {persistence.ErrUnknown, "first"},
		memory.LostAck:        {persistence.ErrUnknown, "second"},
		memory.Late:           {persistence.ErrUnknown, "first"},
		memory.Conflict:       {persistence.ErrConflict, "first"},
		memory.StoredConflict: {persistence.ErrConflict, "second"},
		memory.Full:           {persistence.ErrFull, "first"},
	} {
		j, seq, err := faulty(t, memory.Fault{Kind: kind})
		require.ErrorIs(t, err, c.err, kind)
		require.Zero(t, seq)
		require.Equal(t, c.last, last(t, j), kind)
		require.Equal(t, 1, j.Taken(kind), "the fault is counted")
	}
}

func TestLateAppendArrivesWithItsExpectation(t *testing.T) {
	j, _, _ := faulty(t, memory.Fault{Kind: memory.Late, After: 2})
	_, err := j.Append(t.Context(), "j.w.b", []byte("x"), 0)
	require.NoError(t, err)
	require.Equal(t, "first", last(t, j))
	_, err = j.Append(t.Context(), "j.w.b", []byte("y"), 2)
	require.NoError(t, err)
	require.Equal(t, "second", last(t, j), "it came before the second append after it")

	j, _, _ = faulty(t, memory.Fault{Kind: memory.Late, After: 2})
	_, err = j.Append(t.Context(), "j.w.a", []byte("claim"), 1)
	require.NoError(t, err)
	_, err = j.Append(t.Context(), "j.w.b", []byte("y"), 0)
	require.NoError(t, err)
	require.Equal(t, "claim", last(t, j), "its place was taken")

	j, _, _ = faulty(t, memory.Fault{Kind: memory.Late})
	require.Equal(t, "first", last(t, j.Snapshot(memory.Options{})), "it is in the network, not on the disk")
	require.Equal(t, 1, j.Deliver())
	require.Equal(t, "second", last(t, j))
	require.Zero(t, j.Deliver())
}

func TestHeldAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold, ack := make(chan struct{}), make(chan struct{})
		j := memory.NewJournal(memory.Options{
			OnAppend: func(memory.Append) memory.Fault { return memory.Fault{Hold: hold, HoldAck: ack} },
			Latency:  func(int) time.Duration { return time.Second },
		})
		began, done := time.Now(), false
		go func() {
			_, err := j.Append(t.Context(), "j.w.a", []byte("x"), 0)
			done = err == nil
		}()
		synctest.Wait()
		_, err := j.Last(t.Context(), "j.w.a")
		require.ErrorIs(t, err, persistence.ErrNotFound)
		close(hold)
		<-time.After(time.Second) // by the bubble's clock
		synctest.Wait()
		require.Equal(t, "x", last(t, j), "stored")
		require.False(t, done, "not acknowledged")
		close(ack)
		synctest.Wait()
		require.True(t, done)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestHeldAppendGivenUp(t *testing.T) {
	for _, stored := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fault := memory.Fault{Hold: make(chan struct{})} // in the bubble: else nothing there is known to wait for ever
			if stored {
				fault = memory.Fault{HoldAck: make(chan struct{})}
			}
			j := memory.NewJournal(memory.Options{OnAppend: func(memory.Append) memory.Fault { return fault }})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := j.Append(ctx, "j.w.a", []byte("x"), 0)
			require.ErrorIs(t, err, persistence.ErrUnknown)
			_, err = j.Last(t.Context(), "j.w.a")
			require.Equal(t, stored, err == nil)
		})
	}
}

func TestSnapshotIsWhatIsDurable(t *testing.T) {
	j, _, _ := faulty(t, memory.Fault{Kind: memory.LostAck})
	n := j.Snapshot(memory.Options{})
	_, err := j.Append(t.Context(), "j.w.a", []byte("third"), 2)
	require.NoError(t, err)
	require.Equal(t, "second", last(t, n))
	_, err = n.Append(t.Context(), "j.w.a", []byte("other third"), 2)
	require.NoError(t, err)
	require.Equal(t, "third", last(t, j))
	require.Equal(t, "other third", last(t, n))
}

func TestFirstSequence(t *testing.T) {
	j := memory.NewJournal(memory.Options{First: 500})
	seq, err := j.Append(t.Context(), "j.w.a", []byte("x"), 0)
	require.NoError(t, err)
	require.Equal(t, persistence.Seq(500), seq)
}

func TestBasesOneRevisionLate(t *testing.T) {
	late := false
	b := memory.NewBases(memory.BasesOptions{Stale: func(engine.AggregateID) bool { return late }})
	put := func(v engine.Version, rev persistence.Revision) persistence.Revision {
		rev, err := b.Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: "rst_1", Version: v, Revision: rev}})
		require.NoError(t, err)
		return rev
	}
	rev := put(90, 0)
	late = true
	_, err := b.Get(t.Context(), "rst_1")
	require.ErrorIs(t, err, persistence.ErrNotFound, "the first put has not come through")
	put(100, rev)
	got, err := b.Get(t.Context(), "rst_1")
	require.NoError(t, err)
	require.Equal(t, engine.Version(90), got.Version)
	require.Equal(t, rev, got.Revision)
	require.Equal(t, 2, b.TakenStale())
	late = false
	got, err = b.Get(t.Context(), "rst_1")
	require.NoError(t, err)
	require.Equal(t, engine.Version(100), got.Version)
}

func TestBasesFaults(t *testing.T) {
	for kind, c := range map[memory.FaultKind]struct {
		err    error
		stored bool
	}{
		memory.Lost:           {persistence.ErrUnknown, false},
		memory.LostAck:        {persistence.ErrUnknown, true},
		memory.Conflict:       {persistence.ErrConflict, false},
		memory.StoredConflict: {persistence.ErrConflict, true},
		memory.Full:           {persistence.ErrFull, false},
	} {
		b := memory.NewBases(memory.BasesOptions{OnPut: func(persistence.Base) memory.Fault { return memory.Fault{Kind: kind} }})
		_, err := b.Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: "rst_1", Version: 1}})
		require.ErrorIs(t, err, c.err, kind)
		_, err = b.Get(t.Context(), "rst_1")
		require.Equal(t, c.stored, err == nil, kind)
		require.Equal(t, 1, b.Taken(kind))
	}
}
