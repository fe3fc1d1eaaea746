package jetstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"maitred/persistence"
)

// External is a JetStream whose servers are processes of their own: one, or a cluster of three and more.
type External struct {
	URL string // nats:// or tls:// with a user, of several servers with commas
	// SystemURL is the same with a user of the servers' system account: nobody else is told whether they fsync what they acknowledge.
	SystemURL string
	CA        string // file of the certificates (PEM) that tls:// is checked against; empty = the machine's
	// Cluster asks for three servers at least: several nodes share what the loss of one must not take away.
	Cluster bool
}

// oldestServer is the first build that keeps what these packages rely on: fixes of sync_interval always and of proposals across leaders.
var oldestServer = release{2, 14, 9}

// How a server that stops answering is found: the client's own two minutes are an outage of every restaurant.
const (
	externalPing   = time.Second
	externalPings  = 2
	externalWrite  = 2 * time.Second
	settingsWithin = 2 * time.Second
	settingsQuiet  = 300 * time.Millisecond
)

func (x *External) dial(url, name string) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("maitred " + name), nats.Timeout(requestTimeout), nats.PingInterval(externalPing), nats.MaxPingsOutstanding(externalPings),
		nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.FlusherTimeout(externalWrite), nats.ReconnectOnFlusherError(), // its minute would hold up the pings as well
	}
	if x.CA != "" {
		options = append(options, nats.RootCAs(x.CA))
	}
	nc, err := nats.Connect(url, options...)
	if err == nil {
		return nc, nil
	}
	if !ofTheOperator(err) { // it may be there in a moment
		err = fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
	}
	return nil, fmt.Errorf("jetstream: connect %s to the external servers: %w", name, err)
}

// ofTheOperator tells what no patience mends.
func ofTheOperator(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.As(err, new(*tls.CertificateVerificationError)) || errors.Is(err, os.ErrNotExist)
}

// startExternal connects to servers that run already, asserts how they are set, and opens the streams.
func startExternal(ctx context.Context, o Options) (*link, error) {
	l := newLink(o)
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	err := patiently(ctx, o, "reach the external servers", func(ctx context.Context) (err error) {
		o.Replicas, l.judged, err = o.External.inspect(ctx, o.Unsafe.NoAssertions)
		return err
	})
	if err == nil {
		err = l.begin(ctx, o)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// known asserts that the server which takes the appends is one of those that were judged.
func (l *link) known(o Options) error {
	if l.external == nil || o.Unsafe.NoAssertions || l.judged[l.writes.ConnectedServerId()] {
		return nil
	}
	return fmt.Errorf("jetstream: the server %s has not said how it is set: the system URL is of other servers, or it has just begun", l.writes.ConnectedServerName())
}

// inspect asks every server how it is set, and says how many replicas the streams need and which servers it has judged. A server that is away
// now is not asked: most have to be there.
func (x *External) inspect(ctx context.Context, unsafe bool) (copies int, judged map[string]bool, err error) {
	nc, err := x.dial(x.SystemURL, "settings")
	if err != nil {
		return 0, nil, err
	}
	defer nc.Close()
	said, err := settings(ctx, nc)
	if err != nil {
		return 0, nil, err
	}
	size := 0 // of their cluster; 0 = it is one server by itself
	var faults []error
	judged = map[string]bool{}
	for _, s := range said {
		judged[s.Server.ID] = true
		if s.Data.Meta != nil {
			size = max(size, s.Data.Meta.Size)
		}
		faults = append(faults, x.judge(s, nc.MaxPayload()))
	}
	switch {
	case errors.Join(faults...) != nil && !unsafe:
		return 0, nil, errors.Join(faults...)
	case size == 0 && !x.Cluster:
		return 1, judged, nil
	case size == 0:
		return 0, nil, fmt.Errorf("jetstream: the external server %s is one by itself: several nodes need a cluster of %d at least, so that the loss of one takes nothing away", said[0].Server.Name, replicas)
	case size < replicas: // as far as they have found each other
		return 0, nil, fmt.Errorf("jetstream: the cluster of the external servers has %d, %d are needed at least: %w", size, replicas, persistence.ErrUnknown)
	case len(said) <= size/2:
		return 0, nil, fmt.Errorf("jetstream: %d of %d external servers say how they are set: %w", len(said), size, persistence.ErrUnknown)
	}
	return replicas, judged, nil
}

// judge says what would lose acknowledged reservations, or refuse bases.
func (x *External) judge(s server.ServerAPIJszResponse, maxPayload int64) error {
	var faults []string
	if r, err := parseRelease(s.Server.Version); err != nil || r.before(oldestServer) {
		faults = append(faults, fmt.Sprintf("it is version %s, %v is the oldest that will do", s.Server.Version, oldestServer))
	}
	if !s.Data.Config.SyncAlways {
		faults = append(faults, "it acknowledges before it fsyncs: set jetstream { sync_interval: always }")
	}
	if maxPayload < maxBaseBytes {
		faults = append(faults, fmt.Sprintf("it takes messages of %d bytes, a restaurant's base may have %d: set max_payload", maxPayload, maxBaseBytes))
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("jetstream: the server %s does not keep a reservation safe: %s", s.Server.Name, strings.Join(faults, "; "))
}

// settings gathers what servers with JetStream say of themselves, until all of their cluster have or settingsWithin is over; of one that is in
// none it waits for settingsQuiet, since another one may be.
func settings(ctx context.Context, nc *nats.Conn) ([]server.ServerAPIJszResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, settingsWithin)
	defer cancel()
	answers, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("jetstream: ask the external servers how they are set: %w", err)
	}
	if err := nc.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", answers.Subject, nil); err != nil {
		return nil, fmt.Errorf("jetstream: ask the external servers how they are set: %w", err)
	}
	var said []server.ServerAPIJszResponse
	for size := 0; size == 0 || len(said) < size; {
		m, err := answers.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil, errors.New("jetstream: nobody says how the external servers are set: the user of the system URL is not one of their system account")
		case err != nil && len(said) == 0:
			return nil, fmt.Errorf("jetstream: no external server with JetStream says how it is set: %w: %w", persistence.ErrUnknown, err)
		case err != nil:
			return said, nil
		}
		var s server.ServerAPIJszResponse
		if err := json.Unmarshal(m.Data, &s); err != nil || s.Server == nil || s.Data == nil || s.Data.Disabled {
			continue
		}
		said = append(said, s)
		if s.Data.Meta != nil {
			size = max(size, s.Data.Meta.Size)
		} else if size == 0 {
			quiet, cancel := context.WithTimeout(ctx, settingsQuiet)
			defer cancel()
			ctx = quiet
		}
	}
	return said, nil
}

// release is a version of a server.
type release [3]int

func parseRelease(text string) (r release, err error) {
	_, err = fmt.Sscanf(text, "%d.%d.%d", &r[0], &r[1], &r[2])
	return r, err
}

func (r release) before(than release) bool {
	for i := range r {
		if r[i] != than[i] {
			return r[i] < than[i]
		}
	}
	return false
}

func (r release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }
