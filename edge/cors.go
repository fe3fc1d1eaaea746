package edge

import (
	"fmt"
	"net/url"
)

// CheckOrigin says what is wrong with an origin that pages may call from: scheme, host and port exactly as browsers send them.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil {
		return fmt.Errorf("%q is not an origin: %w", origin, err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return fmt.Errorf("%q is not an origin such as https://book.example", origin)
	}
	return nil
}

// cors lets the pages of some origins call the API, without credentials that a browser adds by itself.
type cors map[string]struct{}

// newCORS is nil without origins: then no answer carries a field of CORS.
func newCORS(origins []string) (cors, error) {
	var c cors
	for _, origin := range origins {
		if err := CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("edge: %w", err)
		}
		if c == nil {
			c = cors{}
		}
		c[origin] = struct{}{}
	}
	return c, nil
}

// admit says in the answer whether the page may read it.
func (c cors) admit(x *exchange) (known bool) {
	h := &x.ctx.Response.Header
	h.Set("Vary", "Origin")
	if _, known = c[string(x.head.origin)]; known {
		h.SetBytesV("Access-Control-Allow-Origin", x.head.origin)
		h.Set("Access-Control-Expose-Headers", "ETag, Idempotent-Replay, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id")
	}
	return known
}

// preflight answers a browser that asks before it sends; false when the request is another.
func (x *exchange) preflight() bool {
	r := &x.ctx.Request.Header
	if !r.IsOptions() || len(r.Peek("Access-Control-Request-Method")) == 0 {
		return false
	}
	h := &x.ctx.Response.Header
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-Match, Traceparent, X-Request-Id")
	h.Set("Access-Control-Max-Age", "600")
	x.empty()
	return true
}
