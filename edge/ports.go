package edge

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// House decides commands and shows views: *actors.House.
type House interface {
	Do(id engine.AggregateID, cmd *engine.Command, deadline time.Time) (engine.Outcome, error)
	View(id engine.AggregateID, deadline time.Time) (*actors.View, error)
	Status() actors.Status
}

// Lists answers from the read model: a persistence.Store.
type Lists interface {
	ReservationsOf(ctx context.Context, guest engine.AccountID, f persistence.ListFilter) (persistence.Page, error)
}

// Follower is a sink whose lag /readyz reports: a persistence.Sink.
type Follower interface {
	Cursor(ctx context.Context) (persistence.Position, error)
}

var (
	_ House    = (*actors.House)(nil)
	_ Lists    = (persistence.Store)(nil)
	_ Follower = (persistence.Sink)(nil)
)

// Registry is where the edge's metrics go and what /metrics shows: a *prometheus.Registry.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Config is what a Server needs. Zero values of the tunables mean the default named beside them.
type Config struct {
	House     House
	Lists     Lists               // nil: "mine" answers 503
	Followers map[string]Follower // by the name that /readyz shows
	Erasures  Erasures
	Keys      *Keys
	Registry  Registry
	Now       func() time.Time // time.Now
	Random    io.Reader        // crypto/rand.Reader
	Log       *slog.Logger     // slog.Default()

	MaxConns       int           // connections at once; 16,384
	MaxConnsPerIP  int           // 0 = no limit
	RateLimit      int           // requests a minute and IP address; 0 = no limit
	PasswordMemory uint32        // KiB of argon2id; 19,456. Only tests want less.
	CloseTimeout   time.Duration // for requests in flight at Close; 5 s
}
