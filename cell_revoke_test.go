package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRevocationsReachEveryProcess: three processes; what one revokes the others refuse when they have folded so far, and a node that was
// killed has it again before it answers anybody.
func TestRevocationsReachEveryProcess(t *testing.T) {
	c := newCluster(t)
	c.start()
	var nodes []*api
	for _, s := range c.nodes {
		a := newAPI(s.addr, 4)
		defer a.close()
		nodes = append(nodes, a)
	}
	anna := map[string]any{"email": "anna@example.org", "password": "correct horse"}
	session := func(a *api, path string) (s struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}) {
		t.Helper()
		got, err := a.do(request{method: "POST", path: path, body: anna})
		require.NoError(t, err)
		require.Less(t, got.status, 300, "%s", got.body)
		require.NoError(t, json.Unmarshal(got.body, &s))
		return s
	}
	may := func(a *api, token string) int {
		t.Helper()
		got, err := a.do(request{method: "GET", path: "/me", token: token})
		require.NoError(t, err)
		return got.status
	}
	everywhere := func(want int, token, what string) (slowest time.Duration) {
		t.Helper()
		begun := time.Now()
		for _, a := range nodes {
			require.Eventually(t, func() bool { return may(a, token) == want }, readyWithin, 5*time.Millisecond, what)
			slowest = max(slowest, time.Since(begun))
		}
		return slowest
	}
	first := session(nodes[0], "/auth/register")
	second := session(nodes[1], "/auth/login")
	everywhere(200, first.Access, "a token of one node is good at the others")
	everywhere(200, second.Access, "so is this one")

	got, err := nodes[2].do(request{method: "POST", path: "/auth/logout", body: map[string]any{"refresh_token": first.Refresh}})
	requireStatus(t, 204, got, err)
	t.Logf("logout reached the others after %v", everywhere(401, first.Access, "logged out"))
	everywhere(200, second.Access, "the other session")
	got, err = nodes[0].do(request{method: "POST", path: "/auth/revoke-all", token: second.Access})
	requireStatus(t, 204, got, err)
	require.Equal(t, 401, may(nodes[0], second.Access), "at once where it was revoked")
	t.Logf("revoke-all reached the others after %v", everywhere(401, second.Access, "revoked"))
	third := session(nodes[1], "/auth/login")
	everywhere(200, third.Access, "a session of after")

	c.nodes[2].kill()
	c.nodes[2].launch()
	c.serves(c.nodes[2])
	nodes[2].close() // its connections went with the process
	require.Equal(t, 401, may(nodes[2], first.Access), "after a kill")
	require.Equal(t, 401, may(nodes[2], second.Access))
	// Its account may be with a node that does not serve yet, when the one that was killed led the journal.
	require.Eventually(t, func() bool { return may(nodes[2], third.Access) == 200 }, readyWithin, 5*time.Millisecond, "a session of after")
}
