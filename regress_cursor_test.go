package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// The place behind a restaurant in the list by name has its folded name in it, and a cursor is the place in base64 in base64. A
// name of 33 Hangul syllables (99 bytes; decomposed 297) made a cursor of more than the 512 bytes that readCursor accepts: the
// server gave a cursor that it then refused, and nobody listed what comes behind that restaurant.
func TestEveryCursorThatIsGivenIsTaken(t *testing.T) {
	s := openSite(t, t.TempDir())
	owner := s.token(1, engine.RoleOwner)
	for i, name := range []string{"Aaa", strings.Repeat("한", 33), "힣힣"} {
		create(t, s.api, owner, "/restaurants", fmt.Sprint("r", i), map[string]any{"name": name, "city": "Seoul", "time_zone": "Asia/Seoul"})
	}
	type found struct {
		Items []struct{ Name string } `json:"items"`
		Next  *string                 `json:"next_cursor"`
	}
	get := func(query string) (a found) {
		t.Helper()
		got, err := s.do(request{method: "GET", path: "/restaurants?" + query})
		require.NoError(t, err)
		require.Equal(t, 200, got.status, "%s\n%s", query, got.body)
		require.NoError(t, json.Unmarshal(got.body, &a))
		return a
	}
	require.Eventually(t, func() bool { return len(get("").Items) == 3 }, 10*time.Second, 10*time.Millisecond, "the store follows")
	var names []string
	for query := "limit=1"; ; {
		page := get(query)
		for _, i := range page.Items {
			names = append(names, i.Name)
		}
		if page.Next == nil {
			break
		}
		query = "limit=1&cursor=" + url.QueryEscape(*page.Next)
	}
	require.Len(t, names, 3)
}
