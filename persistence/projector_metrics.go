package persistence

import "github.com/prometheus/client_golang/prometheus"

// projectorMetrics are the collectors of one projector.
type projectorMetrics struct {
	lagRecords, lagSeconds, events, batches, failures, reconnects, state *prometheus.Desc
	write                                                                prometheus.Histogram
}

func newProjectorMetrics(sink string) projectorMetrics {
	labels := prometheus.Labels{"sink": sink}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("maitred_sink_"+name, help, variable, labels)
	}
	return projectorMetrics{
		lagRecords: desc("lag_records", "Journal records that are durable and not in the sink."),
		lagSeconds: desc("lag_seconds", "Age of the oldest record that is not in the sink, from above."),
		events:     desc("events_total", "Events written to the sink."),
		batches:    desc("batches_total", "Transactions that reached the sink."),
		failures:   desc("failures_total", "Transactions that did not reach the sink."),
		reconnects: desc("reconnects_total", "Times that the sink took events again after it had not."),
		state:      desc("state", "1 for the state that the sink's projector is in.", "state"),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "maitred_sink_write_seconds", Help: "Duration of one transaction of the sink.", ConstLabels: labels,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
}

// Describe implements prometheus.Collector.
func (p *Projector) Describe(ch chan<- *prometheus.Desc) {
	m := &p.metrics
	for _, d := range []*prometheus.Desc{m.lagRecords, m.lagSeconds, m.events, m.batches, m.failures, m.reconnects, m.state} {
		ch <- d
	}
	m.write.Describe(ch)
}

// Collect implements prometheus.Collector.
func (p *Projector) Collect(ch chan<- prometheus.Metric) {
	m, s := &p.metrics, p.Status()
	ch <- prometheus.MustNewConstMetric(m.lagRecords, prometheus.GaugeValue, float64(s.LagRecords))
	ch <- prometheus.MustNewConstMetric(m.lagSeconds, prometheus.GaugeValue, s.Lag.Seconds())
	ch <- prometheus.MustNewConstMetric(m.events, prometheus.CounterValue, float64(s.Events))
	ch <- prometheus.MustNewConstMetric(m.batches, prometheus.CounterValue, float64(s.Batches))
	ch <- prometheus.MustNewConstMetric(m.failures, prometheus.CounterValue, float64(s.Failures))
	ch <- prometheus.MustNewConstMetric(m.reconnects, prometheus.CounterValue, float64(s.Recoveries))
	for i, name := range projectorStates {
		v := 0.0
		if s.State == ProjectorState(i) {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, v, name)
	}
	m.write.Collect(ch)
}
