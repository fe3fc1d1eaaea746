package cluster

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func speaking(protocol uint16) func(*MembersConfig) {
	return func(c *MembersConfig) { c.Meta.Protocol = protocol }
}

// What every node understands rises with the last one that is replaced, and a death takes nothing back; an older build that returns does.
func TestMembersAgreeOnAProtocol(t *testing.T) {
	a := start(t, "n1", speaking(2))
	require.EqualValues(t, 2, a.Protocol(1))
	require.Zero(t, a.Protocol(3), "two have never been seen")
	b := start(t, "n2", speaking(2), joining(a))
	c := start(t, "n3", speaking(1), joining(a, b))
	a.sees(patient, "n1 n2 n3")
	require.EqualValues(t, 1, a.Protocol(3))
	replace := func(protocol uint16) {
		require.NoError(t, c.Leave(t.Context()))
		require.NoError(t, c.Close())
		a.sees(patient, "n1 n2")
		c = start(t, "n3", speaking(protocol), joining(a, b))
		a.sees(patient, "n1 n2 n3")
	}
	replace(2)
	require.EqualValues(t, 2, a.Protocol(3))
	require.NoError(t, c.Close()) // no word of it
	a.sees(patient, "n1 n2")
	require.EqualValues(t, 2, a.Protocol(3))
	replace(0)
	require.Zero(t, a.Protocol(3), "of a build that says none")
}

// TestGoldenMeta: what older builds say is understood, and each later one says the same first.
func TestGoldenMeta(t *testing.T) {
	m := Meta{Incarnation: 0x0102030405060708, Weight: 100, Version: "v0.9.0", API: "10.0.0.1:8080", Hop: "10.0.0.1:7002", Draining: true}
	for _, g := range []struct {
		file     string
		protocol uint16
	}{{"testdata/meta_v0.hex", 0}, {"testdata/meta_v1.hex", 1}} {
		m.Protocol = g.protocol
		b, err := m.encode()
		require.NoError(t, err)
		if g.protocol == 0 { // the builds that said none
			b = b[:len(b)-2]
		}
		if _, err := os.Stat(g.file); *update && os.IsNotExist(err) { // what was said once is never written anew
			require.NoError(t, os.WriteFile(g.file, []byte(hex.EncodeToString(b)+"\n"), 0o644))
		}
		text, err := os.ReadFile(g.file)
		require.NoError(t, err)
		want, err := hex.DecodeString(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		require.Equal(t, want, b)
		back, err := decodeMeta(want)
		require.NoError(t, err)
		require.Equal(t, m, back)
	}
}
