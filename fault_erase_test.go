package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestErasureSurvivesKills kills the process again and again while it goes through the restaurants of an erased guest, who has
// more reservations than one command may cancel: in the end the guest stands nowhere, and a newcomer under the e-mail has nothing.
func TestErasureSurvivesKills(t *testing.T) {
	data := t.TempDir()
	s := newServer(t, data, "--test-any-fs", "--test-passivate", "--test-grace", "500ms")
	s.start()
	a := newAPI(s.addr, 16)
	defer a.close()
	owner := s.tokens("owner", 1)[0]
	var places []string
	for i := range 3 {
		id := makeRestaurant(t, a, owner, i)
		places = append(places, id)
		for n := range 10 {
			create(t, a, owner, "/restaurants/"+id+"/tables", fmt.Sprintf("table-%d-%d", i, n),
				map[string]any{"table_number": fmt.Sprint(n + 1), "capacity": 4, "min_capacity": 1})
		}
	}
	login := map[string]any{"email": "marker@example.org", "password": "a long password", "first_name": "Marker"}
	var session struct {
		AccessToken string `json:"access_token"`
	}
	got, err := a.do(request{method: "POST", path: "/auth/register", body: login})
	requireStatus(t, 201, got, err)
	require.NoError(t, json.Unmarshal(got.body, &session))
	const each = 80
	for i := range 3 * each {
		n := i % each
		create(t, a, session.AccessToken, "/reservations", fmt.Sprintf("marked-%d", i), map[string]any{
			"restaurant_id": places[i/each], "date": day(2 + n/20), "time_slot": []string{"12:00", "18:00"}[n%2], "guests_count": 2,
			"special_requests": "marker of the guest", "contact": map[string]any{"name": "marker"}})
	}
	got, err = a.do(request{method: "DELETE", path: "/me", token: session.AccessToken, body: map[string]any{"password": "a long password"}})
	requireStatus(t, 204, got, err)
	for i := range 8 {
		pause(time.Duration(i*7) * time.Millisecond) // each kill meets another step
		s.kill()
		s.start()
	}
	require.Eventually(t, func() bool {
		got, err = a.do(request{method: "POST", path: "/auth/register", body: map[string]any{
			"email": "marker@example.org", "password": "another long one"}})
		return err == nil && got.status == 201
	}, 60*time.Second, 100*time.Millisecond, "%d %s", got.status, got.body)
	require.NoError(t, json.Unmarshal(got.body, &session))
	got, err = a.do(request{method: "GET", path: "/reservations", token: session.AccessToken})
	requireStatus(t, 200, got, err)
	require.Contains(t, string(got.body), `"items":[]`)

	gone := 0
	for _, p := range places {
		for n := range 4 {
			got, err := a.do(request{method: "GET", path: "/restaurants/" + p + "/reservations?date=" + day(2+n), token: owner})
			requireStatus(t, 200, got, err)
			gone += bytes.Count(got.body, []byte(`"status":"cancelled"`))
			require.NotContains(t, string(got.body), "marker")
			require.NotContains(t, string(got.body), `"status":"confirmed"`)
		}
	}
	require.Equal(t, 3*each, gone, "every reservation is on its day sheet, cancelled")
	// The store follows: it blanks its rows, and then the pages of its log.
	require.Eventually(t, func() bool { return len(filesWith(t, data, "marker of the guest", "Marker", "marker@")) == 0 },
		20*time.Second, 100*time.Millisecond)
	s.kill()
	require.Empty(t, filesWith(t, data, "marker of the guest", "Marker", "marker@"))
	require.NotContains(t, s.said.String(), "marker@")
}

// filesWith lists the files below dir in which one of the markers stands.
func filesWith(t *testing.T, dir string, markers ...string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // the node has just removed it
		}
		for _, marker := range markers {
			if bytes.Contains(b, []byte(marker)) {
				found = append(found, path)
			}
		}
		return err
	}))
	return found
}
