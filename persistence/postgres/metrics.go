package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a store. pool is "read", "write" or "replica".
type metrics struct {
	queries   *prometheus.CounterVec   // by pool and result: ok or error
	duration  *prometheus.HistogramVec // by pool, seconds
	fallbacks *prometheus.CounterVec   // by reason: behind, away, or spared because it was so a moment ago
	conflicts prometheus.Counter

	replicaReads prometheus.Counter // those that it answered

	parked prometheus.Gauge
	active *prometheus.Desc // connections in use, by pool
}

func newMetrics() *metrics {
	return &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "database_queries_total", Help: "Statements sent to PostgreSQL."}, []string{"pool", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "database_query_duration_seconds", Help: "Time of a statement, or of several that went together.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"pool"}),
		fallbacks:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "database_replica_fallbacks_total", Help: "Reads that the primary answered because the replica could not."}, []string{"reason"}),
		replicaReads: prometheus.NewCounter(prometheus.CounterOpts{Name: "database_replica_reads_total", Help: "Lists and searches that the replica answered."}),
		conflicts:    prometheus.NewCounter(prometheus.CounterOpts{Name: "store_conflicts_total", Help: "Rows that say that a table was given away twice."}),
		parked:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "store_parked_aggregates", Help: "Restaurants and accounts whose events could not be written."}),
		active:       prometheus.NewDesc("database_connections_active", "Connections to PostgreSQL in use.", []string{"pool"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.metrics.all() {
		c.Describe(ch)
	}
	ch <- s.metrics.active
}

// Collect implements prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.metrics.all() {
		c.Collect(ch)
	}
	pools := map[string]*pgxpool.Pool{"read": s.read, "write": s.write}
	if s.replica != nil {
		pools["replica"] = s.replica.pool
	}
	for name, p := range pools {
		ch <- prometheus.MustNewConstMetric(s.metrics.active, prometheus.GaugeValue, float64(p.Stat().AcquiredConns()), name)
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.queries, m.duration, m.fallbacks, m.replicaReads, m.conflicts, m.parked}
}

// tracer measures the statements of a pool.
type tracer struct {
	ok, failed prometheus.Counter
	duration   prometheus.Observer
}

func (m *metrics) trace(pool string) *tracer {
	return &tracer{ok: m.queries.WithLabelValues(pool, "ok"), failed: m.queries.WithLabelValues(pool, "error"), duration: m.duration.WithLabelValues(pool)}
}

type begunKey struct{}

func (*tracer) begin(ctx context.Context) context.Context {
	return context.WithValue(ctx, begunKey{}, time.Now())
}

func (t *tracer) end(ctx context.Context, err error) {
	if begun, ok := ctx.Value(begunKey{}).(time.Time); ok {
		t.duration.Observe(time.Since(begun).Seconds())
	}
	if err != nil {
		t.failed.Inc()
		return
	}
	t.ok.Inc()
}

// TraceQueryStart implements pgx.QueryTracer.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return t.begin(ctx)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	t.end(ctx, d.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return t.begin(ctx)
}

// TraceBatchQuery implements pgx.BatchTracer.
func (*tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (t *tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	t.end(ctx, d.Err)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (t *tracer) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return t.begin(ctx)
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (t *tracer) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromEndData) {
	t.end(ctx, d.Err)
}
