package edge

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// README: "256 connections an address". The listener of --http-redirect had no such bound: it took 1,024 in all, so one client who
// opened that many and said nothing (each lives for 5 s) closed the plain port to everybody. The refusal was fasthttp's own text.
func TestOneAddressDoesNotFillTheRedirect(t *testing.T) {
	cert, err := SelfSigned(t.TempDir(), []string{"127.0.0.1"}, quiet)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := OpenRedirect(ln, "443", cert, quiet)
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			_ = c.Close()
		}
		require.NoError(t, r.Close())
	}()
	for range redirectConns + 10 {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		silent = append(silent, c)
	}
	client := &http.Client{Timeout: 2 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	res, err := client.Get("http://" + ln.Addr().String() + "/") // another address
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 308, res.StatusCode)
}
