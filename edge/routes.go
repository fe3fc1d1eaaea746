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
}

// need is what a route asks of a request before its handler runs.
type need uint8

const (
	needCaller need = 1 << iota // a valid access token
	needBody                    // JSON; without it a body may still come, and must be JSON then
	raw                         // not the JSON API: no Accept, no body
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
	s.route("POST", "/auth/revoke-all", needCaller, s.revokeAll)
	s.route("GET", "/me", needCaller, s.getMe)
	s.route("PATCH", "/me", needCaller|needBody, s.patchMe)
	s.route("DELETE", "/me", needCaller|needBody, s.deleteMe)

	s.route("POST", "/restaurants", needCaller|needBody, s.postRestaurant)
	s.route("GET", "/restaurants/{id}", 0, s.getRestaurant)
	s.route("PATCH", "/restaurants/{id}", needCaller|needBody, s.patchRestaurant)
	s.route("POST", "/restaurants/{id}/tables", needCaller|needBody, s.postTable)
	s.route("GET", "/restaurants/{id}/tables", 0, s.getTables)
	s.route("PATCH", "/tables/{id}", needCaller|needBody, s.patchTable)
	s.route("DELETE", "/tables/{id}", needCaller, s.deleteTable)
	s.calendar = s.route("GET", "/restaurants/{id}/availability", 0, s.getAvailability)
	s.route("GET", "/restaurants/{id}/reservations", needCaller, s.getDaySheet)

	s.createReservation = s.route("POST", "/reservations", needCaller|needBody, s.postReservation)
	s.route("GET", "/reservations", needCaller, s.getMine)
	s.route("GET", "/reservations/{id}", needCaller, s.getReservation)
	s.route("PATCH", "/reservations/{id}", needCaller|needBody, s.patchReservation)
	for _, t := range transitions {
		s.route("POST", "/reservations/{id}/"+t.name, needCaller, func(x *exchange) { s.transition(x, t) })
	}

	s.plain("/healthz", s.getHealth)
	s.plain("/readyz", s.getReady)
	s.plain("/metrics", s.metricsPage())
	s.plain("/", s.getIndex)
}

// route adds a route of the API.
func (s *Server) route(method, path string, needs need, handle func(*exchange)) *endpoint {
	return s.add(&endpoint{meter: newMeter(s.metrics, method, api+path), method: method, pattern: api + path, needs: needs, handle: handle})
}

// plain adds a GET route beside the API.
func (s *Server) plain(path string, handle func(*exchange)) {
	s.add(&endpoint{meter: newMeter(s.metrics, "GET", path), method: "GET", pattern: path, needs: raw, handle: handle})
}

func (s *Server) add(e *endpoint) *endpoint {
	s.router.Handle(e.method, e.pattern, func(ctx *fasthttp.RequestCtx) {
		x := exchangeOf(ctx)
		if id, ok := ctx.UserValue("id").(string); ok {
			x.param = id
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
	if e.needs&raw == 0 {
		if t := x.check(e); t.status != 0 {
			x.fail(t)
			return
		}
	}
	e.handle(x)
}

func (x *exchange) check(e *endpoint) kind {
	h := &x.head
	if h.repeated {
		if h.twoTokens {
			return kindUnauthorized
		}
		return kindMalformed
	}
	if h.accept != nil && !accepts(h.accept) {
		return kindNotAcceptable
	}
	if h.encoded {
		return kindMediaType
	}
	if e.needs&needCaller != 0 {
		if x.caller = x.s.tokens.verify(h.authorization, x.now); x.caller == nil {
			return kindUnauthorized
		}
	}
	if x.param != "" && !fitsID(x.param) {
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
