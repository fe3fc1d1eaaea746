package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
)

// beaten is a journal that another node is just beginning: appends are refused before the other's genesis can be read.
type beaten struct {
	persistence.Journal
	begun atomic.Bool
}

func (b *beaten) Append(ctx context.Context, s persistence.Subject, data []byte, expect persistence.Seq) (persistence.Seq, error) {
	if s == persistence.Control && !b.begun.Load() {
		return 0, fmt.Errorf("in process: %w", persistence.ErrConflict)
	}
	return b.Journal.Append(ctx, s, data, expect)
}

func (b *beaten) begin() {
	g := &persistence.Genesis{Journal: "jrn_other", Partitions: 4, Node: "n2"}
	_, _ = b.Journal.Append(context.Background(), persistence.Control, persistence.Encode(nil, g), 0) // whether it did, the owners say
	b.begun.Store(true)
}

// A node that starts while another one begins the journal waits for it.
func TestGenesisOfAnotherNodeIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := &beaten{Journal: memory.NewJournal(memory.Options{})}
		time.AfterFunc(time.Second, journal.begin)
		h, err := Open(t.Context(), Config{
			Node: "n1", Shared: true, Journal: journal, Bases: memory.NewBases(memory.BasesOptions{}), Feed: persistence.NewFeed(journal, 1<<20),
		})
		require.NoError(t, err)
		require.Equal(t, []string{"n2", "n2", "n2", "n2"}, h.Owners())
		require.NoError(t, h.Close())
	})
}
