package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWaitlist: who finds nothing waits, is told how long, and has a table offered before anybody else can book it.
func TestWaitlist(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada, bob := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer"), s.register("bob@example.org", "customer")
	id, tables := owner.trattoria()
	place := "/restaurants/" + id
	join := func(who person, slot, more string, headers ...string) *answer {
		return who.do("POST", place+"/waitlist", fmt.Sprintf(`{"date":%q,"time_slot":%q,"guests_count":6%s}`, day(3), slot, more), headers...)
	}
	a := ada.do("POST", "/reservations", wish(id, day(3), "19:00", 6))
	require.Equal(t, 201, a.StatusCode, a.text)
	booked := a.doc["id"].(string)

	quote := place + "/waitlist/quote?guests_count=6&time=19:00&date=" + day(3)
	a = s.ask("GET", "/api/v1"+quote, "", "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, []any{120.0, 0.0}, []any{a.doc["wait_minutes"], a.doc["ahead"]}, "from 21:00 on")

	a = join(bob, "19:00", `,"until":"20:00","special_requests":"a window"`, "Idempotency-Key", "w")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, []any{"waiting", nil, []any{}}, []any{a.doc["status"], a.doc["table_id"], a.doc["table_ids"]})
	require.Equal(t, 120.0, a.doc["waitlist"].(map[string]any)["quoted_wait_minutes"])
	require.Equal(t, a.text, join(bob, "19:00", `,"until":"20:00","special_requests":"a window"`, "Idempotency-Key", "w").text)
	waits := a.doc["id"].(string)
	require.Equal(t, "/api/v1/waitlist/"+waits, a.Header.Get("Location"))
	second := join(ada, "19:00", "").doc["id"].(string)
	require.Equal(t, 1.0, ada.do("GET", "/waitlist/"+second, "").doc["ahead"])
	require.Equal(t, 404, ada.do("GET", "/waitlist/"+waits, "").StatusCode, "not hers")

	list := owner.do("GET", place+"/waitlist?date="+day(3), "")
	require.Equal(t, 200, list.StatusCode, list.text)
	var ids []any
	for _, item := range list.doc["items"].([]any) {
		ids = append(ids, item.(map[string]any)["id"], item.(map[string]any)["ahead"])
	}
	require.Equal(t, []any{waits, 0.0, second, 1.0}, ids)
	require.Equal(t, 404, bob.do("GET", place+"/waitlist?date="+day(3), "").StatusCode)

	require.Equal(t, "invalid_transition", bob.do("POST", "/waitlist/"+waits+"/accept", "").code(), "nothing is offered yet")
	require.Equal(t, "slot_unavailable", owner.do("POST", "/waitlist/"+second+"/offer", "").code())
	require.Equal(t, "forbidden", bob.do("POST", "/waitlist/"+waits+"/offer", "").code())
	require.Equal(t, 200, ada.do("POST", "/reservations/"+booked+"/cancel", "").StatusCode)
	a = bob.do("GET", "/waitlist/"+waits, "")
	require.Equal(t, []any{"held", tables[2], 0.0}, []any{a.doc["status"], a.doc["table_id"], a.doc["ahead"]}, a.text)
	until, err := time.Parse(time.RFC3339, a.doc["hold_until"].(string))
	require.NoError(t, err)
	require.WithinRange(t, until, time.Now().Add(9*time.Minute), time.Now().Add(10*time.Minute))
	require.Equal(t, "slot_unavailable", ada.do("POST", "/reservations", wish(id, day(3), "19:00", 6)).code(), "it is promised")

	require.Equal(t, 204, bob.do("DELETE", "/waitlist/"+waits, "").StatusCode)
	require.Equal(t, "held", ada.do("GET", "/waitlist/"+second, "").doc["status"], "the next one has it")
	a = ada.do("POST", "/waitlist/"+second+"/accept", `{"special_requests":"a cake"}`)
	require.Equal(t, []any{200, "confirmed", "a cake"}, []any{a.StatusCode, a.doc["status"], a.doc["special_requests"]})
	require.NotContains(t, a.text, `"waitlist"`)
	require.Equal(t, "invalid_transition", ada.do("DELETE", "/waitlist/"+second, "").code(), "a booking is cancelled, not left")

	for body, field := range map[string]string{`,"until":"18:00"`: "until", `,"until":"soon"`: "until", `,"area":"roof"`: "area", `,"table_id":"x"`: "table_id"} {
		a := join(ada, "19:00", body)
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), a.text)
	}
	for query, field := range map[string]string{"?time=19:00": "date", "?date=" + day(3) + "&time=7": "time", "?date=" + day(3) + "&time=19:00": "guests_count", "?day=1": "query"} {
		a := s.ask("GET", "/api/v1"+place+"/waitlist/quote"+query, "", "")
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), a.text)
	}
	require.Equal(t, "party_too_large", s.ask("GET", "/api/v1"+place+"/waitlist/quote?guests_count=60&time=19:00&date="+day(3), "", "").code())
	require.Equal(t, 401, s.ask("POST", "/api/v1"+place+"/waitlist", "", `{}`).StatusCode)
}
