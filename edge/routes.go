package edge

import (
	"bytes"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// endpoint is one route with its meter.
type endpoint struct {
	*meter
	method, pattern string
	handle          func(*exchange)
	needs           need
	ics             *endpoint // of the same path with .ics after it, which the router cannot tell apart; nil = there is none
}

// need is what a route asks of a request before its handler runs.
type need uint8

const (
	needCaller need = 1 << iota // a valid access token
	needBody                    // JSON; without it a body may still come, and must be JSON then
	raw                         // not the JSON API: no Accept, no body
	ofCalendar                  // answers with an iCalendar object
)

type exchangeKey struct{}

const (
	api              = "/api/v1"
	reservationsPath = api + "/reservations"
	restaurantsPath  = api + "/restaurants/"
)

func (s *Server) routes() {
	s.router = router.New()
	s.router.RedirectTrailingSlash, s.router.RedirectFixedPath, s.router.HandleOPTIONS = false, false, false
	s.router.NotFound = func(ctx *fasthttp.RequestCtx) { exchangeOf(ctx).fail(kindNotFound) }
	s.router.MethodNotAllowed = func(ctx *fasthttp.RequestCtx) {
		allow := string(ctx.Response.Header.Peek("Allow"))
		ctx.Response.Header.Set("Allow", strings.TrimSuffix(strings.ReplaceAll(allow, "OPTIONS, ", ""), ", OPTIONS"))
		exchangeOf(ctx).fail(kindMethod)
	}
	s.other = endpoint{meter: newMeter(s.metrics, "other", "other"), pattern: "other"}
	s.broken = endpoint{meter: newMeter(s.metrics, "other", "unreadable"), pattern: "unreadable"}

	s.route("POST", "/auth/register", needBody, s.register)
	s.route("POST", "/auth/login", needBody, s.login)
	s.route("POST", "/auth/refresh", needBody, s.refresh)
	s.route("POST", "/auth/logout", needBody, s.logout)
	s.route("POST", "/auth/revoke-all", needPerson, s.revokeAll)
	s.route("GET", "/me", needCaller, s.getMe)
	s.route("PATCH", "/me", needPerson|needBody, s.patchMe)
	s.route("DELETE", "/me", needPerson|needBody, s.deleteMe)
	s.route("POST", "/me/totp", needPerson|needBody, s.postTotp)
	s.route("POST", "/me/totp/confirm", needPerson|needBody, s.confirmTotp)
	s.route("DELETE", "/me/totp", needPerson|needBody, s.deleteTotp)
	s.route("POST", "/me/api-keys", needPerson|needBody, s.postAPIKey)
	s.route("GET", "/me/api-keys", needPerson, s.getAPIKeys)
	s.route("DELETE", "/me/api-keys/{id}", needPerson, s.deleteAPIKey)

	s.route("GET", "/me/restaurants", needCaller, s.getPlaces)

	s.route("POST", "/restaurants", needCaller|needBody, s.postRestaurant)
	s.route("GET", "/restaurants", 0, s.getRestaurants)
	s.route("GET", "/restaurants/{id}", 0, s.getRestaurant)
	s.route("PATCH", "/restaurants/{id}", needCaller|needBody, s.patchRestaurant)
	s.route("GET", "/restaurants/{id}/rules", needCaller, s.getRules)
	s.route("PATCH", "/restaurants/{id}/rules", needCaller|needBody, s.patchRules)
	s.route("POST", "/restaurants/{id}/tables", needCaller|needBody, s.postTable)
	s.route("GET", "/restaurants/{id}/tables", 0, s.getTables)
	s.route("PATCH", "/tables/{id}", needCaller|needBody, s.patchTable)
	s.route("DELETE", "/tables/{id}", needCaller, s.deleteTable)
	s.calendar = s.route("GET", "/restaurants/{id}/availability", 0, s.getAvailability)
	s.route("GET", "/restaurants/{id}/availability/explain", needCaller, s.getExplanation)
	s.route("POST", "/restaurants/{id}/walk-ins", needCaller|needBody, s.postWalkIn)
	s.route("GET", "/restaurants/{id}/conflicts", needCaller, s.getConflicts)
	s.route("GET", "/restaurants/{id}/reservations", needCaller, s.getDaySheet)

	s.route("GET", "/restaurants/{id}/reviews", 0, s.getReviews)
	s.route("POST", "/restaurants/{id}/staff", needCaller|needBody, s.postStaff)
	s.route("GET", "/restaurants/{id}/staff", needCaller, s.getStaff)
	s.route("PATCH", "/restaurants/{id}/staff/{user_id}", needCaller|needBody, s.patchStaff)
	s.route("DELETE", "/restaurants/{id}/staff/{user_id}", needCaller, s.deleteStaff)

	s.routesOfBookings()

	s.plain("/.well-known/jwks.json", s.getKeySet)
	s.plain("/healthz", s.getHealth)
	s.plain("/readyz", s.getReady)
	s.plain("/", s.getIndex)
}

// routesOfBookings is what guests and staff do with bookings.
func (s *Server) routesOfBookings() {
	s.route("POST", "/holds", needCaller|needBody, s.postHold)
	s.route("POST", "/holds/{id}/confirm", needCaller, s.confirmHold)
	s.route("DELETE", "/holds/{id}", needCaller, s.deleteHold)
	s.route("POST", "/restaurants/{id}/waitlist", needCaller|needBody, s.postWait)
	s.route("GET", "/restaurants/{id}/waitlist", needCaller, s.getWaitlist)
	s.route("GET", "/restaurants/{id}/waitlist/quote", 0, s.getQuote)
	s.route("GET", "/waitlist/{id}", needCaller, s.getWait)
	s.route("POST", "/waitlist/{id}/accept", needCaller, s.confirmHold)
	s.route("POST", "/waitlist/{id}/offer", needCaller, s.postOffer)
	s.route("DELETE", "/waitlist/{id}", needCaller, s.deleteHold)
	s.createReservation = s.route("POST", "/reservations", needCaller|needBody, s.postReservation)
	s.route("GET", "/reservations", needCaller, s.getMine)
	s.route("GET", "/reservations/{id}", needCaller, s.getReservation).ics = s.calendarRoute()
	s.route("PATCH", "/reservations/{id}", needCaller|needBody, s.patchReservation)
	s.route("PUT", "/reservations/{id}/tables", needCaller|needBody, s.putTables)
	s.route("PUT", "/reservations/{id}/note", needCaller|needBody, s.putNote)
	s.route("POST", "/reservations/{id}/review", needCaller|needBody, s.postReview)
	for _, t := range transitions {
		s.route("POST", "/reservations/{id}/"+t.name, needCaller, func(x *exchange) { s.transition(x, t) })
	}
}

// route adds a route of the API.
func (s *Server) route(method, path string, needs need, handle func(*exchange)) *endpoint {
	return s.add(&endpoint{meter: newMeter(s.metrics, method, api+path), method: method, pattern: api + path, needs: needs, handle: handle})
}

// calendarRoute is the calendar's route, beside the router.
func (s *Server) calendarRoute() *endpoint {
	const path = "/reservations/{id}.ics"
	e := &endpoint{meter: newMeter(s.metrics, "GET", api+path), method: "GET", pattern: api + path, needs: needCaller | ofCalendar, handle: s.getCalendar}
	s.reads[e.pattern] = e
	return e
}

// plain adds a GET route beside the API.
func (s *Server) plain(path string, handle func(*exchange)) {
	s.add(&endpoint{meter: newMeter(s.metrics, "GET", path), method: "GET", pattern: path, needs: raw, handle: handle})
}

func (s *Server) add(e *endpoint) *endpoint {
	if e.method == "GET" {
		s.reads[e.pattern] = e
	}
	s.router.Handle(e.method, e.pattern, func(ctx *fasthttp.RequestCtx) {
		x := exchangeOf(ctx)
		if id, ok := ctx.UserValue("id").(string); ok {
			x.param = id
		}
		if id, ok := ctx.UserValue("user_id").(string); ok {
			x.second = id
		}
		if id, suffixed := strings.CutSuffix(x.param, ".ics"); suffixed && e.ics != nil {
			x.param = id
			s.run(x, e.ics)
			return
		}
		s.run(x, e)
	})
	return e
}

func exchangeOf(ctx *fasthttp.RequestCtx) *exchange { return ctx.UserValue(exchangeKey{}).(*exchange) }

// dispatch serves the hot routes, when they are written plainly, without the router.
func (s *Server) dispatch(x *exchange) bool {
	h := &x.ctx.Request.Header
	uri := h.RequestURI()
	switch {
	case h.IsPost() && string(uri) == reservationsPath:
		s.run(x, s.createReservation)
		return true
	case h.IsGet() && len(uri) > len(restaurantsPath) && string(uri[:len(restaurantsPath)]) == restaurantsPath:
		rest := uri[len(restaurantsPath):]
		slash := bytes.IndexByte(rest, '/')
		if slash < 0 || !bytes.HasPrefix(rest[slash:], []byte("/availability?")) {
			return false
		}
		x.param = aliased(rest[:slash])
		s.run(x, s.calendar)
		return true
	}
	return false
}

// run checks what the endpoint needs and handles.
func (s *Server) run(x *exchange, e *endpoint) {
	x.endpoint = e
	if s.cfg.Tracing != nil {
		x.span = s.cfg.Tracing.begin(x)
	}
	if e.needs&raw == 0 {
		if t := x.check(e); t.status != 0 {
			x.fail(t)
			return
		}
	}
	if s.routed != nil && e.method == "GET" && x.param != "" {
		s.roam(x)
		return
	}
	e.handle(x)
}

func (x *exchange) check(e *endpoint) kind {
	h := &x.head
	if h.repeated {
		if h.twoTokens && e.needs&needCaller != 0 {
			return kindUnauthorized
		}
		return kindMalformed
	}
	if h.accept != nil && !accepts(h.accept) && !(e.needs&ofCalendar != 0 && acceptsCalendar(h.accept)) {
		return kindNotAcceptable
	}
	if h.encoded {
		return kindMediaType
	}
	if e.needs&needCaller != 0 {
		if k := x.authenticate(e); k.status != 0 {
			return k
		}
	}
	if x.param != "" && !fitsID(x.param) || x.second != "" && !fitsID(x.second) {
		return kindMalformed
	}
	if e.method != "GET" && (e.needs&needBody != 0 || len(x.body()) > 0) && !isJSON(h.contentType) {
		return kindMediaType
	}
	return kind{}
}

// accepts says whether an Accept line admits JSON.
func accepts(accept []byte) bool {
	return len(accept) == 0 || string(accept) == "*/*" || bytes.Contains(accept, []byte("*/*")) ||
		bytes.Contains(accept, []byte("application/json")) || bytes.Contains(accept, []byte("application/*")) ||
		bytes.Contains(accept, []byte("application/problem+json"))
}

// isJSON says whether a Content-Type is application/json, in UTF-8 if it says anything of it.
func isJSON(contentType []byte) bool {
	if string(contentType) == "application/json" {
		return true
	}
	kind, params, _ := bytes.Cut(contentType, []byte(";"))
	if !isName(bytes.TrimSpace(kind), "application/json") {
		return false
	}
	params = bytes.ToLower(bytes.TrimSpace(params))
	return len(params) == 0 || string(params) == "charset=utf-8" || string(params) == `charset="utf-8"`
}
