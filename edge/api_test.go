package edge

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// openHouse is the production house on a journal in memory; every actor is passivated after every command when
// MAITRED_TEST_PASSIVATE is set.
func openHouse(t testing.TB) *actors.House {
	t.Helper()
	journal := memory.NewJournal(memory.Options{})
	house, err := actors.Open(context.Background(), actors.Config{
		Node: "n1", Journal: journal, Bases: memory.NewBases(memory.BasesOptions{}), Feed: persistence.NewFeed(journal, 1<<20), Partitions: 16,
		PassivateAll: os.Getenv("MAITRED_TEST_PASSIVATE") != "",
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, house.Close())
		require.NoError(t, journal.Close())
	})
	return house
}

// person is somebody with an account.
type person struct {
	*site
	id, token, refresh string
}

func (s *site) register(email, role string) person {
	s.t.Helper()
	a := s.ask("POST", "/api/v1/auth/register", "", fmt.Sprintf(
		`{"email":%q,"password":"correct horse","first_name":"Anna","last_name":"Rossi","phone":"+39 06 1234567","role":%q}`, email, role))
	require.Equal(s.t, 201, a.StatusCode, a.text)
	require.EqualValues(s.t, 600, a.doc["expires_in"])
	user := a.doc["user"].(map[string]any)
	require.Equal(s.t, email, user["email"])
	require.Equal(s.t, role, user["role"])
	require.NotContains(s.t, a.text, "correct horse")
	require.NotContains(s.t, a.text, "argon2")
	return person{s, user["id"].(string), a.doc["access_token"].(string), a.doc["refresh_token"].(string)}
}

func (p person) do(method, path, body string, headers ...string) *answer {
	p.t.Helper()
	return p.ask(method, "/api/v1"+path, p.token, body, headers...)
}

// trattoria makes a restaurant that is always open, with tables for 2, 4 and 6; it returns its id and theirs.
func (p person) trattoria() (string, []string) {
	p.t.Helper()
	a := p.do("POST", "/restaurants", `{"name":"Da Anna","address":"Via Roma 1","city":"Roma","country":"IT","cuisine_type":"roman","description":"",
		"phone":"","email":"","time_zone":"Europe/Rome","latitude":41.9,"longitude":12.5,
		"opening_hours":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"open":"08:00","close":"23:45","last_seating":"22:00"}]}`)
	require.Equal(p.t, 201, a.StatusCode, a.text)
	id := a.doc["id"].(string)
	require.Equal(p.t, "/api/v1/restaurants/"+id, a.Header.Get("Location"))
	var tables []string
	for i, capacity := range []int{2, 4, 6} {
		a := p.do("POST", "/restaurants/"+id+"/tables", fmt.Sprintf(`{"table_number":"T%d","capacity":%d,"min_capacity":1,"location":"hall"}`, i+1, capacity))
		require.Equal(p.t, 201, a.StatusCode, a.text)
		require.Equal(p.t, `"1"`, a.Header.Get("ETag"))
		require.Equal(p.t, "/api/v1/tables/"+a.doc["id"].(string), a.Header.Get("Location"))
		tables = append(tables, a.doc["id"].(string))
	}
	return id, tables
}

// day is a service day in n days.
func day(n int) string { return time.Now().AddDate(0, 0, n).Format(time.DateOnly) }

func wish(restaurant, date, slot string, guests int) string {
	return fmt.Sprintf(`{"restaurant_id":%q,"date":%q,"time_slot":%q,"guests_count":%d,"special_requests":"a window"}`, restaurant, date, slot, guests)
}

