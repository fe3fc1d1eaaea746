package edge

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// staffCell is a house with a host, a guest, and the guest's booking.
type staffCell struct {
	*site
	owner, host, ada person
	id               string
	tables           []string
}

func openStaffCell(t *testing.T) *staffCell {
	s := listen(t, openHouse(t))
	c := &staffCell{site: s, owner: s.register("owner@example.org", "owner"), host: s.register("host@example.org", "customer"), ada: s.register("ada@example.org", "customer")}
	c.id, c.tables = c.owner.trattoria() // for 2, 4 and 6
	require.Equal(t, 201, c.owner.do("POST", "/restaurants/"+c.id+"/staff", `{"email":"host@example.org","role":"host"}`).StatusCode)
	return c
}

func (c *staffCell) booked(slot string, guests int) string {
	a := c.ada.do("POST", "/reservations", wish(c.id, day(3), slot, guests))
	require.Equal(c.t, 201, a.StatusCode, a.text)
	return "/reservations/" + a.doc["id"].(string)
}

// Staff put a party where they like and learn who is in the way; guests do neither.
func TestTablesByHand(t *testing.T) {
	c := openStaffCell(t)
	two, four, six := c.tables[0], c.tables[1], c.tables[2]
	path := c.booked("19:00", 2)
	put := func(who person, body string, headers ...string) *answer {
		return who.do("PUT", path+"/tables", body, append([]string{"If-Match", "*"}, headers...)...)
	}
	a := put(c.host, `{"table_ids":["`+six+`","`+two+`"]}`)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, []any{two, six}, a.doc["table_ids"])
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	require.Equal(t, 412, c.host.do("PUT", path+"/tables", `{"table_ids":["`+four+`"]}`, "If-Match", `"1"`).StatusCode)
	require.Equal(t, 428, c.host.do("PUT", path+"/tables", `{"table_ids":["`+four+`"]}`).StatusCode)
	require.Equal(t, 403, put(c.ada, `{"table_ids":["`+four+`"]}`).StatusCode)
	require.Equal(t, 404, put(c.register("bob@example.org", "customer"), `{"table_ids":["`+four+`"]}`).StatusCode)
	for _, body := range []string{`{"table_ids":[]}`, `{}`, `{"table_ids":["` + four + `","` + four + `"]}`, `{"table_ids":["tbl_x"]}`} {
		a := put(c.host, body)
		require.Equal(t, 422, a.StatusCode, body)
		require.Equal(t, "table_ids", a.doc["field"], body)
	}

	other := c.booked("19:30", 4)
	a = put(c.host, `{"table_ids":["`+four+`"]}`)
	require.Equal(t, "slot_unavailable", a.code())
	conflicts := a.doc["conflicts"].([]any)
	require.Len(t, conflicts, 1)
	in := conflicts[0].(map[string]any)
	require.Equal(t, []any{four, "T2", "taken", strings.TrimPrefix(other, "/reservations/"), 4.0, "confirmed"},
		[]any{in["table_id"], in["table_number"], in["reason"], in["reservation_id"], in["guests_count"], in["status"]})

	// The same of a table that staff name when they book or move; guests are told nothing.
	wanted := strings.TrimSuffix(wish(c.id, day(3), "19:30", 2), "}") + `,"table_id":"` + two + `"}`
	a = c.host.do("POST", "/reservations", wanted)
	require.Equal(t, "slot_unavailable", a.code(), a.text)
	require.Contains(t, a.text, `"conflicts":[{"table_id":"`+two+`"`)
	a = c.host.do("PATCH", other, `{"table_id":"`+six+`"}`, "If-Match", "*")
	require.Contains(t, a.text, `"conflicts":[{"table_id":"`+six+`"`)
	a = c.ada.do("POST", "/reservations", wish(c.id, day(3), "19:30", 2))
	require.Equal(t, "slot_unavailable", a.code())
	require.NotContains(t, a.text, "conflicts")

	// Who sits may be moved as well; the key answers once.
	require.Equal(t, 200, c.host.do("POST", path+"/seat", "").StatusCode)
	a = put(c.host, `{"table_ids":["`+six+`"]}`, "Idempotency-Key", "k")
	require.Equal(t, "seated", a.doc["status"], a.text)
	require.Equal(t, "true", put(c.host, `{"table_ids":["`+six+`"]}`, "Idempotency-Key", "k").Header.Get("Idempotent-Replay"))
	require.Equal(t, "idempotency_key_reused", put(c.host, `{"table_ids":["`+two+`"]}`, "Idempotency-Key", "k").code())
}

