package main

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A node without an address in --listen serves IPv4 and IPv6, and counts an IPv4 client as one however it arrives.
func TestBothFamilies(t *testing.T) {
	s := openSite(t, t.TempDir(), func(c *Config) { c.Listen, c.RateLimit = ":0", 2 })
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	status := func(host string) int {
		res, err := client.Get("http://" + net.JoinHostPort(host, port) + "/api/v1/restaurants")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		require.Equal(t, []int{200, 200, 429}, []int{status(host), status(host), status(host)}, host)
	}
	require.Equal(t, 429, status("::ffff:127.0.0.1"))
}
