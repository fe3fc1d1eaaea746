package edge

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const plainBody = `{"restaurant_id":"rst_0123456789abc","date":"2026-11-23","time_slot":"19:00","guests_count":2,"special_requests":"a window, per favore: è il compleanno"}`

// S17, S18, S7: what the strict decoder says.
func TestDecodeRefuses(t *testing.T) {
	cases := []struct {
		name, body, code, field string
	}{
		{"empty", ``, "malformed", ""},
		{"null", `null`, "malformed", ""},
		{"array", `[]`, "malformed", ""},
		{"number", `7`, "malformed", ""},
		{"cut", `{"date":"2026`, "malformed", ""},
		{"trailing", plainBody + `x`, "malformed", ""},
		{"two values", plainBody + plainBody, "malformed", ""},
		{"BOM", "\ufeff" + plainBody, "malformed", ""},
		{"NaN", `{"guests_count":NaN}`, "malformed", ""},
		{"repeated", `{"date":"2026-11-23","date":"2026-11-24"}`, "malformed", ""},
		{"repeated, escaped", `{"date":"2026-11-23","\u0064ate":"2026-11-24"}`, "malformed", ""},
		{"invalid UTF-8", "{\"special_requests\":\"\xff\"}", "malformed", ""},
		{"lone surrogate", `{"special_requests":"\ud800"}`, "malformed", ""},
		{"raw control", "{\"special_requests\":\"a\x01\"}", "malformed", ""},
		{"depth", strings.Repeat("[", 9000), "malformed", ""},
		{"unknown", `{"status":"confirmed"}`, "unknown_member", "status"},
		{"wrong case", `{"Date":"2026-11-23"}`, "unknown_member", "Date"},
		{"mass assignment", `{"tenant_id":"x"}`, "unknown_member", "tenant_id"},
		{"nested unknown", `{"contact":{"vip":true}}`, "unknown_member", "contact.vip"},
		{"deep unknown", `{"x":` + strings.Repeat("[", 7000), "unknown_member", "x"},
		{"long unknown", `{"` + strings.Repeat("y", 300) + `":1}`, "unknown_member", strings.Repeat("y", 64)},
		{"text for number", `{"guests_count":"2"}`, "wrong_type", "guests_count"},
		{"fraction", `{"guests_count":2.5}`, "wrong_type", "guests_count"},
		{"number for text", `{"date":20261123}`, "wrong_type", "date"},
		{"object for text", `{"date":{}}`, "wrong_type", "date"},
		{"null for text", `{"special_requests":null}`, "wrong_type", "special_requests"},
		{"null for an object", `{"contact":null}`, "wrong_type", "contact"},
		{"null within", `{"contact":{"name":null}}`, "wrong_type", "contact.name"},
		{"2^63", `{"guests_count":9223372036854775808}`, "invalid", "guests_count"},
		{"15 KiB number", `{"guests_count":` + strings.Repeat("9", 15<<10) + `}`, "invalid", "guests_count"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var w reservationRequest
			require.False(t, decodeFast([]byte(c.body), &w), "the fast decoder takes only what is right")
			got := decode([]byte(c.body), &w)
			require.NotNil(t, got)
			require.Equal(t, c.code, got.code, got.detail)
			require.Equal(t, c.field, got.field)
		})
	}
}

func TestDecodeFastTakesThePlainBody(t *testing.T) {
	var fast, slow reservationRequest
	require.True(t, decodeFast([]byte(plainBody), &fast))
	require.Nil(t, decode([]byte(plainBody), &slow))
	require.Equal(t, slow, fast)
	body := []byte(plainBody)
	require.Zero(t, testing.AllocsPerRun(100, func() { decodeFast(body, &fast) }))
}

