package actors

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"maitred/persistence"
)

// Metrics is what a house counts. Register it with a prometheus.Registerer.
type Metrics struct {
	appendSeconds prometheus.Histogram
	appendFailed  *prometheus.CounterVec
	frames        prometheus.Counter
	frameEvents   prometheus.Histogram
	frameBytes    prometheus.Counter
	incarnations  prometheus.Counter
	resident      prometheus.Gauge
	credits       prometheus.Gauge
	quarantined   prometheus.Gauge
	passivations  prometheus.Counter
	loads         prometheus.Counter
	bases         prometheus.Counter
	refused       *prometheus.CounterVec
	panics        prometheus.Counter
	sweeps        prometheus.Counter
	tailEvents    prometheus.Gauge
	states        *prometheus.CounterVec
	skew          prometheus.Gauge
}

// NewMetrics makes the collectors of a house.
func NewMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "maitred_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "maitred_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "maitred_" + name, Help: help}, []string{label})
	}
	return &Metrics{
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maitred_journal_append_seconds", Help: "Time from the send of an append to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		appendFailed: vec("journal_appends_failed_total", "Appends that were not acknowledged.", "kind"),
		frames:       counter("journal_frames_total", "Durable frames, heartbeats included: one fsync each."),
		frameEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maitred_journal_frame_events", Help: "Events in a durable frame that is no heartbeat (the batch).",
			Buckets: prometheus.ExponentialBuckets(1, 2, 12),
		}),
		frameBytes:   counter("journal_frame_bytes_total", "Bytes of durable frames."),
		incarnations: counter("writer_incarnations_total", "Claims of the own slot since the start."),
		resident:     gauge("actors_resident", "Aggregates in memory."),
		credits:      gauge("actors_credits_in_use", "Calls inside the house."),
		quarantined:  gauge("actors_quarantined", "Aggregates whose state is not trusted."),
		passivations: counter("actors_passivations_total", "Aggregates that left memory."),
		loads:        counter("actors_loads_total", "Aggregates read from base and journal."),
		bases:        counter("bases_put_total", "Bases written."),
		refused:      vec("actors_refused_total", "Calls refused before the mailbox.", "reason"),
		panics:       counter("actors_panics_total", "Commands that made the engine panic."),
		sweeps:       counter("actors_sweeps_total", "Timers that fired."),
		tailEvents:   gauge("journal_tail_events", "Events that are in no base."),
		states:       vec("actors_states_handed_total", "States of restaurants that travelled with their partition: sent, refused by the next owner, opened from.", "step"),
		skew:         gauge("clock_skew_seconds", "How far this node's clock is ahead of the median of the others'; beyond 2 either way its timers stand still."),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.appendSeconds, m.appendFailed, m.frames, m.frameEvents, m.frameBytes, m.incarnations, m.resident, m.credits,
		m.quarantined, m.passivations, m.loads, m.bases, m.refused, m.panics, m.sweeps, m.tailEvents, m.states, m.skew,
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *Metrics) appended(d time.Duration, err error) {
	switch {
	case err == nil:
		m.appendSeconds.Observe(d.Seconds())
	case errors.Is(err, persistence.ErrConflict):
		m.appendFailed.WithLabelValues("conflict").Inc()
	case errors.Is(err, persistence.ErrFull):
		m.appendFailed.WithLabelValues("full").Inc()
	default:
		m.appendFailed.WithLabelValues("unknown").Inc()
	}
}

func (m *Metrics) frame(events, bytes int) {
	m.frames.Inc()
	m.frameBytes.Add(float64(bytes))
	if events > 0 {
		m.frameEvents.Observe(float64(events))
	}
}
