package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What follows from the shape of an operation.
var (
	// Any request may be unreadable, too slow, too large or too much.
	ofAny = []string{"malformed", "request_timeout", "too_large", "too_many_requests", "headers_too_large", "internal", "busy", "http_version"}
	// One of the API may ask for another language than JSON, and meet a node that does not serve.
	ofAPI       = []string{"not_acceptable", "unsupported_media_type", "unavailable", "expired", "quarantined"}
	ofCaller    = []string{"unauthorized"}
	ofBody      = []string{"wrong_type", "unknown_member", "invalid"}
	ofQuery     = []string{"invalid"}
	ofCommand   = []string{"unknown_outcome"}
	ofParameter = map[string][]string{
		"IdempotencyKey":  {"bad_idempotency_key", "idempotency_key_reused"},
		"IfMatch":         {"precondition_required", "stale"},
		"IfMatchOptional": {"stale"},
		"Cursor":          {"bad_cursor", "store_unavailable"},
	}
)

// writer turns codes into responses.
type writer struct {
	problems  []Problem
	responses object // shared by operations that refuse alike
}

// operation replaces x-problems of an operation by responses. x-page marks a page beside the API, which looks at nothing but
// the frame of a request.
func (w *writer) operation(method string, op object) error {
	special, ok := op["x-problems"].([]any)
	if !ok {
		return fmt.Errorf("x-problems is missing")
	}
	codes := slices.Clone(ofAny)
	if op["x-page"] == nil {
		codes = slices.Concat(codes, ofAPI, shape(method, op))
	}
	delete(op, "x-problems")
	delete(op, "x-page")
	for _, c := range special {
		codes = append(codes, c.(string))
	}
	byStatus := map[int][]Problem{}
	for i := range w.problems {
		if p := w.problems[i]; slices.Contains(codes, p.Code) {
			byStatus[p.Status] = append(byStatus[p.Status], p)
		}
	}
	for _, c := range codes {
		if !slices.ContainsFunc(w.problems, func(p Problem) bool { return p.Code == c }) {
			return fmt.Errorf("no problem has the code %q", c)
		}
	}
	responses := op["responses"].(object)
	for _, r := range responses {
		withHeaders(r.(object))
	}
	for status, problems := range byStatus {
		if responses[strconv.Itoa(status)] != nil { // a page has its own answer with this status
			continue
		}
		responses[strconv.Itoa(status)] = object{"$ref": "#/components/responses/" + w.response(problems)}
	}
	return nil
}

// withHeaders adds what any answer may have.
func withHeaders(response object) {
	headers, ok := response["headers"].(object)
	if !ok {
		headers = object{}
		response["headers"] = headers
	}
	for _, name := range []string{"RateLimit", "RateLimit-Policy", "X-Request-Id"} {
		headers[name] = object{"$ref": "#/components/headers/" + name}
	}
}

// shape is what an operation can refuse because of its parameters, its body, its method and its caller.
func shape(method string, op object) []string {
	var codes []string
	if public, ok := op["security"].([]any); !ok || len(public) > 0 {
		codes = append(codes, ofCaller...)
		if method != "get" {
			codes = append(codes, "forbidden") // to an API key for reading alone
		}
	}
	if op["requestBody"] != nil {
		codes = append(codes, ofBody...)
	}
	if method != "get" {
		codes = append(codes, ofCommand...)
	}
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		p := p.(object)
		if p["in"] == "query" {
			codes = append(codes, ofQuery...)
		}
		if ref, ok := p["$ref"].(string); ok {
			name := ref[strings.LastIndexByte(ref, '/')+1:]
			codes = append(codes, ofParameter[name]...)
			if name == "Limit" {
				codes = append(codes, ofQuery...)
			}
		}
	}
	return codes
}

// response is the name of the component that answers one status with one of some problems.
func (w *writer) response(problems []Problem) string {
	var codes, lines []string
	retry := true
	examples := object{}
	for _, p := range problems {
		codes = append(codes, p.Code)
		lines = append(lines, fmt.Sprintf("`%s`: %s.", p.Code, p.Title))
		retry = retry && p.Retry > 0
		examples[p.Code] = object{"summary": p.Title, "value": object{
			"type": "urn:maitred:problem:" + p.Code, "title": p.Title, "status": p.Status, "code": p.Code,
		}}
	}
	name := strconv.Itoa(problems[0].Status) + "-" + strings.Join(codes, ".")
	headers := object{}
	if problems[0].Status == 401 {
		headers["WWW-Authenticate"] = object{"$ref": "#/components/headers/WWW-Authenticate"}
	}
	if retry {
		headers["Retry-After"] = object{"$ref": "#/components/headers/Retry-After"}
	}
	answer := object{
		"description": strings.Join(lines, " "),
		"headers":     headers,
		"content": object{"application/problem+json": object{
			"schema": object{"allOf": []any{
				object{"$ref": "#/components/schemas/Problem"},
				object{"type": "object", "properties": object{"status": object{"const": problems[0].Status}, "code": object{"enum": codes}}},
			}},
			"examples": examples,
		}},
	}
	withHeaders(answer)
	w.responses[name] = answer
	return name
}

func (w *writer) codes() []string {
	codes := make([]string, len(w.problems))
	for i := range w.problems {
		codes[i] = w.problems[i].Code
	}
	return codes
}

// table is the table code → status → retry in Markdown.
func (w *writer) table() string {
	var b strings.Builder
	b.WriteString("| code | status | retry after | meaning |\n|---|---|---|---|\n")
	for _, p := range w.problems {
		retry := "do not"
		if p.Retry > 0 {
			retry = strconv.Itoa(p.Retry) + " s"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", p.Code, p.Status, retry, p.Title)
	}
	return b.String()
}
