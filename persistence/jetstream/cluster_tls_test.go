package jetstream

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// routeTLS is what one authority's servers show each other; the authority follows from the secret.
func routeTLS(t testing.TB, secret string) *tls.Config {
	t.Helper()
	seed := sha256.Sum256([]byte(secret))
	authority := ed25519.NewKeyFromSeed(seed[:])
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(24 * time.Hour), SubjectKeyId: seed[:20],
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, authority.Public(), authority)
	require.NoError(t, err)
	root, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err = x509.CreateCertificate(rand.Reader, leaf, root, public, authority)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		RootCAs: roots, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// A server that knows names, routes and password, but has another authority's certificate, or none, or no TLS, takes no part; the three
// form the cluster meanwhile, and tell of it.
func TestStrangersAreNoServers(t *testing.T) {
	options := clusterOptions(t, t.TempDir(), 4)
	three, stranger := options[:3], options[3]
	var refused atomic.Int64
	for i := range three {
		three[i].Cluster.Routes = three[i].Cluster.Routes[:3]
		three[i].Cluster.Refused = func() { refused.Add(1) }
	}
	all := openCluster(t, three)
	leaderOf(t, all, journalStream)
	_, err := all[0].Journal().Append(t.Context(), "j.w.s0", []byte("x"), 0)
	require.NoError(t, err)
	require.Zero(t, refused.Load())

	for name, config := range map[string]*tls.Config{
		"another authority": routeTLS(t, "another"), "no certificate": bare(routeTLS(t, "for the test")), "in clear": nil,
	} {
		t.Run(name, func(t *testing.T) {
			was := refused.Load()
			o := stranger
			o.Dir = t.TempDir()
			o.Cluster = &Cluster{
				Name: "test", Host: "127.0.0.1", Port: stranger.Cluster.Port, Routes: stranger.Cluster.Routes, Secret: "for the test", TLS: config,
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := Open(ctx, o)
			require.ErrorIs(t, err, context.DeadlineExceeded, "it waits for a cluster that it is not in")
			require.Greater(t, refused.Load(), was, "nobody tells of it")
			for _, e := range all {
				require.Equal(t, 2, peers(e), "routes of %s", e.opts.Name)
			}
		})
	}
}

// bare verifies others and shows nothing.
func bare(config *tls.Config) *tls.Config {
	config.Certificates, config.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	return config
}

// peers is to how many other servers e has routes.
func peers(e *Embedded) int {
	routes, err := e.now.Load().server.Routez(nil)
	if err != nil {
		return -1
	}
	names := map[string]bool{}
	for _, r := range routes.Routes {
		names[r.RemoteName] = true
	}
	return len(names)
}
