package edge

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// collector takes what an exporter sends.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	got  []byte
	path string
}

func openCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil {
			c.got, c.path = append(c.got, b...), r.URL.Path
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// A traced reservation reaches the collector as a span of the request and one of its command, in the trace that the client named.
func TestTraces(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	c := openCollector(t)
	tracing, err := OpenTracing(t.Context(), c.URL, 1, "n1", quiet)
	require.NoError(t, err)
	s := listen(t, &script{do: created}, func(cfg *Config) { cfg.Tracing = tracing })
	token := s.token(guestID, engine.RoleCustomer)
	a := s.ask("POST", "/api/v1/reservations?secret=1", token, reservationBody, "Traceparent", "00-"+id+"-b7ad6b7169203331-00")
	require.Equal(t, 201, a.StatusCode)
	require.Equal(t, 404, s.ask("GET", "/nothing", token, "", "Traceparent", "nonsense").StatusCode)
	require.NoError(t, tracing.Close(), "it sends what waits")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Equal(t, "/v1/traces", c.path)
	for _, want := range []string{"POST /api/v1/reservations", "CreateReservation", "http.route", "maitred.outcome", "created"} {
		require.Contains(t, string(c.got), want)
	}
	trace, err := hex.DecodeString(id)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(c.got, trace), "both spans are of the client's trace")
	require.NotContains(t, string(c.got), "secret")
	require.NotContains(t, string(c.got), token[len(token)-20:])
}

// The share is ours to choose: a client that asks to be recorded is not, beyond it.
func TestAClientDoesNotDecideWhatIsTraced(t *testing.T) {
	c := openCollector(t)
	tracing, err := OpenTracing(t.Context(), c.URL, 0, "n1", quiet)
	require.NoError(t, err)
	s := listen(t, &script{do: created}, func(cfg *Config) { cfg.Tracing = tracing })
	require.Equal(t, 201, s.ask("POST", "/api/v1/reservations", s.token(guestID, engine.RoleCustomer), reservationBody,
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").StatusCode)
	require.NoError(t, tracing.Close())
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(t, c.got)
}

func TestACollectorThatIsAwayHurtsNobody(t *testing.T) {
	c := openCollector(t)
	c.Server.Close()
	log := &lockedBuffer{}
	tracing, err := OpenTracing(t.Context(), c.URL, 1, "n1", slog.New(slog.NewJSONHandler(log, nil)))
	require.NoError(t, err)
	s := listen(t, &script{do: created}, func(cfg *Config) { cfg.Tracing = tracing })
	require.Equal(t, 201, s.ask("POST", "/api/v1/reservations", s.token(guestID, engine.RoleCustomer), reservationBody).StatusCode)
	require.NoError(t, tracing.Close())
	require.Contains(t, log.String(), "traces are lost")
	for _, endpoint := range []string{"", "127.0.0.1:4318", "grpc://x:1", "http://"} {
		_, err := OpenTracing(t.Context(), endpoint, 1, "n1", quiet)
		require.Error(t, err, endpoint)
	}
}
