package jetstream

import (
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster makes the embedded server one of several. Routes are host:port of the others (its own may be among them).
type Cluster struct {
	Name   string // the same on every server
	Host   string // where the routes listen
	Port   int
	Routes []string
}

func (c *Cluster) apply(so *server.Options) {
	so.Cluster = server.ClusterOpts{Name: c.Name, Host: c.Host, Port: c.Port}
	for _, r := range c.Routes {
		so.Routes = append(so.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	so.WriteDeadline = 5 * time.Second
}
