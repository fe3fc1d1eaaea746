package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// What a guest wrote about a restaurant may say who he is: it goes with him, and his rating stays.
func TestAnErasedGuestsReviewHasNoWords(t *testing.T) {
	e := beginErasure(t, false, time.Second)
	made := e.reservations()
	owner := e.site.token(1, engine.RoleOwner)
	path := "/reservations/" + made[2].ID
	for _, step := range []string{"/seat", "/complete"} {
		got, err := e.do(request{method: "POST", path: path + step, token: owner})
		requireStatus(t, 200, got, err)
	}
	got, err := e.do(request{method: "POST", path: path + "/review", token: e.token, body: map[string]any{"rating": 5, "comment": "write to me: " + erasedProfile["email"]}})
	requireStatus(t, 201, got, err)
	e.followed()
	requireStatus(t, 204, e.erase("a long password"), nil)
	e.followed()
	e.awaitComplete()
	got, err = e.do(request{method: "GET", path: "/restaurants/" + e.restaurant + "/reviews"})
	requireStatus(t, 200, got, err)
	require.Contains(t, string(got.body), `"rating":5,"comment":""`)
	require.NoError(t, e.Close())
	require.Empty(t, e.found(erasedProfile))
}
