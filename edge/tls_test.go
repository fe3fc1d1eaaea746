package edge

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.DiscardHandler)

// trusting is a client that trusts exactly one certificate.
func trusting(t *testing.T, leaf *x509.Certificate, change ...func(*tls.Config)) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	cfg := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	for _, c := range change {
		c(cfg)
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func get(t *testing.T, client *http.Client, url string) (*answer, bool) {
	t.Helper()
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", url, nil)
	require.NoError(t, err)
	res, err := client.Do(req)
	require.NoError(t, err)
	return read(t, res), reused
}

func TestTLS(t *testing.T) {
	cert, err := SelfSigned(t.TempDir(), []string{"localhost", "127.0.0.1"}, quiet)
	require.NoError(t, err)
	s := listen(t, &script{}, func(c *Config) { c.TLS, c.MaxConnsPerIP, c.RateLimit = cert.Config(), 1, 3 })
	url := "https://" + s.addr + "/"
	client := trusting(t, cert.Leaf())
	a, _ := get(t, client, url)
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, uint16(tls.VersionTLS13), a.TLS.Version)
	require.Equal(t, 1, a.ProtoMajor)
	require.Equal(t, "max-age=31536000", a.Header.Get("Strict-Transport-Security"))
	a, reused := get(t, client, url)
	require.True(t, reused, "kept alive")
	require.Equal(t, `"ip";r=1;t=40`, a.Header.Get("RateLimit"))
	_, err = trusting(t, cert.Leaf()).Get(url)
	require.Error(t, err, "one connection for an address, and nobody waits for the handshake of another")
	get(t, client, url)
	a, reused = get(t, client, url)
	require.True(t, reused)
	require.Equal(t, 429, a.StatusCode)
	client.CloseIdleConnections()

	require.Eventually(t, func() bool {
		res, err := trusting(t, cert.Leaf(), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }).Get(url)
		return err == nil && res.Body.Close() == nil
	}, 5*time.Second, 5*time.Millisecond, "TLS 1.2")
}

func TestOldTLSIsRefused(t *testing.T) {
	cert, err := SelfSigned(t.TempDir(), []string{"localhost"}, quiet)
	require.NoError(t, err)
	s := listen(t, &script{}, func(c *Config) { c.TLS = cert.Config() })
	_, err = trusting(t, cert.Leaf(), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }).Get("https://" + s.addr + "/")
	require.ErrorContains(t, err, "protocol version")
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, healthz)
	require.NoError(t, err)
	said, _ := io.ReadAll(c)
	require.NotContains(t, string(said), "200", "plain HTTP is not answered here")
}

// A client that opens a connection and does not shake hands is let go like any slow one.
func TestASlowHandshakeEnds(t *testing.T) {
	cert, err := SelfSigned(t.TempDir(), []string{"localhost"}, quiet)
	require.NoError(t, err)
	s := prepare(t, &script{}, func(c *Config) { c.TLS = cert.Config() })
	s.http.ReadTimeout = 200 * time.Millisecond
	c := s.open().dial()
	_, err = c.Write([]byte{0x16, 0x03, 0x01})
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestACertificateIsReadAnewWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	cert, err := SelfSigned(dir, []string{"localhost"}, quiet)
	require.NoError(t, err)
	again, err := SelfSigned(dir, []string{"localhost"}, quiet)
	require.NoError(t, err)
	require.Equal(t, cert.Leaf().SerialNumber, again.Leaf().SerialNumber, "kept")
	wider, err := SelfSigned(dir, []string{"localhost", "book.example"}, quiet)
	require.NoError(t, err)
	require.NotEqual(t, cert.Leaf().SerialNumber, wider.Leaf().SerialNumber, "it did not name the host")
	info, err := os.Stat(filepath.Join(dir, "tls-self-signed.pem"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	old := cert.Leaf().SerialNumber
	cert.refresh(time.Now())
	require.Equal(t, old, cert.Leaf().SerialNumber, "it looked a moment ago")
	cert.looked.Store(time.Now().Add(-time.Minute).UnixNano())
	served, err := cert.Config().GetCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, wider.Leaf().SerialNumber, served.Leaf.SerialNumber, "a handshake looks")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls-self-signed.pem"), []byte("half"), 0o600))
	require.Error(t, cert.Reload())
	cert.refresh(time.Now().Add(3 * time.Minute))
	require.Equal(t, wider.Leaf().SerialNumber, cert.Leaf().SerialNumber, "the old one stays")
}

func TestRedirect(t *testing.T) {
	cert, err := SelfSigned(t.TempDir(), []string{"localhost", "127.0.0.1", "::1", "book.example"}, quiet)
	require.NoError(t, err)
	for port, wants := range map[string]map[string]string{
		"8443": {"book.example": "https://book.example:8443/a/b?c=d", "book.example:80": "https://book.example:8443/a/b?c=d", "[::1]:80": "https://[::1]:8443/a/b?c=d"},
		"443":  {"book.example": "https://book.example/a/b?c=d", "[::1]": "https://[::1]/a/b?c=d", "127.0.0.1:8080": "https://127.0.0.1/a/b?c=d"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		r := OpenRedirect(ln, port, cert, quiet)
		client := trusting(t, cert.Leaf())
		for host, want := range wants {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+ln.Addr().String()+"/a/b?c=d", nil)
			require.NoError(t, err)
			req.Host = host
			res, err := client.Do(req)
			require.NoError(t, err)
			require.Equal(t, 308, res.StatusCode, host)
			require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
			require.Equal(t, want, res.Header.Get("Location"))
			require.NoError(t, res.Body.Close())
		}
		for _, host := range []string{"evil.example", "book.example.evil.example", "x@book.example"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+ln.Addr().String()+"//evil.example/", nil)
			require.NoError(t, err)
			req.Host = host
			res, err := client.Do(req)
			require.NoError(t, err)
			a := read(t, res)
			require.Equal(t, 400, a.StatusCode, host)
			require.Empty(t, a.Header.Get("Location"))
		}
		require.NoError(t, r.Close())
	}
}
