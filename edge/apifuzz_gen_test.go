package edge

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// hostile are strings that have broken somebody.
var hostile = []string{
	"", " ", "\x00", "\u202eabc", "\ud7ff\ue000", "a\r\nX-Injected: 1", "'; DROP TABLE reservations;--", "<script>alert(1)</script>", "%00", "../../etc/passwd",
	"${jndi:ldap://x}", strings.Repeat("a", 65), strings.Repeat("é", 2001), strings.Repeat("\\", 300), "NaN", "1e400", "\u0000\u0001", "ﷺ", "👩‍👩‍👧‍👦", "null", "0", "-1",
	"rst_zzzzzzzzzzzzz", "rsv_0123456789abc0123456789abc", "tbl_0123456789abc0123456789abc", "usr_7zzzzzzzzzzzzzzzzzzzzzzzzz", "2026-02-30", "2100-12-31", "24:00", "9999-12-31T23:59:59Z",
}

// wrongTypes are JSON values, one of each kind.
var wrongTypes = []string{"null", "true", "0", "-1", "1.5", "1e999", "99999999999999999999", `""`, `"x"`, "[]", "{}", "[[[[[[]]]]]]", `{"a":{"b":[1]}}`}

// inventor makes requests out of the document's schemas.
type inventor struct {
	*rand.Rand
	known map[string][]string // values that exist, by the name of their schema or of their member
}

func pick[T any](g *inventor, of []T) T { return of[g.IntN(len(of))] }

func (g *inventor) chance(percent int) bool { return g.IntN(100) < percent }

// learn remembers a value, at most 32 of a kind.
func (g *inventor) learn(kind, value string) {
	if len(g.known[kind]) < 32 {
		g.known[kind] = append(g.known[kind], value)
		return
	}
	g.known[kind][g.IntN(32)] = value
}

// text is a string that fits the schema, most of the time one that means something.
func (g *inventor) text(name string, ref *openapi3.SchemaRef) string {
	s := ref.Value
	if at := strings.LastIndexByte(ref.Ref, '/'); at >= 0 {
		name = ref.Ref[at+1:]
	}
	if len(s.Enum) > 0 {
		return fmt.Sprint(pick(g, s.Enum))
	}
	if of := g.known[name]; len(of) > 0 && g.chance(90) {
		return pick(g, of)
	}
	most := 40
	if s.MaxLength != nil {
		most = int(*s.MaxLength)
	}
	n := int(s.MinLength)
	if g.chance(10) {
		n = most + g.IntN(3) - 1
	} else {
		n += g.IntN(20)
	}
	return strings.Repeat(pick(g, []string{"a", "é", "漢", "x y"}), max(0, n))
}

// value is JSON that fits the schema, or nearly: numbers at their bounds and one beyond.
func (g *inventor) value(name string, ref *openapi3.SchemaRef) string {
	s := ref.Value
	if g.chance(2) {
		return pick(g, wrongTypes)
	}
	switch {
	case s.Type.Is("object"):
		return g.object(s)
	case s.Type.Is("array"):
		items := make([]string, g.IntN(3))
		if g.chance(2) {
			items = make([]string, 40)
		}
		for i := range items {
			items[i] = g.value(name, s.Items)
		}
		return "[" + strings.Join(items, ",") + "]"
	case s.Type.Is("integer"), s.Type.Is("number"):
		return g.number(s)
	case s.Type.Is("boolean"):
		return pick(g, []string{"true", "false"})
	}
	if g.chance(3) {
		return quote(pick(g, hostile))
	}
	return quote(g.text(name, ref))
}

func (g *inventor) number(s *openapi3.Schema) string {
	least, most := -5.0, 500.0
	if s.Min != nil {
		least = *s.Min
	}
	if s.Max != nil {
		most = *s.Max
	}
	switch g.IntN(10) {
	case 0:
		return fmt.Sprint(int(least) - 1 + g.IntN(3))
	case 1:
		return fmt.Sprint(int(most) - 1 + g.IntN(3))
	}
	return fmt.Sprint(int(least) + g.IntN(min(8, int(most-least)+1)))
}

