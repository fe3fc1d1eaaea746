package persistencetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

func reopenKeeps(t *testing.T, h Harness) {
	var last [3]persistence.Seq
	for i := range 30 {
		node, s := slot(t, i%3)
		last[i%3] = mustAppend(t, h.Journal, s, record(node, i, 200), last[i%3])
	}
	before := bounds(t, h.Journal)
	want := readAll(t, h.Journal, before.First, before.Last)
	j := h.Reopen(t)
	after := bounds(t, j)
	require.Equal(t, before.First, after.First)
	require.Equal(t, before.Last, after.Last)
	for i, e := range readAll(t, j, after.First, after.Last) {
		require.Equal(t, want[i].Subject, e.Subject)
		require.Equal(t, want[i].Data, e.Data)
		require.WithinDuration(t, want[i].Time, e.Time, 0)
	}
	node, s := slot(t, 1)
	_, err := j.Append(testContext(t), s, record(node, 99, 10), 0)
	require.ErrorIs(t, err, persistence.ErrConflict, "the fence outlives the process")
	require.Equal(t, before.Last+1, mustAppend(t, j, s, record(node, 99, 10), last[1]))
}

// purge: what is below is gone, nothing else moves, and a slot whose last record went expects 0 (holes H28).
func purge(t *testing.T, h Harness) {
	j := h.Journal
	absent, sAbsent := slot(t, 0)
	node, s := slot(t, 1)
	old := mustAppend(t, j, sAbsent, record(absent, 0, 10), 0)
	var last persistence.Seq
	for i := range 20 {
		last = mustAppend(t, j, s, record(node, i, 100), last)
	}
	before := bounds(t, j)
	kept := readAll(t, j, last-5, last)
	require.NoError(t, j.Purge(testContext(t), last-5))
	after := bounds(t, j)
	require.Equal(t, last-5, after.First)
	require.Equal(t, last, after.Last)
	require.Less(t, after.Bytes, before.Bytes)
	require.Equal(t, kept, readAll(t, j, last-5, last))
	_, err := j.Get(testContext(t), last-6)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	require.Error(t, j.Read(testContext(t), last-6, last, func(persistence.Entry) error { return nil }), "never a silent gap")
	require.NoError(t, j.Purge(testContext(t), last-5), "again")
	require.NoError(t, j.Purge(testContext(t), 1), "never backwards")
	require.Equal(t, after.First, bounds(t, j).First)

	_, err = j.Last(testContext(t), sAbsent)
	require.ErrorIs(t, err, persistence.ErrNotFound)
	_, err = j.Append(testContext(t), sAbsent, record(absent, 1, 10), old)
	require.ErrorIs(t, err, persistence.ErrConflict, "a frame that expects the purged record stays refused")
	back := mustAppend(t, j, sAbsent, record(absent, 2, 10), persistence.Expect(old, after.First))
	_, err = j.Append(testContext(t), sAbsent, record(absent, 1, 10), old)
	require.ErrorIs(t, err, persistence.ErrConflict)
	require.Equal(t, last+1, back)
	mustAppend(t, j, s, record(node, 20, 10), last)

	j = h.Reopen(t)
	require.Equal(t, last-5, bounds(t, j).First)
	require.Equal(t, back+1, bounds(t, j).Last)
}

func purgeAll(t *testing.T, h Harness) {
	node, s := slot(t, 0)
	var last persistence.Seq
	for i := range 5 {
		last = mustAppend(t, h.Journal, s, record(node, i, 10), last)
	}
	require.NoError(t, h.Journal.Purge(testContext(t), last+1))
	b := bounds(t, h.Journal)
	require.Equal(t, last+1, b.First)
	require.Equal(t, last, b.Last)
	require.Equal(t, last+1, mustAppend(t, h.Journal, s, record(node, 9, 10), 0), "sequences go on")
}

// full: a limit is a clean refusal that stores nothing, and space that is made is used.
func full(t *testing.T, h Harness) {
	j := h.Journal
	node, s := slot(t, 0)
	var last persistence.Seq
	var err error
	for i := 0; ; i++ {
		require.Less(t, i, 1000, "the limit was never reached")
		var seq persistence.Seq
		if seq, err = settle(testContext(t), j, s, record(node, i, 30_000), last); err != nil {
			break
		}
		last = seq
	}
	require.ErrorIs(t, err, persistence.ErrFull)
	b := bounds(t, j)
	require.Equal(t, last, b.Last, "the refused record is not stored")
	require.LessOrEqual(t, b.Bytes, b.MaxBytes)
	require.Len(t, readAll(t, j, b.First, b.Last), int(b.Last-b.First)+1, "discard new: nothing old went")
	require.NoError(t, j.Purge(testContext(t), last-2))
	require.Equal(t, last+1, mustAppend(t, j, s, record(node, 0, 30_000), last))
}

