package edge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStaffAtWork(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada, bob := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer"), s.register("bob@example.org", "customer")
	id, _ := owner.trattoria()
	staff := "/restaurants/" + id + "/staff"

	for body, want := range map[string]string{
		`{"email":"nobody@example.org","role":"host"}`: "422 email", `{"email":"x","role":"host"}`: "422 email", `{"email":"ada@example.org","role":"owner"}`: "422 role",
		`{"email":"ada@example.org"}`: "422 role", `{"email":"ada@example.org","role":"host","x":1}`: "422 x", `{"email":"owner@example.org","role":"host"}`: "409 ",
	} {
		a := owner.do("POST", staff, body)
		field, _ := a.doc["field"].(string)
		require.Equal(t, want, fmt.Sprint(a.StatusCode, " ", field), "%s: %s", body, a.text)
	}
	a := owner.do("POST", staff, `{"email":"ADA@example.org","role":"manager"}`, "Idempotency-Key", "hire ada")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, "/api/v1"+staff+"/"+ada.id, a.Header.Get("Location"))
	again := owner.do("POST", staff, `{"email":"ADA@example.org","role":"manager"}`, "Idempotency-Key", "hire ada")
	require.Equal(t, 201, again.StatusCode, again.text)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replay"))
	require.Equal(t, a.text, again.text)
	require.Equal(t, 409, owner.do("POST", staff, `{"email":"ada@example.org","role":"host"}`).StatusCode)

	// A manager hires hosts, not managers.
	require.Equal(t, 403, ada.do("POST", staff, `{"email":"bob@example.org","role":"manager"}`).StatusCode)
	require.Equal(t, 201, ada.do("POST", staff, `{"email":"bob@example.org","role":"host"}`).StatusCode)
	require.Equal(t, 428, owner.do("PATCH", staff+"/"+bob.id, `{"role":"manager"}`).StatusCode)
	require.Equal(t, 412, owner.do("PATCH", staff+"/"+bob.id, `{"role":"manager"}`, "If-Match", `"7"`).StatusCode)
	require.Equal(t, 403, ada.do("PATCH", staff+"/"+bob.id, `{"role":"manager"}`, "If-Match", `"1"`).StatusCode)
	require.Equal(t, 404, owner.do("PATCH", staff+"/"+owner.id, `{"role":"host"}`, "If-Match", `"1"`).StatusCode)
	list := ada.do("GET", staff, "")
	require.Len(t, list.doc["items"], 2)
	require.Contains(t, list.text, `"email":"bob@example.org"`)
	require.Equal(t, 403, bob.do("GET", staff, "").StatusCode)

	// A host works with the token that she had before she was hired, until she is dismissed.
	a = bob.do("POST", "/reservations", wish(id, day(3), "19:00", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	path := "/reservations/" + a.doc["id"].(string)
	require.Equal(t, 200, bob.do("GET", "/restaurants/"+id+"/reservations?date="+day(3), "").StatusCode)
	require.Equal(t, 200, bob.do("POST", path+"/seat", "").StatusCode)
	require.Equal(t, 204, ada.do("DELETE", staff+"/"+bob.id, "").StatusCode)
	require.Equal(t, 404, bob.do("GET", "/restaurants/"+id+"/reservations?date="+day(3), "").StatusCode)
	require.Equal(t, 404, bob.do("POST", path+"/complete", "").StatusCode)
	require.Equal(t, 204, ada.do("DELETE", staff+"/"+ada.id, "").StatusCode, "everybody may go")
	require.Equal(t, 404, ada.do("GET", staff, "").StatusCode)
}

func TestReviews(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	id, _ := owner.trattoria()
	visit := func(day string) string {
		a := guest.do("POST", "/reservations", wish(id, day, "19:00", 2))
		require.Equal(t, 201, a.StatusCode, a.text)
		return "/reservations/" + a.doc["id"].(string)
	}
	first, second := visit(day(2)), visit(day(3))
	require.Equal(t, "invalid_transition", guest.do("POST", first+"/review", `{"rating":5}`).code())
	for _, action := range []string{"/seat", "/complete"} {
		require.Equal(t, 200, owner.do("POST", first+action, "").StatusCode)
		require.Equal(t, 200, owner.do("POST", second+action, "").StatusCode)
	}
	for _, body := range []string{`{}`, `{"rating":0}`, `{"rating":6}`, `{"rating":5,"comment":"` + strings.Repeat("è", maxComment+1) + `"}`, `{"rating":5,"comment":"\u0000"}`} {
		require.Equal(t, "invalid", guest.do("POST", first+"/review", body).code(), body)
	}
	require.Equal(t, 400, guest.do("POST", first+"/review", `{"rating":4.5}`).StatusCode)
	require.Equal(t, 403, owner.do("POST", first+"/review", `{"rating":5}`).StatusCode)

	a := s.ask("GET", "/api/v1/restaurants/"+id, "", "")
	require.Nil(t, a.doc["average_rating"])
	require.EqualValues(t, 0, a.doc["total_reviews"])
	tag := a.Header.Get("ETag")
	longest := strings.Repeat("€", maxComment)
	a = guest.do("POST", first+"/review", `{"rating":5,"comment":"`+longest+`"}`, "Idempotency-Key", "r")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, longest, a.doc["comment"])
	require.NotContains(t, a.doc["id"], first[len("/reservations/rsv_"):])
	require.Equal(t, a.text, guest.do("POST", first+"/review", `{"rating":5,"comment":"`+longest+`"}`, "Idempotency-Key", "r").text)
	require.Equal(t, "exists", guest.do("POST", first+"/review", `{"rating":1}`).code())
	require.Equal(t, 201, guest.do("POST", second+"/review", `{"rating":2}`).StatusCode)

	a = s.ask("GET", "/api/v1/restaurants/"+id, "", "")
	require.Equal(t, 3.5, a.doc["average_rating"])
	require.EqualValues(t, 2, a.doc["total_reviews"])
	require.Equal(t, tag, a.Header.Get("ETag"), "a review spoils no change of the owner's")
	a = owner.do("PATCH", "/restaurants/"+id, `{"name":"Da Ada"}`, "If-Match", tag)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, 3.5, a.doc["average_rating"])
	require.Equal(t, 404, s.ask("GET", "/api/v1/restaurants/rst_0000000000000/reviews", "", "").StatusCode)
}
