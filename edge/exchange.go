package edge

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"maitred/actors"
	"maitred/engine"
)

// exchange is one request and its answer. It is pooled: nothing of it may be kept after the handler.
type exchange struct {
	s        *Server
	ctx      *fasthttp.RequestCtx
	now      time.Time
	endpoint *endpoint
	param    string // {id} of the path; leads into fasthttp's buffer
	second   string // {user_id} of the path, likewise
	head     head
	caller   *bearer // nil: nobody
	buf      []byte  // the answer under construction

	// Room for the hot command. It is the callee's until Do returns, and is reused only after a decided outcome.
	cmd    engine.Command
	create engine.CreateReservation
	wire   reservationRequest
	lent   bool // somebody may still hold cmd: the exchange is not used again
	starts []engine.Start
	canon  []byte

	id     []byte                // of the request, once it was needed
	inHand bool                  // counted
	roams  bool                  // a read that another node may answer
	owner  *actors.NotOwnerError // that node, once the handler has met it
	span   *span                 // nil: not traced
}

func (s *Server) acquire(ctx *fasthttp.RequestCtx) *exchange {
	x := s.exchanges.Get().(*exchange)
	x.s, x.ctx = s, ctx
	x.endpoint = &s.other
	if s.now != nil {
		x.now = s.now()
	} else {
		x.now = ctx.Time()
	}
	return x
}

func (s *Server) release(x *exchange) {
	x.ctx, x.param, x.second, x.head, x.caller, x.wire = nil, "", "", head{}, nil, reservationRequest{}
	x.buf, x.starts, x.canon, x.id, x.inHand, x.span = x.buf[:0], x.starts[:0], x.canon[:0], x.id[:0], false, nil
	x.roams, x.owner = false, nil
	if x.lent || cap(x.buf) > 64<<10 || cap(x.starts) > 1024 {
		return
	}
	s.exchanges.Put(x)
}

// body is the request's body. It dies with the handler.
func (x *exchange) body() []byte { return x.ctx.Request.Body() }

// aliased is b as a string, for as long as b stays as it is.
func aliased(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// deadline is until when a command may take.
func (x *exchange) deadline(d time.Duration) time.Time { return x.now.Add(d) }

// reply sends buf as JSON.
func (x *exchange) reply(status int) {
	r := &x.ctx.Response
	r.SetStatusCode(status)
	r.SetBody(x.buf)
}

// replyShared sends bytes that live longer than the exchange and never change.
func (x *exchange) replyShared(status int, body []byte) {
	x.ctx.Response.SetStatusCode(status)
	x.ctx.Response.SetBodyRaw(body)
}

func (x *exchange) empty() {
	x.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
}

var (
	headerETag     = []byte("Etag")
	headerLocation = []byte("Location")
	headerReplayed = []byte("Idempotent-Replay")
	valueTrue      = []byte("true")
)

// etag sets the version of the resource.
func (x *exchange) etag(v engine.Version) {
	var b [24]byte
	tag := append(b[:0], '"')
	tag = strconv.AppendUint(tag, uint64(v), 10)
	x.ctx.Response.Header.SetCanonical(headerETag, append(tag, '"'))
}

// location sets where a new resource is.
func (x *exchange) location(path, id string) {
	var b [96]byte
	x.ctx.Response.Header.SetCanonical(headerLocation, append(append(b[:0], path...), id...))
}

func (x *exchange) replayed() {
	x.ctx.Response.Header.SetCanonical(headerReplayed, valueTrue)
}

// trouble is a kind with its particulars.
type trouble struct {
	kind
	field        string
	detail       string
	alternatives []engine.Alternative
	conflicts    []engine.Obstacle // for staff: the engine names them to nobody else
}

func (t *trouble) Error() string { return t.code + " " + t.field + " " + t.detail }

// wrong is a value that is not possible.
func wrong(field, detail string) *trouble {
	return &trouble{kind: kindInvalid, field: field, detail: detail}
}

func refusal(k kind) *trouble { return &trouble{kind: k} }

// fail answers with a problem.
func (x *exchange) fail(k kind) { x.trouble(&trouble{kind: k}) }

func (x *exchange) trouble(t *trouble) {
	r := &x.ctx.Response
	r.Header.SetContentType("application/problem+json")
	switch t.status {
	case fasthttp.StatusUnauthorized:
		r.Header.Set("WWW-Authenticate", "Bearer")
	case fasthttp.StatusRequestTimeout, fasthttp.StatusRequestEntityTooLarge, fasthttp.StatusHTTPVersionNotSupported:
		x.ctx.SetConnectionClose()
	}
	if t.retry > 0 {
		r.Header.Set("Retry-After", strconv.Itoa(t.retry))
	}
	x.buf = appendProblem(x.buf[:0], t)
	x.reply(t.status)
}

// fault answers a command or read that was not decided. A read of what is on another node is answered by it (ask).
func (x *exchange) fault(err error) {
	if x.elsewhere(err) {
		return
	}
	k := kindOfFault(err)
	if k.status == fasthttp.StatusInternalServerError {
		x.s.log.Error("request failed", "endpoint", x.endpoint.pattern, "request_id", string(x.requestID()), "error", err)
	}
	x.fail(k)
}

// refuse answers an outcome that is a refusal.
func (x *exchange) refuse(out *engine.Outcome) {
	k := kindInternal
	if int(out.Code) < len(kindOfCode) {
		k = kindOfCode[out.Code]
	}
	x.trouble(&trouble{kind: k, field: out.Field, alternatives: out.Alternatives, conflicts: out.Conflicts})
}

// clock is the time now, not that of the request's arrival.
func (x *exchange) clock() time.Time { return x.s.clock() }

func (s *Server) clock() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}
