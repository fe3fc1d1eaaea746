package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/go-redis/redis_rate/v10"
)

const (
	limitPrefix  = "maitred:limit:" // behind redis_rate's own prefix "rate:"
	limitMinutes = 16               // a client owes at most so many minutes' quotas: what it spent at that many nodes at once
	limitTimeout = 500 * time.Millisecond
)

// Limiter keeps what clients owe to all nodes together: a GCRA (generic cell rate algorithm) a key. Nodes decide by themselves
// and settle with it afterwards, so that no request waits for Redis. Safe for concurrent use.
type Limiter struct {
	rate    *redis_rate.Limiter
	breaker circuitbreaker.CircuitBreaker[any]
}

// NewLimiter makes a limiter; the client stays the caller's.
func NewLimiter(c *Client) *Limiter { return &Limiter{redis_rate.NewLimiter(c.db), newBreaker()} }

// Charge books n requests of key, whose quota is perMinute requests a minute; more than 16 minutes' quota is not owed. It returns
// how long it takes until the client, sending nothing, owes nothing. At most 0.5 s; at once while Redis is away.
func (l *Limiter) Charge(ctx context.Context, key string, perMinute, n int) (debt time.Duration, err error) {
	if perMinute < 1 || n < 1 {
		return 0, fmt.Errorf("redis: %d requests of a quota of %d a minute", n, perMinute)
	}
	if !l.breaker.TryAcquirePermit() {
		return 0, circuitbreaker.ErrOpen
	}
	ctx, cancel := context.WithTimeout(ctx, limitTimeout)
	defer cancel()
	r, err := l.rate.AllowAtMost(ctx, limitPrefix+key, redis_rate.Limit{Rate: perMinute, Period: time.Minute, Burst: limitMinutes * perMinute}, n)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			l.breaker.RecordFailure()
		}
		return 0, fmt.Errorf("redis: limit: %w", err)
	}
	l.breaker.RecordSuccess()
	return r.ResetAfter, nil
}
