package rabbitmq

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// published is what the broker has of events, in their order.
func published(t *testing.T, events []persistence.Committed) []amqp.Delivery {
	t.Helper()
	s := open(t, brokerURL(t), &memory.Cursors{})
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	queue := probe(t, Classic)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: journal, Seq: events[len(events)-1].Seq}, events))
	return drain(t, queue)
}

// Every kind of event that a restaurant can have is among the examples, and so in the document.
func TestEveryKindIsAnExample(t *testing.T) {
	have := map[string]bool{}
	for _, c := range exampleEvents() {
		m := c.Event.ProtoReflect()
		have[string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Name())] = true
		if s := c.Event.GetReservationStatusChanged(); s != nil {
			have[s.GetStatus().String()] = true
		}
	}
	bodies := (&enginepb.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		f := bodies.Get(i)
		require.Equal(t, f.Number() < 40, have[string(f.Name())], f.Name())
	}
	for number, name := range enginepb.Status_name {
		// Nobody comes back to the waitlist: who waits was made so.
		require.Equal(t, number != 0 && engine.Status(number) != engine.StatusWaiting, have[name], name)
	}
}

// Every event of a reservation but staff's notes is mailed from one of the two queues, and from one only.
func TestEveryEventOfAReservationIsMailed(t *testing.T) {
	mailed := map[string]int{}
	for _, e := range append(append([]string{}, urgentEvents...), mailEvents...) {
		mailed[e]++
	}
	messages, err := encode(exampleEvents())
	require.NoError(t, err)
	for _, m := range messages {
		event := m.key[strings.LastIndex(m.key, ".")+1:]
		want := 0
		// Nobody is written to about what staff note, or about a reminder that is too late.
		if strings.HasPrefix(event, "reservation_") && event != "reservation_noted" && event != "reservation_not_reminded" {
			want = 1
		}
		require.Equal(t, want, mailed[event], event)
		delete(mailed, event)
	}
	require.Empty(t, mailed, "events that nobody publishes")
}

// What the broker gives has the form that doc.go promises, and nothing personal.
func TestTheFormOfMessages(t *testing.T) {
	events := exampleEvents()
	messages := published(t, events)
	require.Len(t, messages, len(events))
	for i, d := range messages {
		require.Equal(t, uint8(amqp.Persistent), d.DeliveryMode)
		require.Equal(t, "application/json", d.ContentType)
		require.Equal(t, "maitred", d.AppId)
		require.Equal(t, d.MessageId, d.Headers["cloudEvents_id"])
		require.Equal(t, d.Type, d.Headers["cloudEvents_type"])
		require.Equal(t, "1.0", d.Headers["cloudEvents_specversion"])
		require.Equal(t, "/restaurants/"+exampleRestaurant, d.Headers["cloudEvents_source"])
		at, err := time.Parse(time.RFC3339Nano, d.Headers["cloudEvents_time"].(string))
		require.NoError(t, err)
		require.Equal(t, events[i].Event.GetAtMs(), at.UnixMilli())
		require.Equal(t, at.Unix(), d.Timestamp.Unix())
		require.Len(t, d.Headers["cloudEvents_sequence"], 20)
		require.True(t, json.Valid(d.Body))
		require.NotContains(t, text(t, d), secret)
	}
	require.NotContains(t, messages[0].Headers, "cloudEvents_subject", "a restaurant's own events are about the source")
	require.Equal(t, exampleReservation, messages[7].Headers["cloudEvents_subject"])
}

// An event is the same message with its personal strings in clear, sealed, and lost.
func TestSealedEventsAreTheSameMessages(t *testing.T) {
	clear := exampleEvents()
	sealed := exampleEvents()
	for i := range sealed {
		stripped, taken := engine.SplitPersonal(sealed[i].Event)
		sealed[i].Event = stripped.CloneVT()
		sealed[i].Event.Sealed = taken
	}
	want, err := encode(clear)
	require.NoError(t, err)
	got, err := encode(sealed)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, clear[7].Event.String(), secret, "encoding has changed an event")
}

// A queue that nobody reads holds its bound, what is too much dies, and the dead have a bound too.
func TestTheQueuesAreBounded(t *testing.T) {
	for _, kind := range []QueueType{Quorum, Classic} {
		t.Run(string(kind), func(t *testing.T) {
			frames := persistencetest.MakeFrames(11, 600)
			s := open(t, brokerURL(t), &memory.Cursors{}, func(c *Config) { c.QueueType, c.QueueBound = kind, 15 })
			finish(t, carry(t, s, frames), frames)
			var created []string
			for _, c := range frames.Events(0, 600) {
				if c.Event.GetReservationCreated() != nil {
					created = append(created, string(c.Aggregate)+"/"+sequenceOf(c.Version))
				}
			}
			require.Greater(t, len(created), 60)
			newest := func(queue string) (ids []string) {
				for _, d := range drain(t, queue) {
					if d.Type == "maitred.reservation_created.v1" {
						ids = append(ids, strings.Split(d.MessageId, "/")[0]+"/"+d.Headers["cloudEvents_sequence"].(string))
					}
				}
				return ids
			}
			dead := drain(t, s.cfg.dead())
			require.Len(t, dead, 15)
			require.Equal(t, "maxlen", dead[0].Headers["x-first-death-reason"])
			urgent := drain(t, s.cfg.mailUrgent())
			require.Len(t, urgent, 15)
			mail := newest(s.cfg.mail())
			require.NotEmpty(t, mail)
			require.Equal(t, created[len(created)-len(mail):], mail, "the newest are kept, in order")
			unrouted := drain(t, s.cfg.unrouted())
			require.Len(t, unrouted, 15)
			for _, d := range unrouted {
				require.False(t, strings.HasPrefix(d.Type, "maitred.reservation_") && d.Type != "maitred.reservation_noted.v1", d.Type)
			}
		})
	}
}

// A sink says what is wrong with its settings, and with queues of another kind.
func TestSettings(t *testing.T) {
	good := Config{URL: "amqp://user:hush@localhost/", Cursors: &memory.Cursors{}}
	for name, change := range map[string]func(*Config){
		"URL": func(c *Config) { c.URL = "http://user:hush@localhost" }, "garbage": func(c *Config) { c.URL = "amqp://user:hush@[::1" },
		"cursors": func(c *Config) { c.Cursors = nil }, "prefix": func(c *Config) { c.Prefix = strings.Repeat("x", 101) },
		"type": func(c *Config) { c.QueueType = "stream" }, "bound": func(c *Config) { c.QueueBound = -1 },
		"window": func(c *Config) { c.Window = 65_536 }, "limit": func(c *Config) { c.DeliveryLimit = -1 }, "heartbeat": func(c *Config) { c.Heartbeat = 1 },
	} {
		cfg := good
		change(&cfg)
		_, err := Open(cfg)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hush")
	}
	s := open(t, brokerURL(t), &memory.Cursors{})
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	other := open(t, brokerURL(t), &memory.Cursors{}, func(c *Config) { c.QueueType = Quorum })
	_, err = other.Cursor(t.Context())
	require.ErrorContains(t, err, "declare queue")
	require.ErrorContains(t, err, "x-queue-type")
}