func (g *inventor) object(s *openapi3.Schema) string {
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	var members []string
	for name, p := range s.Properties {
		if (required[name] && g.chance(97)) || (!required[name] && g.chance(50)) {
			members = append(members, quote(name)+":"+g.value(name, p))
		}
	}
	if g.chance(3) {
		members = append(members, quote(pick(g, []string{"role", "id", "__proto__", "é", "version", ""}))+":"+pick(g, wrongTypes))
	}
	if len(members) > 0 && g.chance(2) {
		members = append(members, pick(g, members)) // twice
	}
	return "{" + strings.Join(members, ",") + "}"
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// invention is a request.
type invention struct {
	method, target string
	headers        [][2]string
	body           string
}

// request makes one for an operation. Most of it fits; each part is spoiled now and then.
func (g *inventor) request(method, path string, op *openapi3.Operation, tokens []string) invention {
	r := invention{method: method, target: path}
	var query []string
	for _, p := range op.Parameters {
		v := p.Value
		switch v.In {
		case "path":
			id := g.text(v.Name, v.Schema)
			if g.chance(6) {
				id = pick(g, hostile)
			}
			r.target = strings.Replace(r.target, "{"+v.Name+"}", url.PathEscape(id), 1)
		case "query":
			if v.Required && g.chance(95) || g.chance(30) {
				query = append(query, v.Name+"="+url.QueryEscape(strings.Trim(g.value(v.Name, v.Schema), `"`)))
			}
		case "header":
			if v.Required && g.chance(90) || g.chance(25) {
				r.add(v.Name, g.header(v))
			}
		}
	}
	if g.chance(2) {
		query = append(query, pick(g, []string{"x=1", "limit=1&limit=2", "%zz", "=", "date=%00", "cursor=AAAA"}))
	}
	if len(query) > 0 {
		r.target += "?" + strings.Join(query, "&")
	}
	if g.chance(92) {
		r.add("Authorization", "Bearer "+pick(g, tokens))
	} else if g.chance(50) {
		r.add("Authorization", pick(g, []string{"Bearer", "Bearer x.y.z", "Basic YTpi", "bearer " + tokens[0], strings.Repeat("x", 5000)}))
	}
	if op.RequestBody != nil || (method != "GET" && g.chance(5)) {
		g.fill(&r, op)
	}
	if g.chance(2) {
		r.add("Accept", pick(g, []string{"text/html", "application/json;q=0", "*/*", "application/problem+json", "\x01"}))
	}
	if g.chance(1) {
		r.add("Content-Encoding", "gzip")
	}
	return r
}

func (r *invention) add(name, value string) { r.headers = append(r.headers, [2]string{name, value}) }

func (g *inventor) header(p *openapi3.Parameter) string {
	if g.chance(8) {
		return pick(g, []string{"", `"0"`, `W/"1"`, `"99999999999999999999"`, "x", strings.Repeat("k", 129), "\xff", `"1", "2"`})
	}
	switch p.Name {
	case "If-Match":
		return pick(g, []string{"*", `"1"`, `"2"`, `"3"`})
	case "Idempotency-Key":
		return fmt.Sprintf("key-%d", g.IntN(50_000))
	}
	return "x"
}

// fill gives the request a body.
func (g *inventor) fill(r *invention, op *openapi3.Operation) {
	contentType := "application/json"
	if g.chance(2) {
		contentType = pick(g, []string{"text/plain", "application/json; charset=latin1", "application/json; charset=utf-8", "multipart/form-data", ""})
	}
	r.add("Content-Type", contentType)
	r.body = "{}"
	if op.RequestBody != nil {
		r.body = g.value("", op.RequestBody.Value.Content["application/json"].Schema)
	}
	switch g.IntN(60) {
	case 0:
		r.body = r.body[:g.IntN(len(r.body)+1)]
	case 1:
		r.body += pick(g, []string{"{}", "x", "\x00"})
	case 2:
		r.body = pick(g, []string{"", "null", "[]", "{", strings.Repeat("[", 8000), strings.Repeat("a", 17<<10), "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}"})
	}
}

// newInventor knows what the tests' world has.
func newInventor(seed uint64) *inventor {
	g := &inventor{Rand: rand.New(rand.NewPCG(seed, 0)), known: map[string][]string{}}
	for i := range 30 {
		g.learn("Date", day(i))
		g.learn("email", fuzzEmail(i))
		g.learn("Clock", fmt.Sprintf("%02d:%02d", 8+i/2, i%4*15))
		g.learn("starts_at", time.Now().Truncate(15*time.Minute).Add(time.Duration(i)*5*time.Hour).UTC().Format(time.RFC3339))
	}
	for _, p := range []string{"correct horse", "battery staple"} {
		g.learn("Password", p)
		g.learn("password", p)
		g.learn("current_password", p)
	}
	g.learn("time_zone", "Europe/Rome")
	g.learn("open", "12:00")
	g.learn("close", "23:00")
	g.learn("last_seating", "22:00")
	g.learn("days", "mon")
	return g
}
