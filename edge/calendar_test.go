package edge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a guest's calendar makes of a reservation, by an independent parser: the same event through all changes, cancelled in the end.
func TestCalendarsOfGuests(t *testing.T) {
	dir := tools(t)
	s := listen(t, openHouse(t))
	owner, ada, bob := s.register("owner@example.org", "owner"), s.register("ada@example.org", "customer"), s.register("bob@example.org", "customer")
	a := owner.do("POST", "/restaurants", `{"name":"Trattoria; \"da\" Anna, with a name that is longer than a line of seventy-five bytes può essere: è così","address":"Via Roma 1\\2",
		"city":"Roma","time_zone":"Europe/Rome","latitude":41.9,"longitude":12.5,"opening_hours":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"open":"08:00","close":"23:45"}]}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	id := a.doc["id"].(string)
	require.Equal(t, 201, owner.do("POST", "/restaurants/"+id+"/tables", `{"table_number":"1","capacity":4}`).StatusCode)
	a = ada.do("POST", "/reservations", strings.Replace(wish(id, day(3), "19:00", 2), "a window", `a window;\nno, two\\three`, 1))
	require.Equal(t, 201, a.StatusCode, a.text)
	path := "/reservations/" + a.doc["id"].(string)
	n := 0
	parsed := func() (event map[string]any) {
		a := ada.do("GET", path+".ics", "", "Accept", "text/calendar")
		require.Equal(t, 200, a.StatusCode, a.text)
		require.Equal(t, calendarType, a.Header.Get("Content-Type"))
		for line := range strings.SplitSeq(a.text, "\r\n") {
			require.LessOrEqual(t, len(line), 75, "RFC 5545, 3.1")
		}
		n++
		file := filepath.Join(dir, "reservation.ics")
		require.NoError(t, os.WriteFile(file, []byte(a.text), 0o600))
		require.NoError(t, json.Unmarshal([]byte(run(t, dir, time.Minute, "node", "calendar.mjs", file)), &event))
		return event
	}
	starts, err := time.Parse(time.RFC3339, a.doc["starts_at"].(string))
	require.NoError(t, err)
	ends, err := time.Parse(time.RFC3339, a.doc["ends_at"].(string))
	require.NoError(t, err)
	first := parsed()
	require.Equal(t, map[string]any{
		"method": "PUBLISH", "uid": a.doc["id"].(string) + "@maitred", "sequence": 0.0, "status": "CONFIRMED",
		"start": starts.UTC().Format(time.RFC3339), "end": ends.UTC().Format(time.RFC3339),
		"summary":     `Trattoria; "da" Anna, with a name that is longer than a line of seventy-five bytes può essere: è così, table for 2`,
		"location":    `Via Roma 1\2, Roma`,
		"description": "a window;\nno, two\\three", "geo": []any{41.9, 12.5},
	}, first)
	a = ada.do("PATCH", path, `{"date":"`+day(4)+`","time_slot":"20:00"}`, "If-Match", "*")
	require.Equal(t, 200, a.StatusCode, a.text)
	moved := parsed()
	require.Equal(t, []any{first["uid"], 1.0, "CONFIRMED"}, []any{moved["uid"], moved["sequence"], moved["status"]})
	require.NotEqual(t, first["start"], moved["start"])
	require.Equal(t, 200, ada.do("POST", path+"/cancel", "").StatusCode)
	gone := parsed()
	require.Equal(t, []any{first["uid"], 2.0, "CANCELLED", "CANCEL"}, []any{gone["uid"], gone["sequence"], gone["status"], gone["method"]})

	require.Equal(t, 404, bob.do("GET", path+".ics", "").StatusCode)
	require.Equal(t, 200, owner.do("GET", path+".ics", "", "Accept", "*/*").StatusCode)
	require.Equal(t, 406, ada.do("GET", path+".ics", "", "Accept", "image/png").StatusCode)
	require.Equal(t, 406, ada.do("GET", path, "", "Accept", "text/calendar").StatusCode, "the reservation itself is JSON")
	require.Equal(t, 3, n)
}