func TestAnEveningAtTheRestaurant(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest, stranger := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer"), s.register("other@example.org", "customer")
	restaurant, tables := owner.trattoria()

	free := func() map[string]float64 {
		a := s.ask("GET", "/api/v1/restaurants/"+restaurant+"/availability?date="+day(2)+"&guests_count=4", "", "")
		require.Equal(t, 200, a.StatusCode, a.text)
		require.Equal(t, "Europe/Rome", a.doc["time_zone"])
		out := map[string]float64{}
		for _, slot := range a.doc["slots"].([]any) {
			m := slot.(map[string]any)
			require.Equal(t, m["tables"].(float64) > 0, m["available"])
			out[m["time_slot"].(string)] = m["tables"].(float64)
		}
		return out
	}
	require.Equal(t, 2.0, free()["19:00"], "for 4: the tables of 4 and 6")

	a := guest.do("POST", "/reservations", wish(restaurant, day(2), "19:00", 4))
	require.Equal(t, 201, a.StatusCode, a.text)
	id := a.doc["id"].(string)
	require.Equal(t, "/api/v1/reservations/"+id, a.Header.Get("Location"))
	require.Equal(t, `"1"`, a.Header.Get("ETag"))
	for name, want := range map[string]any{
		"restaurant_id": restaurant, "table_id": tables[1], "date": day(2), "time_slot": "19:00", "guests_count": 4.0,
		"special_requests": "a window", "status": "confirmed", "version": 1.0,
	} {
		require.Equal(t, want, a.doc[name], name)
	}
	starts, err := time.Parse(time.RFC3339, a.doc["starts_at"].(string))
	require.NoError(t, err)
	rome, err := time.LoadLocation("Europe/Rome")
	require.NoError(t, err)
	require.Equal(t, day(2)+" 19:00", starts.In(rome).Format("2006-01-02 15:04"))
	require.Equal(t, 1.0, free()["19:00"], "read your writes")

	require.Equal(t, a.text, guest.do("GET", "/reservations/"+id, "").text)
	require.Equal(t, 200, owner.do("GET", "/reservations/"+id, "").StatusCode)
	require.Equal(t, 404, stranger.do("GET", "/reservations/"+id, "").StatusCode)
	require.Equal(t, 404, stranger.do("POST", "/reservations/"+id+"/cancel", "").StatusCode)
	require.Equal(t, 404, stranger.do("PATCH", "/reservations/"+id, `{"guests_count":2}`, "If-Match", `"1"`).StatusCode)

	require.Equal(t, 428, guest.do("PATCH", "/reservations/"+id, `{"guests_count":5}`).StatusCode)
	a = guest.do("PATCH", "/reservations/"+id, `{"guests_count":5,"time_slot":"20:00","date":"`+day(2)+`"}`, "If-Match", `"1"`)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	require.Equal(t, tables[2], a.doc["table_id"])
	for _, tag := range []string{`"1"`, `"99"`, `"0"`, `W/"2"`, `"x"`} {
		require.Equal(t, 412, guest.do("PATCH", "/reservations/"+id, `{"guests_count":5}`, "If-Match", tag).StatusCode, tag)
	}
	require.Equal(t, 400, guest.do("PATCH", "/reservations/"+id, `{"guests_count":5}`, "If-Match", "2").StatusCode)
	require.Equal(t, 412, guest.do("POST", "/reservations/"+id+"/cancel", "", "If-Match", `"1"`).StatusCode)

	sheet := owner.do("GET", "/restaurants/"+restaurant+"/reservations?date="+day(2), "")
	require.Equal(t, 200, sheet.StatusCode, sheet.text)
	require.Len(t, sheet.doc["items"], 1)
	require.Nil(t, sheet.doc["next_cursor"])
	require.Equal(t, 404, guest.do("GET", "/restaurants/"+restaurant+"/reservations?date="+day(2), "").StatusCode)

	require.Equal(t, 403, guest.do("POST", "/reservations/"+id+"/seat", "").StatusCode)
	require.Equal(t, 200, guest.do("POST", "/reservations/"+id+"/cancel", `{"reason":"ill"}`).StatusCode)
	a = owner.do("POST", "/reservations/"+id+"/seat", "")
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "invalid_transition", a.code())
	require.Equal(t, 2.0, free()["20:00"])
	page := s.figures()
	require.Contains(t, page, "\nreservations_created_total 1\n")
	require.Contains(t, page, "\nreservations_cancelled_total 1\n")
}

