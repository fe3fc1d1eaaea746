package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maitred/edge"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/postgres"
	"maitred/persistence/rabbitmq"
	"maitred/persistence/redis"
)

// brokerSilence is how long the broker may be silent before its messages are sent again. A quorum queue that was killed does not confirm
// what comes while it recovers.
const brokerSilence = 10 * time.Second

// What is told to others comes within sinkLinger when it comes alone, and ten times a second under load: the fixed costs of a batch,
// here and at the services, are then a fifth of the CPU less (bench/README.md).
const (
	sinkLinger = 20 * time.Millisecond
	sinkEvery  = 100 * time.Millisecond
)

// follow makes the projector of a sink; it starts with the others, when the house is open.
func (n *Node) follow(cfg persistence.ProjectorConfig) *persistence.Projector {
	cfg.Bounds, cfg.Log = n.embedded.Journal().Bounds, n.Log
	if n.cell != nil && (cfg.Name != "store" || n.Config.StoreURL != "") { // an embedded store is each node's own
		cfg.Active = n.house.Leads
	}
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
	return errors.Join(n.openRabbitMQ(journal, events), n.openRedis(journal, events))
}

func (n *Node) openRabbitMQ(journal string, events persistence.Events) error {
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
		MinEvents: 1, MaxEvents: 2_000, Linger: sinkLinger, Every: sinkEvery, // a notification alone waits for no others
	})
	return nil
}

func (n *Node) openRedis(journal string, events persistence.Events) error {
	if n.Config.RedisURL == "" {
		return nil
	}
	o, err := redis.ParseURL(n.Config.RedisURL)
	if err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	client, err := redis.Open(o)
	if err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	n.opened("redis", client.Close)
	sink, err := redis.NewSink(client, redis.SinkOptions{
		Cursors: n.embedded.Cursors(), Source: &storeSource{n.store}, Bounds: n.embedded.Journal().Bounds, Log: n.Log,
	})
	if err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	n.follow(persistence.ProjectorConfig{
		Name: redis.SinkName, Journal: journal, Events: events, Sink: sink, Archive: n.store,
		MinEvents: 1, MaxEvents: 2_000, Linger: sinkLinger, Every: sinkEvery, Idle: time.Second, // so soon a server that was emptied is noticed
	})
	reader := redis.NewReader(client)
	n.Registry.MustRegister(reader)
	n.copies, n.sharedLimits = reader, redis.NewLimiter(client)
	return nil
}

// storeSource gives Redis what it has lost, from the store.
type storeSource struct{ store persistence.Rebuildable }

// Position implements redis.Source. What the store does not have yet, or could not write, follows from the journal.
func (s *storeSource) Position(ctx context.Context) (at persistence.Position, asOf time.Time, err error) {
	if server, ok := s.store.(*postgres.Store); ok {
		at, err = server.Whole(ctx)
		return at, asOf, err
	}
	at, err = s.store.Cursor(ctx)
	return at, asOf, err
}

// pastDays is how many days of the past Redis gets: a shift past midnight, and the time zones.
const pastDays = 2

// Restaurants implements redis.Source.
func (s *storeSource) Restaurants(ctx context.Context, after string, limit int) ([]persistence.AggregateState, string, error) {
	states, next, err := s.store.States(ctx, persistence.StatesFilter{
		After: engine.AggregateID(after), Limit: limit, RestaurantsOnly: true, FromDay: int32(time.Now().Unix()/86_400) - pastDays,
	})
	return states, string(next), err
}

func (n *Node) shownFollowers() map[string]edge.Follower {
	out := make(map[string]edge.Follower, len(n.followers))
	for name, p := range n.followers {
		out[name] = p
	}
	return out
}
