package jetstream

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// serverLog hands what the server has to say from warnings upwards to slog.
type serverLog struct {
	making  bool // its cluster is just being made: what it says of finding together is no news
	to      *slog.Logger
	refused func()
	told    *atomic.Int64 // Unix ns of the last line about a refused route
}

func newServerLog(o Options) serverLog {
	l := serverLog{to: o.Logger, making: o.making && o.Cluster != nil, refused: func() {}, told: new(atomic.Int64)}
	if o.Cluster != nil && o.Cluster.Refused != nil {
		l.refused = o.Cluster.Refused
	}
	return l
}

// expected are warnings about what is so on purpose: the base of a full restaurant is long, and its client is in the same process;
// names of hosts are not verified because nodes have others, which are.
var expected = []string{"Maximum payloads over", "TLS certificate chain and hostname of solicited routes will not be verified"}

func (serverLog) Noticef(string, ...any) {}
func (serverLog) Debugf(string, ...any)  {}
func (serverLog) Tracef(string, ...any)  {}

func (l serverLog) Warnf(f string, v ...any) {
	if l.making {
		return
	}
	for _, e := range expected {
		if strings.HasPrefix(f, e) {
			return
		}
	}
	l.to.Warn("nats-server", "message", fmt.Sprintf(f, v...))
}

func (l serverLog) Errorf(f string, v ...any) {
	if strings.Contains(f, "TLS %s handshake error") {
		l.refusal(fmt.Sprintf(f, v...))
		return
	}
	if l.making && strings.HasPrefix(f, "Error trying to connect to route") {
		return
	}
	l.to.Error("nats-server", "message", fmt.Sprintf(f, v...))
}

// refusal counts a failed handshake, and logs few of them.
func (l serverLog) refusal(message string) {
	l.refused()
	last, now := l.told.Load(), time.Now().UnixNano()
	if now-last >= int64(time.Second) && l.told.CompareAndSwap(last, now) {
		l.to.Warn("a connection between the journal's servers was refused: one of the two is not of this cluster, or not a node", "message", message)
	}
}

// Fatalf does not end the process: the caller of Open, or the watchdog, decides.
func (l serverLog) Fatalf(f string, v ...any) {
	l.to.Error("nats-server: fatal", "message", fmt.Sprintf(f, v...))
}
