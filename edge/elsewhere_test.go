package edge

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/cluster"
	"maitred/engine"
	"maitred/persistence"
)

// nothingHere is the house of a node that holds no partition: n2 has them all since record 7.
type nothingHere struct{ House }

var withN2 = &actors.NotOwnerError{Owner: "n2", Since: 7}

func (nothingHere) Do(engine.AggregateID, *engine.Command, time.Time) (engine.Outcome, error) {
	return engine.Outcome{}, withN2
}

func (nothingHere) View(engine.AggregateID, time.Time) (*actors.View, error) { return nil, withN2 }

// known is a custody that is known at once.
type known struct{}

func (known) Await(context.Context, persistence.Partition) error { return nil }
func (known) Reach(context.Context, persistence.Seq) error       { return nil }

// beside is a peer in the same process.
type beside struct {
	t   testing.TB
	ask func(from, path string, body []byte) (int, []byte)
}

func (p beside) Call(node, path string, body []byte, deadline time.Time) (cluster.Answer, error) {
	if node != "n2" || time.Until(deadline) <= 0 {
		p.t.Errorf("%s is asked until %v", node, deadline)
	}
	status, answer := p.ask("n1", path, body)
	return cluster.Answer{Status: status, Body: answer}, nil
}

// haveElsewhere puts the house of a server onto another node: MAITRED_TEST_ELSEWHERE=1 runs the whole suite of the API over the hop.
func haveElsewhere(t testing.TB, cfg *Config) {
	owner := *cfg
	owner.Registry = prometheus.NewRegistry()
	owner.Cell = &Cell{Node: "n2", Custody: known{}}
	o, err := New(owner)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	cfg.House = nothingHere{cfg.House}
	cfg.Cell = &Cell{Node: "n1", Peers: beside{t, o.Ask}, Custody: known{}}
}