func TestSeatAndComplete(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	restaurant, _ := owner.trattoria()
	id := guest.do("POST", "/reservations", wish(restaurant, day(1), "12:00", 2)).doc["id"].(string)
	for _, step := range []struct {
		action string
		status int
		want   string
	}{
		{"complete", 409, ""}, {"confirm", 409, ""}, {"decline", 409, ""}, {"seat", 200, "seated"}, {"no-show", 409, ""},
		{"complete", 200, "completed"}, {"cancel", 409, ""}, {"dance", 404, ""},
	} {
		a := owner.do("POST", "/reservations/"+id+"/"+step.action, "")
		require.Equal(t, step.status, a.StatusCode, "%s: %s", step.action, a.text)
		if step.want != "" {
			require.Equal(t, step.want, a.doc["status"])
		}
	}
}

func TestTheLastTableIsTakenOnce(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	restaurant, _ := owner.trattoria()
	statuses := make(chan int, 40)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			a := guest.do("POST", "/reservations", wish(restaurant, day(3), "20:00", 2))
			if a.StatusCode == 409 {
				require.Equal(t, "slot_unavailable", a.code())
				require.NotEmpty(t, a.doc["alternatives"])
			}
			statuses <- a.StatusCode
		})
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	require.Equal(t, map[int]int{201: 3, 409: 37}, count)
}

// S21.
func TestIdempotencyKey(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest, other := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer"), s.register("other@example.org", "customer")
	restaurant, _ := owner.trattoria()
	body := wish(restaurant, day(3), "20:00", 2)
	var mu sync.Mutex
	ids, replays := map[string]int{}, 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			a := guest.do("POST", "/reservations", body, "Idempotency-Key", "evening")
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, 201, a.StatusCode, a.text)
			require.Equal(t, "/api/v1/reservations/"+a.doc["id"].(string), a.Header.Get("Location"))
			ids[a.doc["id"].(string)]++
			if a.Header.Get("Idempotent-Replay") == "true" {
				replays++
			}
		})
	}
	wg.Wait()
	require.Len(t, ids, 1)
	require.Equal(t, 49, replays)

	reordered := fmt.Sprintf(` {"guests_count" : 2,"special_requests":"a \u0077indow", "time_slot":"20:00","date":%q,"restaurant_id":%q}`, day(3), restaurant)
	a := guest.do("POST", "/reservations", reordered, "Idempotency-Key", "evening")
	require.Equal(t, 201, a.StatusCode, "order, space and escapes are not the request: %s", a.text)
	require.Contains(t, ids, a.doc["id"])
	a = guest.do("POST", "/reservations", wish(restaurant, day(3), "20:00", 3), "Idempotency-Key", "evening")
	require.Equal(t, 422, a.StatusCode)
	require.Equal(t, "idempotency_key_reused", a.code())
	a = other.do("POST", "/reservations", body, "Idempotency-Key", "evening")
	require.Equal(t, 201, a.StatusCode)
	require.NotContains(t, ids, a.doc["id"], "another caller, another key")

	var id string
	for k := range ids {
		id = k
	}
	for i := range 2 {
		a = guest.do("POST", "/reservations/"+id+"/cancel", "", "Idempotency-Key", "c")
		require.Equal(t, 200, a.StatusCode, a.text)
		require.Equal(t, "cancelled", a.doc["status"])
		require.Equal(t, i == 1, a.Header.Get("Idempotent-Replay") == "true")
	}
	a = guest.do("POST", "/reservations", body, "Idempotency-Key", "evening")
	require.Equal(t, 201, a.StatusCode)
	require.Equal(t, "cancelled", a.doc["status"], "a replay shows the reservation as it is now")
	require.Contains(t, s.figures(), "\nreservations_cancelled_total 1\n", "a replay does not count")

	for range 2 {
		a = owner.do("POST", "/restaurants", `{"name":"Due","time_zone":"Europe/Rome"}`, "Idempotency-Key", "r")
		require.Equal(t, 201, a.StatusCode, a.text)
		ids[a.doc["id"].(string)]++
	}
	require.Len(t, ids, 2, "one restaurant")
}

