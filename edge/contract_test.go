package edge

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"
)

func init() {
	openapi3filter.RegisterBodyDecoder("text/calendar", openapi3filter.RegisteredBodyDecoder("text/plain"))
}

func itoa(n int) string { return strconv.Itoa(n) }

// contract is the document as a judge of what goes over the wire.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

var theContract = sync.OnceValues(func() (*contract, error) {
	b, err := document()
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		return nil, err
	}
	// A client must bear members that are added later; these tests want to know of each.
	for _, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && s.Value.AdditionalProperties.Has == nil && s.Value.AdditionalProperties.Schema == nil {
			no := false
			s.Value.AdditionalProperties.Has = &no
		}
	}
	router, err := gorillamux.NewRouter(doc)
	return &contract{doc, router}, err
})

// check says what is undocumented in an exchange: the status, a header or the body of the answer; and a request that was
// accepted although the document forbids it.
func (c *contract) check(method, target string, head http.Header, body []byte, status int, answerHead http.Header, answer []byte, strict bool) error {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil // no route can match
	}
	req := &http.Request{Method: method, URL: u, Header: head, Host: "localhost", Body: http.NoBody}
	if len(body) > 0 {
		req.Body, req.ContentLength = readCloser(body), int64(len(body))
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		return nil // 404 or 405, or a page beside the document
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if strict && status < 300 {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			return fmt.Errorf("accepted with %d what the document forbids: %w", status, err)
		}
	}
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("%s gives %d, which is not documented: %.200s", route.Operation.OperationID, status, answer)
	}
	documented := map[string]bool{}
	for name := range response.Value.Headers {
		documented[http.CanonicalHeaderKey(name)] = true
	}
	for name := range answerHead {
		if !ordinaryHeaders[name] && !documented[name] {
			return fmt.Errorf("%s gives %d with the header %s, which is not documented", route.Operation.OperationID, status, name)
		}
	}
	if len(response.Value.Content) == 0 && len(answer) > 0 {
		return fmt.Errorf("%s gives %d with a body, which is not documented", route.Operation.OperationID, status)
	}
	return openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: answerHead, Body: readCloser(answer), Options: options,
	})
}

// ordinaryHeaders are those of HTTP and of every answer; the others belong to the contract.
var ordinaryHeaders = map[string]bool{
	"Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Date": true, "Connection": true, "Cache-Control": true,
	"Content-Security-Policy": true, "X-Content-Type-Options": true, "Referrer-Policy": true, "Allow": true,
	"Strict-Transport-Security": true, "Vary": true, "Access-Control-Allow-Origin": true, "Access-Control-Expose-Headers": true,
}

type bodyReader struct{ *bytes.Reader }

func (bodyReader) Close() error { return nil }

func readCloser(b []byte) bodyReader { return bodyReader{bytes.NewReader(b)} }

// keeps fails the test when an exchange is not as the document says.
func keeps(t testing.TB, req *http.Request, body string, a *answer) {
	t.Helper()
	c, err := theContract()
	require.NoError(t, err)
	err = c.check(req.Method, req.URL.RequestURI(), req.Header.Clone(), []byte(body), a.StatusCode, a.Header, []byte(a.text), true)
	require.NoError(t, err, "%s %s %.300s\n%d %.300s", req.Method, req.URL, body, a.StatusCode, a.text)
}
