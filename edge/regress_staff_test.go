package edge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Anybody may register as an owner, make a restaurant and hire any account by its e-mail. Nobody asks the hired one. The list of
// staff then told a stranger the first and last name behind an e-mail address.
func TestHiringTellsNoNamesOfStrangers(t *testing.T) {
	s := listen(t, openHouse(t))
	victim := s.register("victim@example.org", "customer")
	a := victim.do("PATCH", "/me", `{"first_name":"Wilhelmina","last_name":"Geheim"}`, "If-Match", `"1"`)
	require.Equal(t, 200, a.StatusCode, a.text)

	stranger := s.register("stranger@example.org", "owner")
	id, _ := stranger.trattoria()
	a = stranger.do("POST", "/restaurants/"+id+"/staff", `{"email":"victim@example.org","role":"host"}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	a = stranger.do("GET", "/restaurants/"+id+"/staff", "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.NotContains(t, a.text, "Geheim")
	require.NotContains(t, a.text, "Wilhelmina")
}
