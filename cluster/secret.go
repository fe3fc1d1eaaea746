package cluster

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

const (
	secretPrefix = "maitred-cluster-1:"
	secretBytes  = 32
	maxFileBytes = 1 << 10 // more than a file of a secret ever has
)

// Secret makes a cluster: whoever has it is a node. He may call himself by any name, speak for every node and read what nodes tell
// each other, and nothing but a new secret on every node takes that back. All other keys between nodes are derived from it. It does
// not show when it is printed or logged; the zero value is no secret, and nothing that it certifies is believed.
type Secret struct{ key [secretBytes]byte }

// NewSecret makes the secret of a new cluster.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s.key[:]) // never fails: crypto/rand ends the process first
	return s
}

// ReadSecret reads what Write wrote. A file that others than its owner may read is refused.
func ReadSecret(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, fmt.Errorf("cluster: read the secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Secret{}, fmt.Errorf("cluster: read the secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("cluster: the secret %s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Secret{}, fmt.Errorf("cluster: others than its owner may read or write the secret %s (mode %04o): make it 0600", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return Secret{}, fmt.Errorf("cluster: read the secret: %w", err)
	}
	s, err := parseSecret(string(text))
	if err != nil {
		return Secret{}, fmt.Errorf("cluster: %s: %w", path, err)
	}
	return s, nil
}

// parseSecret never quotes the text: a wrong file may be another's secret.
func parseSecret(text string) (Secret, error) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), secretPrefix)
	if !ok {
		return Secret{}, fmt.Errorf("no secret of a cluster: it does not begin with %q", secretPrefix)
	}
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) != secretBytes {
		return Secret{}, fmt.Errorf("damaged: %q is not followed by %d hexadecimal digits", secretPrefix, 2*secretBytes)
	}
	s := Secret{[secretBytes]byte(key)}
	if !s.known() {
		return Secret{}, errors.New("no secret: it is all zeros")
	}
	return s, nil
}

// Write makes the file; one that is there stays as it is.
func (s Secret) Write(path string) error {
	if !s.known() {
		return errors.New("cluster: there is no secret to write")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cluster: write the secret: %w", err)
	}
	_, err = io.WriteString(f, secretPrefix+hex.EncodeToString(s.key[:])+"\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cluster: write the secret: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// GossipKey encrypts what members tell each other (AES-256).
func (s Secret) GossipKey() []byte { return s.derive("gossip key", 32) }

// RoutePassword lets the journal's servers in at each other.
func (s Secret) RoutePassword() string { return hex.EncodeToString(s.derive("route password", 32)) }

// Label names the cluster, and may be shown: nobody gets from it to the secret.
func (s Secret) Label() string { return hex.EncodeToString(s.derive("label", 4)) }

// derive gives a key of its own to each use, so that one that leaks tells nothing of the others. What is derived never changes:
// nodes of two versions would not understand each other.
func (s Secret) derive(use string, n int) []byte {
	key, err := hkdf.Key(sha256.New, s.key[:], nil, "maitred cluster 1: "+use, n)
	if err != nil {
		panic(err) // only for more than 255 hashes
	}
	return key
}

func (s Secret) known() bool { return s != Secret{} }

// Format implements fmt.Formatter: no verb shows a secret.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, secretPrefix+"(secret)") }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(secretPrefix + "(secret)") }
