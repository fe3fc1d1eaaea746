package cluster

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// known is a secret that everybody may know.
func known() Secret {
	var s Secret
	for i := range s.key {
		s.key[i] = byte(i)
	}
	return s
}

func TestSecretIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.secret")
	s := NewSecret()
	require.NoError(t, s.Write(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, `^maitred-cluster-1:[0-9a-f]{64}\n$`, string(text))
	read, err := ReadSecret(path)
	require.NoError(t, err)
	require.Equal(t, s.key, read.key)

	require.ErrorIs(t, NewSecret().Write(path), os.ErrExist, "a secret that is there stays")
	require.Error(t, Secret{}.Write(path+"2"))
	require.NoFileExists(t, path+"2")
}

func TestSecretThatOthersMayReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o601} {
		path := filepath.Join(t.TempDir(), "cluster.secret")
		require.NoError(t, NewSecret().Write(path))
		require.NoError(t, os.Chmod(path, mode))
		_, err := ReadSecret(path)
		require.ErrorContains(t, err, fmt.Sprintf("(mode %04o): make it 0600", mode))
	}
}

func TestWrongFileIsNoSecret(t *testing.T) {
	good := secretPrefix + strings.Repeat("5a", secretBytes)
	for name, c := range map[string]struct{ text, say string }{
		"empty":      {"", "does not begin with"},
		"other file": {"-----BEGIN PRIVATE KEY-----\n", "does not begin with"},
		"next kind":  {"maitred-cluster-2:" + good[len(secretPrefix):] + "\n", "does not begin with"},
		"short":      {good[:len(good)-2] + "\n", "damaged"},
		"long":       {good + "00\n", "damaged"},
		"two lines":  {good + "\n\n", "damaged"},
		"no digits":  {good[:len(good)-1] + "x\n", "damaged"},
		"huge":       {good + strings.Repeat("0", 1<<20), "damaged"},
		"zeros":      {secretPrefix + strings.Repeat("0", 2*secretBytes) + "\n", "all zeros"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		_, err := ReadSecret(path)
		require.ErrorContains(t, err, c.say, name)
		require.NotContains(t, err.Error(), "5a5a", name)
	}
	_, err := ReadSecret(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	_, err = ReadSecret(dir)
	require.ErrorContains(t, err, "not a file")

	path := filepath.Join(t.TempDir(), "edited")
	require.NoError(t, os.WriteFile(path, []byte(good), 0o600))
	_, err = ReadSecret(path)
	require.NoError(t, err, "an editor may have dropped the end of the line")
}

// What is derived is a protocol: a version that derives something else does not talk to this one.
func TestWhatIsDerivedStays(t *testing.T) {
	s := known()
	a, err := s.authority()
	require.NoError(t, err)
	public := sha256.Sum256(a.key.Public().(ed25519.PublicKey))
	gossip, route := sha256.Sum256(s.GossipKey()), sha256.Sum256([]byte(s.RoutePassword()))
	require.Equal(t, map[string]string{
		"label":     "37521e84",
		"authority": "ce2f597c6f761261c3f049195f981e1517c40dc713c0ed4817dce85ccbdb4483",
		"gossip":    "d12b862b9ef4eb17ab88d3f5af92dfa00deacac91120a57dd45d2b87970c2a90",
		"route":     "7e5db900b628215707282732e3917837dba9c3b832f0bbdac64e840fcffcb815",
	}, map[string]string{
		"label": s.Label(), "authority": hex.EncodeToString(public[:]), "gossip": hex.EncodeToString(gossip[:]), "route": hex.EncodeToString(route[:]),
	})
	b, err := s.authority()
	require.NoError(t, err)
	require.Equal(t, a.root.Raw, b.root.Raw, "every node derives the same certificate")
	require.Len(t, s.GossipKey(), 32)
}

func TestTwoSecretsHaveNothingAlike(t *testing.T) {
	everything := func(s Secret) [][]byte {
		a, err := s.authority()
		require.NoError(t, err)
		return [][]byte{s.key[:], s.GossipKey(), []byte(s.RoutePassword()), []byte(s.Label()), a.key, a.key.Seed(), a.root.Raw, a.root.SubjectKeyId}
	}
	a, b := everything(NewSecret()), everything(NewSecret())
	for i := range a {
		for j := range b {
			require.False(t, bytes.Contains(a[i], b[j]), "%d and %d", i, j)
		}
	}
	s := known()
	require.NotEqual(t, s.GossipKey(), s.derive("route password", 32), "nor two uses of one")
}

func TestSecretDoesNotShow(t *testing.T) {
	s := known()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		fmt.Fprintf(&out, verb+" ", s)
		fmt.Fprintf(&out, verb+" ", &s)
		fmt.Fprintf(&out, verb+" ", HopConfig{Secret: s}.Secret)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "secret", s, "config", struct{ S Secret }{s})
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "secret", s, "config", struct{ S Secret }{s})
	//lint:ignore SA9005 that nothing comes out is what is asked
	text, err := json.Marshal(s)
	require.NoError(t, err)
	out.Write(text)
	for _, sign := range []string{"0001", "0 1", "0,1", "0, 1", "0x0", `\x01`} {
		require.NotContains(t, out.String(), sign)
	}
}
