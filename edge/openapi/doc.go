// Package openapi holds the description of the API: parts, one for each tag, that are put together with the edge's table of
// problems into one OpenAPI 3.1 document, and the pages that show it.
//
// A part is plain OpenAPI with two extensions that do not reach the document: x-page (see problems.go), and x-problems lists the codes by which an operation refuses, beyond those that
// follow from its shape (a body can be malformed, If-Match can be stale). Their responses are written here, so that a code
// has its status and its Retry-After in one place only: edge/status.go.
package openapi
