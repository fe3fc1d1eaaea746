package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// The operator's way out when the journal's disk is lost and the bases are not: adopt, verify, copy.
func TestJournalCommands(t *testing.T) {
	data, other := t.TempDir(), filepath.Join(t.TempDir(), "new")
	require.ErrorContains(t, (&JournalVerifyCmd{Data: other}).Run(), "no journal in")
	journal, err := jetstream.Open(t.Context(), repairOptions(data))
	require.NoError(t, err)
	_, err = journal.Bases().Put(t.Context(), persistence.Base{
		BaseHeader: persistence.BaseHeader{ID: "rst_0000000000001", Version: 3, Position: 70}, State: []byte("state"),
	})
	require.NoError(t, err)
	require.NoError(t, journal.Close())

	require.ErrorContains(t, (&JournalVerifyCmd{Data: data}).Run(), "not whole: 2 findings")
	require.ErrorContains(t, (&JournalAdoptCmd{Data: data, Node: "n1"}).Run(), "--accept-loss")
	require.NoError(t, (&JournalAdoptCmd{Data: data, Node: "n1", AcceptLoss: true}).Run())
	require.NoError(t, (&JournalVerifyCmd{Data: data}).Run())
	require.ErrorContains(t, (&JournalAdoptCmd{Data: data, Node: "n1", AcceptLoss: true}).Run(), "not empty (71 to 72)")
	require.NoError(t, (&JournalCopyCmd{Data: data, To: other}).Run())
	require.NoError(t, (&JournalVerifyCmd{Data: other}).Run())
	require.NoError(t, (&InspectCmd{Data: other}).Run())
}
