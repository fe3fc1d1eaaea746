package cluster

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// overheard is a connection of which somebody keeps what was sent.
type overheard struct {
	net.Conn
	sent bytes.Buffer
}

func (o *overheard) Write(b []byte) (int, error) {
	o.sent.Write(b)
	return o.Conn.Write(b)
}

// Whoever recorded a node's connection and sends the same bytes again has not sent a request: the server's half of the keys is another one.
func TestReplayedConnectionIsRefused(t *testing.T) {
	s := NewSecret()
	var handled atomic.Int64
	b := serve(t, s, "b", func(string, string, []byte) (int, []byte) {
		handled.Add(1)
		return 200, nil
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", b.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetDeadline(in(soon)))
		return c
	}
	heard := &overheard{Conn: dial()}
	require.Equal(t, 200, ask(tls.Client(heard, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate(t, s, "a", time.Now())},
	}), someRequest))
	require.EqualValues(t, 1, handled.Load())

	again := dial()
	_, err := again.Write(heard.sent.Bytes())
	require.NoError(t, err)
	eventually(t, func() bool { return b.counted(refusedBroken) == 1 }, "refused and counted")
	answer, _ := io.ReadAll(again) // until the server has closed it
	require.NotContains(t, string(answer), "HTTP/1.1 200")
	require.EqualValues(t, 1, handled.Load(), "nothing was done again")
}
