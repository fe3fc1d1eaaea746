package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"maitred/edge"
)

// openTracing runs before the edge, which makes the spans.
func (n *Node) openTracing(ctx context.Context) (err error) {
	if n.Config.OTLPEndpoint == "" {
		return nil
	}
	n.tracing, err = edge.OpenTracing(ctx, n.Config.OTLPEndpoint, n.Config.TraceShare, n.Config.Node, n.Log)
	if err != nil {
		return fmt.Errorf("--otlp-endpoint: %w", err)
	}
	n.opened("tracing", func() error {
		if err := n.tracing.Close(); err != nil {
			n.Log.Warn("the last traces could not be sent", "error", err) // nobody's reservation depends on them
		}
		return nil
	})
	return nil
}

func (n *Node) openCertificate(context.Context) (err error) {
	switch c := &n.Config; {
	case c.TLSSelfSigned:
		n.certificate, err = edge.SelfSigned(c.Data, n.ownNames(), n.Log)
	case c.TLSCert != "":
		n.certificate, err = edge.OpenCertificate(c.TLSCert, c.TLSKey, n.Log)
	}
	return err
}

// tlsConfig is nil for plain HTTP.
func (n *Node) tlsConfig() *tls.Config {
	if n.certificate == nil {
		return nil
	}
	return n.certificate.Config()
}

// ownNames is what a client on this machine, or beside it, calls the node.
func (n *Node) ownNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "localhost" {
		names = append(names, name)
	}
	if host, _, err := net.SplitHostPort(n.Config.Listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !ip.IsLoopback() {
			names = append(names, host)
		}
	}
	return names
}

func (n *Node) openRedirect(context.Context) error {
	if n.Config.HTTPRedirect == "" || n.certificate == nil {
		return nil
	}
	ln, err := net.Listen("tcp", n.Config.HTTPRedirect)
	if err != nil {
		return fmt.Errorf("--http-redirect: %w", err)
	}
	_, port, err := net.SplitHostPort(n.Addr())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	n.redirect = ln
	n.opened("redirect", edge.OpenRedirect(ln, port, n.certificate, n.Log, n.Config.TrustedProxy...).Close)
	return nil
}

// URL is where the API is.
func (n *Node) URL() string {
	if n.certificate != nil {
		return "https://" + n.Addr()
	}
	return "http://" + n.Addr()
}

// Reload reads the files of keys and certificate again.
func (n *Node) Reload() error {
	err := n.edge.ReloadKeys()
	if n.certificate != nil {
		err = errors.Join(err, n.certificate.Reload())
	}
	return err
}

// ownClient speaks to this node; over TLS it accepts exactly the node's own certificate, whatever its names are.
func (n *Node) ownClient() *http.Client {
	client := &http.Client{Timeout: 30 * time.Second}
	if n.certificate == nil {
		return client
	}
	client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // #nosec G402 -- VerifyConnection is stricter
		VerifyConnection: func(s tls.ConnectionState) error {
			if !s.PeerCertificates[0].Equal(n.certificate.Leaf()) {
				return errors.New("not this node's certificate")
			}
			return nil
		},
	}}
	return client
}
