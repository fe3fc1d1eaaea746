package edge

import (
	"bytes"
	"errors"
	"net"
	"os"

	"github.com/valyala/fasthttp"
)

// head is what the guard found in the header block in one pass. The slices lead into fasthttp's buffers.
type head struct {
	authorization  []byte
	idempotencyKey []byte
	ifMatch        []byte
	contentType    []byte
	accept         []byte
	origin         []byte
	requestID      []byte
	traceparent    []byte
	repeated       bool // one of the above came twice, or
	twoTokens      bool // Authorization did
	encoded        bool // Content-Encoding other than identity
	hasLength      bool
	emptyLength    bool // Content-Length: 0
	transfer       int  // Transfer-Encoding lines
	chunked        bool
}

// read walks the header block; a kind other than zero refuses the request and closes the connection.
func (h *head) read(raw []byte) kind {
	lines := 0
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			end = len(raw) - 1
		}
		line := raw[:end]
		raw = raw[end+1:]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			break
		}
		if lines++; lines > maxHeaders {
			return kindHeaders
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || line[0] == ' ' || line[0] == '\t' { // the latter: obs-fold, which a front proxy may read otherwise
			return kindMalformed
		}
		h.take(line[:colon], line[colon+1:])
	}
	if h.transfer > 0 && (h.transfer > 1 || !h.chunked || h.hasLength) {
		return kindMalformed
	}
	return kind{}
}

func (h *head) take(name, value []byte) {
	switch len(name) {
	case 6:
		h.one(&h.accept, name, "accept", value)
		h.last(&h.origin, name, "origin", value)
	case 8:
		h.one(&h.ifMatch, name, "if-match", value)
	case 11:
		h.last(&h.traceparent, name, "traceparent", value)
	case 12:
		h.one(&h.contentType, name, "content-type", value)
		h.last(&h.requestID, name, "x-request-id", value)
	case 13:
		h.one(&h.authorization, name, "authorization", value)
	case 14:
		if isName(name, "content-length") {
			h.hasLength = true
			h.emptyLength = string(bytes.TrimSpace(value)) == "0"
		}
	case 15:
		h.one(&h.idempotencyKey, name, "idempotency-key", value)
	case 16:
		if isName(name, "content-encoding") && !isName(bytes.TrimSpace(value), "identity") {
			h.encoded = true
		}
	case 17:
		if isName(name, "transfer-encoding") {
			h.transfer++
			h.chunked = isName(bytes.TrimSpace(value), "chunked")
		}
	}
}

func (h *head) one(at *[]byte, name []byte, want string, value []byte) {
	if !isName(name, want) {
		return
	}
	if *at != nil && want != "accept" {
		h.repeated = true
		h.twoTokens = h.twoTokens || want == "authorization"
	}
	*at = bytes.TrimSpace(value)
	if *at == nil {
		*at = []byte{}
	}
}

// last takes a line of which any may count; nothing is decided by it.
func (h *head) last(at *[]byte, name []byte, want string, value []byte) {
	if isName(name, want) {
		*at = bytes.TrimSpace(value)
	}
}

// isName compares a header name with a lower-case one.
func isName(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// guard is the first look at a request: what fasthttp accepts and HTTP/1.1 or this API does not. A kind other than zero
// refuses it and closes the connection, so that nothing pipelined behind a doubtful frame is executed.
func (x *exchange) guard() kind {
	h := &x.ctx.Request.Header
	if !h.IsHTTP11() || string(h.Protocol()) != "HTTP/1.1" {
		return kindVersion
	}
	uri := h.RequestURI()
	if len(uri) == 0 || uri[0] != '/' || !readable(uri) {
		return kindMalformed
	}
	if k := x.head.read(h.RawHeaders()); k.status != 0 {
		return k
	}
	if h.IsGet() || h.IsHead() {
		if (x.head.hasLength && !x.head.emptyLength) || x.head.transfer > 0 {
			return kindMalformed
		}
	}
	return kind{}
}

// readable says whether every parser reads the same target: escapes of two digits, no control characters (RFC 3986, 2.1).
func readable(uri []byte) bool {
	for i, c := range uri {
		if c <= ' ' || c == 0x7f || c == '%' && (i+2 >= len(uri) || !hexDigit(uri[i+1]) || !hexDigit(uri[i+2])) {
			return false
		}
	}
	return true
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// refuseConnection answers what fasthttp could not read.
func (s *Server) refuseConnection(ctx *fasthttp.RequestCtx, err error) {
	k := kindMalformed
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		k = kindTooLarge
	case errors.As(err, &small):
		k = kindHeaders
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		k = kindTimeout
	}
	x := s.acquire(ctx)
	s.secure(ctx)
	x.fail(k)
	ctx.SetConnectionClose()
	s.broken.count(ctx.Response.StatusCode(), 0)
	s.release(x)
}
