package jetstream

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster makes the embedded server one of several. Routes are host:port of all of them; its own is ignored.
type Cluster struct {
	Name   string // the same on every server
	Host   string // where the routes listen
	Port   int
	Routes []string
	Secret string // the same on every server; empty = routes are taken from anybody

	// TLS is of the routes, for both ends: it has to ask for a certificate, and to verify the other's. nil = they are in clear.
	TLS *tls.Config `json:"-"`
	// Refused is told of each connection between servers that failed before both ends were known: a stranger's, or to one. nil = nobody.
	Refused func() `json:"-"`
}

// routeTLSTimeout is for the handshake of a route, in seconds: longer than the server's own 2 s, because a machine that recovers is busy.
const routeTLSTimeout = 5

// apply also opens a listener for clients, on a free port of the loopback and behind a secret that nobody is told: the
// server does not start its routes without one. This process keeps talking to it in memory.
func (c *Cluster) apply(so *server.Options) {
	so.DontListen, so.Host, so.Port = false, "127.0.0.1", server.RANDOM_PORT
	so.Authorization = rand.Text()
	so.Cluster = server.ClusterOpts{Name: c.Name, Host: c.Host, Port: c.Port}
	if c.TLS != nil {
		so.Cluster.TLSConfig, so.Cluster.TLSTimeout = c.TLS, routeTLSTimeout
	}
	var user *url.Userinfo
	if c.Secret != "" {
		so.Cluster.Username, so.Cluster.Password = "route", c.Secret
		user = url.UserPassword("route", c.Secret)
	}
	for _, r := range c.Routes {
		if host, port, err := net.SplitHostPort(r); err == nil && host != "" && port != "" {
			so.Routes = append(so.Routes, &url.URL{Scheme: "nats-route", Host: r, User: user})
		}
	}
	so.WriteDeadline = 5 * time.Second
}
