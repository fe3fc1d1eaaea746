package rabbitmq

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"maitred/engine"
	"maitred/persistence"
)

// ErrUnknownEvent says that an event is of a newer build: publishing without it would lose it for every consumer.
var ErrUnknownEvent = errors.New("an event of a kind that this build does not know")

// The parts of a message that are the same for all.
const (
	attributePrefix = "cloudEvents_"
	specVersion     = "1.0"
	contentType     = "application/json"
	appID           = "maitred"
)

// message is an event as it is published.
type message struct {
	id       string // restaurant and version, the same in every replay
	key      string // routing key
	kind     string // CloudEvents type
	source   string
	subject  string // empty = none
	sequence string
	at       time.Time
	body     []byte
}

// encode makes the messages of what is published of events: those of restaurants.
func encode(events []persistence.Committed) ([]message, error) {
	messages := make([]message, 0, len(events))
	for i := range events {
		c := &events[i]
		if engine.IsAccountID(string(c.Aggregate)) {
			continue
		}
		m, err := encodeOne(c)
		if err != nil {
			return nil, fmt.Errorf("%s: version %d: %w", c.Aggregate, c.Version, err)
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func encodeOne(c *persistence.Committed) (message, error) {
	a := describe(string(c.Aggregate), engine.StripPersonal(c.Event))
	if a.event == "" {
		return message{}, ErrUnknownEvent
	}
	body, err := json.Marshal(a.data)
	if err != nil {
		return message{}, fmt.Errorf("write %s: %w", a.event, err)
	}
	return message{
		id:       fmt.Sprintf("%s/%d", c.Aggregate, c.Version),
		key:      routingKey(string(c.Aggregate), a.event),
		kind:     typeOf(a.event),
		source:   "/restaurants/" + string(c.Aggregate),
		subject:  a.subject,
		sequence: sequenceOf(c.Version),
		at:       time.UnixMilli(c.Event.GetAtMs()).UTC(),
		body:     body,
	}, nil
}

func routingKey(restaurant, event string) string { return "restaurant." + restaurant + "." + event }

func typeOf(event string) string { return "maitred." + event + ".v1" }

// sequenceOf is a version in 20 digits: the extension wants strings whose order is that of the numbers.
func sequenceOf(v engine.Version) string { return fmt.Sprintf("%020d", uint64(v)) }

// publishing is the message in CloudEvents' binary mode.
func (m *message) publishing() amqp.Publishing {
	headers := amqp.Table{
		attributePrefix + "specversion": specVersion,
		attributePrefix + "id":          m.id,
		attributePrefix + "source":      m.source,
		attributePrefix + "type":        m.kind,
		attributePrefix + "time":        instant(m.at),
		attributePrefix + "sequence":    m.sequence,
	}
	if m.subject != "" {
		headers[attributePrefix+"subject"] = m.subject
	}
	return amqp.Publishing{
		Headers: headers, ContentType: contentType, DeliveryMode: amqp.Persistent,
		MessageId: m.id, Timestamp: m.at, Type: m.kind, AppId: appID, Body: m.body,
	}
}