// S7, S11, S17–S19, S22 through the whole way: nothing changes, and every answer says why.
func TestNonsense(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	restaurant, _ := owner.trattoria()
	good := wish(restaurant, day(2), "19:00", 2)
	with := func(member, value string) string { return strings.Replace(good, "{", "{\""+member+"\":"+value+",", 1) }
	set := func(member, old, value string) string {
		return strings.Replace(good, `"`+member+`":`+old, `"`+member+`":`+value, 1)
	}
	year := func(y string) string { return set("date", `"`+day(2)+`"`, `"`+y+`"`) }
	for _, c := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"status", with("status", `"completed"`), 422, "unknown_member"},
		{"price", with("price", `0`), 422, "unknown_member"},
		{"guest", with("guest", `"usr_1"`), 422, "unknown_member"},
		{"0 guests", set("guests_count", "2", "0"), 422, "invalid"},
		{"-1 guests", set("guests_count", "2", "-1"), 422, "invalid"},
		{"2^63 guests", set("guests_count", "2", "9223372036854775808"), 422, "invalid"},
		{"2.5 guests", set("guests_count", "2", "2.5"), 400, "wrong_type"},
		{"text guests", set("guests_count", "2", `"2"`), 400, "wrong_type"},
		{"7 guests", set("guests_count", "2", "7"), 409, "party_too_large"},
		{"no day", year("2026-02-30"), 422, "invalid"},
		{"year 0", year("0000-01-01"), 422, "invalid"},
		{"year 9999", year("9999-01-01"), 422, "invalid"},
		{"past", year("2020-01-01"), 409, "too_late"},
		{"horizon", year("2099-01-01"), 409, "too_early"},
		{"off the grid", set("time_slot", `"19:00"`, `"19:01"`), 409, "not_on_grid"},
		{"closed", set("time_slot", `"19:00"`, `"05:00"`), 409, "closed"},
		{"25:00", set("time_slot", `"19:00"`, `"25:00"`), 422, "invalid"},
		{"both and different", with("starts_at", `"`+day(2)+`T03:00:00Z"`), 422, "invalid"},
		{"NUL", set("special_requests", `"a window"`, `"\u0000"`), 422, "invalid"},
		{"escape", set("special_requests", `"a window"`, `"\u001b[2J"`), 422, "invalid"},
		{"bidi", set("special_requests", `"a window"`, `"\u202e"`), 422, "invalid"},
		{"combining", set("special_requests", `"a window"`, `"`+strings.Repeat(`e\u0301`, 1200)+`"`), 422, "invalid"},
		{"table elsewhere", with("table_id", `"*"`), 422, "invalid"},
		{"unknown restaurant", strings.Replace(good, restaurant, "rst_0000000000000", 1), 404, "not_found"},
		{"not a restaurant", strings.Replace(good, restaurant, "'; DROP TABLE x", 1), 422, "invalid"},
		{"someone's table as restaurant", strings.Replace(good, restaurant, "tbl_0000000000000", 1), 404, "not_found"},
	} {
		a := guest.do("POST", "/reservations", c.body)
		require.Equal(t, c.status, a.StatusCode, "%s: %s", c.name, a.text)
		require.Equal(t, c.code, a.code(), c.name)
	}
	require.Empty(t, owner.do("GET", "/restaurants/"+restaurant+"/reservations?date="+day(2), "").doc["items"])

	drop := `'; DROP TABLE reservations;-- *.> <script>`
	a := guest.do("POST", "/reservations", set("special_requests", `"a window"`, `"`+drop+`"`))
	require.Equal(t, 201, a.StatusCode, a.text)
	require.Equal(t, drop, a.doc["special_requests"], "text is kept as it is")
	both := with("starts_at", fmt.Sprintf("%q", a.doc["starts_at"]))
	require.Equal(t, 201, guest.do("POST", "/reservations", both).StatusCode, "both and equal")
	only := fmt.Sprintf(`{"restaurant_id":%q,"starts_at":%q,"guests_count":2}`, restaurant, a.doc["starts_at"])
	require.Equal(t, 201, guest.do("POST", "/reservations", only).StatusCode, "by instant alone")

	for _, q := range []string{
		"", "date=" + day(2), "date=" + day(2) + "&guests=x", "date=2026-02-30&guests=2", "date=" + day(2) + "&guests=0", "date=" + day(2) + "&guests=2&time=7pm",
		"date=" + day(2) + "&guests=2&colour=red", "date=" + day(2) + "&guests=2&guests_count=3", "date=" + day(2) + "%00&guests=2",
	} {
		require.Equal(t, 422, s.ask("GET", "/api/v1/restaurants/"+restaurant+"/availability?"+q, "", "").StatusCode, q)
	}
	one := s.ask("GET", "/api/v1/restaurants/"+restaurant+"/availability?date="+day(2)+"&guests=2&time=21%3A00", "", "")
	require.Equal(t, 200, one.StatusCode, one.text)
	require.Len(t, one.doc["slots"], 1)
}

