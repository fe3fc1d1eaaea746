package edge

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

var updateAuthz = flag.Bool("update-authz", false, "write testdata/authz.txt anew; commit only what you understand")

// callers of the matrix, as columns: what they are to the restaurant, the table, the reservation and the member that a request names.
var authzCallers = []string{"nobody", "guest", "diner", "host", "manager", "owner", "dismissed", "manager²", "owner²", "admin"}

// outsiders have nothing to do with the restaurant.
var authzOutsiders = []string{"nobody", "diner", "dismissed", "manager²", "owner²"}

// authzCity is a house with one of each kind of caller.
type authzCity struct {
	*site
	who        map[string]person
	restaurant string
	n          int
	heldBefore string
}

func openCity(t *testing.T) *authzCity {
	c := &authzCity{site: listen(t, openHouse(t), func(c *Config) { c.Lists = &list{} }), who: map[string]person{}}
	for _, name := range []string{"guest", "diner", "host", "manager", "dismissed", "manager²"} {
		c.who[name] = c.register(strings.TrimSuffix(name, "²")+fmt.Sprint(len(c.who))+"@example.org", "customer")
	}
	for _, name := range []string{"owner", "owner²"} {
		c.who[name] = c.register("o"+fmt.Sprint(len(c.who))+"@example.org", "owner")
	}
	c.who["nobody"] = person{site: c.site}
	c.who["admin"] = person{site: c.site, id: "usr_00000000000000000000000009"}
	c.restaurant, _ = c.who["owner"].trattoria()
	other, _ := c.who["owner²"].trattoria()
	c.hire("owner", c.restaurant, "host", "host")
	c.hire("owner", c.restaurant, "manager", "manager")
	c.hire("owner", c.restaurant, "dismissed", "manager")
	c.hire("owner²", other, "manager²", "manager")
	a := c.who["owner"].do("DELETE", "/restaurants/"+c.restaurant+"/staff/"+c.who["dismissed"].id, "")
	require.Equal(t, 204, a.StatusCode, a.text)
	return c
}

func (c *authzCity) hire(by, restaurant, who, role string) {
	c.t.Helper()
	me := c.as(who).do("GET", "/me", "")
	a := c.as(by).do("POST", "/restaurants/"+restaurant+"/staff", fmt.Sprintf(`{"email":%q,"role":%q}`, me.doc["email"], role))
	require.Equal(c.t, 201, a.StatusCode, a.text)
}

// as is a caller with a fresh token: some routes end sessions.
func (c *authzCity) as(name string) person {
	p := c.who[name]
	switch {
	case name == "admin":
		p.token = c.site.token(engine.AccountID(p.id), engine.RoleAdmin)
	case strings.HasPrefix(name, "owner"):
		p.token = c.site.token(engine.AccountID(p.id), engine.RoleOwner)
	case name != "nobody":
		p.token = c.site.token(engine.AccountID(p.id), engine.RoleCustomer)
	}
	return p
}

// fresh makes a name that nobody has.
func (c *authzCity) fresh(kind string) string { c.n++; return fmt.Sprintf("%s%d", kind, c.n) }

// reservation is a new one of the guest, brought to a status by the owner.
func (c *authzCity) reservation(actions ...string) string {
	c.t.Helper()
	c.n++
	a := c.as("guest").do("POST", "/reservations", wish(c.restaurant, day(2+c.n%80), fmt.Sprintf("%02d:00", 8+c.n/80%12), 2))
	require.Equal(c.t, 201, a.StatusCode, a.text)
	id := a.doc["id"].(string)
	for _, action := range actions {
		a := c.as("owner").do("POST", "/reservations/"+id+"/"+action, "")
		require.Equal(c.t, 200, a.StatusCode, a.text)
	}
	return id
}

func (c *authzCity) holds(p person) *answer {
	c.n++
	return p.do("POST", "/holds", fmt.Sprintf(`{"restaurant_id":%q,"date":%q,"time_slot":"%02d:30","guests_count":2}`, c.restaurant, day(2+c.n%80), 8+c.n/80%12))
}

