package cluster

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what the controller counts.
type Metrics struct {
	moves, claims *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maitred_cluster_moves_total", Help: "Partitions that this node was to give to another one.",
		}, []string{"result"}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maitred_cluster_claims_total", Help: "Slots of silent nodes that this node was to claim.",
		}, []string{"result"}),
	}
	r.MustRegister(m.moves, m.claims)
	return m
}

func (m *Metrics) moved(err error)   { m.moves.WithLabelValues(result(err)).Inc() }
func (m *Metrics) claimed(err error) { m.claims.WithLabelValues(result(err)).Inc() }

func result(err error) string {
	if err == nil {
		return "done"
	}
	return "failed"
}
