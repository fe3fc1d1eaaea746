package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// The start goes back far enough, and not through the whole journal: also when one of three nodes has a clock an hour behind.
func TestRecallGoesBackFarEnough(t *testing.T) {
	journal := memory.NewJournal(memory.Options{})
	defer journal.Close()
	begun := time.UnixMilli(1_800_000_000_000)
	const records, every = 60_000, 100 * time.Millisecond
	last := map[string]persistence.Seq{}
	wall := func(i int) time.Time { return begun.Add(time.Duration(i) * every) }
	for i := range records {
		node := []string{"n1", "n2", "n3"}[i%3]
		f := &persistence.Frame{Journal: "jrn_x", Node: node, WallMs: wall(i).UnixMilli()}
		if node == "n3" {
			f.WallMs -= time.Hour.Milliseconds()
		}
		seq, err := journal.Append(t.Context(), persistence.SlotSubject(node), persistence.Encode(nil, f), last[node])
		require.NoError(t, err)
		last[node] = seq
	}
	b, err := journal.Bounds(t.Context())
	require.NoError(t, err)
	for _, ago := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour} {
		c := &Config{Journal: journal, Recall: ago, OnAccount: func(engine.AccountID, engine.Version, *engine.Event) {}, Now: func() time.Time { return wall(records) }}
		from, err := c.recallFrom(t.Context(), b)
		require.NoError(t, err)
		needed := b.Last - min(persistence.Seq(ago/every), records-1)
		require.LessOrEqual(t, from, needed, "%v", ago)
		require.LessOrEqual(t, b.Last-from, max(2*(b.Last-needed), 2*recallStep), "%v", ago)
	}
	silent := &Config{Journal: journal, Recall: time.Hour, Now: time.Now}
	from, err := silent.recallFrom(t.Context(), b)
	require.NoError(t, err)
	require.Greater(t, from, b.Last, "nobody is to be told")
}