func (c *authzCity) waits(p person) *answer {
	c.n++
	return p.do("POST", "/restaurants/"+c.restaurant+"/waitlist", fmt.Sprintf(`{"date":%q,"time_slot":"%02d:30","guests_count":2}`, day(2+c.n%80), 8+c.n/80%12))
}

// held is a hold of the guest, who has few: it is of a guest of its own in effect, since it ends with this request or is released.
func (c *authzCity) held() string {
	c.t.Helper()
	if c.heldBefore != "" {
		c.as("guest").do("DELETE", "/holds/"+c.heldBefore, "")
	}
	a := c.holds(c.as("guest"))
	require.Equal(c.t, 201, a.StatusCode, a.text)
	c.heldBefore = a.doc["id"].(string)
	return c.heldBefore
}

// own is somebody of the same kind with an account that no other cell changes.
func (c *authzCity) own(p person) person {
	if p.id == "" || p.id == c.who["admin"].id {
		return p
	}
	return c.register(c.fresh("v")+"@example.org", "customer")
}

func (c *authzCity) table() string {
	a := c.as("owner").do("POST", "/restaurants/"+c.restaurant+"/tables", fmt.Sprintf(`{"table_number":%q,"capacity":2,"min_capacity":1}`, c.fresh("X")))
	require.Equal(c.t, 201, a.StatusCode, a.text)
	return a.doc["id"].(string)
}

func (c *authzCity) dropTable(id string) { c.as("owner").do("DELETE", "/tables/"+id, "") }

// member is a host who was hired for this request.
func (c *authzCity) member() string {
	p := c.register(c.fresh("m")+"@example.org", "customer")
	a := c.as("owner").do("POST", "/restaurants/"+c.restaurant+"/staff", fmt.Sprintf(`{"email":%q,"role":"host"}`, p.do("GET", "/me", "").doc["email"]))
	require.Equal(c.t, 201, a.StatusCode, a.text)
	return p.id
}

func (c *authzCity) dismiss(id string) {
	c.as("owner").do("DELETE", "/restaurants/"+c.restaurant+"/staff/"+id, "")
}