// Whatever the fast decoder accepts, the strict one reads the same way.
func FuzzDecodeReservation(f *testing.F) {
	for _, s := range []string{
		plainBody, `{}`, `{"guests_count":0}`, `{"guests_count":-0}`, `{"guests_count":1e2}`, `{"guests_count":007}`, `{"a":1}`,
		` { "date" : "x" , "starts_at":"y"} `, `{"date":"x",}`, `{,}`, `{"date":"\u0041"}`, `{"date":"x","date":"y"}`, `{"date":null}`,
		"{\"date\":\"\u00e8\"}", "{\"date\":\"\xed\xa0\x80\"}", "{\"date\":\"\xff\"}", `{"guests_count":1 }`, `{"guests_count":1}}`, `{"table_id":""}`,
		"{\"date\":\"\x7f\"}", `{"guests_count":999999}`, `{"guests_count":9999999}`, `{"date" "x"}`, `{"":1}`, "{}\x00", "\v{}", `{"contact":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var fast, slow reservationRequest
		if !decodeFast(body, &fast) {
			return
		}
		if tr := decode(body, &slow); tr != nil {
			t.Fatalf("the strict decoder refuses %q: %v", body, tr)
		}
		if fast != slow {
			t.Fatalf("%q: %+v, strict %+v", body, fast, slow)
		}
	})
}

func TestText(t *testing.T) {
	for _, s := range []string{"", "Trattoria", "è una finestra", "日本", "👩‍👩‍👧", strings.Repeat("è", 20)} {
		require.Nil(t, checkText("f", s, 20, false), "%q", s)
	}
	for _, s := range []string{"\x00", "a\x1fb", "a\x7fb", "a\u0085", "\u202eevil", "\u2066", "a\nb", "\u2028", strings.Repeat("x", 21), strings.Repeat("e\u0301", 5000)} {
		got := checkText("f", s, 20, false)
		require.NotNil(t, got, "%q", s)
		require.Equal(t, "invalid", got.code)
	}
	require.Nil(t, checkText("f", "a\nb\tc", 20, true))
	require.NotNil(t, checkText("f", "a\x00", 20, true))
}

func TestEmail(t *testing.T) {
	for in, want := range map[string]string{" Anna@Example.ORG ": "anna@example.org", "a.b+c@d-e.it": "a.b+c@d-e.it"} {
		got, ok := normalEmail(in)
		require.True(t, ok, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "a", "@b.it", "a@", "a@b", "a@.it", "a@b.", "a@b@c.it", "a b@c.it", "a\x00@c.it", "a@c.it\r\nBcc: x", strings.Repeat("a", 65) + "@b.it", "<a@b.it>", "a@" + strings.Repeat("b", 260) + ".it"} {
		_, ok := normalEmail(in)
		require.False(t, ok, "%q", in)
	}
}

func TestWhen(t *testing.T) {
	w, bad := when("2026-11-23", "19:30", "")
	require.Nil(t, bad)
	require.True(t, w.HasLocal)
	require.Equal(t, 19*60+30, w.LocalMin)
	require.Zero(t, w.StartsAt)
	w, bad = when("", "", "2026-11-23T19:30:00+01:00")
	require.Nil(t, bad)
	require.False(t, w.HasLocal)
	require.Equal(t, int64(1795458600), w.StartsAt)
	w, bad = when("2026-11-23", "19:30", "2026-11-23T19:30:00+01:00")
	require.Nil(t, bad, "both: the engine compares them")
	require.True(t, w.HasLocal && w.StartsAt != 0)
	for _, c := range [][4]string{
		{"", "", "", "date"}, {"2026-02-30", "19:00", "", "date"}, {"0000-01-01", "19:00", "", "date"}, {"9999-01-01", "19:00", "", "date"},
		{"2026-1-1", "19:00", "", "date"}, {"2026-11-23", "", "", "time_slot"}, {"2026-11-23", "24:00", "", "time_slot"},
		{"2026-11-23", "19:60", "", "time_slot"}, {"2026-11-23", "7:00", "", "time_slot"}, {"2026-11-23", "１9:00", "", "time_slot"},
		{"", "", "2026-11-23", "starts_at"}, {"", "", "2026-11-23T19:30:00.5Z", "starts_at"}, {"", "", "1999-12-31T23:59:59Z", "starts_at"},
		{"", "19:00", "2026-11-23T19:30:00Z", "date"},
	} {
		_, bad := when(c[0], c[1], c[2])
		require.NotNil(t, bad, "%v", c)
		require.Equal(t, "invalid", bad.code)
		require.Equal(t, c[3], bad.field, "%v", c)
	}
}

func TestHours(t *testing.T) {
	for _, c := range []struct {
		in                 hoursJSON
		open, close_, last int
	}{
		{hoursJSON{Days: []string{"mon"}, Open: "12:00", Close: "15:00", LastSeating: "14:00"}, 720, 900, 840},
		{hoursJSON{Days: []string{"sat"}, Open: "18:00", Close: "02:00", LastSeating: "00:30"}, 1080, 1560, 1470},
		{hoursJSON{Days: []string{"sat"}, Open: "18:00", Close: "24:00", LastSeating: ""}, 1080, 1440, 1380},
		{hoursJSON{Days: []string{"sat"}, Open: "00:00", Close: "24:00", LastSeating: ""}, 0, 1440, 1380},
		{hoursJSON{Days: []string{"sat"}, Open: "18:00", Close: "18:30", LastSeating: ""}, 1080, 1110, 1080},
	} {
		h, bad := hours("opening_hours", &c.in)
		require.Nil(t, bad, "%+v", c.in)
		require.Equal(t, [3]int{c.open, c.close_, c.last}, [3]int{h.Open, h.Close, h.LastSeating}, "%+v", c.in)
	}
	for _, in := range []hoursJSON{
		{Days: nil, Open: "12:00", Close: "15:00", LastSeating: ""}, {Days: []string{"mon", "mon"}, Open: "12:00", Close: "15:00", LastSeating: ""}, {Days: []string{"monday"}, Open: "12:00", Close: "15:00", LastSeating: ""},
		{Days: []string{"mon"}, Open: "", Close: "15:00", LastSeating: ""}, {Days: []string{"mon"}, Open: "12:00", Close: "25:00", LastSeating: ""}, {Days: []string{"mon"}, Open: "12:00", Close: "15:00", LastSeating: "15:00"},
		{Days: []string{"mon"}, Open: "12:00", Close: "15:00", LastSeating: "11:00"}, {Days: []string{"mon"}, Open: "12:00", Close: "15:00", LastSeating: "noon"},
		{Days: []string{"mon"}, Open: "12:00", Close: "15:00", GridMinutes: 7}, {Days: []string{"mon"}, Open: "12:00", Close: "15:00", Name: strings.Repeat("x", 41)},
	} {
		_, bad := hours("opening_hours", &in)
		require.NotNil(t, bad, "%+v", in)
	}
}

func TestWeirdNumbersInDetails(t *testing.T) {
	for _, v := range []float64{90.1, -91, math.Inf(1)} {
		_, bad := checkRestaurant(&restaurantRequest{Latitude: &v})
		require.NotNil(t, bad, fmt.Sprint(v))
	}
}
