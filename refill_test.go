package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// A node that joins when the journal was purged already has a store all the same; a node that is alone is its operator's matter.
func TestAStoreBehindIsFilledInACluster(t *testing.T) {
	data := t.TempDir()
	s := openSite(t, data, func(c *Config) { c.TestPassivate = true }) // everything is in bases
	restaurant := s.trattoria(0, 1)
	require.NoError(t, s.embedded.Journal().Purge(t.Context(), s.house.Status().Last))
	require.NoError(t, s.Close())
	files, err := filepath.Glob(storePath(data) + "*")
	require.NoError(t, err)
	for _, f := range files {
		require.NoError(t, os.Remove(f))
	}

	n := newNode(nodeConfig(t, data))
	n.Registry = s.Registry
	defer func() { require.NoError(t, n.Close()) }()
	require.NoError(t, n.openData(t.Context()))
	require.NoError(t, n.openSeal(t.Context()))
	b, err := n.embedded.Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.Greater(t, b.First, persistence.Seq(1))
	for _, several := range []bool{false, true} {
		if several {
			n.cell = &cell{}
		}
		require.NoError(t, n.openStore(t.Context()))
		at, err := n.store.Cursor(t.Context())
		require.NoError(t, err)
		require.Equal(t, several, at.Seq+1 >= b.First)
	}
	page, err := n.store.PlacesOf(t.Context(), engine.MakeAccountID([16]byte{1}), "", 10)
	require.NoError(t, err)
	require.Len(t, page.Rows, 1)
	require.EqualValues(t, restaurant, page.Rows[0].Restaurant)
}