func TestAccounts(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("guest@example.org", "customer")
	register := func(email, password, role string) *answer {
		return s.ask("POST", "/api/v1/auth/register", "", fmt.Sprintf(`{"email":%q,"password":%q,"role":%q}`, email, password, role))
	}
	a := register(" GUEST@example.org", "another one", "customer")
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "exists", a.code())
	for _, c := range [][3]string{
		{"no address", "correct horse", "customer"}, {"a@b.it", "short", "customer"}, {"a@b.it", strings.Repeat("x", 129), "customer"},
		{"a@b.it", "correct horse", "admin"}, {"a@b.it", "correct horse", "system"},
	} {
		require.Equal(t, 422, register(c[0], c[1], c[2]).StatusCode, "%v", c)
	}
	require.Equal(t, 413, register("a@b.it", strings.Repeat("x", 17<<10), "customer").StatusCode)

	login := func(email, password string) *answer {
		return s.ask("POST", "/api/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	}
	unknown, wrong := login("nobody@example.org", "correct horse"), login("guest@example.org", "wrong horse")
	require.Equal(t, 401, unknown.StatusCode)
	require.Equal(t, wrong.text, unknown.text, "who asks does not learn which of the two was wrong")
	a = login("Guest@Example.org ", "correct horse")
	require.Equal(t, 200, a.StatusCode, a.text)

	me := p.do("GET", "/me", "")
	require.Equal(t, 200, me.StatusCode, me.text)
	require.Equal(t, p.id, me.doc["id"])
	require.Equal(t, 428, p.do("PATCH", "/me", `{"first_name":"Bea"}`).StatusCode)
	a = p.do("PATCH", "/me", `{"first_name":"Bea"}`, "If-Match", me.Header.Get("ETag"))
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, "Bea", a.doc["first_name"])
	require.Equal(t, 412, p.do("PATCH", "/me", `{"first_name":"Cia"}`, "If-Match", me.Header.Get("ETag")).StatusCode)
	require.Equal(t, 422, p.do("PATCH", "/me", `{"role":"owner"}`, "If-Match", a.Header.Get("ETag")).StatusCode)
	require.Equal(t, 422, p.do("PATCH", "/me", `{"password":"a new password"}`, "If-Match", a.Header.Get("ETag")).StatusCode)
	require.Equal(t, 403, p.do("PATCH", "/me", `{"password":"a new password","current_password":"wrong horse"}`, "If-Match", a.Header.Get("ETag")).StatusCode)
	require.Equal(t, 200, p.do("PATCH", "/me", `{"password":"a new password","current_password":"correct horse"}`, "If-Match", a.Header.Get("ETag")).StatusCode)
	require.Equal(t, 401, p.do("GET", "/me", "").StatusCode, "a new password ends the old sessions")
	require.Equal(t, 401, login("guest@example.org", "correct horse").StatusCode)
	require.Equal(t, 200, login("guest@example.org", "a new password").StatusCode)
	require.NotContains(t, s.log.String(), "password\":")
	require.NotContains(t, s.log.String(), "correct horse")
}

