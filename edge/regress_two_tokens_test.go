package edge

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two lines Authorization: 401 where a caller is needed. Where none is, the document knows no 401 (S1 looks at the others alone).
func TestTwoTokensForAPublicRouteKeepTheDocument(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.Lists = &list{} })
	for path, want := range map[string]int{"/api/v1/restaurants": 400, "/api/v1/restaurants/rst_0000000000001/reviews": 400, "/api/v1/me": 401} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+path, http.NoBody)
		require.NoError(t, err)
		req.Header["Authorization"] = []string{"Bearer a", "Bearer b"}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		a := read(t, res)
		_, _ = io.Copy(io.Discard, res.Body)
		keeps(t, req, "", a)
		require.Equal(t, want, a.StatusCode, path)
	}
}
