package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// The committed section and plots are what the code gives now: a change of ring, rules or records that moves a figure shows here.
func TestDocumentIsUpToDate(t *testing.T) {
	const root = "../.."
	dir := t.TempDir()
	section, err := write(dir)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, document))
	require.NoError(t, err)
	fresh, err := replace(text, section)
	require.NoError(t, err)
	require.Equal(t, string(text), string(fresh), "go run ./bench/plan writes it anew")
	plots, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	require.NoError(t, err)
	require.Len(t, plots, 3)
	if runtime.GOARCH != "amd64" { // coordinates are floating point, and other processors fuse multiplication and addition
		return
	}
	for _, plot := range plots {
		want, err := os.ReadFile(plot)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(root, plotFolder, filepath.Base(plot)))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s: go run ./bench/plan draws it anew", filepath.Base(plot))
	}
}

func TestStormEndsWithEverythingOwned(t *testing.T) {
	for _, dead := range []int{1, 7, 60} {
		s := newStorm(256, dead)
		require.Len(t, s.unserved, dead)
		require.Zero(t, s.unserved[dead-1].left, "the last claim leaves nothing")
		require.Less(t, s.unserved[0].left, s.unservedAtOnce())
		require.GreaterOrEqual(t, s.last.Seconds(), 3.0)
	}
}

func TestQuorumLost(t *testing.T) {
	require.Zero(t, quorumLost(1))
	require.InDelta(t, 3.0/4950, quorumLost(2), 1e-9, "three pairs of all pairs")
	require.InDelta(t, 1, quorumLost(99), 1e-9)
}
