package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

const (
	// MaxPerMinute is the highest quota of Limiter.
	MaxPerMinute = 1_000_000

	limitPrefix         = "maitred:limit:" // behind redis_rate's own prefix "rate:"
	defaultLimitTimeout = 100 * time.Millisecond
)

// Limiter is a rate limit that all nodes share: a GCRA (generic cell rate algorithm) a key, like the one of a single node. A
// client may spend a minute's quota at once and earns it back evenly; what was refused costs nothing. Safe for concurrent use.
type Limiter struct {
	rate    *redis_rate.Limiter
	timeout time.Duration
}

// NewLimiter makes a limiter whose answers take at most timeout; 0 = 100 ms.
func NewLimiter(c *Client, timeout time.Duration) *Limiter {
	if timeout <= 0 {
		timeout = defaultLimitTimeout
	}
	return &Limiter{redis_rate.NewLimiter(c.db), timeout}
}

// Allow charges one request of key, with a quota of perMinute (1 to MaxPerMinute) requests a minute. remaining is how many it may
// send at once now; retryAfter is how long it has to wait when it was refused, else 0. On an error nobody knows: Redis is away,
// or the request was charged without an answer.
func (l *Limiter) Allow(ctx context.Context, key string, perMinute int) (allowed bool, remaining int, retryAfter time.Duration, err error) {
	if perMinute < 1 || perMinute > MaxPerMinute {
		return false, 0, 0, fmt.Errorf("redis: a quota of %d requests a minute", perMinute)
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	r, err := l.rate.Allow(ctx, limitPrefix+key, redis_rate.PerMinute(perMinute))
	if err != nil {
		return false, 0, 0, fmt.Errorf("redis: limit: %w", err)
	}
	return r.Allowed > 0, r.Remaining, max(0, r.RetryAfter), nil
}
