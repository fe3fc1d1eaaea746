package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"maitred/edge"
)

func ask(t *testing.T, client *http.Client, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	if host != "" {
		req.Host = host
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

func oneShot(cfg *tls.Config) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: cfg}}
}

func TestMetricsAreApartFromTheAPI(t *testing.T) {
	noLeaks(t)
	s, client := openSite(t, t.TempDir()), oneShot(nil)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		status, body := ask(t, client, s.URL()+path, "")
		require.Equal(t, 404, status, body)
	}
	admin := "http://" + s.AdminAddr()
	status, page := ask(t, client, admin+"/metrics", "")
	require.Equal(t, 200, status)
	require.Contains(t, page, `http_requests_total{endpoint="other",method="other",status="404"} 3`)
	require.Contains(t, page, "maitred_sink_lag_records")
	status, _ = ask(t, client, admin+"/debug/pprof/heap?debug=1", "")
	require.Equal(t, 200, status)
	status, _ = ask(t, client, admin+"/api/v1/restaurants/x", "")
	require.Equal(t, 404, status)
	status, _ = ask(t, client, admin+"/metrics", "evil.example:9180")
	require.Equal(t, 421, status, "a page whose name leads to loopback")
	status, _ = ask(t, client, admin+"/metrics", "localhost")
	require.Equal(t, 200, status)
}

func TestATakenAdminAddressIsNamed(t *testing.T) {
	noLeaks(t)
	s := openSite(t, t.TempDir())
	second := newNode(nodeConfig(t, t.TempDir(), "--admin-listen", s.AdminAddr()))
	require.ErrorContains(t, second.Open(t.Context()), "--admin-listen")
	none := newNode(nodeConfig(t, t.TempDir(), "--admin-listen", ""))
	require.NoError(t, none.Open(t.Context()))
	require.Empty(t, none.AdminAddr())
	require.NoError(t, none.Close())
}

func TestConfigContradictions(t *testing.T) {
	parse := func(args ...string) error {
		var c ServeCmd
		parser, err := kong.New(&c)
		require.NoError(t, err)
		if _, err = parser.Parse(args); err != nil {
			return err
		}
		return c.Validate()
	}
	for _, args := range [][]string{
		{"--admin-listen", "0.0.0.0:9180"}, {"--admin-listen", "host.example:9180"}, {"--admin-listen", "127.0.0.1"},
		{"--tls-cert", "a"}, {"--tls-key", "a"}, {"--tls-cert", "a", "--tls-key", "b", "--tls-self-signed"}, {"--http-redirect", "127.0.0.1:80"},
		{"--tls-self-signed", "--http-redirect", "80"}, {"--cors-origin", "*"}, {"--cors-origin", "https://a.example/"}, {"--trusted-proxy", "10.0.0.1"},
		{"--trusted-proxy", "all"}, {"--rate-limit", "-1"}, {"--rate-limit", "1000001"}, {"--max-conns-per-ip", "-1"}, {"--max-conns", "0"}, {"--max-requests", "0"},
		{"--partitions", "1025"}, {"--partitions", "-1"}, {"--access-log", "1.5"}, {"--trace-share", "-0.1"},
		{"--nats-url", "nats://a:secret@b:4222"}, {"--nats-system-url", "nats://a:secret@b:4222"}, {"--nats-ca", "a"},
		{"--nats-url", "nats://a:secret@b:x", "--nats-system-url", "nats://a:secret@b:4222"},
		{"--nats-url", "nats://a:secret@b:4222", "--nats-system-url", "http://a:secret@b:4222"},
		{"--nats-url", "nats://a:secret@b:4222,", "--nats-system-url", "nats://a:secret@b:4222"},
	} {
		err := parse(args...)
		require.Error(t, err, "%v", args)
		require.NotContains(t, err.Error(), "secret")
	}
	require.NoError(t, parse("--nats-url", "nats://a:secret@b:4222,tls://a:secret@c", "--nats-system-url", "nats://a:secret@b:4222", "--nats-ca", "a"))
	require.NoError(t, parse())
	require.NoError(t, parse("--admin-listen", "0.0.0.0:9180", "--admin-open", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "fd00::/8",
		"--cors-origin", "https://a.example", "--cors-origin", "http://localhost:3000", "--tls-self-signed", "--http-redirect", "127.0.0.1:80", "--access-log", "0.1"))
	var c ServeCmd
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, 100, c.RateLimit)
	require.Equal(t, 256, c.MaxConnsPerIP)
	require.Equal(t, "127.0.0.1:9180", c.AdminListen)
	require.Zero(t, c.AccessLog)
	require.Empty(t, c.OTLPEndpoint)
}

// A node over TLS: its demo logs in over it, plain HTTP is led there, and SIGHUP brings a new certificate.
func TestANodeOverTLS(t *testing.T) {
	noLeaks(t)
	hangup := make(chan os.Signal, 1) // so that a SIGHUP which comes too early does not end the test's process
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	data := t.TempDir()
	n := newNode(nodeConfig(t, data, "--tls-self-signed", "--http-redirect", "127.0.0.1:0"))
	require.NoError(t, n.Open(t.Context()))
	defer func() { require.NoError(t, n.Close()) }()
	id, err := n.demoAccount(t.Context(), "a@example.org", "A", "B", "owner")
	require.NoError(t, err)
	again, err := n.demoAccount(t.Context(), "a@example.org", "A", "B", "owner")
	require.NoError(t, err)
	require.Equal(t, id, again)

	client := oneShot(&tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- its own
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get("http://" + n.redirect.Addr().String() + "/healthz?a=b")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 308, res.StatusCode)
	require.Equal(t, n.URL()+"/healthz?a=b", res.Header.Get("Location"))
	status, _ := ask(t, client, res.Header.Get("Location"), "")
	require.Equal(t, 200, status)

	old := n.certificate.Leaf().SerialNumber
	require.NoError(t, os.Remove(filepath.Join(data, "tls-self-signed.pem")))
	_, err = edge.SelfSigned(data, n.ownNames(), n.Log)
	require.NoError(t, err)
	defer reloadOnHangup(n)()
	require.Eventually(t, func() bool {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		return n.certificate.Leaf().SerialNumber.Cmp(old) != 0
	}, 5*time.Second, 10*time.Millisecond)
	c, err := tls.Dial("tcp", n.Addr(), &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- its own
	require.NoError(t, err)
	require.Equal(t, n.certificate.Leaf().SerialNumber, c.ConnectionState().PeerCertificates[0].SerialNumber)
	require.NoError(t, c.Close())
}

// What the whole process says of its traces: a collector gets those of a node.
func TestANodeSendsTraces(t *testing.T) {
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	got := make(chan string, 16)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- fmt.Sprintf("%s %s", r.URL.Path, b)
	})}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	n := newNode(nodeConfig(t, t.TempDir(), "--otlp-endpoint", "http://"+ln.Addr().String(), "--trace-share", "1"))
	require.NoError(t, n.Open(t.Context()))
	_, err = n.demoAccount(t.Context(), "a@example.org", "A", "B", "owner")
	require.NoError(t, err)
	require.NoError(t, n.Close())
	text := <-got
	require.Contains(t, text, "/v1/traces ")
	require.Contains(t, text, "Register")
	require.NotContains(t, text, "example.org")
}
