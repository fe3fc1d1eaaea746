package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"maitred/persistence"
)

const (
	certificateSkew = time.Hour // the clocks of two nodes may differ by this
	certificateFor  = 30 * 24 * time.Hour
	certificateLeft = 10 * 24 * time.Hour // made anew when less is left
)

// The authority is the same on every node for ever: its dates are no statement about anything.
var (
	authorityFrom  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	authorityUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Certificate makes a key and certifies that it is node's. It is good from an hour before now for 30 days.
func (s Secret) Certificate(node string, now time.Time) (tls.Certificate, error) {
	a, err := s.authority()
	if err != nil {
		return tls.Certificate{}, err
	}
	return a.certify(node, now)
}

// ServerTLS is for the internal listener of node: TLS 1.3, and only nodes of this cluster get in.
func (s Secret) ServerTLS(node string) *tls.Config { return newCredential(s, node, time.Now).server() }

// ClientTLS is for calls of node to peer: TLS 1.3, and the other end is exactly peer.
func (s Secret) ClientTLS(node, peer string) *tls.Config {
	return newCredential(s, node, time.Now).client(peer)
}

// RouteTLS is for the journal's servers among themselves, either end: TLS 1.3, and the other one is a node of this cluster. Which one is not
// asked: the servers find each other by gossip of their own, and whoever has the secret could call itself anything.
func (s Secret) RouteTLS(node string) *tls.Config { return newCredential(s, node, time.Now).routes() }

// authority is the cluster's own, derived from its secret by every node alike.
type authority struct {
	label string
	key   ed25519.PrivateKey
	root  *x509.Certificate
}

func (s Secret) authority() (*authority, error) {
	if !s.known() {
		return nil, errors.New("cluster: there is no secret")
	}
	key := ed25519.NewKeyFromSeed(s.derive("certificate authority", ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maitred cluster " + s.Label()}, NotBefore: authorityFrom, NotAfter: authorityUntil,
		SubjectKeyId: s.derive("certificate authority id", 20), // named here because versions of Go make it differently
		KeyUsage:     x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("cluster: make the certificate authority: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	return &authority{s.Label(), key, root}, err
}

func (a *authority) certify(node string, now time.Time) (tls.Certificate, error) {
	if !persistence.ValidName(node) {
		return tls.Certificate{}, fmt.Errorf("cluster: %q names no node", node)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: node}, URIs: []*url.URL{uri(a.label, node)},
		NotBefore: now.Add(-certificateSkew), NotAfter: now.Add(certificateFor), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cluster: make the certificate of %s: %w", node, err)
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, err
}

func uri(label, node string) *url.URL {
	return &url.URL{Scheme: "maitred", Host: label, Path: "/" + node}
}

// Why a connection is refused, as the metric counts it.
const (
	refusedPlain   = "plain"          // no TLS
	refusedVersion = "version"        // TLS before 1.3
	refusedNone    = "no_certificate" // of the client
	refusedForeign = "foreign"        // certified by someone else: another cluster's secret
	refusedExpired = "expired"        // or not good yet
	refusedName    = "name"           // not one node of this cluster
	refusedByPeer  = "by_peer"        // the client would not have us
	refusedBroken  = "broken"         // ended or timed out before it was through
	refusedTooMany = "too_many"       // connections
)

// refusal is why a certificate is not believed.
type refusal struct {
	reason string
	cause  error
}

func (r *refusal) Error() string { return r.cause.Error() }

// nodeOf is who the certificate says it is; a certificate good for anything else is good for nothing.
func (a *authority) nodeOf(leaf *x509.Certificate) (string, bool) {
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 || len(leaf.URIs[0].Path) < 2 {
		return "", false
	}
	node := leaf.URIs[0].Path[1:]
	return node, persistence.ValidName(node) && leaf.URIs[0].String() == uri(a.label, node).String()
}

// verify is whom the other end has proved to be at now.
func (a *authority) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", &refusal{refusedNone, errors.New("cluster: the other end shows no certificate")}
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "", &refusal{refusedExpired, fmt.Errorf("cluster: the certificate of the other end: %w", err)}
	case err != nil:
		return "", &refusal{refusedForeign, fmt.Errorf("cluster: the other end is not of this cluster: %w", err)}
	}
	node, ok := a.nodeOf(chain[0])
	if !ok {
		return "", &refusal{refusedName, errors.New("cluster: the certificate of the other end names no node of this cluster")}
	}
	return node, nil
}

// credential is a node's own certificate, made anew before it ends, and its look at those of others.
type credential struct {
	node      string
	now       func() time.Time
	authority *authority
	fault     error // there is no secret: every handshake fails

	mu      sync.Mutex
	current *tls.Certificate
}

func newCredential(s Secret, node string, now func() time.Time) *credential {
	a, err := s.authority()
	return &credential{node: node, now: now, authority: a, fault: err}
}

// certificate is the one to show now. A clock that was set back makes a new one, too.
func (c *credential) certificate() (*tls.Certificate, error) {
	if c.fault != nil {
		return nil, c.fault
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.current != nil && now.After(c.current.Leaf.NotBefore) && c.current.Leaf.NotAfter.Sub(now) > certificateLeft {
		return c.current, nil
	}
	made, err := c.authority.certify(c.node, now)
	if err != nil {
		return nil, err
	}
	c.current = &made
	return c.current, nil
}

func (c *credential) server() *tls.Config {
	config := c.config(x509.ExtKeyUsageClientAuth, func(string) error { return nil })
	config.ClientAuth = tls.RequireAnyClientCert // it is VerifyConnection that verifies
	return config
}

func (c *credential) client(peer string) *tls.Config {
	config := c.config(x509.ExtKeyUsageServerAuth, func(node string) error {
		if node != peer {
			return &refusal{refusedName, fmt.Errorf("cluster: the other end is %s, not %s", node, peer)}
		}
		return nil
	})
	config.InsecureSkipVerify = true // of host names, which nodes do not have: VerifyConnection does the rest, and more
	return config
}

func (c *credential) routes() *tls.Config {
	anyNode := func(string) error { return nil }
	accept := c.config(x509.ExtKeyUsageClientAuth, anyNode)
	accept.ClientAuth = tls.RequireAnyClientCert
	config := c.config(x509.ExtKeyUsageServerAuth, anyNode)
	config.InsecureSkipVerify = true // of host names: see client
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return accept, nil }
	return config
}

// config believes nodes of the usage that may be let in. Tickets would carry what was believed past its end.
func (c *credential) config(usage x509.ExtKeyUsage, may func(node string) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.certificate() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate() },
		VerifyConnection: func(state tls.ConnectionState) error {
			if c.fault != nil {
				return c.fault
			}
			node, err := c.authority.verify(state.PeerCertificates, usage, c.now())
			if err != nil {
				return err
			}
			return may(node)
		},
	}
}
