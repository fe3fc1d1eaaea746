package rabbitmq

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// unroutedBound is the messages that the fallback queue holds: enough to see what nobody has asked for.
const unroutedBound = 1000

// urgentEvents are mailed first, from a queue of their own: somebody may already be on his way. The quorum queues of
// RabbitMQ 3.10 know no priorities.
var urgentEvents = []string{
	"reservation_cancelled", "reservation_rescheduled", "reservation_confirmed", "reservation_declined", "reservation_expired",
	"reservation_offered", "reservation_reminded",
}

// mailEvents are the other events of reservations; a note of staff is nothing to the guest.
var mailEvents = []string{
	"reservation_created", "reservation_held", "reservation_pending", "reservation_seated", "reservation_completed", "reservation_no_show",
}

// The names of what the sink declares.
func (c *Config) exchange() string   { return c.Prefix + ".events" }
func (c *Config) dead() string       { return c.Prefix + ".dead" }        // exchange and queue
func (c *Config) unrouted() string   { return c.Prefix + ".unrouted" }    // exchange and queue
func (c *Config) mail() string       { return c.Prefix + ".mail" }        // queue
func (c *Config) mailUrgent() string { return c.Prefix + ".mail.urgent" } // queue

// declare makes sure that exchanges, queues and bindings are there. One that is there with other properties is an error.
func (c *Config) declare(ch *amqp.Channel) error {
	for _, e := range []struct {
		name, kind string
		args       amqp.Table
	}{
		{c.dead(), amqp.ExchangeFanout, nil},
		{c.unrouted(), amqp.ExchangeFanout, nil},
		{c.exchange(), amqp.ExchangeTopic, amqp.Table{"alternate-exchange": c.unrouted()}},
	} {
		if err := ch.ExchangeDeclare(e.name, e.kind, true, false, false, false, e.args); err != nil {
			return fmt.Errorf("declare exchange %s: %w", e.name, err)
		}
	}
	for _, q := range []struct {
		name, exchange string
		keys           []string
		args           amqp.Table
	}{
		{c.dead(), c.dead(), []string{""}, c.queueArgs(c.QueueBound, false)},
		{c.unrouted(), c.unrouted(), []string{""}, c.queueArgs(min(c.QueueBound, unroutedBound), false)},
		{c.mailUrgent(), c.exchange(), keysOf(urgentEvents), c.queueArgs(c.QueueBound, true)},
		{c.mail(), c.exchange(), keysOf(mailEvents), c.queueArgs(c.QueueBound, true)},
	} {
		if _, err := ch.QueueDeclare(q.name, true, false, false, false, q.args); err != nil {
			return fmt.Errorf("declare queue %s: %w", q.name, err)
		}
		for _, key := range q.keys {
			if err := ch.QueueBind(q.name, key, q.exchange, false, nil); err != nil {
				return fmt.Errorf("bind queue %s: %w", q.name, err)
			}
		}
	}
	return nil
}

// queueArgs are the arguments of a queue of at most bound messages. What is too much goes from its head, to the dead when
// the queue has letters: refusing it instead would stop the sink for everybody.
func (c *Config) queueArgs(bound int, letters bool) amqp.Table {
	args := amqp.Table{"x-queue-type": string(c.QueueType), "x-max-length": int64(bound), "x-overflow": "drop-head"}
	if letters {
		args["x-dead-letter-exchange"] = c.dead()
		if c.QueueType == Quorum {
			args["x-delivery-limit"] = int64(c.DeliveryLimit)
		}
	}
	return args
}

// keysOf are the routing keys of events at any restaurant.
func keysOf(events []string) (keys []string) {
	for _, e := range events {
		keys = append(keys, routingKey("*", e))
	}
	return keys
}
