package edge

import (
	"context"
	"encoding/hex"
	"time"

	"golang.org/x/sync/errgroup"
)

// SharedLimits keeps what clients owe to all nodes together: Redis. Charge books n requests of a key with a quota of perMinute, and
// returns how long it takes until the client, sending nothing, owes nothing.
type SharedLimits interface {
	Charge(ctx context.Context, key string, perMinute, n int) (debt time.Duration, err error)
}

const (
	settleEvery = 100 * time.Millisecond
	settlers    = 8
)

// unsettled is what a client was charged here and not yet with the others.
type unsettled struct{ requests, quota int }

// settle tells the others what was charged here, and takes over what they charged, until stop is closed. No request waits for it:
// for about settleEvery a client may spend its quota at every node, and pays it back afterwards. What cannot be told, because
// Redis is away, is forgotten there; the node's own limits go on.
func (s *Server) settle(stop <-chan struct{}) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			s.limiter.settle(s.cfg.SharedLimits, s.clock)
		}
	}
}

func (l *limiter) settle(with SharedLimits, now func() time.Time) {
	var g errgroup.Group
	g.SetLimit(settlers)
	for i := range l.shards {
		shard := &l.shards[i]
		for client, c := range shard.takeUnsettled() {
			g.Go(func() error {
				debt, err := with.Charge(context.Background(), hex.EncodeToString(client[:]), c.quota, c.requests)
				if err == nil {
					shard.owes(client, now().Add(debt).UnixNano())
				}
				return nil
			})
		}
	}
	_ = g.Wait() // nobody fails
}

func (s *limiterShard) takeUnsettled() map[[16]byte]unsettled {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.unsettled
	if len(taken) > 0 {
		s.unsettled = map[[16]byte]unsettled{}
	}
	return taken
}

// owes takes over what a client owes to all, if that is more.
func (s *limiterShard) owes(client [16]byte, due int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine, known := s.due[client]; known {
		s.due[client] = max(mine, due)
	}
}