// Staff set rules aside and say why; guests may not, and are not shown.
func TestOverrides(t *testing.T) {
	c := openStaffCell(t)
	with := func(body, reason string) string {
		return strings.TrimSuffix(body, "}") + `,"override":"` + reason + `"}`
	}
	closed := wish(c.id, day(3), "07:05", 2)
	require.Equal(t, "closed", c.host.do("POST", "/reservations", closed).code())
	require.Equal(t, 403, c.ada.do("POST", "/reservations", with(closed, "please")).StatusCode)
	require.Equal(t, "override", c.host.do("POST", "/reservations", with(closed, strings.Repeat("x", 201))).doc["field"])
	a := c.host.do("POST", "/reservations", with(closed, "wedding"), "Idempotency-Key", "k")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, map[string]any{"reason": "wedding", "lifted": []any{"closed"}}, a.doc["override"])
	require.Equal(t, "idempotency_key_reused", c.host.do("POST", "/reservations", with(closed, "birthday"), "Idempotency-Key", "k").code())
	require.Equal(t, "slot_unavailable", c.host.do("POST", "/reservations", strings.TrimSuffix(with(closed, "x"), "}")+`,"table_id":"`+c.tables[0]+`"}`).code(), "a table is nobody's to lift")

	path := c.booked("19:00", 2)
	require.Equal(t, 403, c.ada.do("PATCH", path, `{"time_slot":"07:00","date":"`+day(3)+`","override":"please"}`, "If-Match", "*").StatusCode)
	a = c.host.do("PATCH", path, `{"date":"`+day(3)+`","time_slot":"19:05","override":"late train"}`, "If-Match", "*")
	require.Equal(t, map[string]any{"reason": "late train", "lifted": []any{"not_on_grid"}}, a.doc["override"], a.text)
	for _, of := range []string{path, "/reservations", path + ".ics"} {
		require.NotContains(t, c.ada.do("GET", of, "").text, "late train", of)
	}
	require.Contains(t, c.host.do("GET", path, "").text, "late train")

	five := c.booked("12:00", 5)
	require.Equal(t, "party_too_large", c.host.do("PUT", five+"/tables", `{"table_ids":["`+c.tables[1]+`"]}`, "If-Match", "*").code())
	a = c.host.do("PUT", five+"/tables", `{"table_ids":["`+c.tables[1]+`"],"override":"a pram"}`, "If-Match", "*")
	require.Equal(t, map[string]any{"reason": "a pram", "lifted": []any{"party_too_large"}}, a.doc["override"], a.text)
}

// What staff note is for staff: in no answer to the guest.
func TestNotesOfStaff(t *testing.T) {
	c := openStaffCell(t)
	path := c.booked("19:00", 2)
	note := func(who person, body string, headers ...string) *answer {
		return who.do("PUT", path+"/note", body, headers...)
	}
	a := note(c.host, `{"note":"talks a lot"}`)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, "talks a lot", a.doc["note"])
	require.Contains(t, c.host.do("GET", path, "").text, "talks a lot")
	require.Contains(t, c.host.do("GET", "/restaurants/"+c.id+"/reservations?date="+day(3), "").text, "talks a lot")
	for _, of := range []string{path, "/reservations", path + ".ics"} {
		require.NotContains(t, c.ada.do("GET", of, "").text, "talks", of)
	}
	require.NotContains(t, c.ada.do("PATCH", path, `{"special_requests":"x"}`, "If-Match", "*").text, "talks")
	require.Equal(t, 403, note(c.ada, `{"note":"x"}`).StatusCode)
	require.Equal(t, 412, note(c.host, `{"note":"x"}`, "If-Match", `"1"`).StatusCode)
	for _, body := range []string{`{}`, `{"note":null}`, `{"note":"` + strings.Repeat("x", 1001) + `"}`, `{"note":"` + strings.Repeat("ä", 501) + `"}`} {
		require.Equal(t, "note", note(c.host, body).doc["field"], body)
	}
	require.NotContains(t, c.ada.do("POST", path+"/cancel", "").text, "talks")
	require.NotContains(t, note(c.host, `{"note":""}`).text, `"note"`, "empty clears")
}

