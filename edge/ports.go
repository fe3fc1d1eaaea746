package edge

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/netip"
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
	ReviewsOf(ctx context.Context, r engine.RestaurantID, f persistence.ReviewFilter) (persistence.ReviewPage, error)
	Search(ctx context.Context, f persistence.SearchFilter) (persistence.SearchPage, error)
	PlacesOf(ctx context.Context, a engine.AccountID, after string, limit int) (persistence.PlacePage, error)
}

// Follower is a sink whose lag /readyz reports: a *persistence.Projector.
type Follower interface {
	Status() persistence.ProjectorStatus
}

// JournalSpace is what is left of the journal's.
type JournalSpace struct {
	Used      float64 // share of what it may take, or of its volume, 0–1; at 0.9 admission stops
	HoursLeft float64 // until then, if it grows as in the last minutes and nothing is purged; +Inf when it does not grow
}

var (
	_ House    = (*actors.House)(nil)
	_ Lists    = (persistence.Store)(nil)
	_ Follower = (*persistence.Projector)(nil)
)

// Config is what a Server needs. Zero values of the tunables mean the default named beside them.
type Config struct {
	House        House
	Cell         *Cell               // the other nodes; nil = this one is alone
	Revocations  *Revocations        // fed with the journal's events; nil = only what this server revokes itself
	Lists        Lists               // nil: "mine" answers 503
	Followers    map[string]Follower // by the name that /readyz shows
	Space        func() JournalSpace // nil: not shown
	Copies       Copies              // nil: every read asks the restaurant
	SharedLimits SharedLimits        // nil: the rate limits are this node's own
	Erasures     Erasures
	Keys         *Keys
	Registry     prometheus.Registerer
	Now          func() time.Time // time.Now
	Random       io.Reader        // crypto/rand.Reader
	Log          *slog.Logger     // slog.Default()

	MaxConns       int // connections at once; 16,384
	MaxConnsPerIP  int // of an IPv4 address or an IPv6 network of 64 bits; 0 = no limit
	MaxInHand      int // requests at once; 8,192
	RateLimit      int // requests a minute and IP address; 0 = no limit
	TrustedProxies []netip.Prefix
	CORSOrigins    []string      // whose pages may call; none = no CORS
	TLS            *tls.Config   // nil: plain HTTP
	AccessLog      float64       // share of requests that are logged, 0 to 1
	Tracing        *Tracing      // nil: none
	PasswordMemory uint32        // KiB of argon2id; 19,456. Only tests want less.
	KeysEvery      time.Duration // between looks at the file of keys; 30 s
	CloseTimeout   time.Duration // for requests in flight at Close; 5 s
}
