package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"maitred/edge"
	"maitred/persistence"
)

// Config is every knob of a node, with its default. Each flag is also MAITRED_<NAME> in the environment, or a member of the
// JSON file that --config names.
type Config struct {
	Data   string `default:"./data" help:"Directory of journal, store and keys. Its disk is the only copy."`
	Listen string `default:"127.0.0.1:8080" help:"Address of the HTTP API."`
	Node   string `default:"n1" help:"Name of this node in the journal."`

	PeerListen string   `help:"Address for other nodes, e.g. 10.0.0.1:7000: this port for gossip (TCP and UDP), the next for the journal, the one after for requests. With --join and --cluster-dir." placeholder:"ADDR"`
	Join       []string `help:"--peer-listen of every node of the cluster, also of this one: three at least." placeholder:"ADDR,..."`
	ClusterDir string   `help:"Directory with the secrets that all nodes share, made by maitred cluster init." placeholder:"DIR"`
	Weight     uint16   `default:"100" help:"Share of the restaurants that this node takes, relative to the others'."`

	NATSURL       string `name:"nats-url" help:"NATS servers that keep the journal instead of the one in this process, 2.14.9 or newer with sync_interval always, e.g. nats://maitred:secret@nats1:4222,nats://maitred:secret@nats2:4222; tls:// is TLS. --data is still this node's own." placeholder:"URL,..."`
	NATSSystemURL string `name:"nats-system-url" help:"The same servers, with a user of their system account: it is asked how they are set. With --nats-url." placeholder:"URL,..."`
	NATSCA        string `name:"nats-ca" help:"File of the certificates (PEM) that tls:// in --nats-url is checked against instead of the machine's." placeholder:"FILE"`

	StoreURL string `name:"store-url" help:"PostgreSQL that keeps lists, search and audit instead of a file in --data, e.g. postgres://maitred@db/maitred. It may be away." placeholder:"URL"`

	StoreReadURL string `name:"store-read-url" help:"Streaming replica of --store-url that answers lists and searches while it has what the primary has." placeholder:"URL"`

	AMQPURL string `name:"amqp-url" help:"RabbitMQ that gets the events of restaurants, e.g. amqp://maitred:secret@mq/; empty = none. It may be away." placeholder:"URL"`

	RedisURL string `name:"redis-url" help:"Redis that gets the availability, answers max-stale reads and shares rate limits: redis://user:secret@host:6379/0, more hosts with commas for a cluster, ?master=NAME for Sentinels. It may be away." placeholder:"URL"`

	AdminListen string `default:"127.0.0.1:9180" help:"Address of /metrics and the profiler, apart from the API; empty = none." placeholder:"ADDR"`
	AdminOpen   bool   `help:"Let --admin-listen be another address than loopback. Whoever reaches it sees the process's memory."`

	RateLimit     int            `default:"100" help:"Requests a minute and IP address (an IPv6 network of 64 bits counts as one); 0 = no limit."`
	TrustedProxy  []netip.Prefix `help:"Network of a proxy whose X-Forwarded-For is believed; repeatable." placeholder:"CIDR"`
	MaxConns      int            `default:"16384" help:"Connections at once."`
	MaxConnsPerIP int            `name:"max-conns-per-ip" default:"256" help:"Connections at once of an IP address that is no trusted proxy; 0 = no limit."`
	MaxRequests   int            `default:"8192" help:"Requests in hand at once; beyond that 503."`
	CORSOrigin    []string       `name:"cors-origin" help:"Origin whose pages may call the API, e.g. https://book.example; repeatable." placeholder:"ORIGIN"`

	TLSCert       string `name:"tls-cert" help:"File of the certificate chain (PEM); read anew when it changes. With --tls-key." placeholder:"FILE"`
	TLSKey        string `name:"tls-key" help:"File of its private key (PEM)." placeholder:"FILE"`
	TLSSelfSigned bool   `name:"tls-self-signed" help:"Serve TLS with a certificate of the node's own making, for development."`
	HTTPRedirect  string `name:"http-redirect" help:"Address that sends plain HTTP to the TLS one." placeholder:"ADDR"`

	LogLevel     string  `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	AccessLog    float64 `default:"0" help:"Share of requests that are logged, 0 to 1; failures of the server are logged in any case."`
	OTLPEndpoint string  `name:"otlp-endpoint" help:"URL that takes OpenTelemetry traces (OTLP over HTTP), e.g. http://127.0.0.1:4318; empty = none." placeholder:"URL"`
	TraceShare   float64 `default:"0.01" help:"Share of requests that are traced, 0 to 1."`

	JournalBytes  int64         `default:"17179869184" help:"Most bytes the journal may take; admission stops at 90 %."`
	FrameEvery    time.Duration `default:"2ms" help:"Least time between two writes of the journal: what comes meanwhile shares one. At most 100ms; 0 = none."`
	Partitions    int           `help:"Shares in which restaurants move between nodes, 1 to 1024, of a journal that is made now (256); an existing one keeps its own." placeholder:"N"`
	JournalKeep   time.Duration `default:"72h" help:"Keep at least this much of the journal."`
	IdleAfter     time.Duration `default:"5m" help:"Close a restaurant that nobody asked for this long."`
	SweepEvery    time.Duration `default:"1s" help:"Timers fire on multiples of it: ends of holds and offers, reminders, no-shows."`
	MaxInFlight   int           `default:"4096" help:"Commands in flight for one restaurant."`
	MaxQueue      int           `default:"16384" help:"Commands in flight on this node."`
	RecentBytes   int           `default:"67108864" help:"With several nodes: journal records kept in memory, from which restaurants of a lost node open, in bytes."`
	FeedBytes     int           `default:"67108864" help:"Recent events kept in memory for the sinks, in bytes."`
	GCPercent     int           `default:"300" help:"How much garbage may gather, in percent of what lives; GOGC wins."`
	ShutdownGrace time.Duration `default:"10s" help:"How long a stop may take."`

	// What only tests may ask for.
	TestClock     time.Duration `hidden:"" help:"Be this much ahead of the time of day."`
	TestWithout   []string      `hidden:"" enum:"fence,lease,silence,hop-key" help:"Guards of a cluster to do without (negative control)."`
	TestPassivate bool          `hidden:"" help:"Passivate every actor after every command."`
	TestLazySync  bool          `hidden:"" help:"Acknowledge before fsync: loses data by design (negative control)."`
	TestClear     bool          `hidden:"" help:"Keep personal data in clear (negative control)."`
	TestKeeping   time.Duration `hidden:"" help:"Write bases and purge after this instead of ten minutes."`
	TestGrace     time.Duration `hidden:"" help:"Complete an erasure after this instead of eleven minutes."`
	TestAnyFS     bool          `hidden:"" help:"Accept tmpfs as a data directory."`
}

// maxFrameEvery keeps an answer's wait far below what a client waits.
const maxFrameEvery = 100 * time.Millisecond

// Validate says what contradicts itself.
func (c *Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if c.JournalBytes < 64<<20 {
		return fmt.Errorf("--journal-bytes %d: at least 64 MiB", c.JournalBytes)
	}
	if c.StoreReadURL != "" && c.StoreURL == "" {
		return errors.New("--store-read-url is a replica of --store-url, which is missing")
	}
	if c.Partitions < 0 || c.Partitions > persistence.MaxPartitions {
		return fmt.Errorf("--partitions %d: 1 to %d", c.Partitions, persistence.MaxPartitions)
	}
	if c.FrameEvery < 0 || c.FrameEvery > maxFrameEvery {
		return fmt.Errorf("--frame-every is 0 to %v", maxFrameEvery)
	}
	return errors.Join(c.validateNATS(), c.validateCluster(), c.validateAdmin(), c.validateLimits(), c.validateTLS())
}

// validateNATS does not repeat a URL: it has a password.
func (c *Config) validateNATS() error {
	if c.NATSURL == "" && c.NATSSystemURL == "" && c.NATSCA == "" {
		return nil
	}
	if c.NATSURL == "" || c.NATSSystemURL == "" {
		return errors.New("--nats-url and --nats-system-url belong together: only a user of the servers' system account is told whether they fsync what they acknowledge")
	}
	for flag, urls := range map[string]string{"--nats-url": c.NATSURL, "--nats-system-url": c.NATSSystemURL} {
		for i, text := range strings.Split(urls, ",") {
			u, err := url.Parse(text)
			if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
				return fmt.Errorf("%s: number %d is not nats://user:password@host:port or tls://…", flag, i+1)
			}
		}
	}
	return nil
}

func (c *Config) validateAdmin() error {
	if c.AdminListen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.AdminListen)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	if ip := net.ParseIP(host); !c.AdminOpen && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--admin-listen %s: a loopback address with a port, unless --admin-open", c.AdminListen)
	}
	return nil
}

func (c *Config) validateLimits() error {
	if c.RateLimit < 0 || c.RateLimit > edge.MaxRateLimit || c.MaxConns < 1 || c.MaxConnsPerIP < 0 || c.MaxRequests < 1 {
		return fmt.Errorf("--rate-limit is 0 to %d, --max-conns and --max-requests at least 1, --max-conns-per-ip not negative", edge.MaxRateLimit)
	}
	if !isShare(c.AccessLog) || !isShare(c.TraceShare) {
		return errors.New("--access-log and --trace-share are 0 to 1")
	}
	for _, origin := range c.CORSOrigin {
		if err := edge.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--cors-origin: %w", err)
		}
	}
	return nil
}

func isShare(f float64) bool { return f >= 0 && f <= 1 }

func (c *Config) validateTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together")
	}
	if c.TLSCert != "" && c.TLSSelfSigned {
		return errors.New("--tls-self-signed or --tls-cert, not both")
	}
	if c.HTTPRedirect == "" {
		return nil
	}
	if !c.TLS() {
		return errors.New("--http-redirect leads to TLS: --tls-cert and --tls-key, or --tls-self-signed")
	}
	if _, _, err := net.SplitHostPort(c.HTTPRedirect); err != nil {
		return fmt.Errorf("--http-redirect: %w", err)
	}
	return nil
}

// TLS says whether the API is served over TLS.
func (c *Config) TLS() bool { return c.TLSCert != "" || c.TLSSelfSigned }

// logger writes lines for people to a terminal and JSON lines elsewhere.
func (c *Config) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel))
	if isatty.IsTerminal(os.Stderr.Fd()) {
		return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{Level: level, TimeFormat: time.TimeOnly}))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (c *Config) without(guard string) bool { return slices.Contains(c.TestWithout, guard) }

// now is the time of day.
func (c *Config) now() time.Time { return time.Now().Add(c.TestClock) }
