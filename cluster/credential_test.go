package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock shows the time plus what it was moved by.
type clock struct{ by atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

func (c *clock) move(by time.Duration) { c.by.Add(int64(by)) }

func authorityOf(t testing.TB, s Secret) *authority {
	t.Helper()
	a, err := s.authority()
	require.NoError(t, err)
	return a
}

func certificate(t testing.TB, s Secret, node string, now time.Time) tls.Certificate {
	t.Helper()
	c, err := s.Certificate(node, now)
	require.NoError(t, err)
	return c
}

// sign makes a certificate of a cluster that is like a node's but for the change.
func sign(t testing.TB, a *authority, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), URIs: []*url.URL{uri(a.label, "b")}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return leaf
}

func TestCertificateNamesOneNodeOfThisCluster(t *testing.T) {
	a := authorityOf(t, known())
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return u
	}
	named := func(uris ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, s := range uris {
				c.URIs = append(c.URIs, parse(s))
			}
		}
	}
	prefix := "maitred://" + a.label
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		reason string
	}{
		"a node":          {func(*x509.Certificate) {}, ""},
		"no name":         {named(), refusedName},
		"two names":       {named(prefix+"/b", prefix+"/c"), refusedName},
		"another cluster": {named("maitred://00000000/b"), refusedName},
		"another scheme":  {named("https://" + a.label + "/b"), refusedName},
		"no node":         {named(prefix + "/"), refusedName},
		"no path":         {named(prefix), refusedName},
		"a deeper path":   {named(prefix + "/b/c"), refusedName},
		"a query":         {named(prefix + "/b?c"), refusedName},
		"a user":          {named("maitred://u@" + a.label + "/b"), refusedName},
		"an escape":       {named(prefix + "/%62"), refusedName},
		"a host besides":  {func(c *x509.Certificate) { c.DNSNames = []string{"b"} }, refusedName},
		"an address":      {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }, refusedName},
		"servers only":    {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, refusedForeign},
		"over":            {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }, refusedExpired},
		"to come":         {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, refusedExpired},
	} {
		t.Run(name, func(t *testing.T) {
			node, err := a.verify([]*x509.Certificate{sign(t, a, c.change)}, x509.ExtKeyUsageClientAuth, time.Now())
			requireReason(t, c.reason, err)
			if err == nil {
				require.Equal(t, "b", node)
			}
		})
	}
	_, err := a.verify(nil, x509.ExtKeyUsageClientAuth, time.Now())
	requireReason(t, refusedNone, err)
	_, err = a.verify([]*x509.Certificate{a.root}, x509.ExtKeyUsageClientAuth, time.Now())
	require.Error(t, err, "the authority is no node")
	other := sign(t, authorityOf(t, NewSecret()), named(prefix+"/b"))
	_, err = a.verify([]*x509.Certificate{other, a.root}, x509.ExtKeyUsageClientAuth, time.Now())
	requireReason(t, refusedForeign, err)
}

func requireReason(t testing.TB, reason string, err error) {
	t.Helper()
	if reason == "" {
		require.NoError(t, err)
		return
	}
	var r *refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, reason, r.reason)
}

// A node cannot make nodes: what its key signs is not believed, with its own certificate in the chain or without.
func TestNodeIsNoAuthority(t *testing.T) {
	a, now := authorityOf(t, known()), time.Now()
	node := certificate(t, known(), "b", now)
	rogue := &authority{a.label, node.PrivateKey.(ed25519.PrivateKey), node.Leaf}
	forged, err := rogue.certify("c", now)
	require.NoError(t, err)
	_, err = a.verify([]*x509.Certificate{forged.Leaf, node.Leaf}, x509.ExtKeyUsageClientAuth, now)
	requireReason(t, refusedForeign, err)
}

func TestCertificateIsForThirtyDaysAndSkewedClocks(t *testing.T) {
	now := time.Now()
	leaf := certificate(t, known(), "b", now).Leaf
	require.Equal(t, now.Add(-time.Hour).Unix(), leaf.NotBefore.Unix())
	require.Equal(t, now.Add(30*24*time.Hour).Unix(), leaf.NotAfter.Unix())
	_, err := known().Certificate("a b", now)
	require.Error(t, err)
	_, err = Secret{}.Certificate("b", now)
	require.Error(t, err)
}

func TestCertificateIsRenewedBeforeItEnds(t *testing.T) {
	var at clock
	c := newCredential(known(), "b", at.now)
	server, client := c.server(), c.client("a")
	shown := func() *big.Int {
		s, err := server.GetCertificate(nil)
		require.NoError(t, err)
		k, err := client.GetClientCertificate(nil)
		require.NoError(t, err)
		require.Same(t, s, k)
		_, err = c.authority.verify([]*x509.Certificate{s.Leaf}, x509.ExtKeyUsageServerAuth, at.now())
		require.NoError(t, err)
		return s.Leaf.SerialNumber
	}
	first := shown()
	at.move(certificateFor - certificateLeft - time.Hour)
	require.Equal(t, first, shown(), "it is good")
	at.move(2 * time.Hour)
	second := shown()
	require.NotEqual(t, first, second, "its end is near")
	at.move(-40 * 24 * time.Hour)
	require.NotEqual(t, second, shown(), "it would not be good yet")
}

// The journal's servers: either end wants a certificate of this cluster, and takes any node of it.
func TestRoutesAreBetweenNodesOfTheCluster(t *testing.T) {
	s, other := NewSecret(), NewSecret()
	none := func(server bool) *tls.Config {
		if server {
			return showingTo(certificate(t, other, "b", time.Now()))
		}
		return &tls.Config{InsecureSkipVerify: true}
	}
	for name, c := range map[string]struct {
		client, server *tls.Config
		reason         string // why the end of this cluster refuses; empty = it does not
	}{
		"two nodes":                              {s.RouteTLS("a"), s.RouteTLS("b"), ""},
		"a client of another cluster":            {other.RouteTLS("a"), s.RouteTLS("b"), "not of this cluster"},
		"a server of another cluster":            {s.RouteTLS("a"), other.RouteTLS("b"), "not of this cluster"},
		"a client without a certificate":         {none(false), s.RouteTLS("b"), "didn't provide a certificate"},
		"a server that anybody would take":       {s.RouteTLS("a"), none(true), "not of this cluster"},
		"a client whose certificate has ended":   {showingTo(certificate(t, s, "a", time.Now().Add(-31*24*time.Hour))), s.RouteTLS("b"), "expired"},
		"a server without any secret of its own": {s.RouteTLS("a"), Secret{}.RouteTLS("b"), "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			err := handshake(t, c.client, c.server)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.reason)
		})
	}
}

func showingTo(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, InsecureSkipVerify: true}
}

// handshake is what either end has against the other.
func handshake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			err = errors.Join(c.SetDeadline(in(soon)), c.(*tls.Conn).Handshake())
		}
		served <- err
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(in(soon)))
	err = tls.Client(c, client).Handshake()
	return errors.Join(err, <-served)
}
