package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The rules of a house reach the calendar, the guests, and those who set them.
func TestRulesAtWork(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada, bob := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer"), s.register("bob@example.org", "customer")
	id, tables := owner.trattoria()
	path := "/restaurants/" + id + "/rules"
	patch := func(body string, headers ...string) *answer {
		return owner.do("PATCH", path, body, append([]string{"If-Match", "*"}, headers...)...)
	}
	free := func(date, slot string) (n float64) {
		a := s.ask("GET", "/api/v1/restaurants/"+id+"/availability?guests_count=2&date="+date+"&time="+slot, "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		for _, slot := range a.doc["slots"].([]any) {
			n += slot.(map[string]any)["tables"].(float64)
		}
		return n
	}

	a := owner.do("GET", path, "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, `"1"`, a.Header.Get("ETag"))
	require.JSONEq(t, `{"version":1,"min_notice_minutes":0,"horizon_days":90,"buffer_minutes":0,"no_show_minutes":30,"paused_until":null,"turn_times":[],
		"pacing":{"window_minutes":15,"covers":0,"parties":0,"online_covers":0,"online_parties":0},"special_days":[],"combinations":[],"approval":"automatic","approval_from":0,"hold_minutes":5,"offer_minutes":10,
		"cancellation":{"free_until_minutes":0,"late_fee":0,"no_show_fee":0,"currency":""}}`, a.text)

	// One party an hour, which keeps its table for two and a half hours and leaves it free for one more.
	a = owner.do("PATCH", path, `{"buffer_minutes":60,"turn_times":[{"min_party":1,"max_party":2,"minutes":150}],
		"pacing":{"window_minutes":60,"parties":2,"online_parties":1}}`, "If-Match", `"1"`)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	require.Equal(t, a.text, owner.do("GET", path, "").text)
	require.Equal(t, 3.0, free(day(3), "19:00"))
	a = ada.do("POST", "/reservations", wish(id, day(3), "19:00", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	starts, _ := time.Parse(time.RFC3339, a.doc["starts_at"].(string))
	ends, _ := time.Parse(time.RFC3339, a.doc["ends_at"].(string))
	require.Equal(t, 150*time.Minute, ends.Sub(starts), "the buffer is not the guest's")
	require.Equal(t, []float64{0, 0, 2, 2, 3}, []float64{free(day(3), "19:00"), free(day(3), "19:45"), free(day(3), "20:00"), free(day(3), "15:45"), free(day(3), "15:30")},
		"the pace of the hour; then the table that is taken, by its buffer as well")
	a = bob.do("POST", "/reservations", wish(id, day(3), "19:30", 2))
	require.Equal(t, "409 pacing_limit", fmt.Sprint(a.StatusCode, " ", a.code()))
	require.Contains(t, a.text, `"time_slot":"20:00"`, "the nearest alternative")
	require.Equal(t, 201, owner.do("POST", "/reservations", wish(id, day(3), "19:30", 2)).StatusCode, "staff have their own bound")
	require.Equal(t, "pacing_limit", owner.do("POST", "/reservations", wish(id, day(3), "19:30", 2)).code())

	// A pause is for guests, and ends by itself or by null.
	require.Equal(t, 200, patch(`{"paused_until":"`+time.Now().UTC().Add(time.Hour).Format(time.RFC3339)+`"}`).StatusCode)
	require.Equal(t, "409 paused", fmt.Sprint(409, " ", bob.do("POST", "/reservations", wish(id, day(5), "19:00", 2)).code()))
	require.Zero(t, free(day(5), "19:00"))
	require.Equal(t, 200, patch(`{"paused_until":null}`).StatusCode)
	require.Equal(t, 201, bob.do("POST", "/reservations", wish(id, day(5), "19:00", 2)).StatusCode)

	// A day of its own.
	require.Equal(t, 200, patch(`{"special_days":[{"date":"`+day(7)+`","note":"festa"},
		{"date":"`+day(8)+`","shifts":[{"open":"22:00","close":"02:00","last_seating":"01:00","name":"Late","grid_minutes":30}]}]}`).StatusCode)
	require.Equal(t, "closed", bob.do("POST", "/reservations", wish(id, day(7), "19:00", 2)).code())
	require.Equal(t, "not_on_grid", bob.do("POST", "/reservations", wish(id, day(8), "22:15", 2)).code())
	require.Equal(t, 3.0, free(day(8), "00:30"))
	a = bob.do("POST", "/reservations", wish(id, day(8), "00:30", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, day(8), a.doc["date"], "after midnight it is still that evening")

	// By key, once.
	a = patch(`{"no_show_minutes":20}`, "Idempotency-Key", "k")
	again := patch(`{ "no_show_minutes" : 20 }`, "Idempotency-Key", "k")
	require.Equal(t, a.text, again.text)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replay"))
	require.Equal(t, "idempotency_key_reused", patch(`{"no_show_minutes":25}`, "Idempotency-Key", "k").code())

	// Who may.
	for status, who := range map[int]person{404: bob, 401: {site: s}} {
		require.Equal(t, status, who.do("GET", path, "").StatusCode)
	}
	require.Equal(t, 403, bob.do("PATCH", path, `{}`, "If-Match", "*").StatusCode)
	require.Equal(t, 428, owner.do("PATCH", path, `{}`).StatusCode)
	require.Equal(t, 412, owner.do("PATCH", path, `{}`, "If-Match", `"1"`).StatusCode)
	require.NotEmpty(t, tables)
}

// Where a party may sit: combinations, areas and channels, as guests and staff meet them.
func TestSeatingAtWork(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer")
	id, tables := owner.trattoria() // for 2, 4 and 6 in the hall
	book := func(who person, guests int, more string) *answer {
		body := strings.TrimSuffix(wish(id, day(3), "19:00", guests), "}")
		return who.do("POST", "/reservations", body+more+"}")
	}
	free := func(guests int, area string) any {
		a := s.ask("GET", fmt.Sprintf("/api/v1/restaurants/%s/availability?date=%s&guests_count=%d&time=19:00%s", id, day(3), guests, area), "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		return a.doc["slots"].([]any)[0].(map[string]any)["tables"]
	}
	require.Equal(t, "party_too_large", book(ada, 9, "").code())
	a := owner.do("PATCH", "/restaurants/"+id+"/rules", `{"combinations":[{"table_ids":["`+tables[2]+`","`+tables[1]+`"],"min_party":7,"max_party":10}]}`, "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, 1.0, free(9, ""))
	a = book(ada, 9, "")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, []any{tables[1], tables[2]}, a.doc["table_ids"], "in order of their numbers")
	require.Equal(t, tables[1], a.doc["table_id"])
	require.Equal(t, []any{0.0, 0.0, 1.0}, []any{free(9, ""), free(4, ""), free(2, "")})
	require.Equal(t, "in_use", owner.do("DELETE", "/tables/"+tables[2], "").code())

	numbers := []string{"T1", "T2", "T3", "T8", "T9", "W1"}
	for i, body := range []string{`"location":"terrace"`, `"location":"bar","channel":"in_house"`, `"location":"bar","channel":"walk_in"`} {
		number := numbers[3+i]
		a := owner.do("POST", "/restaurants/"+id+"/tables", `{"table_number":"`+number+`","capacity":4,`+body+`}`)
		require.Equal(t, 201, a.StatusCode, a.text)
		tables = append(tables, a.doc["id"].(string))
	}
	require.Contains(t, s.ask("GET", "/api/v1/restaurants/"+id+"/tables", "", "").text, `"channel":"walk_in"`)
	require.Equal(t, []any{2.0, 1.0, 1.0, 0.0}, []any{free(2, ""), free(2, "&area=hall"), free(2, "&area=terrace"), free(2, "&area=bar")}, "what guests may book")
	require.Equal(t, 422, s.ask("GET", "/api/v1/restaurants/"+id+"/availability?date="+day(3)+"&guests_count=2&area=", "", "").StatusCode)
	require.Equal(t, "422 area", fmt.Sprint(422, " ", book(ada, 2, `,"area":"roof"`).doc["field"]))
	a = book(ada, 2, `,"area":"terrace"`)
	require.Equal(t, 201, a.StatusCode, a.text)
	path := "/reservations/" + a.doc["id"].(string)
	require.Equal(t, "slot_unavailable", book(ada, 2, `,"area":"terrace"`).code())
	require.Equal(t, 200, ada.do("PATCH", path, `{"area":"hall"}`, "If-Match", `"1"`).StatusCode)
	require.Equal(t, "slot_unavailable", book(ada, 2, `,"area":"bar"`).code())
	a = book(owner, 2, `,"area":"bar"`)
	require.Equal(t, 201, a.StatusCode, "staff book what is kept for the house")
	require.Equal(t, "slot_unavailable", book(owner, 2, `,"area":"bar"`).code(), "but for walk-ins")

	// What staff are told about it.
	why := func(query string) map[string]any {
		a := owner.do("GET", "/restaurants/"+id+"/availability/explain?date="+day(3)+"&time=19:00"+query, "")
		require.Equal(t, 200, a.StatusCode, a.text)
		return a.doc
	}
	verdicts := func(e map[string]any) (out string) {
		for _, v := range e["tables"].([]any) {
			v := v.(map[string]any)
			out += fmt.Sprintf(" %s=%s", v["table_number"], v["reason"])
		}
		return out
	}
	e := why("&guests_count=2")
	require.Equal(t, " T1=taken T2=taken T3=taken T8=free T9=channel W1=channel", verdicts(e))
	require.Equal(t, []any{true, "ok", []any{tables[slices.Index(numbers, "T8")]}}, []any{e["offered"], e["reason"], e["table_ids"]})
	require.Equal(t, "party_too_small", e["combinations"].([]any)[0].(map[string]any)["reason"])
	e = why("&guests_count=9")
	require.Equal(t, "taken", e["combinations"].([]any)[0].(map[string]any)["reason"])
	require.Equal(t, []any{false, "slot_unavailable"}, []any{e["offered"], e["reason"]})
	e = why("&guests_count=2")
	require.Equal(t, map[string]any{"from": "19:00", "until": "19:15", "covers": 13.0, "parties": 3.0, "online_covers": 11.0, "online_parties": 2.0}, e["pacing"])
	e = why("&guests_count=2&area=bar&as=staff")
	require.Equal(t, " T1=area T2=area T3=area T8=area T9=taken W1=channel", verdicts(e))
	require.Equal(t, []any{false, "slot_unavailable", []any{}}, []any{e["offered"], e["reason"], e["table_ids"]})
	e = why("&guests_count=30")
	require.Equal(t, []any{false, "party_too_large"}, []any{e["offered"], e["reason"]})
	// A table out of service for a time: nobody else is seated there then, and who has it keeps it.
	blocked := func(from, until string) string {
		return fmt.Sprintf(`{"blocks":[{"from":"%sT%s:00Z","until":"%sT%s:00Z"}]}`, day(3), from, day(3), until)
	}
	a = owner.do("PATCH", "/tables/"+tables[3], blocked("10:00", "23:00"), "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Len(t, a.doc["blocks"], 1)
	require.Contains(t, verdicts(why("&guests_count=2")), " T8=blocked")
	require.Equal(t, 0.0, free(2, "&area=terrace"))
	a = owner.do("PATCH", "/tables/"+tables[0], blocked("00:00", "23:00"), "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, "confirmed", ada.do("GET", path, "").doc["status"])
	for body, field := range map[string]string{blocked("10:00", "10:00"): "blocks.until", `{"blocks":[{"from":"now","until":"then"}]}`: "blocks.from"} {
		a := owner.do("PATCH", "/tables/"+tables[3], body, "If-Match", "*")
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), a.text)
	}
	require.Equal(t, 200, owner.do("PATCH", "/tables/"+tables[3], `{"blocks":[]}`, "If-Match", "*").StatusCode)
	require.Equal(t, 1.0, free(2, "&area=terrace"))

	for query, field := range map[string]string{"guests_count=2&time=7pm": "time", "guests_count=0&time=19:00": "guests_count", "time=19:00": "guests_count",
		"guests_count=2&time=19:00&as=owner": "as", "guests_count=2&time=19:00&area=roof": "area", "guests_count=2&time=19:00&x=1": "query"} {
		a := owner.do("GET", "/restaurants/"+id+"/availability/explain?date="+day(3)+"&"+query, "")
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), query)
	}
}

// A party at the door: seated at once, where nobody can book first, by key once.
func TestWalkIns(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer")
	id, tables := owner.trattoria()
	a := owner.do("POST", "/restaurants/"+id+"/tables", `{"table_number":"W1","capacity":6,"channel":"walk_in"}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	door := func(body string, headers ...string) *answer {
		return owner.do("POST", "/restaurants/"+id+"/walk-ins", body, headers...)
	}
	first := door(`{"guests_count":2,"special_requests":"a high chair","contact":{"name":"Ada"}}`, "Idempotency-Key", "w")
	require.Equal(t, 201, first.StatusCode, first.text)
	require.Equal(t, []any{"seated", a.doc["id"]}, []any{first.doc["status"], first.doc["table_id"]})
	require.Equal(t, "/api/v1/reservations/"+first.doc["id"].(string), first.Header.Get("Location"))
	again := door(`{"contact":{"name":"Ada"},"special_requests":"a high chair","guests_count":2}`, "Idempotency-Key", "w")
	require.Equal(t, first.text, again.text)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replay"))
	starts, err := time.Parse(time.RFC3339, first.doc["starts_at"].(string))
	require.NoError(t, err)
	require.WithinRange(t, starts, time.Now().Add(-6*time.Minute), time.Now())
	for _, want := range tables {
		a := door(`{"guests_count":2}`)
		require.Equal(t, 201, a.StatusCode, a.text)
		require.Equal(t, want, a.doc["table_id"], "then the smallest that fits")
	}
	require.Equal(t, "slot_unavailable", door(`{"guests_count":2}`).code())
	require.Equal(t, "party_too_large", door(`{"guests_count":20}`).code())
	for body, field := range map[string]string{`{}`: "guests_count", `{"guests_count":2,"table_id":"T1"}`: "table_id", `{"guests_count":2,"area":"roof"}`: "area", `{"guests_count":2,"date":"x"}`: "date"} {
		a := door(body)
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), a.text)
	}
	require.Equal(t, 403, ada.do("POST", "/restaurants/"+id+"/walk-ins", `{"guests_count":2}`).StatusCode)
	require.Equal(t, 200, owner.do("POST", "/reservations/"+first.doc["id"].(string)+"/complete", "").StatusCode)
	require.Equal(t, 201, door(`{"guests_count":6}`).StatusCode, "the table is free at once")
	sheet := owner.do("GET", "/restaurants/"+id+"/reservations?date="+first.doc["date"].(string), "")
	require.Contains(t, sheet.text, first.doc["id"].(string))
}

// A booking that waits for the house holds its table; one answer decides it.
func TestApprovals(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer")
	id, _ := owner.trattoria()
	require.Equal(t, 200, owner.do("PATCH", "/restaurants/"+id+"/rules", `{"approval":"large_parties","approval_from":5}`, "If-Match", "*").StatusCode)
	book := func(who person, guests int) *answer {
		return who.do("POST", "/reservations", wish(id, day(3), "19:00", guests))
	}
	require.Equal(t, "confirmed", book(ada, 2).doc["status"])
	a := book(ada, 6)
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, "pending", a.doc["status"])
	path := "/reservations/" + a.doc["id"].(string)
	require.Equal(t, "slot_unavailable", book(owner, 6).code(), "the only table for six is held")
	require.Equal(t, 403, ada.do("POST", path+"/confirm", "").StatusCode)
	require.Equal(t, "invalid_transition", owner.do("POST", path+"/seat", "").code())
	a = owner.do("POST", path+"/confirm", "")
	require.Equal(t, []any{200, "confirmed"}, []any{a.StatusCode, a.doc["status"]})
	require.Equal(t, "invalid_transition", owner.do("POST", path+"/confirm", "").code(), "one transition")
	a = ada.do("PATCH", path, `{"date":"`+day(3)+`","time_slot":"20:30"}`, "If-Match", "*")
	require.Equal(t, []any{200, "pending"}, []any{a.StatusCode, a.doc["status"]}, "the house has confirmed another time")
	a = owner.do("POST", path+"/decline", `{"reason":"a wedding"}`)
	require.Equal(t, []any{200, "declined"}, []any{a.StatusCode, a.doc["status"]})
	a = book(owner, 6)
	require.Equal(t, []any{201, "confirmed"}, []any{a.StatusCode, a.doc["status"]}, "staff confirm by booking")
}

// A hold keeps the table, does not hide it from its holder, and becomes a booking once.
func TestHolds(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada, bob := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer"), s.register("bob@example.org", "customer")
	id, tables := owner.trattoria()
	hold := func(who person, slot, more string, headers ...string) *answer {
		return who.do("POST", "/holds", fmt.Sprintf(`{"restaurant_id":%q,"date":%q,"time_slot":%q,"guests_count":6%s}`, id, day(3), slot, more), headers...)
	}
	free := func(more string) any {
		a := s.ask("GET", "/api/v1/restaurants/"+id+"/availability?guests_count=6&time=19:00&date="+day(3)+more, "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		return a.doc["slots"].([]any)[0].(map[string]any)["tables"]
	}
	a := hold(ada, "19:00", "", "Idempotency-Key", "h")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, a.text, hold(ada, "19:00", "", "Idempotency-Key", "h").text)
	first := a.doc["id"].(string)
	require.Equal(t, "/api/v1/holds/"+first, a.Header.Get("Location"))
	until, err := time.Parse(time.RFC3339, a.doc["hold_until"].(string))
	require.NoError(t, err)
	require.WithinRange(t, until, time.Now().Add(4*time.Minute), time.Now().Add(5*time.Minute))
	require.Equal(t, []any{"held", tables[2]}, []any{a.doc["status"], a.doc["table_id"]})
	require.Equal(t, []any{0.0, 1.0}, []any{free(""), free("&hold=" + first)}, "for others; for its holder")
	require.Equal(t, "slot_unavailable", hold(bob, "19:30", "").code())
	require.Equal(t, 404, hold(bob, "19:30", `,"replaces":"`+first+`"`).StatusCode, "not his")

	a = hold(ada, "20:00", `,"replaces":"`+first+`"`)
	require.Equal(t, 201, a.StatusCode, a.text)
	second := a.doc["id"].(string)
	require.Equal(t, "invalid_transition", ada.do("POST", "/holds/"+first+"/confirm", "").code())
	require.Equal(t, 404, bob.do("POST", "/holds/"+second+"/confirm", "").StatusCode)
	a = ada.do("POST", "/holds/"+second+"/confirm", `{"special_requests":"a window"}`, "Idempotency-Key", "c")
	require.Equal(t, []any{200, "confirmed", "a window"}, []any{a.StatusCode, a.doc["status"], a.doc["special_requests"]})
	require.NotContains(t, a.text, "hold_until")
	require.Equal(t, a.text, ada.do("POST", "/holds/"+second+"/confirm", `{"special_requests":"a window"}`, "Idempotency-Key", "c").text)
	require.Equal(t, "invalid_transition", ada.do("DELETE", "/holds/"+second, "").code(), "a booking is cancelled, not released")

	a = hold(bob, "12:00", "")
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, 204, bob.do("DELETE", "/holds/"+a.doc["id"].(string), "").StatusCode)
	require.Equal(t, 201, hold(ada, "12:00", "").StatusCode)
	require.Equal(t, 401, s.ask("POST", "/api/v1/holds", "", `{}`).StatusCode)
	for body, field := range map[string]string{`,"replaces":"` + strings.Repeat("x", 65) + `"`: "replaces", `,"area":"roof"`: "area", `,"special_requests":"x"`: "special_requests"} {
		a := hold(ada, "19:00", body)
		require.Equal(t, "422 "+field, fmt.Sprint(a.StatusCode, " ", a.doc["field"]), a.text)
	}
}

// Whoever narrows hours, closes a day or changes tables is told whom it affects, and nobody is dropped.
func TestConflicts(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer")
	id, tables := owner.trattoria()
	book := func(date, slot string, guests int) string {
		a := ada.do("POST", "/reservations", wish(id, date, slot, guests))
		require.Equal(t, 201, a.StatusCode, a.text)
		return a.doc["id"].(string)
	}
	conflicts := func() map[string]any {
		a := owner.do("GET", "/restaurants/"+id+"/conflicts", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		out := map[string]any{}
		for _, item := range a.doc["items"].([]any) {
			item := item.(map[string]any)
			out[item["reservation_id"].(string)] = item["reasons"]
		}
		return out
	}
	change := func(path, body string) {
		t.Helper()
		require.Equal(t, 200, owner.do("PATCH", path, body, "If-Match", "*").StatusCode)
	}
	place := "/restaurants/" + id
	change(place+"/rules", `{"combinations":[{"table_ids":["`+tables[1]+`","`+tables[2]+`"],"min_party":7,"max_party":10}]}`)
	early, late, holiday, many := book(day(3), "09:00", 2), book(day(3), "20:00", 4), book(day(4), "20:00", 6), book(day(5), "20:00", 9)
	require.Empty(t, conflicts())
	change(place, `{"opening_hours":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"open":"12:00","close":"23:00"}]}`)
	change(place+"/rules", `{"special_days":[{"date":"`+day(4)+`"}],"combinations":[]}`)
	change("/tables/"+tables[1], `{"capacity":3,"is_available":false,"blocks":[{"from":"`+day(3)+`T00:00:00Z","until":"`+day(4)+`T00:00:00Z"}]}`)
	require.Equal(t, map[string]any{
		early: []any{"closed"}, late: []any{"out_of_service", "blocked", "party"}, holiday: []any{"closed"}, many: []any{"out_of_service", "combination"},
	}, conflicts())
	for _, r := range []string{early, late, holiday, many} {
		require.Equal(t, "confirmed", ada.do("GET", "/reservations/"+r, "").doc["status"], "nobody is dropped")
	}
	before := ada.do("GET", "/reservations/"+late, "").text
	change(place, `{"time_zone":"America/New_York"}`)
	after := ada.do("GET", "/reservations/"+late, "")
	require.Equal(t, before, after.text, "a change of zone moves nobody")
	require.Equal(t, 200, ada.do("POST", "/reservations/"+early+"/cancel", "").StatusCode)
	require.NotContains(t, conflicts(), early)
	require.Equal(t, 404, ada.do("GET", place+"/conflicts", "").StatusCode)
}

// A booking keeps the policy of its day: what a late cancellation or a no-show costs, and until when it is free.
func TestCancellationPolicies(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, ada := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer")
	id, _ := owner.trattoria()
	policy := func(minutes, late int) {
		t.Helper()
		a := owner.do("PATCH", "/restaurants/"+id+"/rules", fmt.Sprintf(`{"cancellation":{"free_until_minutes":%d,"late_fee":%d,"no_show_fee":3000,"currency":"EUR"}}`, minutes, late), "If-Match", "*")
		require.Equal(t, 200, a.StatusCode, a.text)
	}
	book := func(slot string) (string, map[string]any) {
		a := ada.do("POST", "/reservations", wish(id, day(2), slot, 2))
		require.Equal(t, 201, a.StatusCode, a.text)
		return "/reservations/" + a.doc["id"].(string), a.doc
	}
	free, doc := book("10:00")
	require.NotContains(t, doc, "cancellation")
	policy(4*1440, 1500) // it began the day before yesterday
	late, doc := book("19:00")
	was := doc["cancellation"].(map[string]any)
	require.Equal(t, []any{1500.0, 3000.0, "EUR"}, []any{was["late_fee"], was["no_show_fee"], was["currency"]})
	starts, err := time.Parse(time.RFC3339, doc["starts_at"].(string))
	require.NoError(t, err)
	until, err := time.Parse(time.RFC3339, was["free_until"].(string))
	require.NoError(t, err)
	require.Equal(t, 4*24*time.Hour, starts.Sub(until))
	byHouse, _ := book("19:15")
	missed, _ := book("14:00")
	policy(60, 9999)
	require.Equal(t, was, ada.do("GET", late, "").doc["cancellation"], "the one that was in force")
	a := ada.do("POST", late+"/cancel", "")
	require.Equal(t, []any{200, 3000.0}, []any{a.StatusCode, a.doc["fee_due"]}, "two guests")
	require.NotContains(t, owner.do("POST", byHouse+"/cancel", "").doc, "fee_due", "the house's own cancellation")
	require.NotContains(t, ada.do("POST", free+"/cancel", "").doc, "fee_due", "nothing was said when it was made")
	a = owner.do("POST", missed+"/no-show", "")
	require.Equal(t, []any{200, 6000.0}, []any{a.StatusCode, a.doc["fee_due"]})
	require.NotContains(t, owner.do("POST", missed+"/reinstate", "").doc, "fee_due")
	soon, _ := book("20:00")
	require.NotContains(t, ada.do("POST", soon+"/cancel", "").doc, "fee_due", "in time")
}

// TestContradictoryConfigurations: what cannot be, or contradicts itself, is 422 with the member's name, and changes nothing.
func TestContradictoryConfigurations(t *testing.T) {
	s := listen(t, openHouse(t))
	owner := s.register("owner@example.org", "owner")
	id, tables := owner.trattoria()
	together := func(list string) string { return `{"combinations":[` + list + `]}` }
	pair := `"table_ids":["` + tables[0] + `","` + tables[1] + `"]`
	place := "/restaurants/" + id
	shifts := func(list string) string { return `{"opening_hours":[` + list + `]}` }
	all := `"days":["mon","tue","wed","thu","fri","sat","sun"]`
	a := owner.do("PATCH", place, shifts(`{`+all+`,"open":"12:00","close":"15:00","last_seating":"14:00","name":"Lunch"},{`+all+`,"open":"18:00","close":"23:00","name":"Dinner","grid_minutes":20}`), "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	a = owner.do("PATCH", place+"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":60,"shift":"Lunch"}]}`, "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	before := owner.do("GET", place, "").text + owner.do("GET", place+"/rules", "").text

	n := 0
	for what, c := range map[string]struct{ path, body, field string }{
		"two shifts of one day that overlap": {"", shifts(`{` + all + `,"open":"12:00","close":"15:00","last_seating":"14:00","name":"Lunch"},{"days":["sun"],"open":"14:00","close":"18:00"}`), "opening_hours"},
		"a shift that meets the next morning's": {"", shifts(`{"days":["sat"],"open":"18:00","close":"03:00","last_seating":"02:00"},{"days":["sun"],"open":"01:00","close":"05:00"},
			{` + all + `,"open":"12:00","close":"15:00","last_seating":"14:00","name":"Lunch"}`), "opening_hours"},
		"a shift that a turn time is for is gone":   {"", shifts(`{` + all + `,"open":"18:00","close":"23:00","name":"Dinner"}`), "opening_hours.name"},
		"the last seating when it is closed":        {"", shifts(`{` + all + `,"open":"18:00","close":"23:00","last_seating":"23:30"}`), "opening_hours.last_seating"},
		"a day twice in a shift":                    {"", shifts(`{"days":["mon","mon"],"open":"18:00","close":"23:00"}`), "opening_hours.days"},
		"a shift on no day":                         {"", shifts(`{"days":[],"open":"18:00","close":"23:00"}`), "opening_hours.days"},
		"a grid that is no multiple of five":        {"", `{"grid_minutes":12}`, "grid_minutes"},
		"a grid of a shift beyond an hour":          {"", shifts(`{` + all + `,"open":"18:00","close":"23:00","grid_minutes":90}`), "opening_hours.grid_minutes"},
		"a longer notice than the horizon":          {"/rules", `{"min_notice_minutes":5000,"horizon_days":3}`, "min_notice_minutes"},
		"a horizon of more than a year":             {"/rules", `{"horizon_days":400}`, "horizon_days"},
		"a horizon of no day":                       {"/rules", `{"horizon_days":0}`, "horizon_days"},
		"a buffer that is no multiple of five":      {"/rules", `{"buffer_minutes":7}`, "buffer_minutes"},
		"a no-show at once":                         {"/rules", `{"no_show_minutes":0}`, "no_show_minutes"},
		"a no-show after more than a day":           {"/rules", `{"no_show_minutes":2000}`, "no_show_minutes"},
		"a pause until no time":                     {"/rules", `{"paused_until":"tomorrow"}`, "paused_until"},
		"a turn time of more for less":              {"/rules", `{"turn_times":[{"min_party":4,"max_party":2,"minutes":60}]}`, "turn_times.max_party"},
		"two turn times for parties of three":       {"/rules", `{"turn_times":[{"min_party":1,"max_party":3,"minutes":60},{"min_party":3,"max_party":4,"minutes":90}]}`, "turn_times"},
		"two turn times for a day":                  {"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":60,"from_date":"2027-01-01","to_date":"2027-01-02"},{"min_party":2,"max_party":2,"minutes":90,"from_date":"2027-01-02","to_date":"2027-01-03","shift":"Lunch"}]}`, "turn_times"},
		"a turn time of no minutes":                 {"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":0}]}`, "turn_times.minutes"},
		"a turn time for a shift that is not there": {"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":60,"shift":"Tea"}]}`, "turn_times.shift"},
		"a turn time that ends before it begins":    {"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":60,"from_date":"2027-01-02","to_date":"2027-01-01"}]}`, "turn_times.to_date"},
		"a turn time without its last day":          {"/rules", `{"turn_times":[{"min_party":1,"max_party":2,"minutes":60,"from_date":"2027-01-02"}]}`, "turn_times.to_date"},
		"more guests online than in all":            {"/rules", `{"pacing":{"covers":10,"online_covers":12}}`, "pacing.online_covers"},
		"more parties online than in all":           {"/rules", `{"pacing":{"parties":1,"online_parties":2}}`, "pacing.online_parties"},
		"a window that is no multiple of five":      {"/rules", `{"pacing":{"window_minutes":12}}`, "pacing.window_minutes"},
		"a bound below zero":                        {"/rules", `{"pacing":{"covers":-1}}`, "pacing.covers"},
		"a special day twice":                       {"/rules", `{"special_days":[{"date":"2027-01-01"},{"date":"2027-01-01"}]}`, "special_days.date"},
		"shifts of a special day that overlap":      {"/rules", `{"special_days":[{"date":"2027-01-01","shifts":[{"open":"11:00","close":"15:00"},{"open":"13:00","close":"18:00"}]}]}`, "special_days.shifts"},
		"a special day's last seating in its past":  {"/rules", `{"special_days":[{"date":"2027-01-01","shifts":[{"open":"11:00","close":"15:00","last_seating":"10:00"}]}]}`, "special_days.shifts.last_seating"},
		"a combination of one table":                {"/rules", together(`{"table_ids":["` + tables[0] + `"],"min_party":1,"max_party":2}`), "combinations.table_ids"},
		"a combination of a table with itself":      {"/rules", together(`{"table_ids":["` + tables[0] + `","` + tables[0] + `"],"min_party":1,"max_party":2}`), "combinations.table_ids"},
		"a combination with a table of nobody":      {"/rules", together(`{"table_ids":["` + tables[0] + `","tbl_00000000000000000000000000"],"min_party":1,"max_party":2}`), "combinations.table_ids"},
		"a combination twice":                       {"/rules", together(`{` + pair + `,"min_party":3,"max_party":6},{` + pair + `,"min_party":4,"max_party":5}`), "combinations.table_ids"},
		"a combination for more than it seats":      {"/rules", together(`{` + pair + `,"min_party":5,"max_party":7}`), "combinations.max_party"},
		"a combination of more for less":            {"/rules", together(`{` + pair + `,"min_party":6,"max_party":5}`), "combinations.max_party"},
		"a fee of no currency":                      {"/rules", `{"cancellation":{"free_until_minutes":60,"late_fee":100}}`, "cancellation.currency"},
		"a fee below zero":                          {"/rules", `{"cancellation":{"late_fee":-1,"currency":"EUR"}}`, "cancellation.late_fee"},
		"a hold of no minute":                       {"/rules", `{"hold_minutes":0}`, "hold_minutes"},
		"an offer of no minute":                     {"/rules", `{"offer_minutes":0}`, "offer_minutes"},
		"an offer of more than an hour":             {"/rules", `{"offer_minutes":61}`, "offer_minutes"},
		"a hold of more than an hour":               {"/rules", `{"hold_minutes":61}`, "hold_minutes"},
		"an approval that is none":                  {"/rules", `{"approval":"perhaps"}`, "approval"},
		"approval of large parties of no size":      {"/rules", `{"approval":"large_parties"}`, "approval_from"},
		"a size without an approval by size":        {"/rules", `{"approval":"manual","approval_from":8}`, "approval_from"},
		"a channel that is none":                    {"/tables", `{"table_number":"X","capacity":2,"channel":"phone"}`, "channel"},
		"a table for more than it seats":            {"/tables", `{"table_number":"X","capacity":2,"min_capacity":3}`, "min_capacity"},
	} {
		t.Run(what, func(t *testing.T) {
			method, headers := "PATCH", []string{"If-Match", "*"}
			if c.path == "/tables" {
				method, headers = "POST", nil
			}
			a := owner.do(method, place+c.path, c.body, headers...)
			require.Equal(t, 422, a.StatusCode, a.text)
			require.Equal(t, "invalid", a.code())
			require.Equal(t, c.field, a.doc["field"])
			n++
		})
	}
	require.GreaterOrEqual(t, n, 20)
	require.Equal(t, before, owner.do("GET", place, "").text+owner.do("GET", place+"/rules", "").text)
}

// A request that leaves the newer members out is the same request to every build: a key is good on all nodes of a rolling upgrade.
func TestPayloadsOfOlderRequestsStay(t *testing.T) {
	hours := []hoursJSON{{Days: []string{"mon"}, Open: "18:00", Close: "23:00"}}
	text, err := canonicalJSON(&restaurantRequest{OpeningHours: &hours})
	require.NoError(t, err)
	require.NotContains(t, text, "grid_minutes")
	require.Contains(t, text, `{"days":["mon"],"open":"18:00","close":"23:00","last_seating":""}`)
}