// S9: a refresh token is good once; used twice it ends its family.
func TestSessions(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("guest@example.org", "customer")
	refresh := func(token string) *answer {
		return s.ask("POST", "/api/v1/auth/refresh", "", fmt.Sprintf(`{"refresh_token":%q}`, token))
	}
	a := refresh(p.refresh)
	require.Equal(t, 200, a.StatusCode, a.text)
	second := a.doc["refresh_token"].(string)
	require.NotEqual(t, p.refresh, second)
	require.Equal(t, 401, refresh(p.refresh).StatusCode, "used before")
	require.Equal(t, 401, refresh(second).StatusCode, "its family has ended")
	for _, bad := range []string{"", "x", p.id + ".x", p.id + "x" + second[len(p.id)+1:], "usr_00000000000000000000000000." + second, strings.Repeat("a", 200)} {
		require.Equal(t, 401, refresh(bad).StatusCode, bad)
	}

	login := s.ask("POST", "/api/v1/auth/login", "", `{"email":"guest@example.org","password":"correct horse"}`)
	token := login.doc["refresh_token"].(string)
	for range 2 {
		require.Equal(t, 204, s.ask("POST", "/api/v1/auth/logout", "", fmt.Sprintf(`{"refresh_token":%q}`, token)).StatusCode)
	}
	require.Equal(t, 401, refresh(token).StatusCode)

	login = s.ask("POST", "/api/v1/auth/login", "", `{"email":"guest@example.org","password":"correct horse"}`)
	access := login.doc["access_token"].(string)
	require.Equal(t, 204, s.ask("POST", "/api/v1/auth/revoke-all", access, "").StatusCode)
	require.Equal(t, 401, refresh(login.doc["refresh_token"].(string)).StatusCode)
	require.Equal(t, 401, s.ask("GET", "/api/v1/me", access, "").StatusCode, "access tokens die with it")
	require.Equal(t, 401, p.do("GET", "/me", "").StatusCode)
	require.NotContains(t, s.log.String(), token)
}

func TestRestaurantsAndTables(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, rival, guest := s.register("owner@example.org", "owner"), s.register("rival@example.org", "owner"), s.register("guest@example.org", "customer")
	require.Equal(t, 403, guest.do("POST", "/restaurants", `{"name":"Mine","time_zone":"Europe/Rome"}`).StatusCode)
	for _, body := range []string{
		`{"time_zone":"Europe/Rome"}`, `{"name":"x"}`, `{"name":" ","time_zone":"Europe/Rome"}`, `{"name":"x","time_zone":"Mars/Base"}`,
		`{"name":"x","time_zone":"Europe/Rome","latitude":91}`, `{"name":"x","time_zone":"Europe/Rome","owner":"me"}`,
		`{"name":"x","time_zone":"Europe/Rome","opening_hours":[{"days":["mon"],"open":"12:00","close":"15:00","last_seating":"16:00"}]}`,
	} {
		require.Equal(t, 422, owner.do("POST", "/restaurants", body).StatusCode, body)
	}
	id, tables := owner.trattoria()
	a := s.ask("GET", "/api/v1/restaurants/"+id, "", "")
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, "Da Anna", a.doc["name"])
	require.NotContains(t, a.text, owner.id, "who owns it is nobody's business")
	etag := a.Header.Get("ETag")

	require.Equal(t, 428, owner.do("PATCH", "/restaurants/"+id, `{"name":"Da Bea"}`).StatusCode)
	require.Contains(t, []int{403, 404}, rival.do("PATCH", "/restaurants/"+id, `{"name":"Da Bea"}`, "If-Match", etag).StatusCode)
	require.Contains(t, []int{403, 404}, rival.do("POST", "/restaurants/"+id+"/tables", `{"table_number":"9","capacity":2}`).StatusCode)
	require.Contains(t, []int{403, 404}, rival.do("PATCH", "/tables/"+tables[0], `{"capacity":3}`, "If-Match", `"1"`).StatusCode)
	require.Contains(t, []int{403, 404}, rival.do("DELETE", "/tables/"+tables[0], "").StatusCode)
	require.Equal(t, 404, rival.do("GET", "/restaurants/"+id+"/reservations?date="+day(1), "").StatusCode)
	a = owner.do("PATCH", "/restaurants/"+id, `{"name":"Da Bea"}`, "If-Match", etag)
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, "Da Bea", a.doc["name"])
	require.Equal(t, "Roma", a.doc["city"], "what is not named stays")
	require.Equal(t, 412, owner.do("PATCH", "/restaurants/"+id, `{"name":"Da Cia"}`, "If-Match", etag).StatusCode)

	for _, body := range []string{`{}`, `{"table_number":"9"}`, `{"capacity":2}`, `{"table_number":"9","capacity":0}`, `{"table_number":"9","capacity":101}`, `{"table_number":"9","capacity":2,"min_capacity":3}`} {
		require.Equal(t, 422, owner.do("POST", "/restaurants/"+id+"/tables", body).StatusCode, body)
	}
	free := func(slot string) any {
		var out any
		for range 2 { // the second answer is a kept one
			a := s.ask("GET", "/api/v1/restaurants/"+id+"/availability?date="+day(2)+"&guests_count=2", "", "")
			require.Equal(t, 200, a.StatusCode)
			out = nil
			for _, s := range a.doc["slots"].([]any) {
				if m := s.(map[string]any); m["time_slot"] == slot {
					out = m["tables"]
				}
			}
		}
		return out
	}
	require.Equal(t, 3.0, free("19:00"))
	require.Nil(t, free("07:00"))
	a = owner.do("PATCH", "/restaurants/"+id, `{"opening_hours":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"open":"06:00","close":"23:45","last_seating":"22:00"}]}`,
		"If-Match", a.Header.Get("ETag"))
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, 3.0, free("07:00"), "other hours are seen at once")
	a = owner.do("PATCH", "/tables/"+tables[0], `{"is_available":false}`, "If-Match", `"1"`)
	require.Equal(t, 2.0, free("19:00"), "and a table out of service")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, false, a.doc["is_available"])
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	require.Equal(t, 204, owner.do("DELETE", "/tables/"+tables[1], "").StatusCode)
	require.Equal(t, 404, owner.do("DELETE", "/tables/"+tables[1], "").StatusCode)
	a = s.ask("GET", "/api/v1/restaurants/"+id+"/tables", "", "")
	require.Len(t, a.doc["items"], 2)

	booked := guest.do("POST", "/reservations", wish(id, day(1), "12:00", 6))
	require.Equal(t, 201, booked.StatusCode, booked.text)
	a = owner.do("DELETE", "/tables/"+tables[2], "")
	require.Equal(t, 409, a.StatusCode)
	require.Equal(t, "in_use", a.code())
	for _, path := range []string{"rst_0000000000000", "nothing", "tbl_0000000000000", id + "x"} {
		require.Equal(t, 404, s.ask("GET", "/api/v1/restaurants/"+path, "", "").StatusCode, path)
	}
}

