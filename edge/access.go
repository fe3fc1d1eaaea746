package edge

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// requestID is the id that the client gave, when it may stand in a log, else a new one. It is made when it is needed: logged,
// asked for, or told with a failure.
func (x *exchange) requestID() []byte {
	if len(x.id) > 0 {
		return x.id
	}
	if fitsID(aliased(x.head.requestID)) {
		x.id = append(x.id, x.head.requestID...)
		return x.id
	}
	var r [12]byte
	x.s.mint.read(r[:])
	x.id = hex.AppendEncode(x.id, r[:])
	return x.id
}

var headerRequestID = []byte("X-Request-Id")

// account tells the request's id in the answer if it is of use, and logs the request if it is to be logged: by the pattern of its
// route, never by its path, query, headers or body, which can hold what is nobody's business.
func (s *Server) account(x *exchange, took time.Duration) {
	r := &x.ctx.Response
	status := r.StatusCode()
	logged := s.cfg.AccessLog > 0 && (s.cfg.AccessLog >= 1 || rand.Float64() < s.cfg.AccessLog)
	if !logged && x.head.requestID == nil && status != http.StatusInternalServerError {
		return
	}
	r.Header.SetCanonical(headerRequestID, x.requestID())
	if !logged {
		return
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("method", x.endpoint.method), slog.String("route", x.endpoint.pattern), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int("bytes", len(r.Body())), slog.String("request_id", string(x.requestID())))
}

// connectionLog takes fasthttp's own lines: causes of broken connections, the ordinary life of a public port. Their texts quote what
// the client sent, and his address, so only the kind of cause is logged, at debug.
type connectionLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l connectionLog) Printf(_ string, args ...any) {
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	cause := "other"
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			cause = causeOf(err)
		}
	}
	l.log.Debug("connection", "cause", cause)
}

func causeOf(err error) string {
	var tooSmall *fasthttp.ErrSmallBuffer
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, fasthttp.ErrBodyTooLarge), errors.As(err, &tooSmall):
		return "too large"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the client"
	}
	return "unreadable"
}
