package rabbitmq

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"maitred/persistence/persistencetest"
)

// document is what the tests read of asyncapi.yaml.
type document struct {
	Channels struct {
		Events struct {
			Address    string
			Parameters struct {
				Event struct{ Enum []string }
			}
			Messages map[string]map[string]string
			Bindings struct {
				AMQP struct {
					Exchange struct {
						Name, Type string
						Durable    bool
					}
				}
			}
		}
	}
	Components struct {
		Messages map[string]struct {
			Payload  map[string]string
			Examples []struct {
				Name    string
				Headers map[string]any
				Payload yaml.Node
			}
		}
	}
}

func readDocument(t *testing.T) (d document, raw any) {
	t.Helper()
	b, err := os.ReadFile("asyncapi.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(b, &d))
	require.NoError(t, yaml.Unmarshal(b, &raw))
	return d, raw
}

// keysInOrder is the names of an object's properties as they stand in YAML or JSON.
func keysInOrder(n *yaml.Node) (keys []string) {
	for i := 0; i < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i].Value)
	}
	return keys
}

// Every example is what the broker has of an event, and every kind that is published has an example.
func TestTheExamplesArePublished(t *testing.T) {
	d, _ := readDocument(t)
	events := d.Channels.Events
	require.Equal(t, (&Config{Prefix: "maitred"}).exchange(), events.Bindings.AMQP.Exchange.Name)
	require.Equal(t, "topic", events.Bindings.AMQP.Exchange.Type)
	require.True(t, events.Bindings.AMQP.Exchange.Durable)
	examples := 0
	for name, m := range d.Components.Messages {
		require.Equal(t, "#/components/messages/"+name, events.Messages[name]["$ref"], "the channel has the message")
		examples += len(m.Examples)
	}
	messages := published(t, exampleEvents())
	require.Len(t, messages, examples)
	require.Len(t, events.Parameters.Event.Enum, examples)
	for i, p := range messages {
		event := events.Parameters.Event.Enum[i]
		require.Equal(t, strings.NewReplacer("{restaurantId}", exampleRestaurant, "{event}", event).Replace(events.Address), p.RoutingKey)
		found := false
		for _, m := range d.Components.Messages {
			for _, e := range m.Examples {
				if e.Name != event {
					continue
				}
				found = true
				require.Equal(t, e.Headers, map[string]any(p.Headers), event)
				var got yaml.Node // JSON is YAML
				require.NoError(t, yaml.Unmarshal(p.Body, &got))
				require.Equal(t, keysInOrder(&e.Payload), keysInOrder(got.Content[0]), event)
				var payload any
				require.NoError(t, e.Payload.Decode(&payload))
				want, err := json.Marshal(payload)
				require.NoError(t, err)
				require.JSONEq(t, string(want), string(p.Body), event)
			}
		}
		require.True(t, found, "%s has no example", event)
	}
}

// Whatever the sink publishes fits the schemas of the document.
func TestMessagesFitTheirSchemas(t *testing.T) {
	d, raw := readDocument(t)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	require.NoError(t, c.AddResource("asyncapi.yaml", raw))
	compile := func(ref string) *jsonschema.Schema {
		s, err := c.Compile("asyncapi.yaml" + ref)
		require.NoError(t, err)
		return s
	}
	headers, payloads := compile("#/components/schemas/headers"), map[string]*jsonschema.Schema{}
	for _, m := range d.Components.Messages {
		for _, e := range m.Examples {
			payloads[typeOf(e.Name)] = compile(m.Payload["$ref"])
		}
	}
	frames := persistencetest.MakeFrames(13, 800)
	messages, err := encode(append(frames.Events(0, 800), exampleEvents()...))
	require.NoError(t, err)
	for _, m := range messages {
		p := m.publishing()
		require.NoError(t, headers.Validate(map[string]any(p.Headers)), m.id)
		var body any
		require.NoError(t, json.Unmarshal(m.body, &body))
		require.NoError(t, payloads[m.kind].Validate(body), "%s %s", m.kind, m.body)
	}
}