// The day sheet is what a host works from: tables by number, notes, and what the day comes to, also on a page of one.
func TestDaySheetOfAHost(t *testing.T) {
	c := openStaffCell(t)
	path := c.booked("19:00", 2)
	require.Equal(t, 200, c.host.do("PUT", path+"/tables", `{"table_ids":["`+c.tables[0]+`","`+c.tables[2]+`"]}`, "If-Match", "*").StatusCode)
	require.Equal(t, 200, c.host.do("PUT", path+"/note", `{"note":"regular"}`).StatusCode)
	c.booked("19:45", 4)
	require.Equal(t, 200, c.ada.do("POST", c.booked("20:30", 1)+"/cancel", "").StatusCode)
	c.booked("12:00", 5)
	a := c.host.do("GET", "/restaurants/"+c.id+"/reservations?limit=1&date="+day(3), "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Len(t, a.doc["items"], 1)
	require.NotNil(t, a.doc["next_cursor"])
	sum := a.doc["summary"].(map[string]any)
	by := sum["by_status"].(map[string]any)
	require.Equal(t, map[string]any{"parties": 3.0, "covers": 11.0}, by["confirmed"])
	require.Equal(t, map[string]any{"parties": 1.0, "covers": 1.0}, by["cancelled"])
	require.Equal(t, []any{map[string]any{"from": "12:00", "parties": 1.0, "covers": 5.0}, map[string]any{"from": "19:00", "parties": 2.0, "covers": 6.0}}, sum["by_hour"],
		"who was cancelled does not come")
	items := c.host.do("GET", "/restaurants/"+c.id+"/reservations?date="+day(3), "").doc["items"].([]any)
	require.Len(t, items, 4)
	item := items[1].(map[string]any)
	require.Equal(t, []any{[]any{"T1", "T3"}, "regular"}, []any{item["table_numbers"], item["note"]})
}

// Guests see what a booking may cost, and whether it waits, before they make it.
func TestTermsBeforeBooking(t *testing.T) {
	c := openStaffCell(t)
	look := func() *answer {
		a := c.ask("GET", "/api/v1/restaurants/"+c.id+"/availability?guests_count=2&date="+day(3), "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		return a
	}
	hold := func() *answer {
		a := c.ada.do("POST", "/holds", `{"restaurant_id":"`+c.id+`","date":"`+day(3)+`","time_slot":"19:00","guests_count":2}`)
		require.Equal(t, 201, a.StatusCode, a.text)
		return a
	}
	for range 3 { // also what is kept
		require.NotContains(t, look().text, "cancellation")
		require.NotContains(t, look().text, "needs_approval")
	}
	require.NotContains(t, hold().text, "needs_approval")
	a := c.owner.do("PATCH", "/restaurants/"+c.id+"/rules", `{"approval":"manual","cancellation":{"free_until_minutes":120,"late_fee":500,"no_show_fee":2000,"currency":"EUR"}}`, "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	for range 3 {
		a = look()
		require.Equal(t, map[string]any{"free_until_minutes": 120.0, "late_fee": 500.0, "no_show_fee": 2000.0, "currency": "EUR"}, a.doc["cancellation"])
		require.Equal(t, true, a.doc["needs_approval"])
	}
	a = hold()
	require.Equal(t, []any{true, 500.0}, []any{a.doc["needs_approval"], a.doc["cancellation"].(map[string]any)["late_fee"]}, a.text)
	path := "/reservations/" + a.doc["id"].(string)
	require.Equal(t, true, c.ada.do("GET", path, "").doc["needs_approval"])
	require.Equal(t, "pending", c.ada.do("POST", strings.Replace(path, "/reservations/", "/holds/", 1)+"/confirm", "").doc["status"])
	require.NotContains(t, c.ada.do("GET", path, "").text, "needs_approval")
}