// authzRequests has a request for each route: it makes what the request is about, sends it, and tidies up.
var authzRequests = map[string]func(c *authzCity, p person) *answer{
	"POST /auth/register": func(c *authzCity, p person) *answer {
		return p.do("POST", "/auth/register", fmt.Sprintf(`{"email":"%s@example.org","password":"correct horse"}`, c.fresh("r")))
	},
	"POST /auth/login": func(c *authzCity, p person) *answer {
		return p.do("POST", "/auth/login", `{"email":"guest0@example.org","password":"correct horse"}`)
	},
	"POST /auth/refresh": func(c *authzCity, p person) *answer {
		fresh := c.register(c.fresh("s")+"@example.org", "customer")
		return p.do("POST", "/auth/refresh", fmt.Sprintf(`{"refresh_token":%q}`, fresh.refresh))
	},
	"POST /auth/logout": func(c *authzCity, p person) *answer {
		fresh := c.register(c.fresh("l")+"@example.org", "customer")
		return p.do("POST", "/auth/logout", fmt.Sprintf(`{"refresh_token":%q}`, fresh.refresh))
	},
	"POST /auth/revoke-all": func(c *authzCity, p person) *answer {
		return c.own(p).do("POST", "/auth/revoke-all", "")
	},
	"GET /me": func(c *authzCity, p person) *answer { return p.do("GET", "/me", "") },
	"PATCH /me": func(c *authzCity, p person) *answer {
		return p.do("PATCH", "/me", `{"last_name":"Bianchi"}`, "If-Match", "*")
	},
	"DELETE /me": func(c *authzCity, p person) *answer {
		return c.own(p).do("DELETE", "/me", `{"password":"correct horse"}`)
	},
	"GET /me/restaurants": func(c *authzCity, p person) *answer {
		return p.do("GET", "/me/restaurants", "")
	},
	"POST /me/totp": func(c *authzCity, p person) *answer {
		return c.own(p).do("POST", "/me/totp", `{"password":"correct horse"}`)
	},
	"POST /me/totp/confirm": func(c *authzCity, p person) *answer { // nothing to confirm: 404 to who may
		return c.own(p).do("POST", "/me/totp/confirm", `{"code":"000000"}`)
	},
	"DELETE /me/totp": func(c *authzCity, p person) *answer { // nothing to remove: 404 to who may
		return c.own(p).do("DELETE", "/me/totp", `{"password":"correct horse"}`)
	},
	"POST /me/api-keys": func(c *authzCity, p person) *answer {
		return c.own(p).do("POST", "/me/api-keys", `{"name":"till","password":"correct horse"}`)
	},
	"GET /me/api-keys": func(c *authzCity, p person) *answer { return c.own(p).do("GET", "/me/api-keys", "") },
	"DELETE /me/api-keys/{id}": func(c *authzCity, p person) *answer {
		p = c.own(p)
		id, _ := p.do("POST", "/me/api-keys", `{"name":"till","password":"correct horse"}`).doc["id"].(string)
		if id == "" {
			id = "key_0000000000000"
		}
		return p.do("DELETE", "/me/api-keys/"+id, "")
	},
	"POST /restaurants": func(c *authzCity, p person) *answer {
		return p.do("POST", "/restaurants", `{"name":"Nuova","time_zone":"Europe/Rome"}`)
	},
	"GET /restaurants":      func(c *authzCity, p person) *answer { return p.do("GET", "/restaurants?q=anna", "") },
	"GET /restaurants/{id}": func(c *authzCity, p person) *answer { return p.do("GET", "/restaurants/"+c.restaurant, "") },
	"PATCH /restaurants/{id}": func(c *authzCity, p person) *answer {
		return p.do("PATCH", "/restaurants/"+c.restaurant, `{"description":"x"}`, "If-Match", "*")
	},
	"GET /restaurants/{id}/availability/explain": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/availability/explain?guests_count=2&time=19:00&date="+day(3), "")
	},
	"POST /restaurants/{id}/walk-ins": func(c *authzCity, p person) *answer {
		a := p.do("POST", "/restaurants/"+c.restaurant+"/walk-ins", `{"guests_count":1}`)
		if a.StatusCode == 201 { // the next one wants the table
			require.Equal(c.t, 200, c.as("owner").do("POST", "/reservations/"+a.doc["id"].(string)+"/complete", "").StatusCode)
		}
		return a
	},
	"POST /restaurants/{id}/waitlist": func(c *authzCity, p person) *answer { return c.waits(p) },
	"GET /restaurants/{id}/waitlist": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/waitlist?date="+day(3), "")
	},
	"GET /restaurants/{id}/waitlist/quote": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/waitlist/quote?guests_count=2&time=12:30&date="+day(3), "")
	},
	"GET /waitlist/{id}":         func(c *authzCity, p person) *answer { return p.do("GET", "/waitlist/"+c.held(), "") },
	"POST /waitlist/{id}/accept": func(c *authzCity, p person) *answer { return p.do("POST", "/waitlist/"+c.held()+"/accept", "") },
	"POST /waitlist/{id}/offer":  func(c *authzCity, p person) *answer { return p.do("POST", "/waitlist/"+c.held()+"/offer", "") },
	"DELETE /waitlist/{id}":      func(c *authzCity, p person) *answer { return p.do("DELETE", "/waitlist/"+c.held(), "") },
	"POST /holds":                func(c *authzCity, p person) *answer { return c.holds(p) },
	"POST /holds/{id}/confirm":   func(c *authzCity, p person) *answer { return p.do("POST", "/holds/"+c.held()+"/confirm", "") },
	"DELETE /holds/{id}":         func(c *authzCity, p person) *answer { return p.do("DELETE", "/holds/"+c.held(), "") },
	"GET /reservations/{id}.ics": func(c *authzCity, p person) *answer { return p.do("GET", "/reservations/"+c.reservation()+".ics", "") },
	"GET /restaurants/{id}/conflicts": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/conflicts", "")
	},
	"GET /restaurants/{id}/rules": func(c *authzCity, p person) *answer { return p.do("GET", "/restaurants/"+c.restaurant+"/rules", "") },
	"PATCH /restaurants/{id}/rules": func(c *authzCity, p person) *answer {
		return p.do("PATCH", "/restaurants/"+c.restaurant+"/rules", `{"min_notice_minutes":0}`, "If-Match", "*")
	},
	"POST /restaurants/{id}/tables": func(c *authzCity, p person) *answer {
		a := p.do("POST", "/restaurants/"+c.restaurant+"/tables", fmt.Sprintf(`{"table_number":%q,"capacity":2,"min_capacity":1}`, c.fresh("N")))
		if a.StatusCode == 201 {
			c.dropTable(a.doc["id"].(string))
		}
		return a
	},
	"GET /restaurants/{id}/tables": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/tables", "")
	},
	"PATCH /tables/{id}": func(c *authzCity, p person) *answer {
		id := c.table()
		defer c.dropTable(id)
		return p.do("PATCH", "/tables/"+id, `{"location":"terrace"}`, "If-Match", "*")
	},
	"DELETE /tables/{id}": func(c *authzCity, p person) *answer {
		id := c.table()
		defer c.dropTable(id)
		return p.do("DELETE", "/tables/"+id, "")
	},
	"GET /restaurants/{id}/availability": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/availability?date="+day(1)+"&guests_count=2", "")
	},
	"GET /restaurants/{id}/reservations": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/reservations?date="+day(1), "")
	},
	"GET /restaurants/{id}/reviews": func(c *authzCity, p person) *answer {
		return p.do("GET", "/restaurants/"+c.restaurant+"/reviews", "")
	},
	"POST /restaurants/{id}/staff": func(c *authzCity, p person) *answer {
		fresh := c.register(c.fresh("h")+"@example.org", "customer")
		defer c.dismiss(fresh.id)
		return p.do("POST", "/restaurants/"+c.restaurant+"/staff", fmt.Sprintf(`{"email":%q,"role":"host"}`, fresh.do("GET", "/me", "").doc["email"]))
	},
	"GET /restaurants/{id}/staff": func(c *authzCity, p person) *answer { return p.do("GET", "/restaurants/"+c.restaurant+"/staff", "") },
	"PATCH /restaurants/{id}/staff/{user_id}": func(c *authzCity, p person) *answer {
		id := c.member()
		defer c.dismiss(id)
		return p.do("PATCH", "/restaurants/"+c.restaurant+"/staff/"+id, `{"role":"host"}`, "If-Match", "*")
	},
	"DELETE /restaurants/{id}/staff/{user_id}": func(c *authzCity, p person) *answer {
		id := c.member()
		defer c.dismiss(id)
		return p.do("DELETE", "/restaurants/"+c.restaurant+"/staff/"+id, "")
	},
	"POST /reservations": func(c *authzCity, p person) *answer {
		c.n++
		return p.do("POST", "/reservations", wish(c.restaurant, day(2+c.n%80), "20:00", 2))
	},
	"GET /reservations":      func(c *authzCity, p person) *answer { return p.do("GET", "/reservations", "") },
	"GET /reservations/{id}": func(c *authzCity, p person) *answer { return p.do("GET", "/reservations/"+c.reservation(), "") },
	"PATCH /reservations/{id}": func(c *authzCity, p person) *answer {
		return p.do("PATCH", "/reservations/"+c.reservation(), `{"special_requests":"x"}`, "If-Match", "*")
	},
	"PUT /reservations/{id}/tables": func(c *authzCity, p person) *answer {
		id := c.reservation()
		table := c.as("owner").do("GET", "/reservations/"+id, "").doc["table_id"].(string)
		return p.do("PUT", "/reservations/"+id+"/tables", `{"table_ids":["`+table+`"]}`, "If-Match", "*")
	},
	"PUT /reservations/{id}/note": func(c *authzCity, p person) *answer {
		return p.do("PUT", "/reservations/"+c.reservation()+"/note", `{"note":"x"}`)
	},
	"POST /reservations/{id}/review": func(c *authzCity, p person) *answer {
		return p.do("POST", "/reservations/"+c.reservation("seat", "complete")+"/review", `{"rating":5}`)
	},
	"POST /reservations/{id}/cancel":    onReservation("cancel"),
	"POST /reservations/{id}/confirm":   onReservation("confirm"), // nothing waits for approval yet: 409 to who may
	"POST /reservations/{id}/decline":   onReservation("decline"),
	"POST /reservations/{id}/seat":      onReservation("seat"),
	"POST /reservations/{id}/complete":  onReservation("complete", "seat"),
	"POST /reservations/{id}/no-show":   onReservation("no-show"),
	"POST /reservations/{id}/reinstate": onReservation("reinstate", "cancel"),
}

