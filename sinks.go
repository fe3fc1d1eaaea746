package main

import (
	"fmt"
	"time"

	"maitred/edge"
	"maitred/persistence"
	"maitred/persistence/rabbitmq"
)

// brokerSilence is how long the broker may be silent before its messages are sent again. A quorum queue that was killed does not confirm
// what comes while it recovers.
const brokerSilence = 10 * time.Second

// follow makes the projector of a sink; it starts with the others, when the house is open.
func (n *Node) follow(cfg persistence.ProjectorConfig) *persistence.Projector {
	cfg.Bounds, cfg.Log = n.embedded.Journal().Bounds, n.Log
	p := persistence.NewProjector(cfg)
	if n.followers == nil {
		n.followers = map[string]*persistence.Projector{}
	}
	n.followers[cfg.Name] = p
	return p
}

// openSinks makes what follows the journal beside the store. None of it pins the journal: whoever falls below catches up from the
// store.
func (n *Node) openSinks(journal string, events persistence.Events) error {
	if n.Config.AMQPURL == "" {
		return nil
	}
	sink, err := rabbitmq.Open(rabbitmq.Config{URL: n.Config.AMQPURL, Cursors: n.embedded.Cursors(), ConfirmTimeout: brokerSilence})
	if err != nil {
		return fmt.Errorf("--amqp-url: %w", err)
	}
	n.opened("rabbitmq", sink.Close)
	n.follow(persistence.ProjectorConfig{
		Name: rabbitmq.SinkName, Journal: journal, Events: events, Sink: sink, Archive: n.store,
		MinEvents: 1, MaxEvents: 2_000, Linger: 20 * time.Millisecond, // a notification does not wait for others
	})
	return nil
}

func (n *Node) shownFollowers() map[string]edge.Follower {
	out := make(map[string]edge.Follower, len(n.followers))
	for name, p := range n.followers {
		out[name] = p
	}
	return out
}
