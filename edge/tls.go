package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	certificateLook = 30 * time.Second // how often handshakes look whether the files have changed
	selfSignedFor   = 365 * 24 * time.Hour
	selfSignedLeft  = 30 * 24 * time.Hour // made anew when less is left
)

// Certificate is a server's certificate from files, read anew when they change: the one in use stays until the new one is whole.
type Certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex     // one reads the files
	read    [2]os.FileInfo // what was read
	looked  atomic.Int64   // Unix ns
	current atomic.Pointer[tls.Certificate]
}

// OpenCertificate reads a certificate chain and its private key (PEM).
func OpenCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log}
	c.looked.Store(time.Now().UnixNano())
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// SelfSigned reads the certificate that the node made for itself in dir, and makes one first when there is none or its time is
// nearly over. It is for localhost, the machine's name and hosts.
func SelfSigned(dir string, hosts []string, log *slog.Logger) (*Certificate, error) {
	file := SelfSignedFile(dir)
	if c, err := OpenCertificate(file, file, log); err == nil && c.serves(hosts) && time.Until(c.current.Load().Leaf.NotAfter) > selfSignedLeft {
		return c, nil
	}
	text, err := selfSigned(hosts, time.Now())
	if err != nil {
		return nil, fmt.Errorf("edge: make a certificate: %w", err)
	}
	if err := errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
		return nil, fmt.Errorf("edge: keep the certificate: %w", err)
	}
	return OpenCertificate(file, file, log)
}

// SelfSignedFile is where SelfSigned keeps certificate and key: what a client on this machine may be told to trust.
func SelfSignedFile(dir string) string { return filepath.Join(dir, "tls-self-signed.pem") }

func selfSigned(hosts []string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "maitred, self-signed"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), nil
}

// Reload reads the files now.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(c.files())
}

func (c *Certificate) load(files [2]os.FileInfo) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("edge: read the certificate %s and its key: %w", c.cert, err)
	}
	c.read = files
	c.current.Store(&pair)
	return nil
}

// files is what can be seen of the files from outside; nil for one that cannot be.
func (c *Certificate) files() (seen [2]os.FileInfo) {
	for i, file := range []string{c.cert, c.key} {
		if info, err := os.Stat(file); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// changed tells whether a file was written or replaced. A replacement can have the time of its predecessor.
func changed(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a != b
	}
	return !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime())
}

// refresh reads the files if it has not looked at them for certificateLook and they have changed. Files that do not belong
// together, as in the middle of a renewal, are looked at again next time.
func (c *Certificate) refresh(now time.Time) {
	last := c.looked.Load()
	if now.UnixNano()-last < int64(certificateLook) || !c.looked.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if files := c.files(); changed(files[0], c.read[0]) || changed(files[1], c.read[1]) {
		if err := c.load(files); err != nil {
			c.log.Warn("the certificate has changed and cannot be read; the old one stays", "error", err)
			return
		}
		c.log.Info("the certificate was read anew", "not_after", c.current.Load().Leaf.NotAfter)
	}
}

// Config is for a listener: TLS 1.2 at least, HTTP/1.1 only.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.refresh(time.Now())
			return c.current.Load(), nil
		},
	}
}

// Leaf is the certificate that is served now.
func (c *Certificate) Leaf() *x509.Certificate { return c.current.Load().Leaf }

func (c *Certificate) serves(hosts []string) bool {
	for _, h := range hosts {
		if c.Leaf().VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

// Redirect sends clients that speak plain HTTP to the TLS listener (308: method and body stay). The host in the answer is the
// request's only if the certificate names it, so that nobody can be sent elsewhere with a Host header.
type Redirect struct {
	http   *fasthttp.Server
	ln     net.Listener
	served chan error
}

// OpenRedirect serves ln until Close; port is that of the TLS listener. It takes redirectConns connections, redirectConnsEach of an
// address (an IPv6 network of 64 bits) unless it is of a network of proxies.
func OpenRedirect(ln net.Listener, port string, c *Certificate, log *slog.Logger, proxies ...netip.Prefix) *Redirect {
	ln = &connections{
		Listener: ln, most: redirectConns, mostEach: redirectConnsEach, plain: true, each: map[[16]byte]int{},
		exempt: func(a netip.Addr) bool { return inAny(proxies, a) },
	}
	r := &Redirect{ln: ln, served: make(chan error, 1)}
	r.http = &fasthttp.Server{
		Handler:      func(ctx *fasthttp.RequestCtx) { redirect(ctx, port, c) },
		ErrorHandler: func(ctx *fasthttp.RequestCtx, _ error) { refuseRedirect(ctx) },
		Logger:       connectionLog{log},
		ReadTimeout:  readTimeout, WriteTimeout: writeTimeout, IdleTimeout: readTimeout, MaxRequestBodySize: maxBody, ReadBufferSize: readBuffer,
		Concurrency: redirectConns + workerSlack, DisableKeepalive: true, NoDefaultServerHeader: true, NoDefaultContentType: true,
		DisablePreParseMultipartForm: true, SecureErrorLogMessage: true, CloseOnShutdown: true,
	}
	go func() { r.served <- r.http.Serve(ln) }()
	return r
}

// Close stops it.
func (r *Redirect) Close() error {
	_ = r.ln.Close()
	err := <-r.served
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	return errors.Join(err, ignoreClosed(r.http.ShutdownWithContext(ctx)))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func redirect(ctx *fasthttp.RequestCtx, port string, c *Certificate) {
	fixedHeaders(&ctx.Response.Header)
	uri, host := ctx.Request.Header.RequestURI(), string(ctx.Request.Header.Host())
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if len(uri) == 0 || uri[0] != '/' || host == "" || c.Leaf().VerifyHostname(host) != nil {
		refuseRedirect(ctx)
		return
	}
	if port != "443" {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	ctx.Response.Header.Set("Location", "https://"+host+string(uri))
	ctx.SetStatusCode(fasthttp.StatusPermanentRedirect)
}

func refuseRedirect(ctx *fasthttp.RequestCtx) {
	fixedHeaders(&ctx.Response.Header)
	ctx.Response.Header.SetContentType("application/problem+json")
	ctx.SetStatusCode(kindMalformed.status)
	ctx.SetBody(appendProblem(nil, &trouble{kind: kindMalformed}))
}