func closed(t *testing.T, h Harness) {
	require.NoError(t, h.Journal.Close())
	require.NoError(t, h.Journal.Close())
	_, s := slot(t, 0)
	_, err := h.Journal.Append(testContext(t), s, record("n", 0, 10), 0)
	require.ErrorIs(t, err, persistence.ErrClosed)
	_, err = h.Journal.Last(testContext(t), s)
	require.ErrorIs(t, err, persistence.ErrClosed)
	_, err = h.Journal.Bounds(testContext(t))
	require.ErrorIs(t, err, persistence.ErrClosed)
}

// claimDecides walks the append rule (DESIGN §4.7) with the real codec and the real fold: appends whose answer is given up
// early, then a claim with the same expectation. Exactly one of frame and claim has the place, and the whole journal folds.
func claimDecides(t *testing.T, h Harness) {
	const rounds = 25
	ctx := testContext(t)
	w := &claimer{t: t, j: h.Journal, fold: new(persistence.Custody), node: "n1"}
	_, err := settle(ctx, w.j, persistence.Control, persistence.Encode(nil, &persistence.Genesis{
		Journal: "jrn_claims", Partitions: 4, Node: "n1", WallMs: 1,
	}), 0)
	require.NoError(t, err)
	w.claim(ctx)
	rng := rand.New(rand.NewPCG(1, 2))
	stored, lost := 0, 0
	for range rounds {
		frame, expect := w.frame(), w.fold.Slot(w.node).Seq
		short, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1500))*time.Microsecond)
		_, err := w.j.Append(short, persistence.SlotSubject(w.node), frame, expect)
		cancel()
		w.claim(ctx)
		isIn := w.seen(persistence.HashOf(frame))
		if err == nil {
			require.True(t, isIn, "an acknowledged frame is in the journal")
		}
		if isIn {
			stored++
		} else {
			lost++
		}
		// A straggler of the old incarnation arrives after the claim: refused, whatever became of the frame.
		_, err = w.j.Append(ctx, persistence.SlotSubject(w.node), frame, expect)
		require.ErrorIs(t, err, persistence.ErrConflict)
	}
	t.Logf("%d frames given up: %d were stored, %d were not", rounds, stored, lost)
	b := bounds(t, w.j)
	require.Equal(t, b.Last, w.fold.Seq())
	again := new(persistence.Custody)
	j := h.Reopen(t)
	require.NoError(t, persistence.ReadRecords(ctx, j, b.First, b.Last, again.Apply))
	require.Equal(t, w.fold.Digest(), again.Digest())
}

// claimer is a writer reduced to the append rule.
type claimer struct {
	t     *testing.T
	j     persistence.Journal
	fold  *persistence.Custody
	node  string
	round int
	in    map[persistence.Digest]bool
}

func (w *claimer) frame() []byte {
	s := w.fold.Slot(w.node)
	return persistence.Encode(nil, &persistence.Frame{
		Journal: w.fold.Journal(), Node: w.node, Incarnation: s.Incarnation, Number: s.Number + 1,
		PrevSeq: s.Seq, PrevHash: s.Hash, WallMs: int64(w.round),
	})
}

func (w *claimer) seen(d persistence.Digest) bool { return w.in[d] }

// catchUp folds to the end of the journal.
func (w *claimer) catchUp(ctx context.Context) {
	b, err := w.j.Bounds(ctx)
	require.NoError(w.t, err)
	if w.in == nil {
		w.in = map[persistence.Digest]bool{}
	}
	require.NoError(w.t, persistence.ReadRecords(ctx, w.j, w.fold.Seq()+1, b.Last, func(e persistence.Entry, r persistence.Record) error {
		w.in[persistence.HashOf(e.Data)] = true
		return w.fold.Apply(e, r)
	}))
}

// claim takes the slot with the expectation that the fold has; a conflict means that the frame got the place first: fold it
// and claim on top.
func (w *claimer) claim(ctx context.Context) {
	for {
		require.NoError(w.t, ctx.Err())
		w.round++
		s := w.fold.Slot(w.node)
		data := persistence.Encode(nil, &persistence.Claim{
			Journal: w.journal(ctx), Node: w.node, By: w.node, Incarnation: s.Incarnation + 1,
			PrevSeq: s.Seq, PrevHash: s.Hash, WallMs: int64(w.round),
		})
		_, err := settle(ctx, w.j, persistence.SlotSubject(w.node), data, s.Seq)
		if err != nil && !errors.Is(err, persistence.ErrConflict) {
			require.NoError(w.t, err)
		}
		w.catchUp(ctx)
		if err == nil {
			return
		}
	}
}

func (w *claimer) journal(ctx context.Context) string {
	if w.fold.Journal() == "" {
		w.catchUp(ctx)
	}
	return w.fold.Journal()
}
