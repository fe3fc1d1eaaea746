package edge

import "testing"

// An empty number in the query was taken as "not asked for": 200, with everything. The document forbids that (contract_test.go judges),
// and a client whose variables are empty saw the whole country "near" it. (query: "a misspelt filter must not look like an empty one")
// Nor does it say which of two values is meant, and a text without a letter found everything.
func TestQueriesThatSayNothingAreRefused(t *testing.T) {
	s := listen(t, openHouse(t), func(c *Config) { c.Lists = &list{} })
	id, _ := s.register("owner@example.org", "owner").trattoria()
	for _, path := range []string{"/restaurants?lat=&lon=", "/restaurants?radius_km=", "/restaurants?guests=", "/restaurants/" + id + "/reviews?rating=",
		"/restaurants/" + id + "/reviews?limit=", "/restaurants/" + id + "/availability?date=" + day(1) + "&guests_count=2&time=",
		"/restaurants/" + id + "/availability?date=" + day(1) + "&guests_count=&time=%31",
		"/restaurants?city=Roma&city=Milano", "/restaurants?q=%F0%9F%8D%95", "/restaurants?city=%21", "/restaurants?cuisine=+"} {
		t.Run(path, func(t *testing.T) {
			s.t = t
			a := s.ask("GET", "/api/v1"+path, "", "")
			if a.StatusCode != 422 {
				t.Errorf("%d %s", a.StatusCode, a.text)
			}
		})
	}
}
