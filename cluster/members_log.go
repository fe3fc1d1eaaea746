package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reasons of maitred_cluster_refused_total.
const (
	refusedKey      = "key"      // not encrypted with the key of the cluster
	refusedLabel    = "label"    // of another cluster
	refusedStream   = "stream"   // a connection that brought nothing usable, or one too many
	refusedNamed    = "name"     // a member whose name cannot be a node's
	refusedMeta     = "meta"     // a member whose meta cannot be read
	refusedConflict = "conflict" // a second process under the name of a live member
)

// refusals are what memberlist says when it drops something, and why: it has no other way to tell. Each begins a line, so what a
// stranger wrote cannot pass for another reason. Without a reason here it is counted where it is decided.
var refusals = []struct{ line, reason string }{
	{"discarding packet with unacceptable label", refusedLabel},
	{"discarding stream with unacceptable label", refusedLabel},
	{"cannot decode label", refusedLabel},
	{"label header cannot be empty", refusedLabel},
	{"Decrypt packet failed", refusedKey},
	{"failed to receive: no installed keys", refusedKey},
	{"failed to receive: encryption is configured", refusedKey},
	{"failed to receive", refusedStream},
	{"ignoring alive message", ""},
	{"Conflicting address", ""},
}

// levels are memberlist's.
var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERR": slog.LevelError, "ERROR": slog.LevelError,
}

const (
	maxLine = 400 // bytes of a line that are kept: some have a packet in them
	logPace = time.Second
)

// gossipLog is where memberlist writes its lines. Anybody who reaches the port can cause warnings and errors: of each kind one a
// second is written, so that a flood does not fill the disk.
type gossipLog struct {
	log     *slog.Logger
	refused *prometheus.CounterVec

	mu    sync.Mutex
	kinds map[string]*logKind
}

type logKind struct {
	next    time.Time
	skipped int
}

func newGossipLog(log *slog.Logger, refused *prometheus.CounterVec) *gossipLog {
	return &gossipLog{log: log, refused: refused, kinds: map[string]*logKind{}}
}

// Write takes one line: "[ERR] memberlist: text".
func (g *gossipLog) Write(line []byte) (int, error) {
	level, text := slog.LevelWarn, string(bytes.TrimSpace(line[:min(len(line), maxLine)]))
	if name, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(name, "[") {
		level, text = levels[name[1:]], strings.TrimPrefix(rest, "memberlist: ")
	}
	kind := ""
	for _, r := range refusals {
		if strings.HasPrefix(text, r.line) {
			if kind = r.line; r.reason != "" {
				kind = r.reason
				g.refused.WithLabelValues(r.reason).Inc()
			}
			break
		}
	}
	if level < slog.LevelWarn {
		g.log.Log(context.Background(), level, text)
	} else if skipped, now := g.due(kind); now {
		g.log.Log(context.Background(), level, text, "kind", kind, "skipped", skipped)
	}
	return len(line), nil
}

// due tells whether a line of a kind may be written now, and how many were not since the last one.
func (g *gossipLog) due(kind string) (int, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, now := g.kinds[kind], time.Now()
	if k == nil {
		k = &logKind{}
		g.kinds[kind] = k
	}
	if now.Before(k.next) {
		k.skipped++
		return 0, false
	}
	skipped := k.skipped
	k.next, k.skipped = now.Add(logPace), 0
	return skipped, true
}