func TestDaySheetPages(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	id, _ := owner.trattoria()
	want := 0
	for _, slot := range []string{"09:00", "12:00", "15:00", "18:00", "21:00"} {
		for range 3 {
			require.Equal(t, 201, guest.do("POST", "/reservations", wish(id, day(4), slot, 2)).StatusCode)
			want++
		}
	}
	path := "/restaurants/" + id + "/reservations?date=" + day(4)
	seen, last, cursor, pages := map[string]bool{}, "", "", 0
	for {
		a := owner.do("GET", path+"&limit=4"+cursor, "")
		require.Equal(t, 200, a.StatusCode, a.text)
		for _, item := range a.doc["items"].([]any) {
			r := item.(map[string]any)
			require.False(t, seen[r["id"].(string)])
			seen[r["id"].(string)] = true
			require.GreaterOrEqual(t, r["time_slot"].(string), last)
			last = r["time_slot"].(string)
		}
		pages++
		if a.doc["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + a.doc["next_cursor"].(string)
	}
	require.Len(t, seen, want)
	require.Equal(t, 4, pages)
	require.Equal(t, 400, owner.do("GET", path+"&cursor=AAAA", "").StatusCode)
	require.Equal(t, 400, owner.do("GET", strings.Replace(path, day(4), day(5), 1)+cursor, "").StatusCode, "a cursor belongs to its list")
	require.Equal(t, 422, owner.do("GET", path+"&limit=101", "").StatusCode)
	require.Equal(t, 422, owner.do("GET", path+"&page_size=1000000000", "").StatusCode)
}

// list is a store that remembers what it was asked.
type list struct {
	filter persistence.ListFilter
	guest  engine.AccountID
	page   persistence.Page
	err    error
}

func (l *list) ReservationsOf(_ context.Context, guest engine.AccountID, f persistence.ListFilter) (persistence.Page, error) {
	l.filter, l.guest = f, guest
	return l.page, l.err
}

func (l *list) ReviewsOf(context.Context, engine.RestaurantID, persistence.ReviewFilter) (persistence.ReviewPage, error) {
	return persistence.ReviewPage{}, l.err
}

func (l *list) Search(context.Context, persistence.SearchFilter) (persistence.SearchPage, error) {
	return persistence.SearchPage{}, l.err
}

func (l *list) PlacesOf(context.Context, engine.AccountID, string, int) (persistence.PlacePage, error) {
	return persistence.PlacePage{}, l.err
}

func TestMine(t *testing.T) {
	at := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	store := &list{page: persistence.Page{AsOf: at, Next: "place", Rows: []persistence.ReservationRow{{
		ID: "rsv_0123456789abc0123456789abc", Restaurant: "rst_0123456789abc", RestaurantName: "Da \"Anna\"", Tables: []engine.TableID{"tbl_0123456789abc0123456789abc"}, ServiceDay: 20811, LocalMin: 1140,
		StartsAt: at, EndsAt: at.Add(2 * time.Hour), GuestsCount: 2, Status: engine.StatusConfirmed, Version: 3,
	}}}}
	s := listen(t, &script{}, func(c *Config) { c.Lists = store })
	token := s.token(guestID, engine.RoleCustomer)
	a := s.ask("GET", "/api/v1/reservations?status=confirmed&from=2026-12-01&limit=7", token, "")
	require.Equal(t, 200, a.StatusCode, a.text)
	require.Equal(t, "2026-12-24T18:00:00Z", a.doc["as_of"])
	require.Equal(t, "2026-12-24T19:00:00+01:00", a.doc["items"].([]any)[0].(map[string]any)["starts_at"])
	require.Equal(t, persistence.ListFilter{Status: engine.StatusConfirmed, From: 20788, Limit: 7}, store.filter)
	require.Equal(t, guestID, store.guest)
	cursor := a.doc["next_cursor"].(string)
	a = s.ask("GET", "/api/v1/reservations?status=confirmed&from=2026-12-01&limit=7&cursor="+cursor, token, "")
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, "place", store.filter.After)
	other := s.token(engine.MakeAccountID([16]byte{9}), engine.RoleCustomer)
	require.Equal(t, 400, s.ask("GET", "/api/v1/reservations?status=confirmed&from=2026-12-01&cursor="+cursor, other, "").StatusCode)
	require.Equal(t, 400, s.ask("GET", "/api/v1/reservations?cursor="+cursor, token, "").StatusCode, "another filter")
	require.Equal(t, 422, s.ask("GET", "/api/v1/reservations?status=eaten", token, "").StatusCode)
	store.err = persistence.ErrClosed
	a = s.ask("GET", "/api/v1/reservations", token, "")
	require.Equal(t, 503, a.StatusCode)
	require.Equal(t, "store_unavailable", a.code())
}

