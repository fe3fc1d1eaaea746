package edge

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of the edge. Labels are bounded: endpoint is the pattern of a route, method one of its own.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	created   prometheus.Counter
	cancelled prometheus.Counter
	panics    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered.",
		}, []string{"method", "endpoint", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "From the request read to the answer made.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"method", "endpoint"}),
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reservations_created_total", Help: "Reservations created; replays do not count.",
		}),
		cancelled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reservations_cancelled_total", Help: "Reservations cancelled; replays do not count.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_panics_total", Help: "Handlers that panicked and answered 500.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.durations, m.created, m.cancelled, m.panics} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// meter counts the answers of one endpoint with children resolved once.
type meter struct {
	m                *metrics
	method, endpoint string
	duration         prometheus.Observer
	byStatus         [600]atomic.Pointer[prometheus.Counter]
}

func newMeter(m *metrics, method, endpoint string) *meter {
	return &meter{m: m, method: method, endpoint: endpoint, duration: m.durations.WithLabelValues(method, endpoint)}
}

func (t *meter) count(status int, seconds float64) {
	if status < 0 || status >= len(t.byStatus) {
		status = 0
	}
	c := t.byStatus[status].Load()
	if c == nil {
		child := t.m.requests.WithLabelValues(t.method, t.endpoint, strconv.Itoa(status))
		c = &child
		t.byStatus[status].Store(c)
	}
	(*c).Inc()
	t.duration.Observe(seconds)
}
