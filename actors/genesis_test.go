package actors

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
)

// rivalJournal has another node's genesis on its way: it refuses ours at once, and shows the other one after a few looks.
type rivalJournal struct {
	persistence.Journal
	genesis []byte
	looks   int // until it is there
}

func (j *rivalJournal) Append(ctx context.Context, s persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	if j.looks > 0 {
		return 0, persistence.ErrConflict
	}
	return j.Journal.Append(ctx, s, data, expect)
}

func (j *rivalJournal) Last(ctx context.Context, s persistence.Subject) (persistence.Entry, error) {
	if j.looks--; j.looks == 0 {
		if _, err := j.Journal.Append(ctx, persistence.Control, j.genesis, 0); err != nil {
			return persistence.Entry{}, err
		}
	}
	return j.Journal.Last(ctx, s)
}

// Nodes that start a new cluster together all try to begin the journal: who is refused waits for the one that was not.
func TestTheSlowerOfTwoWaitsForTheOthersGenesis(t *testing.T) {
	j := &rivalJournal{Journal: memory.NewJournal(memory.Options{}), looks: 4, genesis: persistence.Encode(nil, &persistence.Genesis{
		Journal: "jrn_other", Partitions: 8, Node: "n2", WallMs: 1,
	})}
	cfg := Config{Node: "n1", Journal: j, Bases: memory.NewBases(memory.BasesOptions{}), Shared: true}
	cfg.setDefaults()
	f, err := restore(t.Context(), &cfg, newTimers(&House{cfg: cfg}))
	require.NoError(t, err)
	require.Equal(t, "n2", f.custody.Part(0).Owner)
}
