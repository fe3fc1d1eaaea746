package redis

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

	"maitred/engine"
	"maitred/persistence"
)

const (
	breakerErrors = 5               // in a row: then nobody asks
	breakerDelay  = 2 * time.Second // until one asks again
)

// ErrStale says that the copy is older than the caller takes.
var ErrStale = errors.New("redis: the copy is older than wanted")

// Reader answers reads that may be stale, and counts how often it could. While Redis is away it answers at once. Safe for concurrent use.
type Reader struct {
	c       *Client
	breaker circuitbreaker.CircuitBreaker[any]
	hits    prometheus.Counter
	misses  *prometheus.CounterVec // by reason: unknown, stale or away
}

// NewReader makes a reader; the client stays the caller's.
func NewReader(c *Client) *Reader {
	return &Reader{
		c: c, breaker: newBreaker(),
		hits:   prometheus.NewCounter(prometheus.CounterOpts{Name: "cache_hits_total", Help: "Reads that Redis answered."}),
		misses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cache_misses_total", Help: "Reads that Redis could not answer."}, []string{"reason"}),
	}
}

func newBreaker() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakerErrors).WithDelay(breakerDelay).Build()
}

// Availability lists the start times of a service day for a party, by the engine's rules. It fails with ErrStale when the copy is
// older than notBefore, with persistence.ErrNotFound when it does not know the restaurant, and within 1 s when Redis does not
// answer.
func (r *Reader) Availability(ctx context.Context, now engine.Instant, id engine.RestaurantID, day engine.Day, guests int, notBefore time.Time) (persistence.Availability, error) {
	if !r.breaker.TryAcquirePermit() {
		r.misses.WithLabelValues("away").Inc()
		return persistence.Availability{}, circuitbreaker.ErrOpen
	}
	a, err := r.c.Availability(ctx, now, id, day, guests)
	if err != nil && !errors.Is(err, persistence.ErrNotFound) {
		r.breaker.RecordFailure()
		r.misses.WithLabelValues("away").Inc()
		return a, err
	}
	r.breaker.RecordSuccess()
	switch {
	case err != nil:
		r.misses.WithLabelValues("unknown").Inc()
	case a.AsOf.Before(notBefore):
		r.misses.WithLabelValues("stale").Inc()
		err = ErrStale
	default:
		r.hits.Inc()
	}
	return a, err
}

// Describe implements prometheus.Collector.
func (r *Reader) Describe(ch chan<- *prometheus.Desc) {
	r.hits.Describe(ch)
	r.misses.Describe(ch)
}

// Collect implements prometheus.Collector.
func (r *Reader) Collect(ch chan<- prometheus.Metric) {
	r.hits.Collect(ch)
	r.misses.Collect(ch)
}
