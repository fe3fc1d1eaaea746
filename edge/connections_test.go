package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	require.NoError(s.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

// over asks over a connection that stays open; without an answer the response is nil.
func over(t *testing.T, c net.Conn) *answer {
	t.Helper()
	_, err := io.WriteString(c, healthz)
	if err != nil {
		t.Logf("write: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	return read(t, res)
}

func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.MaxConnsPerIP = 2 })
	first, second := s.dial(), s.dial()
	require.Equal(t, 200, over(t, first).StatusCode)
	require.Equal(t, 200, over(t, second).StatusCode)
	third := s.dial()
	res, err := http.ReadResponse(bufio.NewReader(third), nil)
	require.NoError(t, err, "told without being asked")
	a := read(t, res)
	require.Equal(t, 429, a.StatusCode)
	require.Equal(t, "too_many_requests", a.code())
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	for _, h := range securityHeaders {
		require.Equal(t, string(h[1]), a.Header.Get(string(h[0])))
	}
	_, err = third.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "closed")
	require.Equal(t, 200, over(t, first).StatusCode, "the others go on")
	require.NoError(t, second.Close())
	require.Eventually(t, func() bool {
		a := over(t, s.dial())
		return a != nil && a.StatusCode == 200
	}, 5*time.Second, 5*time.Millisecond, "a place came back")
}

func TestATrustedProxyMayHaveMoreConnections(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.MaxConnsPerIP, c.TrustedProxies = 1, prefixes(t, "127.0.0.0/8") })
	for range 5 {
		require.Equal(t, 200, over(t, s.dial()).StatusCode)
	}
}

func TestConnectionsInAllAreBounded(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.MaxConns = 1 })
	require.Equal(t, 200, over(t, s.dial()).StatusCode)
	res, err := http.ReadResponse(bufio.NewReader(s.dial()), nil)
	require.NoError(t, err)
	require.Equal(t, 503, read(t, res).StatusCode)
}

// A connection that has served its share of requests is told to go.
func TestAConnectionEndsAfterItsRequests(t *testing.T) {
	const most = 50
	p := prepare(t, &script{})
	require.Equal(t, maxPerConn, p.http.MaxRequestsPerConn)
	p.http.MaxRequestsPerConn = most
	s := p.open()
	c := s.dial()
	r := bufio.NewReader(c)
	for i := range most {
		_, err := io.WriteString(c, healthz)
		require.NoError(t, err)
		res, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, i+1 == most, read(t, res).Close)
	}
	_, err := r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// More requests than may be in hand are refused at once; probes are answered all the same.
func TestRequestsInHandAreBounded(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := listen(t, &script{do: func(id engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
		entered <- struct{}{}
		<-release
		return created(id, cmd)
	}}, func(c *Config) { c.MaxInHand = 2 })
	token := s.token(guestID, engine.RoleCustomer)
	status := make(chan int)
	for range 2 {
		go func() { status <- s.ask("POST", "/api/v1/reservations", token, reservationBody).StatusCode }()
		<-entered
	}
	a := s.ask("GET", "/", "", "")
	require.Equal(t, 503, a.StatusCode)
	require.Equal(t, "busy", a.code())
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Equal(t, 200, s.ask("GET", "/healthz", "", "").StatusCode)
	close(release)
	for range 2 {
		require.Equal(t, 201, <-status)
	}
	require.Eventually(t, func() bool { return s.inHand.Load() == 0 }, 5*time.Second, time.Millisecond, "every place comes back")
	require.Equal(t, 200, s.ask("GET", "/", "", "").StatusCode)
}
