package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"maitred/edge"
)

// A node of several makes no keys of its own: the others could not read what it writes, nor find its accounts.
func TestANodeOfSeveralMakesNoKeys(t *testing.T) {
	for _, missing := range []string{secretFile, edge.KeysFile, sealFile} {
		t.Run(missing, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "secrets")
			require.NoError(t, (&ClusterInitCmd{Dir: dir}).Run())
			peers := "127.0.0.1:7000,127.0.0.2:7000,127.0.0.3:7000"
			open := func() error {
				n := newNode(nodeConfig(t, t.TempDir(), "--node", "n1", "--cluster-dir", dir, "--peer-listen", "127.0.0.1:7000", "--join", peers))
				n.Registry = prometheus.NewRegistry()
				return n.openSecret(t.Context())
			}
			require.NoError(t, open())
			require.NoError(t, os.Remove(filepath.Join(dir, missing)))
			require.ErrorIs(t, open(), os.ErrNotExist)
		})
	}
}