func onReservation(action string, before ...string) func(c *authzCity, p person) *answer {
	return func(c *authzCity, p person) *answer {
		return p.do("POST", "/reservations/"+c.reservation(before...)+"/"+action, "")
	}
}

// Every route times every caller; a route without a row fails. testdata/authz.txt is the matrix, for people.
func TestAuthorisationMatrix(t *testing.T) {
	c := openCity(t)
	var routes []string
	for method, paths := range c.router.List() {
		for _, path := range paths {
			if rest, ok := strings.CutPrefix(path, api); ok {
				routes = append(routes, method+" "+rest)
			}
		}
	}
	routes = append(routes, "GET /reservations/{id}.ics")
	slices.SortFunc(routes, func(a, b string) int {
		return strings.Compare(a[strings.Index(a, "/"):]+a, b[strings.Index(b, "/"):]+b)
	})
	var out strings.Builder
	fmt.Fprintf(&out, "%-42s", "")
	for _, name := range authzCallers {
		fmt.Fprintf(&out, " %-9s", name)
	}
	for _, route := range routes {
		request := authzRequests[route]
		require.NotNil(t, request, "no row for %s", route)
		fmt.Fprintf(&out, "\n%-42s", route)
		for _, name := range authzCallers {
			a := request(c, c.as(name))
			checkCell(t, route, name, a)
			fmt.Fprintf(&out, " %-9d", a.StatusCode)
		}
	}
	require.Len(t, authzRequests, len(routes), "a row for a route that is not there")
	var table strings.Builder
	for line := range strings.Lines(out.String() + "\n") {
		table.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	const file = "testdata/authz.txt"
	if *updateAuthz {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(table.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), table.String())
}

// publicRoutes need no caller.
var publicRoutes = []string{
	"POST /auth/register", "POST /auth/login", "POST /auth/refresh", "POST /auth/logout", "GET /restaurants", "GET /restaurants/{id}", "GET /restaurants/{id}/tables",
	"GET /restaurants/{id}/availability", "GET /restaurants/{id}/reviews", "GET /restaurants/{id}/waitlist/quote",
}

// ownRoutes are about the caller's own things.
var ownRoutes = []string{"POST /auth/revoke-all", "GET /me", "PATCH /me", "DELETE /me", "GET /me/restaurants", "POST /me/totp", "POST /me/totp/confirm", "DELETE /me/totp",
	"POST /me/api-keys", "GET /me/api-keys", "DELETE /me/api-keys/{id}", "POST /restaurants", "POST /reservations", "POST /holds", "POST /restaurants/{id}/waitlist", "GET /reservations"}

// checkCell says what must hold whatever the file says.
func checkCell(t *testing.T, route, caller string, a *answer) {
	t.Helper()
	public, own := slices.Contains(publicRoutes, route), slices.Contains(ownRoutes, route)
	switch {
	case public:
		require.Less(t, a.StatusCode, 300, "%s by %s: %s", route, caller, a.text)
	case caller == "nobody":
		require.Equal(t, 401, a.StatusCode, "%s by %s: %s", route, caller, a.text)
	case !own && slices.Contains(authzOutsiders, caller):
		require.Contains(t, []int{403, 404}, a.StatusCode, "%s by %s: %s", route, caller, a.text)
	}
	require.Less(t, a.StatusCode, 500, "%s by %s: %s", route, caller, a.text)
}