// S12: more than the queue holds is refused at once, and nothing is left behind.
func TestPasswordFlood(t *testing.T) {
	p, err := newPasswords(64)
	require.NoError(t, err)
	for range passwordSlots {
		p.slots <- struct{}{}
	}
	p.waiting.Add(passwordSlots)
	results := make(chan error, passwordQueue)
	for range passwordQueue {
		go func() {
			_, err := p.hash("correct horse")
			results <- err
		}()
	}
	require.Eventually(t, func() bool { return p.waiting.Load() == passwordSlots+passwordQueue }, 5*time.Second, time.Millisecond)
	_, err = p.hash("correct horse")
	require.ErrorIs(t, err, errPasswordsBusy)
	for range passwordSlots {
		p.leave()
	}
	for range passwordQueue {
		require.NoError(t, <-results)
	}
	require.Zero(t, p.waiting.Load())
	require.Empty(t, p.slots)
}

func TestRateLimit(t *testing.T) {
	s := listen(t, &script{}, func(c *Config) { c.RateLimit = 2 })
	for i, want := range []int{200, 200, 429} {
		a := s.ask("GET", "/", "", "", "X-Forwarded-For", fmt.Sprint("10.0.0.", i))
		require.Equal(t, want, a.StatusCode)
		require.Equal(t, want == 429, a.Header.Get("Retry-After") != "")
	}
}
