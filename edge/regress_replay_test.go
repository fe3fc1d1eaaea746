package edge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// "A dismissal works with the next command." But a receipt was answered before anybody asked who the caller is now: whoever had once
// changed a reservation with an Idempotency-Key repeated the request after the dismissal, as often as he liked, and was shown the
// reservation as it was then, with what the guest had written since.
func TestADismissedHostReadsNothingByRepeatingAKey(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, host, guest := s.register("owner@example.org", "owner"), s.register("host@example.org", "customer"), s.register("guest@example.org", "customer")
	id, _ := owner.trattoria()
	require.Equal(t, 201, owner.do("POST", "/restaurants/"+id+"/staff", `{"email":"host@example.org","role":"host"}`).StatusCode)
	a := guest.do("POST", "/reservations", wish(id, day(3), "19:00", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	path := "/reservations/" + a.doc["id"].(string)
	a = host.do("PATCH", path, `{"guests_count":3}`, "If-Match", `"1"`, "Idempotency-Key", "k")
	require.Equal(t, 200, a.StatusCode, a.text)

	require.Equal(t, 204, owner.do("DELETE", "/restaurants/"+id+"/staff/"+host.id, "").StatusCode)
	a = guest.do("PATCH", path, `{"special_requests":"wheelchair, insulin in the fridge"}`, "If-Match", a.Header.Get("ETag"))
	require.Equal(t, 200, a.StatusCode, a.text)

	require.Equal(t, 404, host.do("GET", path, "").StatusCode)
	a = host.do("PATCH", path, `{"guests_count":3}`, "If-Match", `"1"`, "Idempotency-Key", "k")
	require.NotContains(t, a.text, "insulin")
	require.Equal(t, 404, a.StatusCode, a.text)
}
