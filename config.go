package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// Config is every knob of a node, with its default. Each flag is also MAITRED_<NAME> in the environment, or a member of the
// JSON file that --config names.
type Config struct {
	Data   string `default:"./data" help:"Directory of journal, store and keys. Its disk is the only copy."`
	Listen string `default:"127.0.0.1:8080" help:"Address of the HTTP API."`
	Node   string `default:"n1" help:"Name of this node in the journal."`

	Pprof     string `help:"Address of the profiler; loopback only, off when empty." placeholder:"ADDR"`
	RateLimit int    `default:"0" help:"Requests a minute and IP address; 0 = no limit."`
	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`

	JournalBytes  int64         `default:"17179869184" help:"Most bytes the journal may take; admission stops at 90 %."`
	JournalKeep   time.Duration `default:"72h" help:"Keep at least this much of the journal."`
	IdleAfter     time.Duration `default:"5m" help:"Close a restaurant that nobody asked for this long."`
	SweepEvery    time.Duration `default:"5m" help:"How often no-shows are looked for."`
	MaxInFlight   int           `default:"4096" help:"Commands in flight for one restaurant."`
	MaxQueue      int           `default:"16384" help:"Commands in flight on this node."`
	FeedBytes     int           `default:"67108864" help:"Recent events kept in memory for the sinks, in bytes."`
	GCPercent     int           `default:"300" help:"How much garbage may gather, in percent of what lives; GOGC wins."`
	ShutdownGrace time.Duration `default:"10s" help:"How long a stop may take."`

	// What only tests may ask for.
	TestPassivate bool          `hidden:"" help:"Passivate every actor after every command."`
	TestLazySync  bool          `hidden:"" help:"Acknowledge before fsync: loses data by design (negative control)."`
	TestClear     bool          `hidden:"" help:"Keep personal data in clear (negative control)."`
	TestGrace     time.Duration `hidden:"" help:"Complete an erasure after this instead of eleven minutes."`
	TestAnyFS     bool          `hidden:"" help:"Accept tmpfs as a data directory."`
}

// Validate says what contradicts itself.
func (c *Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if c.JournalBytes < 64<<20 {
		return fmt.Errorf("--journal-bytes %d: at least 64 MiB", c.JournalBytes)
	}
	if c.Pprof != "" {
		host, _, err := net.SplitHostPort(c.Pprof)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("--pprof %s: a loopback address with a port", c.Pprof)
		}
	}
	return nil
}

// logger writes lines for people to a terminal and JSON lines elsewhere.
func (c *Config) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel))
	if isatty.IsTerminal(os.Stderr.Fd()) {
		return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{Level: level, TimeFormat: time.TimeOnly}))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
